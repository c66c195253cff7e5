"""How tables of statistics look on a screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

__all__ = ["statistics_tables"]

_LINES_SHOWN = 20
_WHY = {
    "GROUPS_TOO_SMALL": "the column has no two groups with enough rows, or there are too many cells",
    "TABLES_TOO_CLOSE": "together with another table over the same column it would tell too much",
}


def statistics_tables(model: Mapping[str, Any]) -> Iterator[Table | Text]:
    """A table for each of the model's, by one column with a line a group, by two with a line a cell."""
    if model.get("kind") != "statistics":
        return
    for table in model.get("tables", []):
        name = f"{model['name']}: {table['name']}"
        if table["refused"] is not None:
            yield Text(f"{name}: there is none: {_WHY.get(table['refused'], table['refused'])}\n", "yellow")
            continue
        yield _shown(name, table, model["params"]["min_cell"])


def _shown(name: str, table: Mapping[str, Any], min_cell: int) -> Table:
    crosses, spreads = len(table["rows"]) > 1, table.get("spreads", {})
    lines = [(k, b) for k in range(len(table["rows"])) for b in range(len(table["columns"]))]
    hidden = f"; {table['hidden']} of {len(lines)} cells are hidden (min_cell = {min_cell})" if table["hidden"] else ""
    more = f"; {len(lines) - _LINES_SHOWN} more in its file" if len(lines) > _LINES_SHOWN else ""
    found = Table(title=Text(f"{name}{hidden}{more}", "bold"), title_justify="left")
    found.add_column(Text(f"{table['party']}.{table['column']}"))
    if crosses:
        found.add_column(Text(str(table["own"] or "category")))
    found.add_column("rows", justify="right")
    for column in table["sums"]:
        for what in ("sum", "mean", *(("spread",) if spreads else ())):
            found.add_column(Text(f"{what} {column}"), justify="right")
    for k, b in lines[:_LINES_SHOWN]:
        # A name is a name, whatever markup it looks like.
        cells = [Text(table["columns"][b]), *([Text(table["rows"][k])] if crosses else [])]
        cells.append(Text(_figure(table["count"][k][b], 0)))
        for column in table["sums"]:
            cells += [Text(_figure(table["sums"][column][k][b], 2)), Text(_figure(table["means"][column][k][b], 4))]
            cells += [Text(_figure(spreads[column][k][b], 4))] if spreads else []
        found.add_row(*cells)
    return found


def _figure(value: float | None, decimals: int) -> str:
    return "hidden" if value is None else f"{value:,.{decimals}f}"
