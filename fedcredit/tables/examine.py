"""Checking a table's contents once its cells are in the engine: identifiers, label, columns, freshness."""

# ruff: noqa: S608 (SQL is built from our own column numbers and from quoted literals)

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fedcredit.errors import Problem
from fedcredit.tables.engine import Engine, stepwise
from fedcredit.tables.header import Layout
from fedcredit.tables.identifiers import read_identifiers
from fedcredit.tables.loading import Loaded
from fedcredit.tables.problems import Problems
from fedcredit.tables.quality import ColumnQuality, Quality
from fedcredit.tables.remote.snapshot import ROLE_WRITES
from fedcredit.tables.schema import NEARLY_EMPTY, Settled, settle
from fedcredit.tables.spec import ColumnSpec, Limits, TableSpec
from fedcredit.tables.spilled import SpilledIds
from fedcredit.tables.values import cells, label_reading, reading

__all__ = ["Contents", "Examined", "examine"]

_EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Contents:
    """Where the parts of a table lie."""

    features: tuple[Settled, ...]
    label: int | None
    time: Settled | None


@dataclass(frozen=True, slots=True)
class Examined:
    """A table's contents, and what is wrong with them; `spec` is complete. Rows left out are not in `ids`."""

    problems: Problems
    spec: TableSpec
    ids: SpilledIds = field(repr=False)
    contents: Contents
    quality: Quality


def examine(
    loaded: Loaded, spec: TableSpec, limits: Limits, notes: Sequence[str], today: datetime.date | None
) -> Examined:
    """Everything about the contents, problems gathered. `notes` are those of a snapshot; `today`: see `open_table`."""
    engine, layout = loaded.engine, loaded.layout
    problems = Problems(spec.title, lines_known=loaded.lines_known)
    identifiers = read_identifiers(engine, layout.key, spec, loaded.n_rows, limits, problems)
    n_rows = len(identifiers.ids)
    positives = _check_label(engine, layout, spec, n_rows, problems)
    declared = {c.name: c for c in spec.columns}
    others = (i for i in (layout.time, layout.updated) if i is not None)
    read = dict.fromkeys((*layout.features, *others))
    described = [(i, declared.get(layout.names[i], ColumnSpec(layout.names[i]))) for i in read]
    settled = settle(engine, spec, described, n_rows, problems)
    time = next((s for s in settled if s.index == layout.time), None)
    _check_time(time, problems)
    updated = next((s for s in settled if s.index == layout.updated), None)
    newest, stale = _check_freshness(engine, spec, updated, today, problems)
    features = settled[: len(layout.features)]
    useless = {s.index: code for s in features if (code := _uselessness(s, n_rows)) is not None}
    if spec.useless == "refuse":
        _refuse_useless(features, useless, problems)
    left_out = {} if spec.useless == "keep" else useless
    kept = tuple(s for s in features if s.index not in left_out)
    complete = replace(
        spec,
        drop=(*spec.drop, *(s.spec.name for s in features if s.index in left_out)),
        columns=tuple(s.spec for s in settled if s.index not in left_out or s in (time, updated)),
    )
    warnings = [] if stale is None else [stale]
    if n_rows < loaded.n_rows:
        what = f"{loaded.n_rows - n_rows} rows repeat the identifier of an earlier row and are left out"
        warnings.append(
            Problem("ID_COLLAPSED", problems.place(spec.key_title), what, "keep one row per subject at the source")
        )
    if ROLE_WRITES in notes:
        what, fix = "the role of the database could change the table", "use a role that may SELECT and nothing else"
        warnings.append(Problem(ROLE_WRITES, spec.title, what, fix))
    quality = Quality(
        rows=n_rows,
        ids_blanks=identifiers.blanks,
        ids_full_width=identifiers.full_width,
        ids_lower_case=identifiers.lower_case,
        ids_invalid=identifiers.invalid,
        ids_duplicate=identifiers.duplicate,
        positives=positives,
        newest=None if newest is None else newest.isoformat(),
        age_days=None if newest is None or today is None else (today - newest).days,
        columns=tuple(_column_quality(s, useless.get(s.index)) for s in features),
        warnings=tuple(warnings),
    )
    contents = Contents(kept, layout.label, time)
    return Examined(problems, complete, identifiers.ids, contents, quality)


def _check_freshness(
    engine: Engine, spec: TableSpec, updated: Settled | None, today: datetime.date | None, problems: Problems
) -> tuple[datetime.date | None, Problem | None]:
    """The newest day on which a row was changed, and a warning if that is too long ago."""
    if updated is None or updated.invalid:
        return None, None
    if updated.kind != "date":
        problems.add("COLUMN_UPDATED", "is not dates", "name a column of dates in updated", column=updated.spec.name)
        return None, None
    i, marks = updated.index, (*spec.missing, *updated.spec.missing)
    source = stepwise([i], *cells([(i, marks)]), f"{reading(f'v{i}', 'date')} AS x")
    (days,) = engine.one(f"SELECT max(x) FROM {source}")
    if days is None:
        problems.add(
            "COLUMN_UPDATED", "has no value at all", "name another column in updated", column=updated.spec.name
        )
        return None, None
    newest = _EPOCH + datetime.timedelta(days=int(days))
    if today is None or spec.max_age_days is None or (age := (today - newest).days) <= spec.max_age_days:
        return newest, None
    what = f"the newest row is {age} days old, max_age_days is {spec.max_age_days}"
    fix = "ask the source for a newer table"
    if spec.stale == "refuse":
        problems.add("TABLE_STALE", what, fix, column=updated.spec.name)
        return newest, None
    return newest, Problem("TABLE_STALE", problems.place(updated.spec.name), what, fix)


def _check_label(engine: Engine, layout: Layout, spec: TableSpec, n_rows: int, problems: Problems) -> int | None:
    """Check the label, if there is one, and count its ones."""
    if layout.label is None:
        return None
    source = f"(SELECT r, v{layout.label} AS v FROM {stepwise([layout.label], *cells([(layout.label, spec.missing)]))})"
    value = f"({label_reading('v')})"
    present, valid, ones = engine.one(f"SELECT count(v), count({value}), count(*) FILTER ({value} = 1) FROM {source}")
    for code, count, bad, what in (
        ("LABEL_MISSING", n_rows - present, "v IS NULL", "no label"),
        ("LABEL_INVALID", present - valid, f"v IS NOT NULL AND {value} IS NULL", "neither 0 nor 1"),
    ):
        if count:
            rows = [row[0] for row in engine.all(f"SELECT r FROM {source} WHERE {bad} ORDER BY r LIMIT 3")]
            fix = "write 1 for a default and 0 for none"
            problems.add_rows(code, rows, count, what, fix, column=spec.label)
    if valid and ones in (0, valid):
        problems.add("LABEL_ONE_CLASS", f"all labels are {1 if ones else 0}", "a model needs both", column=spec.label)
    return int(ones)


def _check_time(time: Settled | None, problems: Problems) -> None:
    if time is None or time.invalid:
        return
    if time.kind not in ("numeric", "date"):
        problems.add(
            "COLUMN_TIME", "is neither numbers nor dates", "name a column that orders rows", column=time.spec.name
        )
    elif time.missing:
        what = f"{time.missing} rows have no time"
        problems.add("COLUMN_TIME", what, "an out-of-time split needs it of every row", column=time.spec.name)


def _uselessness(s: Settled, n_rows: int) -> str | None:
    if s.missing == n_rows:
        return "COLUMN_EMPTY"
    if s.missing > NEARLY_EMPTY * n_rows:
        return "COLUMN_NEARLY_EMPTY"
    return "COLUMN_CONSTANT" if s.constant and not s.invalid else None


def _refuse_useless(features: Sequence[Settled], useless: dict[int, str], problems: Problems) -> None:
    words = {
        "COLUMN_EMPTY": "has no value at all",
        "COLUMN_NEARLY_EMPTY": f"more than {NEARLY_EMPTY:.0%} of its cells are missing",
        "COLUMN_CONSTANT": "has the same value in every row",
    }
    for s in features:
        if (code := useless.get(s.index)) is not None:
            problems.add(code, words[code], "list it in drop, or set useless = 'drop'", column=s.spec.name)


def _column_quality(s: Settled, useless: str | None) -> ColumnQuality:
    levels = len(s.spec.levels or ()) if s.kind == "categorical" else 0
    return ColumnQuality(s.spec.name, s.kind, s.missing, s.invalid, levels, s.other, useless)
