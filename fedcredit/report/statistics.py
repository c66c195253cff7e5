"""What the page shows of statistics: bars for each one-way table, a heat map for each cross table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedcredit.report.figures import NONE, count, fixed, mapping, number, records, text, width
from fedcredit.report.parties import Parties

__all__ = ["show_tables", "table_series"]

Section = dict[str, Any]

_REFUSED: Final = {
    "GROUPS_TOO_SMALL": "No table: the column has no two groups with enough rows, or there are too many cells.",
    "TABLES_TOO_CLOSE": "No table: together with another one over the same column it would tell too much.",
}
_HIDDEN: Final = "hidden"


def show_tables(model: Mapping[str, Any], parties: Parties) -> Section | None:
    """All tables of the model, ready to print; None for another kind of model."""
    tables = records(model.get("tables"))
    if model.get("kind") != "statistics" or not tables:
        return None
    return {
        "min_cell": count(mapping(model.get("params")).get("min_cell")),
        "tables": [_table(table, item, parties) for item, table in enumerate(tables)],
    }


def table_series(model: Mapping[str, Any]) -> list[Section]:
    """What charts.js draws of each table: rows of each group, and beside them the mean of the first summed column."""
    found = []
    for table in records(model.get("tables")):
        of, means = next(iter(mapping(table.get("means")).items()), (None, None))
        mean = _first(means) if of is not None else None
        found.append(
            {"columns": _list(table.get("columns")), "rows": _first(table.get("count")), "mean": mean, "of": of}
        )
    return found


def _table(table: Mapping[str, Any], item: int, parties: Parties) -> Section:
    refused = table.get("refused")
    own, rows = table.get("own"), _list(table.get("rows"))
    title = f"{text(table.get('party'))}.{text(table.get('column'))}"
    found: Section = {
        "item": item,
        "name": text(table.get("name")),
        "by": f"{title} × {text(own)}" if own else title,
        "party": text(table.get("party")),
        "colour": parties.colour(table.get("party")),
        "refused": _REFUSED.get(str(refused), text(refused)) if refused else None,
        "crosses": len(rows) > 1,
        "hidden": count(table.get("hidden")) if table.get("hidden") else None,
        "missing": _missing(table),
        "columns": [text(name) for name in _list(table.get("columns"))],
        "lines": [],
        "sums": [],
    }
    if refused:
        return found
    if found["crosses"]:
        found["lines"] = _heat_map(rows, table.get("count"), 0)
        found["means"] = [
            {"of": str(of), "lines": _heat_map(rows, means, 4)} for of, means in mapping(table.get("means")).items()
        ]
    else:
        found["sums"] = [str(name) for name in mapping(table.get("sums"))]
        found["spreads"] = bool(mapping(table.get("spreads")))
        found["lines"] = _groups(table, found["sums"])
    return found


def _groups(table: Mapping[str, Any], sums: Sequence[str]) -> list[Section]:
    counts = _first(table.get("count"))
    largest = max((number(value) or 0.0 for value in counts), default=0.0)
    lines = []
    for b, name in enumerate(_list(table.get("columns"))):
        figures = []
        for of in sums:
            for key, digits in (("sums", 2), ("means", 4), ("spreads", 4)):
                of_key = mapping(table.get(key))
                if of in of_key:
                    figures.append(_figure(_at(_first(of_key[of]), b), digits))
        n = number(_at(counts, b))
        share = width(n / largest) if n is not None and largest else 0
        lines.append({"name": text(name), "rows": _figure(_at(counts, b), 0), "width": share, "figures": figures})
    return lines


def _heat_map(rows: Sequence[Any], figures: object, digits: int) -> list[Section]:
    """A line for each row; the colour of a cell goes with its size among those that are shown."""
    lines = [_list(row) for row in _list(figures)]
    known = [n for row in lines for value in row if (n := number(value)) is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)

    def cell(value: object) -> Section:
        n = number(value)
        heat = width((n - low) / (high - low)) if n is not None and high > low else 0
        return {"value": _figure(value, digits), "gone": value is None, "heat": heat}

    return [
        {"name": text(name), "cells": [cell(value) for value in row]} for name, row in zip(rows, lines, strict=False)
    ]


def _missing(table: Mapping[str, Any]) -> str | None:
    found = [f"{n} rows have no {name}" for name, n in mapping(table.get("missing")).items() if n]
    if not found:
        return None
    how = "count as zero" if table.get("missing_are") == "zero" else "stand apart"
    return f"{'; '.join(found)}: they {how}."


def _figure(value: object, digits: int) -> str:
    if value is None:
        return _HIDDEN
    return fixed(value, digits) if number(value) is not None else NONE


def _first(value: object) -> list[Any]:
    return _list(_at(_list(value), 0))


def _at(values: Sequence[Any], place: int) -> object:
    return values[place] if place < len(values) else NONE


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
