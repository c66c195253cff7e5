"""What the page shows of a binning: columns by information value, and the bins of those that are known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedcredit.report.figures import NONE, count, fixed, mapping, number, percent, records, text, width
from fedcredit.report.parties import Parties

__all__ = ["bin_series", "show_columns"]

Section = dict[str, Any]

_COLUMNS_SHOWN: Final = 100
_PLOTS_SHOWN: Final = 24
_REFUSED: Final = {
    "BIN_TOO_SMALL": "too few rows of a class",
    "BINNING_INFEASIBLE": "no bins within the limits",
    "BINS_TOO_MANY": "not among the columns that so few rows have room for",
    "BINS_NOT_TOLD": "the label party tells nothing of it",
    "BINS_WITHIN_CHANCE": "bins differ by no more than chance: its owner is told nothing of it",
}
_KEPT: Final = frozenset({"none", "bins", "coarse"})
"""Where owners of columns are told no information values, those of their columns are the label party's alone."""
# The customary reading of an information value.
_STRENGTHS: Final = ((0.02, "says nothing"), (0.1, "weak"), (0.3, "medium"), (0.5, "strong"))


def show_columns(model: Mapping[str, Any], parties: Parties) -> Section | None:
    """The table of all columns, and for each plot its title and table; None for another kind of model."""
    columns = records(model.get("columns"))
    if not columns:
        return None
    largest = max((number(row.get("iv")) or 0.0 for row in columns), default=0.0)
    kept = mapping(model.get("params")).get("iv_disclosure") in _KEPT
    shown = any(number(row.get("iv")) is not None and not records(row.get("table")) for row in columns)
    return {
        "kept": kept and shown,
        "rows": [_row(row, largest, parties) for row in columns[:_COLUMNS_SHOWN]],
        "left_out": max(len(columns) - _COLUMNS_SHOWN, 0),
        "plots": [
            {
                "item": item,
                "column": text(row.get("column")),
                "iv": _value(row),
                "bins": [_bin(cell) for cell in records(row.get("table"))],
            }
            for item, row in enumerate(_plotted(columns))
        ],
        "not_plotted": max(sum(bool(records(row.get("table"))) for row in columns) - _PLOTS_SHOWN, 0),
    }


def bin_series(model: Mapping[str, Any]) -> list[Section]:
    """What charts.js draws, a chart for each column of `show_columns`'s plots."""
    keys = ("bin", "rows", "bad_rate", "woe")
    return [
        {key: [cell.get(key) for cell in records(row.get("table"))] for key in keys}
        for row in _plotted(records(model.get("columns")))
    ]


def _plotted(columns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in columns if records(row.get("table"))][:_PLOTS_SHOWN]


def _row(row: Mapping[str, Any], largest: float, parties: Parties) -> Section:
    iv = number(row.get("iv"))
    refused = row.get("refused")
    return {
        "column": text(row.get("column")),
        "party": text(row.get("party")),
        "colour": parties.colour(row.get("party")),
        "iv": _value(row),
        "width": width(iv / largest) if iv is not None and largest else 0,
        "meaning": _REFUSED.get(str(refused), text(refused)) if refused else _meaning(iv),
        "bins": count(row.get("bins")) if row.get("bins") else NONE,
    }


def _value(row: Mapping[str, Any]) -> str:
    if (rank := number(row.get("rank"))) is not None:
        return f"no. {rank:.0f} of {text(row.get('party'))}"
    return fixed(row.get("iv"), int(number(row.get("iv_decimals")) or 3))


def _meaning(iv: float | None) -> str:
    if iv is None:
        return "not told"
    return next((meaning for below, meaning in _STRENGTHS if iv < below), "suspiciously strong")


def _bin(cell: Mapping[str, Any]) -> Section:
    return {
        "bin": text(cell.get("bin")),
        "rows": count(cell.get("rows")),
        "bads": count(cell.get("bads")),
        "bad_rate": percent(cell.get("bad_rate")),
        "woe": fixed(cell.get("woe")),
        "iv": fixed(cell.get("iv"), 4),
    }
