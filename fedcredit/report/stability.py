"""The usual reading of the population stability index, and what the page shows of a score's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedcredit.report.figures import fixed, number, percent, records, text, width

__all__ = ["STABLE_BELOW", "WATCH_BELOW", "light_of", "show_stability"]

Section = dict[str, Any]

STABLE_BELOW: Final = 0.10
WATCH_BELOW: Final = 0.25


def light_of(index: float | None) -> Section:
    """The light of an index and what it means; no light for no index."""
    if index is None:
        return {"light": None, "meaning": "not known"}
    if index < STABLE_BELOW:
        return {"light": "stable", "meaning": "stable: no action"}
    if index < WATCH_BELOW:
        return {"light": "watch", "meaning": "some shift: watch"}
    return {"light": "shifted", "meaning": "marked shift: review the model"}


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
