"""Which cells of a table have to stay hidden, so that those with few rows do not follow from the others.

Whoever looks at the table may know how many rows each row and each column of it has. Then hiding the small cells alone
gives them back. What the totals leave open is a polytope of tables, and a hidden cell is safe if in one of these tables
it is large: nobody can tell from the figures that it is not.

A small cell e = (k, g) is safe if there is a cycle through it on which every other cell, the neighbours of e among
them, is hidden and large: take from those what is added to e and to the rest. As each of them can give at least what a
cell must have, e may be that large. The shortest such cycle is a rectangle (k, g), (k, g1), (k2, g1), (k2, g), of which
(k, g1) and (k2, g) have to be large. Where a whole row is small no cycle is; then whole rows are hidden, until each
column has a large cell in them: between whole rows any table with these totals is possible. So for columns.

Hiding more never makes a cell less safe. So each small cell is looked at by itself.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["hidden_cells"]

Bool: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]


def hidden_cells(small: Bool, column_rows: I64) -> Bool:
    """The cells that are not shown: all `small` ones, and others for their sake, each of which is large.

    Of ways that hide equally many more cells, the one whose columns have fewer rows is taken.

    Shapes: small (rows, columns); column_rows (columns,), rows of each column.
    """
    hidden = small.copy()
    large = ~small
    rows: Bool = np.asarray(small.all(axis=1))
    columns: Bool = np.asarray(small.all(axis=0))
    if rows.any():
        hidden |= _covered(rows, large)[:, None]
    if columns.any():
        hidden |= _covered(columns, large.T)[None, :]
    for k, g in np.argwhere(small & ~rows[:, None] & ~columns):
        if _safe(hidden, large, int(k), int(g)):
            continue
        corners = _cheapest(hidden, large, int(k), int(g), column_rows)
        if corners is None:
            hidden[:] = True
            break
        other_row, other_column = corners
        hidden[k, other_column] = hidden[other_row, other_column] = hidden[other_row, g] = True
    return hidden


def _safe(hidden: Bool, large: Bool, k: int, g: int) -> bool:
    """Whether a cycle leads from row k, along large cells to columns and along any to rows, to column g."""
    give, rows = hidden & large, np.zeros(len(hidden), bool)
    rows[k] = True
    while True:
        columns: Bool = np.asarray(give[rows].any(axis=0))
        if columns[g]:
            return True
        further = rows | hidden[:, columns].any(axis=1)
        if (further == rows).all():
            return False
        rows = further


def _cheapest(hidden: Bool, large: Bool, k: int, g: int, column_rows: I64) -> tuple[int, int] | None:
    """The opposite corner of the rectangle that hides fewest more cells; None where there is no rectangle."""
    usable = np.outer(large[:, g], large[k])
    usable[k], usable[:, g] = False, False
    if not usable.any():
        return None
    shown = ~hidden
    cost = shown.astype(np.int64) + shown[:, g][:, None] + shown[k][None, :]
    order = cost * (int(column_rows.max()) + 1) + column_rows[None, :]
    best = np.argmin(np.where(usable, order, np.iinfo(np.int64).max))
    row, column = np.unravel_index(best, usable.shape)
    return int(row), int(column)


def _covered(lines: Bool, large: Bool) -> Bool:
    """`lines` and further ones, until each crossing line has a large cell in them; all, where it cannot be had."""
    found = lines.copy()
    while not found.all():
        without: Bool = np.asarray(~large[found].any(axis=0))
        if not without.any():
            break
        gain = np.where(found, -1, large[:, without].sum(axis=1))
        if gain.max() < 1:
            found[:] = True
        else:
            found[np.argmax(gain)] = True
    return found
