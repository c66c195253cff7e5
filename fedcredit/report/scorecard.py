"""What the page shows of a scorecard: the card itself, why these columns, and what the fit says of them.

Of other parties' columns a page has numbers alone: names, bins and points are their owners'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fedcredit.report.figures import (
    NONE,
    count,
    duration,
    fixed,
    mapping,
    number,
    percent,
    records,
    signed,
    text,
    total,
    width,
)
from fedcredit.report.parties import Parties

__all__ = ["show_card", "show_coefficients", "show_costs", "show_points", "show_selection"]

Section = dict[str, Any]

_SELECTION_SHOWN: Final = 120
_COLUMNS_SHOWN: Final = 60
_INTERCEPT: Final = "intercept"
_RULES: Final = {
    "refused": ("no bins", "无法分箱"),
    "missing": ("missing values", "缺失率"),
    "iv": ("information value", "信息值"),
    "chance": ("no more than chance", "与随机无异"),
    "stability": ("stability", "稳定性"),
    "correlation": ("correlation", "相关性"),
    "inflation": ("variance inflation", "方差膨胀"),
    "number": ("number of columns", "变量个数"),
    "p-value": ("significance", "显著性"),
    "sign": ("sign of the coefficient", "系数符号"),
}
_PARTS: Final = {
    "binning": "Binning",
    "selection": "Selection",
    "fit": "Fit",
    "per_iteration": "One iteration",
    "evaluation": "Evaluation",
}
_REACH: Final = 1.959964
"""Half of the width of a 95 % interval, in standard errors."""
_DRAWN: Final = 1e6
"""Standardised coefficients beyond this are not drawn: they are what is left of separable labels."""


def show_card(model: Mapping[str, Any], parties: Parties) -> Section | None:
    """The model card: what it is for, on what data, by what consent, and what it may not be used for."""
    card = mapping(model.get("card"))
    if not card:
        return None
    leakage = [text(name) for name in _list(card.get("leakage"))]
    facts = (
        ("Intended use", "用途", card.get("intended_use")),
        ("Purpose", "目的", card.get("purpose")),
        ("Consent", "授权依据", card.get("consent_basis")),
        ("Period", "时间范围", card.get("period")),
    )
    return {
        "facts": [{"name": name, "chinese": chinese, "value": text(value)} for name, chinese, value in facts if value],
        "data": [
            {
                "party": text(row.get("party")),
                "colour": parties.colour(row.get("party")),
                "rows": count(row.get("table rows", row.get("rows"))),
                "columns": count(row.get("columns")),
            }
            for row in records(card.get("data"))
        ],
        "rows": count(model.get("rows")),
        "bads": count(model.get("bads")),
        "whole": any("table rows" in row for row in records(card.get("data"))),
        "limits": [text(limit) for limit in _list(card.get("limits"))],
        # A protocol role's own statement is called after the role; the page has all statements above.
        "leakage": [name for name in leakage if name[:1].islower()],
        "formal": sum(not name[:1].islower() for name in leakage),
    }


def show_selection(model: Mapping[str, Any], parties: Parties) -> Section | None:
    """Why each column stayed or went: those that stayed first, then those that went, by the rule that dropped them."""
    rows = records(model.get("selection"))
    if not rows:
        return None
    order = list(_RULES)
    kept = [row for row in rows if row.get("kept")]
    dropped = sorted((row for row in rows if not row.get("kept")), key=lambda row: _place(order, row.get("rule")))
    shown = [*kept, *dropped][:_SELECTION_SHOWN]
    gone: dict[str, int] = {}
    for row in dropped:
        gone[text(row.get("rule"))] = gone.get(text(row.get("rule")), 0) + 1
    return {
        "all": count(len(rows)),
        "kept": count(len(kept)),
        "gone": [{"rule": _rule(rule)[0], "columns": count(n)} for rule, n in gone.items()],
        "rows": [
            {
                "column": text(row.get("column")),
                "party": text(row.get("party")),
                "colour": parties.colour(row.get("party")),
                "kept": bool(row.get("kept")),
                "rule": _rule(row.get("rule"))[0],
                "chinese": _rule(row.get("rule"))[1],
                "iv": fixed(row.get("iv")),
                "why": "kept by every rule" if row.get("kept") and not row.get("why") else text(row.get("why")),
            }
            for row in shown
        ],
        "has_iv": any(number(row.get("iv")) is not None for row in shown),
        "left_out": max(len(rows) - len(shown), 0),
    }


def show_coefficients(model: Mapping[str, Any], parties: Parties) -> Section | None:
    """The fitted coefficients, the largest effect first, with what a forest plot needs of each."""
    rows = records(model.get("coefficients"))
    if not rows:
        return None
    columns = [row for row in rows if text(row.get("column")) != _INTERCEPT]
    # An owner of columns may know its coefficients alone, which are not told on one scale with those of others.
    drawn = "standardised" if any(number(row.get("standardised")) is not None for row in columns) else "coefficient"
    columns.sort(key=lambda row: -abs(number(row.get(drawn)) or 0.0))
    reach = {id(row): _interval(row, drawn) for row in columns}
    scale = _Scale(end for interval in reach.values() if interval for end in interval)
    ordered = [row for row in rows if text(row.get("column")) == _INTERCEPT] + columns
    fit = mapping(model.get("fit"))
    return {
        "rows": [
            {
                "column": text(row.get("column")),
                "party": text(row.get("party")),
                "colour": parties.colour(row.get("party")),
                "standardised": fixed(row.get("standardised")),
                "coefficient": fixed(row.get("coefficient"), 4),
                "error": fixed(row.get("standard_error"), 4),
                "z": fixed(row.get("z"), 2),
                "p": _p_value(row.get("p_value")),
                "doubtful": (number(row.get("p_value")) or 0.0) > 0.05,
                "interval": _ends(row),
                "iv": fixed(row.get("iv")),
                "forest": scale.forest(row.get(drawn), reach.get(id(row))),
            }
            for row in ordered[: _COLUMNS_SHOWN + 1]
        ],
        "standardised": drawn == "standardised",
        "on_evidence": model.get("kind") != "logistic",
        "has_iv": any(number(row.get("iv")) is not None for row in columns),
        "ticks": scale.ticks(),
        "foreign": any(number(row.get("coefficient")) is None for row in columns),
        "handed_over": _handed_over(model),
        "left_out": max(len(ordered) - _COLUMNS_SHOWN - 1, 0),
        "fit": [
            {"name": name, "value": value}
            for name, value in (
                ("Rows 样本量", count(fit.get("rows"))),
                ("Bads 坏样本", count(fit.get("bads"))),
                ("Log-likelihood 对数似然", fixed(fit.get("log_likelihood"), 1)),
                ("AIC 赤池信息量", fixed(fit.get("aic"), 1)),
                ("L2 penalty 正则", text(fit.get("l2"))),
                ("Fits 拟合次数", count(fit.get("fits"))),
                ("Gradients 梯度轮数", count(fit.get("gradients"))),
                ("Gap to the optimum", _small(fit.get("gap"))),
                ("Error of the shared sigmoid", _small(fit.get("series_error"))),
            )
            if value != NONE
        ],
    }


def show_points(model: Mapping[str, Any], parties: Parties) -> Section | None:
    """The points of this party's own columns, bin by bin, the scale they are on, and whose others there are."""
    columns = records(model.get("points"))
    scale = mapping(model.get("scale"))
    if not columns and not scale:
        return None
    own = {(text(row.get("party")), text(row.get("column"))) for row in columns}
    others = [
        row
        for row in records(model.get("coefficients"))
        if text(row.get("column")) != _INTERCEPT and (text(row.get("party")), text(row.get("column"))) not in own
    ]
    largest = max((abs(number(cell.get("points")) or 0.0) for row in columns for cell in _bins(row)), default=0.0)
    return {
        "scale": [
            {"name": name, "value": value}
            for name, value in (
                ("Base points 基础分", fixed(scale.get("base_points"), 0)),
                ("Base score 基准分", _plain(scale.get("base_score"))),
                ("Odds at it 基准好坏比", f"{_plain(scale.get('odds'))} : 1" if scale.get("odds") else NONE),
                ("Points that double them PDO", _plain(scale.get("pdo"))),
                ("Factor", fixed(scale.get("factor"), 4)),
                ("Offset", fixed(scale.get("offset"), 4)),
            )
            if value != NONE
        ],
        "columns": [
            {
                "column": text(row.get("column")),
                "party": text(row.get("party")),
                "colour": parties.colour(row.get("party")),
                "range": _range(row),
                "rates": any(number(cell.get("bad_rate")) is not None for cell in _bins(row)),
                "bins": [_bin(cell, largest) for cell in _bins(row)],
            }
            for row in columns[:_COLUMNS_SHOWN]
        ],
        "left_out": max(len(columns) - _COLUMNS_SHOWN, 0),
        "handed_over": _handed_over(model),
        "others": [
            {
                "party": party,
                "colour": parties.colour(party),
                "columns": ", ".join(text(row.get("column")) for row in others if text(row.get("party")) == party),
            }
            for party in dict.fromkeys(text(row.get("party")) for row in others)
        ],
    }


def show_costs(model: Mapping[str, Any]) -> list[Section]:
    """The seconds of each part of the work, where a model says them one by one."""
    told = mapping(model.get("parts")) or mapping(model.get("seconds"))
    return [
        {"name": name, "value": duration(told.get(key))}
        for key, name in _PARTS.items()
        if number(told.get(key)) is not None
    ]


class _Scale:
    """Where values lie on a line from the least to the greatest, in per cent of its width; 0 is always on it."""

    def __init__(self, values: Iterable[float]) -> None:
        found = [0.0, *values]
        low, high = min(found), max(found)
        pad = 0.04 * ((high - low) or 1.0)
        self._low, self._span = low - pad, (high - low) + 2 * pad

    def at(self, value: float) -> float:
        return width((value - self._low) / self._span)

    def ticks(self) -> list[Section]:
        """Round numbers along the line, of which 0 is one."""
        steps = (m * 10.0**e for e in range(-6, 8) for m in (1, 2, 5))
        step = next(step for step in steps if self._span / step <= 5)
        first, last = int(-(-self._low // step)), int((self._low + self._span) // step)
        return [{"at": self.at(k * step), "value": f"{k * step:g}".replace("-", "−")} for k in range(first, last + 1)]

    def forest(self, middle: object, interval: tuple[float, float] | None) -> Section | None:
        if interval is None:
            return None
        low, high = interval
        return {
            "at": self.at(number(middle) or 0.0),
            "low": self.at(low),
            "reach": round(self.at(high) - self.at(low), 1),
            "zero": self.at(0.0),
        }


def _interval(row: Mapping[str, Any], drawn: str) -> tuple[float, float] | None:
    """The 95 % interval of a coefficient on either scale: its standard error is itself over z, whoever's it is."""
    middle, z = number(row.get(drawn)), number(row.get("z"))
    if middle is None or abs(middle) > _DRAWN:
        return None
    half = _REACH * min(abs(middle / z), _DRAWN) if z else 0.0
    return middle - half, middle + half


def _ends(row: Mapping[str, Any]) -> str:
    low, high = number(row.get("low")), number(row.get("high"))
    return NONE if low is None or high is None else f"{fixed(low)} to {fixed(high)}"


def _p_value(value: object) -> str:
    p = number(value)
    return "< 0.0001" if p is not None and 0 <= p < 0.0001 else fixed(p, 4)


def _small(value: object) -> str:
    n = number(value)
    return NONE if n is None else f"{n:.1e}".replace("-", "−")


def _plain(value: object) -> str:
    n = number(value)
    return NONE if n is None else f"{n:g}".replace("-", "−")


def _bins(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return records(row.get("bins"))


def _bin(cell: Mapping[str, Any], largest: float) -> Section:
    points = number(cell.get("points")) or 0.0
    half = width(abs(points) / largest) / 2 if largest else 0.0
    return {
        "bin": text(cell.get("bin")),
        "rows": count(cell.get("rows")),
        "bad_rate": percent(cell.get("bad_rate")),
        "woe": fixed(cell.get("woe")),
        "points": signed(cell.get("points"), 0).replace("±", ""),
        "sense": "up" if points > 0 else "down" if points < 0 else "same",
        "left": round(50.0 - half, 2) if points < 0 else 50.0,
        "width": round(half, 2),
    }


def _range(row: Mapping[str, Any]) -> str:
    points = [worth for cell in _bins(row) if (worth := number(cell.get("points"))) is not None]
    if not points:
        return NONE
    low, high = (signed(end(points), 0).replace("±", "") for end in (min, max))
    rows = total(_bins(row), "rows")
    mean = sum((number(c.get("points")) or 0.0) * (number(c.get("rows")) or 0.0) for c in _bins(row)) / (rows or 1.0)
    return f"{low} to {high}, {fixed(mean, 1)} on average" if rows else f"{low} to {high}"


def _handed_over(model: Mapping[str, Any]) -> bool:
    """Whether the other parties have given their parts to the label party, as the job's parameters say."""
    return mapping(model.get("params")).get("merged_card") is True


def _rule(rule: object) -> tuple[str, str]:
    return _RULES.get(str(rule), (text(rule), ""))


def _place(order: Sequence[str], rule: object) -> int:
    return order.index(str(rule)) if str(rule) in order else len(order)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
