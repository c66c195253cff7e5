"""The names of a table's columns, and which of them are what."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from dataclasses import dataclass

from fedcredit.tables.problems import Problems
from fedcredit.tables.spec import BLANKS, TableSpec

__all__ = ["Layout", "csv_names", "lay_out"]

MAX_NAME_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Layout:
    """Column numbers by use; `key` are those of the identifier. `features` keep the order of the file; `time` may be
    one of them."""

    names: tuple[str, ...]
    key: tuple[int, ...]
    label: int | None
    time: int | None
    updated: int | None
    features: tuple[int, ...]
    beside: tuple[int, ...] = ()

    @property
    def used(self) -> tuple[int, ...]:
        """The columns that are read at all."""
        return tuple(
            sorted(
                {
                    i
                    for i in (*self.key, self.label, self.time, self.updated, *self.features, *self.beside)
                    if i is not None
                }
            )
        )


def csv_names(header: bytes, delimiter: str) -> list[str]:
    """The cells of a header whose structure has been checked."""
    rows = csv.reader(io.StringIO(header.decode(), newline=""), delimiter=delimiter)
    return [name for row in rows for name in row]


def lay_out(spec: TableSpec, names: list[str], problems: Problems) -> Layout:
    """Match the columns of the file with the declared ones.

    Raises: DataError listing every COLUMN_UNNAMED, COLUMN_NAME, COLUMN_DUPLICATE and COLUMN_MISSING.
    """
    trimmed = [name.strip(BLANKS) for name in names]
    _check_names(trimmed, problems)
    found = [*spec.key, spec.label, spec.time, spec.updated]
    declared = [*found, *spec.beside, *spec.drop, *(c.name for c in spec.columns)]
    for name in dict.fromkeys(n for n in declared if n is not None):
        if name not in trimmed:
            problems.add("COLUMN_MISSING", "there is no such column", _nearest(name, trimmed), column=name)
    problems.check()
    number = {name: i for i, name in enumerate(trimmed)}
    no_feature = {*spec.key, spec.label, spec.updated, *spec.drop}
    return Layout(
        names=tuple(trimmed),
        key=tuple(number[name] for name in spec.key),
        label=None if spec.label is None else number[spec.label],
        time=None if spec.time is None else number[spec.time],
        updated=None if spec.updated is None else number[spec.updated],
        beside=tuple(number[name] for name in spec.beside),
        features=tuple(
            i for i, name in enumerate(trimmed) if name not in no_feature and (spec.only is None or name in spec.only)
        ),
    )


def _check_names(names: list[str], problems: Problems) -> None:
    for i, name in enumerate(names):
        if not name:
            problems.add("COLUMN_UNNAMED", f"column {i + 1} has no name", "name it; an exported row index has none")
        elif len(name) > MAX_NAME_CHARACTERS:
            problems.add("COLUMN_NAME", f"the name of column {i + 1} is longer than {MAX_NAME_CHARACTERS} characters")
        elif not name.isprintable():
            problems.add("COLUMN_NAME", f"the name of column {i + 1} has a control character", "rename it")
    folded = Counter(name.casefold() for name in names if name)
    for i, name in enumerate(names):
        if name and folded[name.casefold()] > 1:
            problems.add(
                "COLUMN_DUPLICATE",
                f"column {i + 1} has the name of another one, but for case and spaces",
                "rename one of them",
                column=name,
            )


def _nearest(name: str, names: list[str]) -> str:
    same = [n for n in names if n.casefold() == name.casefold()]
    near = same or difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        return "the file seems to use another delimiter: declare it"
    return "add it to the table, or correct the declaration"
