"""A program over the records of one subject: the plain way, for a trial, and as a check of the fast way.

Numbers are IEEE doubles, sums go in the order of the records, and text is compared character by character, so that
every evaluator gives the same answer.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence

from fedcredit.governance.predicates.answers import (
    Answer,
    Enquiry,
    Outcome,
    Reason,
    Value,
    months_begun,
    years_completed,
)
from fedcredit.governance.predicates.compiler import Program, Step

__all__ = ["Record", "evaluate_one"]

Record = Mapping[str, Value]
"""A record: its fields by name. A field that is not there says nothing."""


def evaluate_one(
    program: Program,
    records: Mapping[str, Sequence[Record]],
    enquiry: Enquiry,
    *,
    covered: bool = True,
    recorded: datetime.date | None = None,
) -> Answer:
    """The answer about the subject whose records these are, by item; `recorded` is the date of the latest.

    The caller has found the subject's records; values have the types of their fields. A number must be finite.
    """
    if not covered:
        return Answer(Outcome.UNKNOWN, Reason.NOT_COVERED, recorded)
    own = records.get(program.item, ())
    if not own and not enquiry.complete:
        return Answer(Outcome.UNKNOWN, Reason.NO_RECORD, recorded)
    oldest = enquiry.max_age_days
    if own and oldest is not None and (recorded is None or (enquiry.asof - recorded).days > oldest):
        return Answer(Outcome.UNKNOWN, Reason.STALE, recorded)
    run = _Run(program.steps, records, enquiry)
    for step in program.steps:
        run.done.append(run.step(step))
    found = run.done[-1]
    result = found if not isinstance(found, list) else None
    if result is None:
        return Answer(Outcome.UNKNOWN, Reason.VALUE_MISSING, recorded)
    return Answer(Outcome.YES if result else Outcome.NO, Reason.DECIDED, recorded)


class _Run:
    def __init__(self, steps: Sequence[Step], records: Mapping[str, Sequence[Record]], enquiry: Enquiry) -> None:
        self._steps, self._records, self._enquiry = steps, records, enquiry
        # A list is a value of each record; anything else is one value of the subject.
        self.done: list[Value | list[Value]] = []

    def step(self, step: Step) -> Value | list[Value]:
        if step.op == "among_records":
            column = self.done[step.args[1]]
            held = column if isinstance(column, list) else [column]
            value = self.done[step.args[0]]
            if isinstance(value, list):
                return [_among(one, held) for one in value]
            return _among(value, held)
        if step.op == "exists":
            return len(self._records.get(str(step.value), ())) > 0
        if step.op in _AGGREGATES:
            rows = self._records.get(str(step.value), ())
            columns = [self._spread(argument, len(rows)) for argument in step.args]
            return _AGGREGATES[step.op](*columns)
        if step.op == "only":
            column = self.done[step.args[0]]
            return column[0] if isinstance(column, list) and len(column) == 1 else None
        if not step.over:
            return self._plain(step, [_one(self.done[argument]) for argument in step.args])
        rows = self._records.get(step.over, ())
        if step.op == "column":
            return [row.get(str(step.value)) for row in rows]
        columns = [self._spread(argument, len(rows)) for argument in step.args]
        return [self._plain(step, list(values)) for values in zip(*columns, strict=True)]

    def _spread(self, argument: int, rows: int) -> list[Value]:
        value = self.done[argument]
        return value if isinstance(value, list) else [value] * rows

    def _plain(self, step: Step, values: list[Value]) -> Value:
        if step.op == "constant":
            return step.value if not isinstance(step.value, tuple) else None
        if step.op == "asof":
            return self._enquiry.asof
        if step.op == "parameter":
            return self._enquiry.parameters.get(str(step.value))
        if step.op == "is_null":
            return values[0] is None
        if step.op == "and":
            return False if False in values else None if None in values else True
        if step.op == "or":
            return True if True in values else None if None in values else False
        if any(value is None for value in values):
            return None
        return _known(step, values, self._enquiry.asof)


def _known(step: Step, values: list[Value], asof: datetime.date) -> Value:
    match step.op, values:
        case "not", [bool(flag)]:
            return not flag
        case "eq", [left, right]:
            return left == right
        case "ne", [left, right]:
            return left != right
        case "one_of", [value]:
            return isinstance(step.value, tuple) and value in step.value
        case "contains", [tuple(several), value]:
            return value in several
        case "days_since", [datetime.date() as since]:
            return float((asof - since).days)
        case "months_since", [datetime.date() as since]:
            return float(months_begun(since, asof))
        case "years_since", [datetime.date() as since]:
            return float(years_completed(since, asof))
        case "year", [datetime.date() as day]:
            return float(day.year)
        case "abs", [float(number)]:
            return abs(number)
        case _, [float(first), float(second)]:
            return _of_two(step.op, first, second)
        case _, [datetime.date() as former, datetime.date() as latter]:
            return _of_two(step.op, former.toordinal(), latter.toordinal())
    raise AssertionError(f"a checked program has no step {step.op} on these types")


def _of_two(op: str, left: float, right: float) -> Value:
    match op:
        case "lt":
            return left < right
        case "le":
            return left <= right
        case "gt":
            return left > right
        case "ge":
            return left >= right
        case "add":
            return left + right
        case "sub":
            return left - right
        case "mul":
            return left * right
    raise AssertionError(f"a checked program has no step {op} on numbers")


def _any(flags: list[Value]) -> Value:
    return True if True in flags else None if None in flags else False


def _all(flags: list[Value]) -> Value:
    return False if False in flags else None if None in flags else True


def _count(flags: list[Value]) -> Value:
    return None if None in flags else float(sum(flag is True for flag in flags))


def _chosen(values: list[Value], where: list[Value] | None) -> list[Value] | None:
    """The values that a condition lets in; None if it is not known of a record, or a value is missing."""
    if where is not None:
        if None in where:
            return None
        values = [value for value, flag in zip(values, where, strict=True) if flag]
    return None if any(value is None for value in values) else values


def _sum(values: list[Value], where: list[Value] | None = None) -> Value:
    chosen = _chosen(values, where)
    if chosen is None:
        return None
    total = 0.0
    for value in chosen:
        total += value if isinstance(value, float) else 0.0
    return total


def _extreme(least: bool, values: list[Value], where: list[Value] | None = None) -> Value:
    chosen = _chosen(values, where)
    if not chosen:
        return None
    numbers = [value for value in chosen if isinstance(value, float)]
    dates = [value for value in chosen if isinstance(value, datetime.date)]
    if numbers:
        return min(numbers) if least else max(numbers)
    return min(dates) if least else max(dates)


def _latest(values: list[Value], by: list[Value]) -> Value:
    last = _extreme(False, by)
    if last is None:
        return None
    found = [value for value, when in zip(values, by, strict=True) if when == last]
    # Two records of one day that say different things: there is no latest.
    return found[0] if all(value == found[0] for value in found) else None


def _among(value: Value, held: Sequence[Value]) -> Value:
    if value is None:
        return None if held else False
    return True if value in held else None if None in held else False


def _one(value: Value | list[Value]) -> Value:
    if isinstance(value, list):
        raise AssertionError("a checked program takes no records here")
    return value


_AGGREGATES: Mapping[str, Callable[..., Value]] = {
    "any": _any,
    "all": _all,
    "count": _count,
    "sum": _sum,
    "min": lambda *columns: _extreme(True, *columns),
    "max": lambda *columns: _extreme(False, *columns),
    "latest": _latest,
}
