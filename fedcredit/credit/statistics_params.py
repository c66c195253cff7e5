"""Parameters of a job's statistics, by the names that a job file has them under."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self, get_args

from fedcredit.errors import ConfigError, Problem

__all__ = ["LABEL", "MAX_TABLES", "MIN_CELL_FLOOR", "ColumnName", "Missing", "StatisticsParams", "TableParams"]

MIN_CELL_FLOOR: Final = 10
"""No cell that anybody sees may stand on fewer rows."""

MAX_CELL: Final = 100_000
MAX_TABLES: Final = 32
MAX_SUMS: Final = 8
MAX_QUANTILES: Final = 20
MAX_DECIMALS: Final = 9
MAX_CATEGORIES: Final = 64

LABEL: Final = "label"
"""In `sum`: the label of the asking party's table, 1 for a bad row, so that its mean is the bad rate."""

Missing = Literal["apart", "zero"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_PARTY = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class ColumnName:
    """A column of a party, `PARTY.COLUMN` in a job file."""

    party: str
    column: str

    @classmethod
    def parse(cls, value: str) -> Self | None:
        """The column that `value` names; None if it names none."""
        party, dot, column = value.partition(".")
        sound = dot and _PARTY.fullmatch(party) and 1 <= len(column) <= 256 and column.isprintable()
        return cls(party, column) if sound else None

    def __str__(self) -> str:
        return f"{self.party}.{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableParams:
    """One table: rows in common, counted by a column of another party, and if there are two, by one of the asker's.

    `sum`: numeric columns of the asker that are summed in each cell; the mean follows. `spread`: their standard
    deviation too. `missing`: rows without a value in one of them are "apart", a category of their own, or "zero".
    """

    name: str
    by: tuple[ColumnName, ...]
    sum: tuple[ColumnName, ...] = ()
    spread: bool = False
    missing: Missing = "apart"

    @property
    def words(self) -> int:
        """Of a cell: its rows, and of each summed column the sum, with the spread also distances and their squares."""
        return 1 + len(self.sum) * (3 if self.spread else 1)

    @property
    def most_categories(self) -> int:
        """How many rows the table can have: one, two where missing values stand apart, many where it is crossed."""
        if len(self.by) > 1:
            return MAX_CATEGORIES
        return 2 if self.sum and self.missing == "apart" else 1

    def holder(self, asker: str) -> str:
        """The party whose column it goes by, which lends it to the asker."""
        return next(column.party for column in self.by if column.party != asker)

    def lent(self, asker: str) -> str:
        """The name of that column at its owner."""
        return next(column.column for column in self.by if column.party != asker)

    def own(self, asker: str) -> str | None:
        """The asker's own column that it goes by as well."""
        return next((column.column for column in self.by if column.party == asker), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsParams:
    """Which tables are made. A value of this type is valid by itself; `misfits` says whether it fits a job's parties.

    No cell of fewer than `min_cell` rows is shown to anybody. Columns of numbers without split points of their owner's
    are cut into `quantiles` groups. `decimals`: how many decimal places of summed values count. `share`: the finished
    tables are shown to all data parties, not to the asker alone.

    Raises: ConfigError listing every problem (CONFIG_TYPE, CONFIG_VALUE, CONFIG_FLOOR, CONFIG_MISSING_KEY,
    CONFIG_CONFLICT, CONFIG_UNKNOWN_KEY with the nearest known key).
    """

    table: tuple[TableParams, ...]
    min_cell: int = 50
    quantiles: int = 5
    decimals: int = 2
    share: bool = False

    def __post_init__(self) -> None:
        if problems := list(_bounds(self)):
            raise ConfigError(problems)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Parameters from a section of a job file. Raises ConfigError with all problems at once."""
        names = [field.name for field in fields(cls)]
        problems = [_unknown(str(name), str(name), names) for name in values if name not in names]
        own = {name: value for name, value in values.items() if name in names and name != "table"}
        raw, tables = values.get("table", []), []
        if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
            problems.append(Problem("CONFIG_MISSING_KEY", "table", "names no table", "write [[model.table]]"))
        else:
            for number, entry in enumerate(raw):
                tables.append(_table(f"table.{number}", entry, problems))
        try:
            params = cls(table=tuple(table for table in tables if table is not None), **own)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        return params

    @property
    def sums(self) -> bool:
        """Whether anything but rows is summed."""
        return any(table.sum for table in self.table)

    @property
    def crosses(self) -> bool:
        """Whether a table may have rows as well as columns: where missing values stand apart they are a row."""
        return any(len(table.by) > 1 or (table.sum and table.missing == "apart") for table in self.table)

    def misfits(self, asker: str, parties: Sequence[str]) -> Iterator[Problem]:
        """What keeps these tables from being those of a job of `parties`, of which `asker` learns the figures."""
        for number, table in enumerate(self.table):
            where = f"table.{number}"
            for key, columns in (("by", table.by), ("sum", table.sum)):
                for column in columns:
                    if column.party not in parties:
                        fix = f"the parties are {', '.join(parties)}"
                        yield Problem("CONFIG_VALUE", f"{where}.{key}", f"{column} is of no party of the job", fix)
            others = {column.party for column in table.by} - {asker}
            if not others:
                what = f"goes by columns of {asker} alone, which can count them at home"
                yield Problem("CONFIG_CONFLICT", f"{where}.by", what, "name a column of another party")
            elif len(table.by) == 2 and (len(others) != 1 or asker not in {column.party for column in table.by}):
                what = f"a table goes by a column of one other party and one of {asker}'s, which asks"
                yield Problem("CONFIG_CONFLICT", f"{where}.by", what, "make two tables")
            if foreign := [str(column) for column in table.sum if column.party != asker]:
                what = f"sums {', '.join(foreign)}; only columns of {asker}, which asks, can be summed"
                yield Problem("CONFIG_CONFLICT", f"{where}.sum", what, "let their owner ask in a job of its own")


def _bounds(params: StatisticsParams) -> Iterator[Problem]:
    for name, low, high in (
        ("min_cell", MIN_CELL_FLOOR, MAX_CELL),
        ("quantiles", 2, MAX_QUANTILES),
        ("decimals", 0, MAX_DECIMALS),
    ):
        value = getattr(params, name)
        if isinstance(value, bool) or not isinstance(value, int):
            yield Problem("CONFIG_TYPE", name, "must be a whole number")
        elif name == "min_cell" and value < low:
            yield Problem("CONFIG_FLOOR", name, f"is below {low}", "a cell of fewer rows singles people out")
        elif not low <= value <= high:
            yield Problem("CONFIG_VALUE", name, f"must be from {low} to {high}")
    share: object = params.share
    if not isinstance(share, bool):
        yield Problem("CONFIG_TYPE", "share", "must be true or false")
    if len(params.table) > MAX_TABLES:
        yield Problem("CONFIG_VALUE", "table", f"has more than {MAX_TABLES} tables", "make two jobs")
    names = [table.name for table in params.table]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem("CONFIG_CONFLICT", "table", f"two tables are called {name!r}", "give each its own name")


def _table(where: str, entry: object, problems: list[Problem]) -> TableParams | None:
    before = len(problems)
    if not isinstance(entry, Mapping):
        problems.append(Problem("CONFIG_TYPE", where, "must be a table", "write [[model.table]] above its keys"))
        return None
    names = [field.name for field in fields(TableParams)]
    problems += [_unknown(f"{where}.{key}", str(key), names) for key in entry if key not in names]
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        fix = "use a lower-case letter, then up to 31 of a-z 0-9 _ -"
        problems.append(Problem("CONFIG_NAME", f"{where}.name", "is missing, or is not a name", fix))
    by = _columns(where, "by", entry.get("by", ()), problems, most=2)
    sums = _columns(where, "sum", entry.get("sum", ()), problems, most=MAX_SUMS)
    if "by" not in entry:
        problems.append(Problem("CONFIG_MISSING_KEY", f"{where}.by", "is missing", 'by = ["PARTY.COLUMN"]'))
    elif not by and len(problems) == before:
        problems.append(Problem("CONFIG_VALUE", f"{where}.by", "names no column", 'by = ["PARTY.COLUMN"]'))
    spread, missing = entry.get("spread", False), entry.get("missing", "apart")
    if not isinstance(spread, bool):
        problems.append(Problem("CONFIG_TYPE", f"{where}.spread", "must be true or false"))
    if missing not in get_args(Missing):
        choices = ", ".join(get_args(Missing))
        problems.append(Problem("CONFIG_VALUE", f"{where}.missing", f"must be one of {choices}"))
    if len(problems) > before or not isinstance(name, str):
        return None
    return TableParams(name=name, by=by, sum=sums, spread=spread, missing=missing)


def _columns(where: str, key: str, value: object, problems: list[Problem], *, most: int) -> tuple[ColumnName, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        problems.append(Problem("CONFIG_TYPE", f"{where}.{key}", "must be a list of texts", '["PARTY.COLUMN"]'))
        return ()
    columns = [ColumnName.parse(name) for name in value]
    if any(column is None for column in columns):
        what = "names something that is not PARTY.COLUMN"
        problems.append(Problem("CONFIG_VALUE", f"{where}.{key}", what, "e.g. tax.credit_level"))
    if len(value) > most:
        problems.append(Problem("CONFIG_VALUE", f"{where}.{key}", f"names more than {most} columns"))
    if len(set(value)) != len(value):
        problems.append(Problem("CONFIG_CONFLICT", f"{where}.{key}", "names a column twice", "name it once"))
    return tuple(column for column in columns if column is not None)


def _unknown(where: str, name: str, known: Sequence[str]) -> Problem:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"
    return Problem("CONFIG_UNKNOWN_KEY", where, "unknown key", fix)
