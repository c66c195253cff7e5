"""What a party keeps of statistics: `statistics.json`, a CSV file for each table, and the rows of a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.estimators.statistics import LentGroups, TableFigures
from fedcredit.ids import PartyId

__all__ = ["statistics_document", "table_csv", "table_figures"]

FORMAT = 1


def statistics_document(
    me: PartyId,
    asker: PartyId,
    params: StatisticsParams,
    tables: Sequence[TableFigures],
    lent: Sequence[LentGroups],
) -> bytes:
    """This party's part, `statistics.json`: the tables that it knows, and what it lent. The same bytes for the same."""
    document = {
        "format": FORMAT,
        "kind": "statistics",
        "role": "asker" if me == asker else "lender",
        "asker": asker,
        "min_cell": params.min_cell,
        "tables": [table_figures(table, asker) for table in tables],
        "lent": [
            {
                "table": groups.params.name,
                "column": groups.params.lent(asker),
                "groups": [{"name": name, "rows": n} for name, n in zip(groups.names, groups.rows, strict=True)],
                "counted": groups.counted,
            }
            for groups in lent
        ],
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"


def table_figures(table: TableFigures, asker: PartyId) -> dict[str, Any]:
    """A table as JSON: a list of lists for each figure, row by row, None where a cell is hidden.

    `rows` are the categories of `own`, the asker's column, or one without a name; `columns` the groups of `column` of
    `party`. A mean is the sum by the number of rows; where missing values count as zero, they do in it.
    """
    params = table.params
    means = [total / table.counts.clip(1) for total in table.sums]

    def shown(figures: Any) -> list[list[Any]]:
        rows = figures.tolist()
        gone = table.hidden.tolist()
        return [[None if gone[k][b] else value for b, value in enumerate(row)] for k, row in enumerate(rows)]

    found: dict[str, Any] = {
        "name": params.name,
        "party": params.holder(asker),
        "column": params.lent(asker),
        "own": params.own(asker),
        "refused": table.refused,
        "rows": list(table.rows),
        "columns": list(table.columns),
        "hidden": int(table.hidden.sum()),
        "count": shown(table.counts),
        "sums": {str(name): shown(table.sums[k]) for k, name in enumerate(params.sum)},
        "means": {str(name): shown(means[k]) for k, name in enumerate(params.sum)},
        "missing": {str(name): n for name, n in zip(params.sum, table.missing, strict=False)},
        "missing_are": params.missing,
    }
    if params.spread:
        found["spreads"] = {str(name): shown(table.spreads[k]) for k, name in enumerate(params.sum)}
    return found


def table_csv(table: TableFigures, asker: PartyId) -> bytes:
    """A table as CSV, a line for each cell; figures of hidden cells are empty."""
    params = table.params
    own, out = params.own(asker), io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    crosses = len(table.rows) > 1
    head = [f"{params.holder(asker)}.{params.lent(asker)}"]
    if crosses:
        head.append(f"{asker}.{own}" if own is not None else "category")
    head += ["hidden", "count"]
    for name in params.sum:
        head += [f"sum {name}", f"mean {name}", *([f"spread {name}"] if params.spread else [])]
    writer.writerow([_plain(name) for name in head])
    for k, row in enumerate(table.rows):
        for b, column in enumerate(table.columns):
            hidden = bool(table.hidden[k, b])
            line: list[Any] = [_plain(column), *([_plain(row)] if crosses else []), "yes" if hidden else "no"]
            n = int(table.counts[k, b])
            line.append("" if hidden else n)
            for s in range(len(params.sum)):
                total = float(table.sums[s, k, b])
                figures = [total, total / max(n, 1), *([float(table.spreads[s, k, b])] if params.spread else [])]
                line += ["" if hidden else repr(figure) for figure in figures]
            writer.writerow(line)
    return out.getvalue().encode()


def _plain(name: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name[:1] in ("=", "+", "@") or (name[:1] == "-" and not name[1:2].isdigit()) else name
