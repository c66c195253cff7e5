"""The usual reading of the population stability index, and what the page shows of a score's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedcredit.credit.metrics import stability_reading
from fedcredit.report.figures import count, fixed, number, percent, records, text, width

__all__ = ["light_of", "period_series", "show_periods", "show_stability"]

Section = dict[str, Any]

_TOTAL: Final = "total points"
_SHOWN: Final = 64
_DRAWN: Final = 6

_MEANINGS: Final = {
    "stable": "stable: no action",
    "watch": "some shift: watch",
    "shifted": "marked shift: review the model",
}


def light_of(index: float | None) -> Section:
    """The light of an index and what it means; no light for no index."""
    if index is None:
        return {"light": None, "meaning": "not known"}
    light = stability_reading(index)
    return {"light": light, "meaning": _MEANINGS[light]}


def show_stability(stability: Mapping[str, Any]) -> Section | None:
    """The index of the score between training and held-out rows, and the bands it is taken over."""
    index = number(stability.get("index"))
    if index is None:
        return None
    return {
        "index": fixed(index, 4),
        **light_of(index),
        "at": width(index / 0.35),
        "bands": [
            {
                "band": text(row.get("band")),
                "train": percent(row.get("train_share")),
                "test": percent(row.get("test_share")),
            }
            for row in records(stability.get("bands"))
        ],
    }


def show_periods(model: Mapping[str, Any]) -> Section | None:
    """The index of the total points and of each column, period by period: a table with a column for each period."""
    rows = _periods(model)
    if not rows:
        return None
    names = [text(of.get("period")) for of in records(rows[0].get("periods"))]
    return {
        "names": names,
        "rows_of": [count(of.get("rows")) for of in records(rows[0].get("periods"))],
        "rows": [
            {
                "column": text(row.get("column")) if row.get("column") is not None else _TOTAL,
                "cells": [
                    {"index": fixed(of.get("index"), 3), **light_of(number(of.get("index")))}
                    for of in records(row.get("periods"))
                ],
            }
            for row in rows
        ],
    }


def period_series(model: Mapping[str, Any]) -> Section:
    """What charts.js draws of it: the total points, and the columns that moved most."""
    rows = _periods(model)
    if not rows:
        return {}
    moved = sorted(rows, key=lambda row: (row.get("column") is not None, -_most(row)))[:_DRAWN]
    return {
        "periods": {
            "names": [text(of.get("period")) for of in records(rows[0].get("periods"))],
            "lines": [
                {
                    "name": text(row.get("column")) if row.get("column") is not None else _TOTAL,
                    "index": [number(of.get("index")) for of in records(row.get("periods"))],
                }
                for row in moved
            ],
        }
    }


def _periods(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows with as many periods as the first one has."""
    rows = [row for row in records(model.get("periods")) if records(row.get("periods"))]
    return [row for row in rows if len(records(row.get("periods"))) == len(records(rows[0].get("periods")))][:_SHOWN]


def _most(row: Mapping[str, Any]) -> float:
    return max((number(of.get("index")) or 0.0 for of in records(row.get("periods"))), default=0.0)
