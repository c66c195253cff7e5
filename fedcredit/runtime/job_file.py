"""JOB.toml: what is to be computed, by whom, from which tables (design: one job, one file).

The parts under `[parties.NAME]` other than the party's role belong to that party alone; `JobFile.shared` is what all
parties see and sign. A job without a `[[model]]` is an intersection: its result is the aligned identifiers of the
label party.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.runtime.aggregate_file import AggregateSection, check_members, check_noise, read_aggregate
from fedcredit.runtime.model_file import (
    MIN_ROWS_FLOOR,
    BinningSection,
    GbdtSection,
    Layout,
    ModelSection,
    StatisticsSection,
    check_names,
    check_statistics,
    layout_of,
    model_mapping,
    read_models,
)
from fedcredit.runtime.table_file import (
    Column,
    ColumnSection,
    DeclaredSection,
    IdTypes,
    Name,
    TableSection,
    refuse,
)
from fedcredit.runtime.toml import Reader, Section

__all__ = [
    "MAX_PARTIES",
    "MIN_INTERSECTION_FLOOR",
    "MIN_ROWS_FLOOR",
    "AggregateSection",
    "BinningSection",
    "ColumnSection",
    "DeclaredSection",
    "GbdtSection",
    "IntersectSection",
    "JobFile",
    "JobSection",
    "ModelSection",
    "PartyTable",
    "SplitSection",
    "StatisticsSection",
    "TableSection",
    "intersection",
    "load_job",
]

MIN_INTERSECTION_FLOOR = 10
"""No job may release an intersection of fewer subjects; a party's own floor may be higher."""

SIZE_MODES = ("auto", "ecdh")
"""The modes in which the size of an intersection can be found alone (`fedcredit.protocols.intersect.sizing`)."""

MAX_PARTIES = 16
RESERVED_NAMES = ("platform", "operator")

PartyTable = TableSection | DeclaredSection
"""`[parties.NAME]`: a file, or the name of a table that the party's node declares."""


class JobSection(Section):
    """`[job]`: the name, what the result is for, and the seed of everything random that is not secret."""

    name: Name
    purpose: Literal["financing", "research", "supervision"]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    trust: Literal["semi-honest", "malicious"] = "semi-honest"
    approval_timeout_h: Annotated[float, Field(gt=0, le=8760)] = 168.0
    """How long the job waits where a person of a party has to approve it."""

    @model_validator(mode="after")
    def _withstands(self) -> JobSection:
        if self.trust == "malicious":
            refuse("CONFIG_INSECURE", "no protocol of this version withstands malicious parties", "set 'semi-honest'")
        return self


class IntersectSection(Section):
    """`[intersect]`: how the parties find their common subjects, and how few of them are too few.

    `size_only`: how many subjects two parties have in common, and for nobody which. `id_type` has the type of each
    column of the identifier; every party's table has to be like that. `line_mbit`: what the slowest line between two
    parties carries, in Mbit/s, which mode "auto" minds, and so does groupsum "auto" of a model.
    """

    mode: Literal["auto", "ecdh", "fast", "unbalanced"] = "auto"
    min_size: int = 100
    receiver_only: bool = False
    size_only: bool = False
    id_type: IdTypes | None = None
    line_mbit: Annotated[float, Field(gt=0, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _floor(self) -> IntersectSection:
        if self.min_size < MIN_INTERSECTION_FLOOR:
            refuse("CONFIG_FLOOR", f"min_size is below {MIN_INTERSECTION_FLOOR}", "a smaller set singles people out")
        if self.size_only and self.mode not in SIZE_MODES:
            what = f"size_only cannot be had with mode = {self.mode!r}, in which nobody can shuffle"
            refuse("CONFIG_CONFLICT", what, f"set mode = 'auto' or '{SIZE_MODES[-1]}'")
        if self.mode == "unbalanced" and not self.receiver_only:
            what = "in mode unbalanced only the party that is named first, or has the label, learns the result"
            refuse("CONFIG_CONFLICT", what, "set receiver_only = true, or take another mode")
        return self


class SplitSection(Section):
    """`[split]`: which subjects are held out: a share by keyed hash, or those from a point in time on."""

    holdout: Annotated[float, Field(gt=0, lt=1)] | None = None
    time: Column | None = None
    start: int | float | str | None = Field(default=None, alias="from")

    @field_validator("start", mode="before")
    @classmethod
    def _date(cls, value: object) -> object:
        # TOML has dates of its own; a table compares them as ISO text.
        return value.isoformat() if isinstance(value, datetime.date) else value

    @model_validator(mode="after")
    def _one_way(self) -> SplitSection:
        if (self.holdout is None) == (self.time is None):
            refuse("CONFIG_CONFLICT", "needs either holdout, or time and from", "e.g. holdout = 0.2")
        if (self.time is None) != (self.start is None):
            refuse("CONFIG_CONFLICT", "time and from go together", "e.g. time = 'approval_year', from = 2006")
        return self


class JobFile(Section):
    """A job file that holds together. `models` is empty for an intersection."""

    path: Path
    job: JobSection
    parties: dict[PartyId, PartyTable]
    intersect: IntersectSection
    split: SplitSection | None
    aggregate: AggregateSection | None = None
    models: tuple[ModelSection, ...]

    @property
    def layout(self) -> Layout:
        """How the parties' tables lie to each other."""
        return self.models[0].split if self.models else "vertical"

    @property
    def label_party(self) -> PartyId | None:
        """The party whose section names a label; the first of several."""
        return next((name for name, table in self.parties.items() if table.is_label), None)

    @property
    def receiver(self) -> PartyId:
        """Who learns the intersection first: the label party, or the party named first."""
        return self.label_party or next(iter(self.parties))

    def shared(self) -> dict[str, Any]:
        """What every party sees and signs, ready for JSON: no file, column or schema of a single party in it."""
        return {
            "job": self.job.model_dump(),
            "parties": [
                {"id": name, "role": self._role(name), "table": table.declared} for name, table in self.parties.items()
            ],
            "intersect": self.intersect.model_dump() | {"id_type": self._id_type()},
            "split": None if self.split is None else self.split.model_dump(by_alias=True, exclude_none=True),
            "models": [model_mapping(model, index) for index, model in enumerate(self.models)],
        } | ({} if self.aggregate is None else {"aggregate": self.aggregate.model_dump(exclude_none=True)})

    def _role(self, name: PartyId) -> Literal["label", "member", "feature"]:
        if name == self.receiver:
            return "label"
        # Without a label, as in statistics, all parties of a horizontal job are alike as well.
        alike = self.layout == "horizontal" or (self.layout == "mixed" and self.parties[name].is_label)
        return "member" if alike else "feature"

    def _id_type(self) -> list[str] | None:
        """The types of the identifier's columns: of the tables where they are known here, else as the job says."""
        for table in self.parties.values():
            if isinstance(table, TableSection):
                return list(table.id_types)
        return None if self.intersect.id_type is None else list(self.intersect.id_type)

    def file_table(self, party: PartyId) -> TableSection:
        """The file that the job names for `party`. Raises ConfigError for a job whose parties read their own tables."""
        table = self.parties[party]
        if isinstance(table, TableSection):
            return table
        what, fix = "names a table of the party's own node", "run it on the nodes, or give every party a file"
        raise ConfigError(Problem("CONFIG_SOURCE", f"{self.path}: parties.{party}", what, fix))

    def table_path(self, party: PartyId) -> Path:
        """The file of `party`'s table; relative paths start at the job file. Raises ConfigError, as `file_table`."""
        return (self.path.parent / (self.file_table(party).table or "")).absolute()


def load_job(path: Path, *, declared: bool = False) -> JobFile:
    """Read and check a job file. Raises ConfigError with every problem found.

    `declared`: the job is for nodes, and `[parties.NAME]` holds nothing but the declared name of the party's table and
    the party's role; otherwise it holds a file and how to read it.
    """
    return _job_of(Reader(path), declared=declared)


def intersection(parties: Mapping[str, str], section: Mapping[str, Any], purpose: str) -> JobFile:
    """The job for nodes that a file with these `parties` and their tables, and that `[intersect]`, would be.

    The first of the parties learns the result first. Raises ConfigError with every problem found.
    """
    raw = {
        "job": {"name": "intersect", "purpose": purpose},
        "parties": {name: {"table": table} for name, table in parties.items()},
        "intersect": dict(section),
    }
    return _job_of(Reader(Path("intersect"), raw), declared=True)


def _job_of(reader: Reader, *, declared: bool) -> JobFile:
    raw = reader.raw
    reader.known("", raw, ("job", "parties", "intersect", "split", "aggregate", "model"))
    if "job" not in raw:
        reader.report("CONFIG_MISSING_KEY", "job", "is missing", "add [job] with name and purpose")
    job = reader.section("job", raw["job"], JobSection) if "job" in raw else None
    parties = _read_parties(reader, DeclaredSection if declared else TableSection)
    intersect = reader.section("intersect", raw.get("intersect", {}), IntersectSection)
    models = read_models(reader)
    layout = layout_of(reader, models)
    aggregate = read_aggregate(reader, layout)
    default_split = {"holdout": 0.2} if any(model is None or model.trains for model in models) else None
    split_value = raw.get("split", default_split)
    split = None if split_value is None else reader.section("split", split_value, SplitSection)
    # Statistics need no label: the party that is named first asks where none has one.
    labelled = any(not isinstance(model, StatisticsSection) for model in models)
    only = bool(intersect and intersect.receiver_only)
    if layout == "vertical":
        _check_parties(reader, parties, modelling=bool(models), labelled=labelled, receiver_only=only)
    else:
        # Nodes know themselves whether their tables have a label, and refuse the job where it is not so.
        check_members(reader, parties, layout, aggregate, labelled=labelled and not declared)
    if aggregate is not None:
        for problem in check_noise(aggregate, ["" if m is None else m.kind for m in models], len(parties)):
            reader.report(problem.code, problem.where, problem.what, problem.fix)
    _check_keys(reader, parties, intersect)
    if intersect is not None and intersect.size_only and (models or len(parties) != 2):
        what = "size_only is for two parties and no [[model]]: nobody has rows to model on"
        reader.report("CONFIG_CONFLICT", "intersect.size_only", what, "drop it, or the rest")
    if intersect is not None and intersect.mode == "unbalanced" and len(parties) != 2:
        what = "mode unbalanced looks one party's subjects up in one other's"
        reader.report("CONFIG_CONFLICT", "intersect.mode", what, "take mode fast, or two parties")
    check_names(reader, models)
    asker = next((name for name, table in parties.items() if table and table.is_label), next(iter(parties), None))
    check_statistics(reader, models, asker, list(parties))
    reader.finish()
    # A section that could not be read has noted a problem, so none is None from here on.
    assert job is not None
    assert intersect is not None
    return JobFile(
        path=reader.path.absolute(),
        job=job,
        parties={party_id(name): table for name, table in parties.items() if table is not None},
        intersect=intersect,
        split=split,
        aggregate=aggregate,
        models=tuple(model for model in models if model is not None),
    )


def _read_parties(reader: Reader, kind: type[PartyTable]) -> dict[str, PartyTable | None]:
    parties: dict[str, PartyTable | None] = {}
    for name, value in reader.tables("parties").items():
        key = f"parties.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
            fix = "use a lower-case letter, then up to 31 of a-z 0-9 _ -"
            reader.report("CONFIG_NAME", key, "is not a party name", fix)
        elif name in RESERVED_NAMES:
            reader.report("CONFIG_NAME", key, "is a reserved name", "choose another name for the party")
        parties[name] = table = reader.section(key, value, kind)
        if isinstance(table, TableSection):
            _check_file(reader, key, table)
    return parties


def _check_file(reader: Reader, key: str, table: TableSection) -> None:
    if table.table is None:
        what = "a job file names files; a database or an interface is declared by its owner's node"
        reader.report("CONFIG_CONFLICT", key, what, "declare it in party.toml")
    else:
        reader.existing(f"{key}.table", table.table)


def _check_parties(
    reader: Reader,
    parties: Mapping[str, PartyTable | None],
    *,
    modelling: bool,
    labelled: bool,
    receiver_only: bool,
) -> None:
    if not 2 <= len(parties) <= MAX_PARTIES:
        reader.report("CONFIG_PARTIES", "parties", f"a job has 2 to {MAX_PARTIES} parties", "add [parties.NAME]")
    labels = [name for name, table in parties.items() if table is not None and table.is_label]
    unread = any(table is None for table in parties.values())
    if len(labels) > 1:
        reader.report("CONFIG_LABEL", "parties", "more than one party names a label", "keep it at one party")
    elif labelled and not labels and not unread:
        reader.report(
            "CONFIG_LABEL", "parties", "no party names a label", "add label = COLUMN, or role = 'label', to one party"
        )
    if modelling and receiver_only:
        what = "receiver_only leaves the other parties without aligned rows to model on"
        reader.report("CONFIG_CONFLICT", "intersect.receiver_only", what, "drop it, or the [[model]] sections")


def _check_keys(reader: Reader, parties: Mapping[str, PartyTable | None], intersect: IntersectSection | None) -> None:
    types = {table.id_types for table in parties.values() if isinstance(table, TableSection)}
    if len(types) > 1:
        what = "id_type, or the number of columns in id, differs between parties"
        reader.report("CONFIG_CONFLICT", "parties", what, "use the same at all")
    stated = None if intersect is None else intersect.id_type
    if stated is not None and types and types != {stated}:
        reader.report("CONFIG_CONFLICT", "intersect.id_type", "is not that of the tables", "leave it out")
