"""What the page shows for who decides by a score: bands, cut-offs, what each party adds, how columns hold over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedcredit.report.figures import NONE, count, fixed, number, percent, records, signed, text, width
from fedcredit.report.parties import Parties
from fedcredit.report.stability import light_of

__all__ = ["decision_series", "show_bands", "show_column_stability", "show_contribution", "show_cutoffs"]

Section = dict[str, Any]

_ROWS_SHOWN: Final = 128


def show_bands(model: Mapping[str, Any]) -> Section | None:
    """Bands of the score, the worst first, and what all rows together are like."""
    rows = records(model.get("bands"))[:_ROWS_SHOWN]
    if not rows:
        return None
    worst = max((number(row.get("bad_rate")) or 0.0 for row in rows), default=0.0)
    all_rows, bads = (sum(number(row.get(key)) or 0.0 for row in rows) for key in ("rows", "bad"))
    return {
        "rows": [
            {
                "band": _between(row),
                "rows": count(row.get("rows")),
                "share": percent(row.get("share")),
                "bads": count(row.get("bad")),
                "bad_rate": percent(row.get("bad_rate")),
                "width": width((number(row.get("bad_rate")) or 0.0) / worst) if worst else 0,
                "lift": fixed(row.get("lift"), 2),
                "cum_bad_share": percent(row.get("cum_bad_share")),
            }
            for row in rows
        ],
        "total": {"rows": count(all_rows), "bads": count(bads), "bad_rate": percent(bads / all_rows)}
        if all_rows
        else None,
    }


def show_cutoffs(model: Mapping[str, Any]) -> list[Section]:
    """What each cut-off gives: who scores at least so many points is approved."""
    return [
        {
            "cutoff": _points(row.get("cutoff")),
            "approval_rate": percent(row.get("approval_rate")),
            "bad_rate": percent(row.get("bad_rate"), 2),
            "rejected_bad_rate": percent(row.get("rejected_bad_rate")),
            "lift": fixed(row.get("lift"), 2),
            "bads_refused": percent(row.get("bad_rejected")),
            "goods_refused": percent(row.get("good_rejected")),
        }
        for row in records(model.get("cutoffs"))[:_ROWS_SHOWN]
    ]


def decision_series(model: Mapping[str, Any]) -> Section:
    """What charts.js draws of bands and cut-offs."""
    series: Section = {}
    if bands := records(model.get("bands"))[:_ROWS_SHOWN]:
        series["bands"] = [
            {"band": _between(row), "share": row.get("share"), "bad_rate": row.get("bad_rate")} for row in bands
        ]
    if cutoffs := records(model.get("cutoffs"))[:_ROWS_SHOWN]:
        keys = ("cutoff", "approval_rate", "bad_rate", "bad_rejected")
        series["cutoffs"] = [{key: row.get(key) for key in keys} for row in cutoffs]
    return series


def show_contribution(model: Mapping[str, Any], parties: Parties) -> list[Section]:
    """What each party's columns are worth to the model: what it loses without them."""
    rows = records(model.get("contribution"))
    largest = max((number(row.get("auc_gain")) or 0.0 for row in rows), default=0.0)
    return [
        {
            "party": text(row.get("party")),
            "colour": parties.colour(row.get("party")),
            "columns": count(row.get("columns")),
            "iv": fixed(row.get("iv")),
            "auc_without": fixed(row.get("auc_without")),
            "ks_without": fixed(row.get("ks_without")),
            "auc_gain": signed(row.get("auc_gain")),
            "ks_gain": signed(row.get("ks_gain")),
            "gained": number(row.get("auc_gain")) is not None,
            "width": width((number(row.get("auc_gain")) or 0.0) / largest) if largest > 0 else 0,
        }
        for row in rows
    ]


def show_column_stability(model: Mapping[str, Any], parties: Parties) -> Section | None:
    """How far each column's bins have moved between training and held-out rows, the furthest first."""
    rows = records(model.get("column_stability"))
    if not rows:
        return None
    ordered = sorted(rows, key=lambda row: -(number(row.get("index")) or 0.0))[:_ROWS_SHOWN]
    return {
        "rows": [
            {
                "column": text(row.get("column")),
                "party": text(row.get("party")),
                "colour": parties.colour(row.get("party")),
                "index": fixed(row.get("index"), 4),
                "at": width((number(row.get("index")) or 0.0) / 0.35),
                **light_of(number(row.get("index"))),
                "shift": signed(row.get("points_shift"), 2),
            }
            for row in ordered
        ],
        "foreign": any(number(row.get("points_shift")) is None for row in ordered),
        "left_out": max(len(rows) - len(ordered), 0),
    }


def _between(row: Mapping[str, Any]) -> str:
    low, high = number(row.get("from")), number(row.get("to"))
    if low is None and high is None:
        return "all"
    if low is None:
        return f"below {_points(high)}"
    return f"{_points(low)} and more" if high is None else f"{_points(low)} to {_points(high)}"


def _points(value: object) -> str:
    n = number(value)
    return NONE if n is None else f"{n:,.6g}".replace("-", "−")
