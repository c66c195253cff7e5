"""Index files: the records of one item by subject, built natively and mapped into memory, and predicates over them.

An index is immutable: another table is another file, put in the place of the first whole. A look-up compares the whole
key. Building takes the memory of the columns and about 32 bytes a record, all cores, and no interpreter lock.

Shapes: columns are of n records. Units: dates are days since 1970-01-01.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit.errors import DataError, Problem

__all__ = [
    "NO_DAY",
    "About",
    "Answers",
    "Builder",
    "Column",
    "Dates",
    "Flags",
    "Index",
    "Numbers",
    "Program",
    "Refusals",
    "Speeds",
    "TextColumn",
    "TextsColumn",
    "Values",
    "normal_text",
    "text_column",
    "texts_column",
]

Bools: TypeAlias = npt.NDArray[np.bool_]
Kind = Literal["number", "flag", "date", "text", "texts"]

NO_DAY: Final = -(2**31)
"""A record day that is not known, in answers."""

MAX_BYTES: Final = 3 << 30
"""Memory that records may take while an index is built, unless another bound is given."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Doubles. Shapes: (n,) float64."""

    values: npt.NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Flags:
    """Yes or no. Shapes: (n,) bool."""

    values: Bools = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Dates:
    """Days since 1970-01-01, of the years 1 to 9999. Shapes: (n,) int32."""

    values: npt.NDArray[np.int32] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """Texts as Arrow has them: where each begins in `letters`, and one more. Shapes: starts (n + 1,) int64."""

    starts: npt.NDArray[np.int64] = field(repr=False)
    letters: npt.NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class TextsColumn:
    """Several texts a record: where each record's begin among `texts`, and one more. Shapes: lists (n + 1,) int64."""

    lists: npt.NDArray[np.int64] = field(repr=False)
    texts: TextColumn = field(repr=False)


Column: TypeAlias = Numbers | Flags | Dates | TextColumn | TextsColumn
Values: TypeAlias = tuple[Column, Bools | None]
"""A column and which of its records say something; None: all."""


@dataclass(frozen=True, slots=True)
class About:
    """What an index file holds. `days`: of the records with a day, the first and the last."""

    item: str
    key_field: str
    has_normal_keys: bool
    subjects: int
    records: int
    bytes: int
    days: tuple[int, int] | None
    columns: tuple[tuple[str, Kind, bool], ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers about m subjects: outcomes (1 yes, 2 no, 3 unknown), reasons (as in the log), and record days.

    Shapes: all (m,). Units: days since 1970-01-01, `NO_DAY` where there is none.
    """

    outcomes: npt.NDArray[np.uint8]
    reasons: npt.NDArray[np.uint8]
    recorded_on: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds of a pass: look-ups `alone` and many `together`, answers of those `found`, each by one thread; and `all`:
    answers from codes, on all cores."""

    alone: float
    together: float
    found: float
    all: float


def text_column(texts: Iterable[str]) -> TextColumn:
    """Texts as a column."""
    encoded = [text.encode() for text in texts]
    starts = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(one) for one in encoded], out=starts[1:])
    return TextColumn(starts, np.frombuffer(b"".join(encoded), np.uint8))


def texts_column(several: Sequence[Sequence[str]]) -> TextsColumn:
    """Several texts a record as a column."""
    lists = np.zeros(len(several) + 1, np.int64)
    np.cumsum([len(texts) for texts in several], out=lists[1:])
    return TextsColumn(lists, text_column(text for texts in several for text in texts))


def normal_text(text: str) -> str:
    """The form in which a text is matched: NFKC, case folded, trimmed, one space for any white space."""
    return _native.normal_text(text)


class Builder:
    """An index under way. `push` records in chunks, then `finish`; after an error it is of no use any more.

    `columns`: their types by name. `normal_keys`: subjects are found by name, in the form of `normal_text`.
    `plain`: text columns of which no normal forms are kept, so that nothing can be matched against them.
    """

    def __init__(
        self,
        item: str,
        key_field: str,
        columns: Mapping[str, Kind],
        *,
        normal_keys: bool = False,
        plain: frozenset[str] = frozenset(),
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Raises: DataError (INDEX_INPUT)."""
        named = [(name, kind, name not in plain) for name, kind in columns.items()]
        with Refusals():
            self._builder = _native.IndexBuilder(item, key_field, named, normal_keys, max_bytes)

    def push(
        self,
        keys: TextColumn,
        columns: Mapping[str, Values],
        *,
        days: npt.NDArray[np.int32] | None = None,
        days_known: Bools | None = None,
    ) -> None:
        """Take more records, in the order in which they shall stand. `days`: of each, when it was recorded.

        Shapes: n records in all of them. Raises: DataError (INDEX_INPUT: a value that is none of the column's type;
        INDEX_LIMIT: more than the bound on memory).
        """
        names = self._builder.columns()
        if set(names) != set(columns):
            odd = min(set(names) ^ set(columns))
            raise DataError(Problem("INDEX_INPUT", f"column {odd}", "is missing, or not one of the index"))
        given = [(_arrays(columns[name][0]), _marks(columns[name][1])) for name in names]
        with Refusals():
            self._builder.push(
                (np.ascontiguousarray(keys.starts), np.ascontiguousarray(keys.letters)),
                None if days is None else np.ascontiguousarray(days, np.int32),
                _marks(days_known),
                given,
            )

    def finish(self, path: Path) -> int:
        """Write the file; it is on disk and in its place when this returns its bytes. Raises: DataError (INDEX_IO)."""
        with Refusals():
            return self._builder.finish(path)


class Index:
    """An open index file, read once in full for its checksum, and every place in it checked."""

    def __init__(self, path: Path) -> None:
        """Raises: DataError (INDEX_IO, INDEX_FORMAT, INDEX_VERSION, INDEX_CHECKSUM)."""
        with Refusals():
            self._index = _native.ServedIndex(path)

    @classmethod
    def of_bytes(cls, data: bytes) -> Index:
        """The index that these bytes are. Raises: as opening a file."""
        found = cls.__new__(cls)
        with Refusals():
            found._index = _native.ServedIndex.of_bytes(data)
        return found

    def about(self) -> About:
        """What it holds."""
        item, key, normal, subjects, records, size, days = self._index.about()
        columns = tuple((name, _kind(kind), forms) for name, kind, forms in self._index.columns())
        return About(item, key, normal, subjects, records, size, days, columns)

    def count(self, keys: Sequence[str]) -> npt.NDArray[np.uint32]:
        """How many records each of these subjects has. Shapes: (m,)."""
        return self._index.count(list(keys))


class Program:
    """A compiled predicate over open indexes, one for each of its items; None where there is no record at all.

    `program` is what `Program.to_dict()` of the compiler says; `matched` are the parameters whose texts are matched
    in normal form.
    """

    def __init__(
        self, program: Mapping[str, Any], indexes: Mapping[str, Index | None], matched: Iterable[str] = ()
    ) -> None:
        """Raises: DataError (PROGRAM_FORM, PROGRAM_STEP, PROGRAM_LIMIT, PROGRAM_INDEX)."""
        found = [None if (index := indexes.get(item)) is None else index._index for item in program.get("items", ())]
        with Refusals():
            self._program = _native.IndexProgram(json.dumps(program), list(matched), found)

    def answer(
        self,
        codes: Sequence[str],
        *,
        names: Sequence[str] | None = None,
        parameters: Mapping[str, float | str | Sequence[str]],
        asof: int,
        institution: str | None = None,
        complete: bool = False,
        max_age_days: int | None = None,
    ) -> Answers:
        """The answers about subjects by their codes, and `names` where an item's records are kept by name.

        Units: `asof` is in days since 1970-01-01. Raises: ValueError.
        """
        given = [(name, value if isinstance(value, float | str) else list(value)) for name, value in _plain(parameters)]
        named = [""] * len(codes) if names is None else list(names)
        return Answers(*self._program.answer(list(codes), named, given, institution, asof, complete, max_age_days))

    def measure(
        self, codes: Sequence[str], parameters: Mapping[str, float | str | Sequence[str]], asof: int, repeat: int
    ) -> Speeds:
        """How long one pass over these subjects takes, as the mean of `repeat` passes. Raises: ValueError."""
        given = [(name, value if isinstance(value, float | str) else list(value)) for name, value in _plain(parameters)]
        return Speeds(*self._program.measure(list(codes), given, asof, repeat))


def _plain(parameters: Mapping[str, float | str | Sequence[str]]) -> Iterable[tuple[str, float | str | Sequence[str]]]:
    for name, value in parameters.items():
        yield name, float(value) if isinstance(value, int | float) else value


def _arrays(column: Column) -> Any:
    match column:
        case Numbers(values):
            return np.ascontiguousarray(values, np.float64)
        case Flags(values):
            return np.ascontiguousarray(values, np.bool_)
        case Dates(values):
            return np.ascontiguousarray(values, np.int32)
        case TextColumn(starts, letters):
            return np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(letters, np.uint8)
        case TextsColumn(lists, texts):
            return np.ascontiguousarray(lists, np.int64), _arrays(texts)


def _marks(known: Bools | None) -> Bools | None:
    return None if known is None else np.ascontiguousarray(known, np.bool_)


def _kind(name: str) -> Kind:
    kinds: tuple[Kind, ...] = ("number", "flag", "date", "text", "texts")
    return next(kind for kind in kinds if kind == name)


class Refusals:
    """Turns what the native code refuses into this package's errors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _native.BadServing):
            said: list[tuple[str, str, str]] = error.args[0]
            raise DataError([Problem(code, where, what) for code, where, what in said]) from None
