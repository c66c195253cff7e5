"""Counts and sums over the rows in common, by another party's groups: `docs/protocols/statistics.md`.

`asker` has values and categories and learns the cells that are large enough, `holder` has groups of rows and sees to it
that it learns no others; `comparing` is how the two tell which cells are too small, `cells` what both know beforehand.
"""

from fedcredit.protocols.statistics.asker import StatisticsAsker
from fedcredit.protocols.statistics.cells import CellShape, LentColumn, OpenedTable
from fedcredit.protocols.statistics.holder import StatisticsHolder

__all__ = ["CellShape", "LentColumn", "OpenedTable", "StatisticsAsker", "StatisticsHolder"]
