"""Settling what each column is: declared kinds are checked, the others inferred, without a look at the label.

A column is numeric if all its values are numbers, a date if all look like one, and else categorical, with levels in the
order of their frequency and rare ones merged. It is refused, not guessed at, where numbers are mixed with numbers gone
wrong, or where a word for a missing value was not declared.
"""

# ruff: noqa: S608 (SQL is built from our own column numbers and from quoted literals)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fedcredit.tables.engine import Engine, stepwise
from fedcredit.tables.problems import Problems
from fedcredit.tables.spec import OTHER, ColumnKind, ColumnSpec, TableSpec
from fedcredit.tables.values import cells, describe, is_broken_number, is_date_like, is_missing_word, reading

__all__ = ["NEARLY_EMPTY", "Settled", "settle"]

NEARLY_EMPTY = 0.99
"""A feature with more than this share of its cells missing says nothing."""

MOSTLY_NUMBERS = 0.95
"""From this share of numbers on, the other values of an undeclared column are taken for mistakes."""

T = TypeVar("T")

_COLUMNS_AT_ONCE = 64
_SHOWN_ROWS = 3
_MARKER_FIX = "correct it, or declare it in missing; a category of that name is declared in levels"


@dataclass(frozen=True, slots=True)
class Settled:
    """A column whose kind, and levels if categorical, are known, and what was counted on the way."""

    index: int  # in the file
    spec: ColumnSpec
    missing: int
    other: int
    constant: bool
    invalid: int  # cells that are no value of the kind; they have been reported

    @property
    def kind(self) -> ColumnKind:
        """The kind, which is known by now."""
        assert self.spec.kind is not None
        return self.spec.kind


def settle(
    engine: Engine, table: TableSpec, columns: Sequence[tuple[int, ColumnSpec]], n_rows: int, problems: Problems
) -> list[Settled]:
    """Settle `columns`, given by their index in the file, in that order; what is wrong goes to `problems`.

    Codes: VALUE_INVALID. A column with a problem is settled all the same, as what it was taken for.
    """
    columns = [(i, replace(c, kind="categorical") if c.levels else c) for i, c in columns]
    first = [(i, c if c.kind else replace(c, kind="numeric")) for i, c in columns]
    unlevelled = [(i, c) for i, c in first if c.kind == "categorical" and c.levels is None]
    levelled = dict(_levels(engine, table, unlevelled, problems))
    first = [(i, levelled.get(i, c)) for i, c in first]
    settled = {s.index: s for s in _measure(engine, table, first, n_rows)}
    undeclared = {i for i, c in columns if c.kind is None}
    open_ = [s for s in settled.values() if s.index in undeclared and s.invalid]
    again = list(_infer(engine, table, open_, n_rows, problems))
    settled |= {s.index: s for s in _measure(engine, table, again, n_rows)}
    for i, _ in columns:
        if settled[i].invalid:
            _report(engine, table, settled[i], problems)
    return [settled[i] for i, _ in columns]


def markers(table: TableSpec, column: ColumnSpec) -> tuple[str, ...]:
    """The missing markers of a column, besides the empty cell."""
    return (*table.missing, *column.missing)


def _measure(
    engine: Engine, table: TableSpec, columns: Sequence[tuple[int, ColumnSpec]], n_rows: int
) -> Iterator[Settled]:
    for some in _batches(columns):
        values, counts = [], []
        for i, c in some:
            assert c.kind is not None
            values.append(f"{reading(f'v{i}', c.kind, c.levels)} AS x{i}")
            other = len(c.levels) - 1 if c.levels and c.levels[-1] == OTHER else -1
            others = f"count(*) FILTER (x{i} = {other})" if other >= 0 else "0"
            counts.append(f"count(v{i}), count(x{i}), {others}, min(x{i}) = max(x{i})")
        prepared = cells((i, markers(table, c)) for i, c in some)
        source = stepwise((i for i, _ in some), *prepared, ", ".join(values))
        row = engine.one(f"SELECT {', '.join(counts)} FROM {source}")
        for k, (i, c) in enumerate(some):
            present, valid, other_rows, one_value = row[4 * k : 4 * k + 4]
            yield Settled(
                index=i,
                spec=c,
                missing=n_rows - present,
                other=other_rows,
                constant=present == n_rows and bool(one_value),
                invalid=present - valid,
            )


def _infer(
    engine: Engine, table: TableSpec, columns: Sequence[Settled], n_rows: int, problems: Problems
) -> Iterator[tuple[int, ColumnSpec]]:
    """The kind of columns that are not all numbers. One that was meant to be numbers stays numeric, and invalid."""
    for some in _batches(columns):
        numbers = ", ".join(f"{reading(f'v{s.index}', 'numeric')} AS x{s.index}" for s in some)
        prepared = cells((s.index, markers(table, s.spec)) for s in some)
        source = stepwise((s.index for s in some), *prepared, numbers)
        counts = ", ".join(
            f"count(*) FILTER (x{i} IS NULL AND {is_broken_number(f'v{i}')}), count(*) FILTER ({is_date_like(f'v{i}')})"
            for i in (s.index for s in some)
        )
        row = engine.one(f"SELECT {counts} FROM {source}")
        for k, s in enumerate(some):
            broken, dates = row[2 * k : 2 * k + 2]
            present = n_rows - s.missing
            if broken == s.invalid or s.invalid <= (1 - MOSTLY_NUMBERS) * present:
                yield s.index, s.spec
            elif dates == present:
                yield s.index, replace(s.spec, kind="date")
            else:
                yield from _levels(engine, table, [(s.index, replace(s.spec, kind="categorical"))], problems)


def _levels(
    engine: Engine, table: TableSpec, columns: Sequence[tuple[int, ColumnSpec]], problems: Problems
) -> Iterator[tuple[int, ColumnSpec]]:
    """Columns with their levels: the most frequent first, equally frequent ones by their text, the rest as OTHER."""
    for i, c in columns:
        source = f"{_one(table, i, c)} WHERE v IS NOT NULL"
        found = engine.all(f"SELECT v FROM {source} GROUP BY v ORDER BY count(*) DESC, v LIMIT {table.max_levels + 1}")
        levels = tuple(str(row[0]) for row in found)
        if len(levels) > table.max_levels:
            levels = (*(level for level in levels[: table.max_levels - 1] if level != OTHER), OTHER)
        elif OTHER in levels:
            levels = (*(level for level in levels if level != OTHER), OTHER)
        _refuse_missing_words(engine, table, i, c, problems)
        yield i, replace(c, levels=levels or None)


def _refuse_missing_words(engine: Engine, table: TableSpec, i: int, c: ColumnSpec, problems: Problems) -> None:
    source = f"{_one(table, i, c)} WHERE {is_missing_word('v')}"
    if count := engine.one(f"SELECT count(*) FROM {source}")[0]:
        rows = [row[0] for row in engine.all(f"SELECT r FROM {source} ORDER BY r LIMIT {_SHOWN_ROWS}")]
        problems.add_rows("VALUE_INVALID", rows, count, "a word for a missing value", _MARKER_FIX, column=c.name)


def _report(engine: Engine, table: TableSpec, settled: Settled, problems: Problems) -> None:
    i, c, kind = settled.index, settled.spec, settled.kind
    value = reading("v", kind, c.levels)
    found = engine.all(
        f"SELECT r, v FROM {_one(table, i, c)} WHERE v IS NOT NULL AND ({value}) IS NULL ORDER BY r LIMIT {_SHOWN_ROWS}"
    )
    fix = "correct it, or declare it in missing"
    if c.kind == "numeric":
        fix += ", or declare kind = 'categorical'"
    what = describe(kind, str(found[0][1]))
    problems.add_rows("VALUE_INVALID", [row[0] for row in found], settled.invalid, what, fix, column=c.name)


def _one(table: TableSpec, i: int, c: ColumnSpec) -> str:
    """SQL: a source of one column's cells `v` with their row numbers `r`."""
    return f"(SELECT r, v{i} AS v FROM {stepwise([i], *cells([(i, markers(table, c))]))})"


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _COLUMNS_AT_ONCE):
        yield items[start : start + _COLUMNS_AT_ONCE]
