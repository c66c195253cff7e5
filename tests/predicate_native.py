"""The native evaluator of predicates, asked as the others are, over an index that is built for one subject."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.governance.predicates.answers import Answer, Enquiry, Outcome, Reason
from fedcredit.governance.predicates.compiler import Program, Type
from fedcredit.kernels import index

EPOCH = date(1970, 1, 1)
# What is not for long need not be on a disk.
MEMORY = Path("/dev/shm")
REASONS = {0: Reason.DECIDED, 2: Reason.NO_RECORD, 3: Reason.STALE, 4: Reason.VALUE_MISSING}
OUTCOMES = {1: Outcome.YES, 2: Outcome.NO, 3: Outcome.UNKNOWN}


def days(day: date) -> int:
    return (day - EPOCH).days


def column(kind: Type, values: Sequence[Any]) -> index.Values:
    known = np.array([value is not None for value in values], np.bool_)
    match kind:
        case "number":
            return index.Numbers(np.array([value or 0.0 for value in values], np.float64)), known
        case "flag":
            return index.Flags(np.array([bool(value) for value in values], np.bool_)), known
        case "date":
            return index.Dates(np.array([days(value) if value else 0 for value in values], np.int32)), known
        case "text":
            return index.text_column(value or "" for value in values), known
        case "texts":
            return index.texts_column([value or () for value in values]), known


def built(
    item: str,
    types: Mapping[str, Type],
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    day: date | None = None,
) -> index.Index:
    """An index of these records, each of the subject of its key."""
    builder = index.Builder(item, "uscc", types)
    builder.push(
        index.text_column(keys),
        {name: column(kind, [row.get(name) for row in rows]) for name, kind in types.items()},
        days=None if day is None else np.full(len(rows), days(day), np.int32),
    )
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        builder.finish(Path(folder) / "x.index")
        return index.Index(Path(folder) / "x.index")


def native(
    program: Program,
    types: Mapping[str, Mapping[str, Type]],
    records: Mapping[str, Sequence[Mapping[str, Any]]],
    enquiry: Enquiry,
    *,
    recorded: date | None = None,
    matched: Sequence[str] = (),
) -> Answer:
    """As `evaluate_one`, with the parameters that every enquiry has among the others."""
    given = dict(enquiry.parameters)
    subject, name = str(given.pop("subject", "S")), str(given.pop("subject_name", ""))
    institution = given.pop("institution", None)
    indexes = {
        item: built(item, types[item], rows, [subject] * len(rows), recorded if item == program.item else None)
        for item in program.items
        if (rows := records.get(item, ()))
    }
    found = index.Program(program.to_dict(), indexes, matched).answer(
        [subject],
        names=[name],
        parameters={name: value for name, value in given.items() if name in program.parameters},  # type: ignore[misc]
        asof=days(enquiry.asof),
        institution=None if institution is None else str(institution),
        complete=enquiry.complete,
        max_age_days=enquiry.max_age_days,
    )
    day = int(found.recorded_on[0])
    return Answer(
        OUTCOMES[int(found.outcomes[0])],
        REASONS[int(found.reasons[0])],
        None if day == index.NO_DAY else EPOCH + timedelta(days=day),
    )
