"""Numbers as a reader wants them: rounded, signed, with units, and a dash where there is none.

Each function takes whatever stands in `metrics.json` and never raises: a report with a gap is better than no report.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = [
    "NONE",
    "auc_margin",
    "count",
    "duration",
    "fixed",
    "mapping",
    "number",
    "percent",
    "records",
    "signed",
    "size",
    "text",
    "total",
    "width",
]

NONE: Final = "–"


def number(value: object) -> float | None:
    """`value` as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def mapping(value: object) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def records(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list; anything else is left out."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def text(value: object) -> str:
    """`value` for display: a dash for nothing, True and False as yes and no, numbers without a tail of zeros."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(text(item) for item in value) or NONE
    return str(value)


def fixed(value: object, digits: int = 3) -> str:
    """A number with a fixed number of decimals."""
    n = number(value)
    return NONE if n is None else f"{n:,.{digits}f}".replace("-", "−")


def signed(value: object, digits: int = 3) -> str:
    """A difference, always with its sign; a difference that rounds to nothing has none."""
    n = number(value)
    if n is None:
        return NONE
    shown = f"{abs(n):,.{digits}f}"
    if float(shown.replace(",", "")) == 0.0:
        return f"±{shown}"
    return f"{'+' if n > 0 else '−'}{shown}"


def percent(value: object, digits: int = 1) -> str:
    """A share of one as per cent."""
    n = number(value)
    return NONE if n is None else f"{100.0 * n:,.{digits}f} %"


def count(value: object) -> str:
    """A whole number with thousands apart."""
    n = number(value)
    return NONE if n is None else f"{n:,.0f}"


def size(value: object) -> str:
    """Bytes in the largest binary unit that keeps the number at one or more."""
    n = number(value)
    if n is None:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024 or unit == "GiB":
            break
        n /= 1024
    return f"{n:,.0f} {unit}" if unit == "B" or n >= 100 else f"{n:,.1f} {unit}"


def duration(value: object) -> str:
    """Seconds, with decimals while they matter; minutes from 120 s."""
    n = number(value)
    if n is None:
        return NONE
    if n >= 120:
        return f"{int(n // 60)} min {int(n % 60)} s"
    return f"{n:.2f} s" if n < 1 else f"{n:.1f} s"


def total(rows: Iterable[Mapping[str, Any]], key: str) -> float:
    """The sum of `key` over the rows that have it."""
    return math.fsum(number(row.get(key)) or 0.0 for row in rows)


def auc_margin(auc: object, bads: float, goods: float) -> float | None:
    """Half of the 95 % interval of an AUC on `bads` and `goods` rows.

    Source: Hanley and McNeil, Radiology 143 (1982), formulas for the standard error under exponential scores.
    """
    a = number(auc)
    if a is None or not 0.0 < a < 1.0 or bads < 1 or goods < 1:
        return None
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (bads - 1) * (q1 - a * a) + (goods - 1) * (q2 - a * a)) / (bads * goods)
    return 1.96 * math.sqrt(max(variance, 0.0))


def width(share: float | None) -> float:
    """A share of one as a CSS percentage, kept within the bar."""
    return round(100.0 * min(max(share or 0.0, 0.0), 1.0), 1)
