"""A program over columns: all subjects at once. It gives what `single` gives for each of them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedcredit.governance.predicates.answers import Enquiry, Outcome, Reason
from fedcredit.governance.predicates.compiler import Program, Step, Type

__all__ = ["Answers", "Column", "Rows", "Subjects", "column_of", "evaluate"]

Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

_KINDS: Mapping[Type, Any] = {"number": np.float64, "flag": np.bool_, "date": np.int64, "text": object, "texts": object}
_BLANK: Mapping[Type, Any] = {"number": 0.0, "flag": False, "date": 0, "text": "", "texts": ()}
_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Column:
    """Values and which of them are known. Units: dates are days since 1970-01-01. Shapes: both (n,)."""

    values: npt.NDArray[Any]
    known: Bools


@dataclass(frozen=True, slots=True)
class Rows:
    """The records of an item: whose each is, as a position among the subjects, and its columns.

    Records of nobody who is asked about are left out. Shapes: all (records,). Range: subject in [0, subjects).
    """

    subject: Indices
    columns: Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whom it is about, one of each a position: codes, names, whether the register covers them, latest record's day."""

    codes: npt.NDArray[np.object_]
    names: npt.NDArray[np.object_] | None = None
    covered: Bools | None = None
    recorded: Column | None = None

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True)
class Answers:
    """An `Outcome` and a `Reason` a subject. Shapes: both (subjects,)."""

    outcomes: npt.NDArray[np.int8]
    reasons: npt.NDArray[np.int8]


def column_of(kind: Type, values: list[Any]) -> Column:
    """A column of values of a type, None where a record says nothing."""
    known = np.fromiter((value is not None for value in values), np.bool_, len(values))
    out = np.empty(len(values), _KINDS[kind])
    for number, value in enumerate(values):
        plain = _BLANK[kind] if value is None else value
        out[number] = plain.toordinal() - _EPOCH if isinstance(plain, datetime.date) else plain
    return Column(out, known)


def evaluate(program: Program, rows: Mapping[str, Rows], subjects: Subjects, enquiry: Enquiry) -> Answers:
    """The answers about all subjects. An item without rows has no records; a column that is not there says nothing."""
    run = _Run(rows, subjects, enquiry)
    for step in program.steps:
        run.done.append(run.step(step))
    result = run.spread(len(program.steps) - 1, "")
    outcomes = np.where(result.known, result.values.astype(np.int8), np.int8(Outcome.UNKNOWN)).astype(np.int8)
    reasons = np.where(result.known, Reason.DECIDED, Reason.VALUE_MISSING).astype(np.int8)
    held = run.counted(program.item) > 0
    if enquiry.max_age_days is not None:
        dates = subjects.recorded or Column(np.zeros(len(subjects), np.int64), np.zeros(len(subjects), np.bool_))
        age = enquiry.asof.toordinal() - _EPOCH - dates.values
        reasons[held & ~(dates.known & (age <= enquiry.max_age_days))] = Reason.STALE
    if not enquiry.complete:
        reasons[~held] = Reason.NO_RECORD
    if subjects.covered is not None:
        reasons[~subjects.covered] = Reason.NOT_COVERED
    outcomes[reasons != Reason.DECIDED] = Outcome.UNKNOWN
    return Answers(outcomes, reasons)


class _Run:
    def __init__(self, rows: Mapping[str, Rows], subjects: Subjects, enquiry: Enquiry) -> None:
        self._rows, self._subjects, self._enquiry = rows, subjects, enquiry
        # Each with what it ranges over: an item's records, the subjects (""), or nothing, as a constant does (None).
        self.done: list[tuple[str | None, Column]] = []

    def counted(self, item: str, which: Bools | None = None) -> Indices:
        """How many records of an item, or of those that are marked, each subject has."""
        owner = self._owner(item)
        return np.bincount(owner if which is None else owner[which], minlength=len(self._subjects)).astype(np.int64)

    def spread(self, step: int, over: str) -> Column:
        """The column of a step with one value a record of `over`, or a subject."""
        at, column = self.done[step]
        length = len(self._owner(over)) if over else len(self._subjects)
        if at is None:
            return Column(np.broadcast_to(column.values, length), np.broadcast_to(column.known, length))
        if at == "" and over:
            owner = self._owner(over)
            return Column(column.values[owner], column.known[owner])
        return column

    def step(self, step: Step) -> tuple[str | None, Column]:
        if step.op in ("constant", "asof", "parameter"):
            return self._brought(step)
        if step.op == "column":
            return step.over, self._column(step)
        if step.op == "only":
            return "", self._only(step)
        if step.op == "among_records":
            return self._among_records(step)
        if step.op == "exists":
            return "", _known(self.counted(str(step.value)) > 0)
        if step.op in _AGGREGATES:
            item = str(step.value)
            columns = [self.spread(argument, item) for argument in step.args]
            return "", _AGGREGATES[step.op](self._owner(item), len(self._subjects), *columns)
        ranges = [self.done[argument][0] for argument in step.args]
        if all(at is None for at in ranges):
            columns = [self.done[argument][1] for argument in step.args]
            return None, _plain(step, columns, self._enquiry.asof)
        columns = [self.spread(argument, step.over) for argument in step.args]
        return step.over, _plain(step, columns, self._enquiry.asof)

    def _owner(self, item: str) -> Indices:
        rows = self._rows.get(item)
        return np.zeros(0, np.int64) if rows is None else rows.subject

    def _brought(self, step: Step) -> tuple[str | None, Column]:
        if step.op == "parameter" and step.value == "subject":
            return "", _known(self._subjects.codes)
        if step.op == "parameter" and step.value == "subject_name":
            names = self._subjects.names
            if names is None:
                return None, column_of("text", [None])
            return "", Column(names, np.fromiter((name is not None for name in names), np.bool_, len(names)))
        found: Any = step.value if step.op == "constant" else self._enquiry.asof
        if step.op == "parameter":
            found = self._enquiry.parameters.get(str(step.value))
        return None, column_of(step.type, [found])

    def _column(self, step: Step) -> Column:
        rows = self._rows.get(step.over)
        if rows is not None and str(step.value) in rows.columns:
            return rows.columns[str(step.value)]
        return column_of(step.type, [None] * len(self._owner(step.over)))

    def _only(self, step: Step) -> Column:
        item, column = self.done[step.args[0]]
        owner = self._owner(str(item))
        values, known = np.empty(len(self._subjects), column.values.dtype), np.zeros(len(self._subjects), np.bool_)
        values.fill(_BLANK[step.type])
        values[owner], known[owner] = column.values, column.known
        return Column(values, known & (self.counted(str(item)) == 1))

    def _among_records(self, step: Step) -> tuple[str | None, Column]:
        other, held = self.done[step.args[1]]
        owner = self._owner(str(other))
        value = self.spread(step.args[0], step.over)
        who = self._owner(step.over) if step.over else np.arange(len(self._subjects))
        pairs = set(zip(owner[held.known].tolist(), held.values[held.known].tolist(), strict=True))
        asked = zip(who.tolist(), value.values.tolist(), strict=True)
        found = np.fromiter((pair in pairs for pair in asked), np.bool_, len(who)) & value.known
        some = self.counted(str(other))[who] > 0
        unsaid = self.counted(str(other), ~held.known)[who] > 0
        return step.over, Column(found, found | ~some | (value.known & ~unsaid))


def _plain(step: Step, columns: list[Column], asof: datetime.date) -> Column:
    values, known = [column.values for column in columns], [column.known for column in columns]
    if step.op == "is_null":
        return _known(~known[0])
    if step.op == "and":
        (left, right), (first, second) = values, known
        return Column(left & right, (first & second) | (first & ~left) | (second & ~right))
    if step.op == "or":
        (left, right), (first, second) = values, known
        return Column(left | right, (first & second) | (first & left) | (second & right))
    both = known[0] if len(known) == 1 else known[0] & known[1]
    if step.op == "one_of":
        among = step.value if isinstance(step.value, tuple) else ()
        return Column(np.isin(values[0], np.array(among, values[0].dtype)) if among else ~both, both)
    if step.op == "contains":
        pairs = zip(*values, strict=True)
        return Column(np.fromiter((one in several for several, one in pairs), np.bool_, len(both)), both)
    if step.op in _DATES:
        return Column(_DATES[step.op](values[0], asof).astype(np.float64), both)
    # What is not known is a blank and may overflow, or not be comparable: nobody looks at it.
    with np.errstate(all="ignore"):
        found = _OF_VALUES[step.op](*values)
    return Column(found.astype(_KINDS[step.type]), both)


_OF_VALUES: Mapping[str, Callable[..., npt.NDArray[Any]]] = {
    "not": np.logical_not,
    "abs": np.abs,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
}


def _days(values: npt.NDArray[Any], asof: datetime.date) -> npt.NDArray[Any]:
    return asof.toordinal() - _EPOCH - values


def _parts(values: npt.NDArray[Any]) -> tuple[Indices, Indices]:
    """Months since 1970-01 and days of the month, from 0."""
    days = values.astype("M8[D]")
    months = days.astype("M8[M]")
    return months.astype(np.int64), (days - months.astype("M8[D]")).astype(np.int64)


def _months(values: npt.NDArray[Any], asof: datetime.date) -> npt.NDArray[Any]:
    month, day = _parts(values)
    return (asof.year - 1970) * 12 + asof.month - 1 - month + (asof.day - 1 > day)


def _years(values: npt.NDArray[Any], asof: datetime.date) -> npt.NDArray[Any]:
    month, day = _parts(values)
    since = (asof.year - 1970) * 12 + asof.month - 1 - month - (asof.day - 1 < day)
    return since // 12


def _year(values: npt.NDArray[Any], asof: datetime.date) -> npt.NDArray[Any]:
    return _parts(values)[0] // 12 + 1970


_DATES = {"days_since": _days, "months_since": _months, "years_since": _years, "year": _year}


def _known(values: npt.NDArray[Any]) -> Column:
    return Column(values, np.ones(len(values), np.bool_))


def _tally(owner: Indices, subjects: int, which: Bools) -> Indices:
    return np.bincount(owner[which], minlength=subjects).astype(np.int64)


def _any(owner: Indices, subjects: int, flag: Column) -> Column:
    yes = _tally(owner, subjects, flag.known & flag.values) > 0
    return Column(yes, yes | (_tally(owner, subjects, ~flag.known) == 0))


def _all(owner: Indices, subjects: int, flag: Column) -> Column:
    no = _tally(owner, subjects, flag.known & ~flag.values) > 0
    return Column(~no, no | (_tally(owner, subjects, ~flag.known) == 0))


def _count(owner: Indices, subjects: int, flag: Column) -> Column:
    count = _tally(owner, subjects, flag.known & flag.values).astype(np.float64)
    return Column(count, _tally(owner, subjects, ~flag.known) == 0)


def _chosen(owner: Indices, subjects: int, values: Column, where: Column | None) -> tuple[Bools, Bools]:
    """Which records a condition lets in, and of which subjects nothing is missing for that."""
    inside = np.ones(len(owner), np.bool_) if where is None else where.known & where.values
    missing = inside & ~values.known if where is None else (inside & ~values.known) | ~where.known
    return inside, _tally(owner, subjects, missing) == 0


def _sum(owner: Indices, subjects: int, values: Column, where: Column | None = None) -> Column:
    inside, whole = _chosen(owner, subjects, values, where)
    picked = inside & values.known
    return Column(np.bincount(owner[picked], weights=values.values[picked], minlength=subjects), whole)


def _extreme(ufunc: Any, owner: Indices, subjects: int, values: Column, where: Column | None = None) -> Column:
    inside, whole = _chosen(owner, subjects, values, where)
    picked = inside & values.known
    first = ufunc is np.maximum
    kind = values.values.dtype
    limits = (-np.inf, np.inf) if kind == np.float64 else (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
    out = np.full(subjects, limits[0] if first else limits[1], kind)
    ufunc.at(out, owner[picked], values.values[picked])
    some = _tally(owner, subjects, picked) > 0
    return Column(np.where(some, out, np.zeros(1, kind)), whole & some)


def _latest(owner: Indices, subjects: int, values: Column, by: Column) -> Column:
    last = _extreme(np.maximum, owner, subjects, by)
    at = np.flatnonzero(by.known & last.known[owner] & (by.values == last.values[owner]))
    blank: Any = {"f": 0.0, "b": False, "i": 0}.get(values.values.dtype.kind, "")
    out, known = np.full(subjects, blank, values.values.dtype), np.zeros(subjects, np.bool_)
    # Backwards, so that the first of several is what stays.
    out[owner[at[::-1]]], known[owner[at[::-1]]] = values.values[at[::-1]], values.known[at[::-1]]
    # Two records of one day that say different things: there is no latest.
    alike = (values.known[at] == known[owner[at]]) & ((values.values[at] == out[owner[at]]) | ~values.known[at])
    known[owner[at[~alike]]] = False
    return Column(out, known & last.known)


_AGGREGATES: Mapping[str, Callable[..., Column]] = {
    "any": _any,
    "all": _all,
    "count": _count,
    "sum": _sum,
    "min": lambda *given: _extreme(np.minimum, *given),
    "max": lambda *given: _extreme(np.maximum, *given),
    "latest": _latest,
}
