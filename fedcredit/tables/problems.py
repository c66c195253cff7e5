"""Gathering what is wrong with a table, so that its owner hears all of it at once and in bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, Problem

__all__ = ["MAX_PROBLEMS", "Problems", "refuse"]

MAX_PROBLEMS = 20


def refuse(code: str, where: str, what: str, fix: str = "") -> DataError:
    """One problem that ends the reading at once, ready to be raised."""
    return DataError(Problem(code, where, what, fix))


@dataclass(slots=True)
class Problems:
    """The problems of one table, named by `table` (the file's name, never its folder).

    A row is counted from 1 after the header, blank lines left out. `lines_known` says that row k is line k + 1 of the
    file, which holds when no cell has a line break and no blank line comes before the last row. Where rows were left
    out, `kept` has the number that each one left had before: people look for it in the file.
    """

    table: str
    lines_known: bool = False
    found: list[Problem] = field(default_factory=list)
    kept: npt.NDArray[np.int64] | None = field(default=None, repr=False)

    def add(self, code: str, what: str, fix: str = "", *, column: str | None = None, row: int | None = None) -> None:
        """Note a problem; `row` is a row number from 0, as arrays count."""
        self.found.append(Problem(code, self.place(column, row), what, fix))

    def add_rows(
        self, code: str, rows: Sequence[int], count: int, what: str, fix: str = "", *, column: str | None = None
    ) -> None:
        """Note a problem that `count` rows have, of which `rows` (from 0) are the first."""
        more = f"; {count} such rows" if count > 1 else ""
        shown = f", first {', '.join(str(self._before(r) + 1) for r in rows)}" if count > 1 and len(rows) > 1 else ""
        self.add(code, f"{what}{more}{shown}", fix, column=column, row=rows[0] if rows else None)

    def place(self, column: str | None = None, row: int | None = None) -> str:
        """Where something is, in words."""
        parts = [self.table]
        if column is not None:
            parts.append(f"column {column!r}")
        if row is not None:
            row = self._before(row)
            parts.append(f"row {row + 1} (line {row + 2})" if self.lines_known else f"row {row + 1}")
        return ", ".join(parts)

    def _before(self, row: int) -> int:
        return row if self.kept is None else int(self.kept[row])

    def check(self) -> None:
        """Raise DataError with all problems noted so far, at most MAX_PROBLEMS of them and a count of the others."""
        if not self.found:
            return
        shown = self.found[:MAX_PROBLEMS]
        if rest := len(self.found) - len(shown):
            shown.append(Problem("MORE_PROBLEMS", self.table, f"{rest} more problems", "mend these first"))
        raise DataError(shown)
