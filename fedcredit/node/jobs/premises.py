"""What a node has for its jobs, and where a job finds this party's table in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import replace_file
from fedcredit.node.filters.held import HeldFilter
from fedcredit.node.filters.lent import LentFilter
from fedcredit.node.policy.history import History
from fedcredit.node.policy.record import DecisionRecord
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.snapshots import open_for_job
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import Store
from fedcredit.protocols.intersect.choice import UNBALANCED
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import LimitsSection, TableSection
from fedcredit.tables import Table
from fedcredit.tables.spec import Resources
from fedcredit.transport.channel import Transport

__all__ = ["Premises", "open_own_table", "pretty", "write_failure"]


def _never() -> bool:
    return False


def _nothing(_job: JobSpecification) -> None:
    """Nobody has to hear of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """What a node has for its jobs. `expired` says whether its own certificate has ended.

    `ended` hears of each job that was started and has ended, on the node's event loop.
    """

    me: PartyId
    folder: Path
    tables: Mapping[str, TableSection]
    store: Store
    transport: Transport
    recorder: Recorder
    policy: PolicySource
    clock: Clock
    limits: LimitsSection
    expired: Callable[[], bool] = _never
    ended: Callable[[JobSpecification], None] = _nothing
    history: History = field(default_factory=History, repr=False)

    def own_table(self, specification: JobSpecification) -> TableSection:
        """The declared table that the job names for this party. Raises RefusedError (TABLE_UNKNOWN)."""
        name = specification.party(self.me).table
        if name in self.tables:
            return self.tables[name]
        what, fix = "is not declared here", "declare it in party.toml, or let the job name another"
        raise RefusedError(Problem("TABLE_UNKNOWN", f"table {name}", what, fix))

    @property
    def spill(self) -> Path:
        """Where what does not fit into memory goes while a job runs; its files are gone with the process."""
        spill = self.folder / "spill"
        spill.mkdir(mode=0o700, exist_ok=True)
        return spill

    def job_folder(self, job: str) -> Path:
        """Where files of a job lie: its result, or why there is none."""
        return self.folder / "jobs" / job


def open_own_table(premises: Premises, specification: JobSpecification) -> Table:
    """This party's table for the job, checked, with no more columns than the policy's decision on the job allows.

    Raises: DataError or ConfigError with all that is wrong with it; RefusedError (TABLE_UNKNOWN).
    """
    split_by = specification.split.time if specification.split is not None else None
    time = split_by if premises.me in specification.members else None
    memory, threads = premises.limits.memory_mib << 20, premises.limits.threads or 2
    resources = Resources(memory_limit_bytes=memory, threads=threads, spill_dir=premises.spill)
    name = specification.party(premises.me).table
    spec = premises.own_table(specification).spec(premises.folder, time, name)
    decided = DecisionRecord.read(premises.job_folder(specification.id))
    if decided is None:
        raise RefusedError(Problem("DECISION_MISSING", f"job {specification.id}", "was not decided on", "run it again"))
    spec = replace(spec, only=decided.columns)
    if specification.layout == "horizontal":
        # What is the same in every row here may differ at others, and all parties need the same columns.
        spec = replace(spec, useless="keep")
    # Whoever lends a filter reads its table again only where that has changed.
    unbalanced = specification.intersect_modes == {UNBALANCED}
    unbalanced |= specification.may_be_unbalanced and keeps_filter(premises, specification)
    standing = unbalanced and premises.me != specification.label_party
    today = premises.clock.now().date()
    return open_for_job(spec, premises.folder, specification.id, resources, today, standing=standing)


def keeps_filter(premises: Premises, specification: JobSpecification) -> bool:
    """Whether this party keeps a filter of earlier jobs between the tables of this one, its own or the other's."""
    me, folder, few = premises.me, premises.folder, specification.label_party
    (many,) = specification.feature_parties
    table = specification.party(many).table
    if me == few:
        return HeldFilter(folder, many, table).is_there
    return LentFilter(folder, me, few, table).record is not None


def write_failure(folder: Path, error: FedcreditError) -> None:
    """Leave the problems where this party's own people find them; peers are told the code alone."""
    folder.mkdir(parents=True, exist_ok=True)
    problems = [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in error.problems]
    replace_file(folder / "failure.json", pretty({"exit_status": error.exit_status, "problems": problems}))


def pretty(value: Any) -> bytes:
    """`value` as JSON for people to read."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
