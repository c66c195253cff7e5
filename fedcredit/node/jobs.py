"""One job at one party: a list of stages, each ending in a frozen state that the store keeps.

    validate -> align -> split -> per model: its own stages -> publish

A stage that the store has already is thawed and not run again. Results appear as a folder, by rename, and only after
the audit log has the release.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, FedcreditError, Problem, RefusedError
from fedcredit.governance.audit import Event
from fedcredit.ids import PartyId
from fedcredit.node.align import Aligned, Aligner
from fedcredit.node.events import EventLog
from fedcredit.node.figures import job_figures, peak_memory_mib, seconds_of, traffic_of
from fedcredit.node.models import ModelContext, ModelResult, runner_of
from fedcredit.node.policy.record import DecisionRecord
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.snapshots import forget_snapshot, open_for_job
from fedcredit.node.specification import JobSpecification
from fedcredit.node.split import split
from fedcredit.node.store import JobState, Store
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import LimitsSection, TableSection
from fedcredit.runtime.meter import Meter
from fedcredit.runtime.state import StageState
from fedcredit.tables import Rows, Table
from fedcredit.tables.export import safe_cell
from fedcredit.tables.spec import Resources
from fedcredit.transport.channel import Transport

__all__ = ["Aligned", "JobRun", "Premises", "Split", "Validated", "open_own_table", "write_failure"]

_log = logs.get("job")

S = TypeVar("S", bound=StageState)


@dataclass(frozen=True, slots=True)
class Validated(StageState):
    """The table is the one that this party committed to."""

    schema = "validated/1"
    rows: int
    features: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Split(StageState):
    """Which aligned rows are held out of training."""

    schema = "split/1"
    test: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """What a node has for its jobs."""

    me: PartyId
    folder: Path
    tables: Mapping[str, TableSection]
    store: Store
    transport: Transport
    recorder: Recorder
    policy: PolicySource
    clock: Clock
    limits: LimitsSection

    def own_table(self, specification: JobSpecification) -> TableSection:
        """The declared table that the job names for this party. Raises RefusedError (TABLE_UNKNOWN)."""
        name = specification.party(self.me).table
        if name in self.tables:
            return self.tables[name]
        what, fix = "is not declared here", "declare it in party.toml, or let the job name another"
        raise RefusedError(Problem("TABLE_UNKNOWN", f"table {name}", what, fix))


class JobRun:
    """Runs a signed job at this party to its end. Create one per start; `run` once."""

    def __init__(
        self,
        specification: JobSpecification,
        premises: Premises,
        table: Table,
        fingerprint: bytes,
        log: EventLog,
        epoch: int = 0,
    ) -> None:
        """`table` is closed when the job ends; it must have the `fingerprint` that this party committed to."""
        self._specification, self._premises, self._table, self._log = specification, premises, table, log
        self._fingerprint, self._epoch = fingerprint, epoch
        self._meter = Meter()
        self._folder = premises.folder / "jobs" / specification.id
        self._work: asyncio.Task[None] | None = None
        self._cancelled = self._ending = False

    def cancel(self) -> None:
        """Cancel the job, unless it is ending already: what it writes then is written to the end."""
        self._cancelled = not self._ending
        if self._work is not None and self._cancelled:
            self._work.cancel()

    async def run(self) -> JobState:
        """Run the job and write how it ended, here and in the log of events. Stop it with `cancel` alone."""
        job = self._specification.id
        state, error = JobState.FAILED, None
        try:
            self._log.state(JobState.RUNNING)
            self._work = asyncio.create_task(self._run_stages(), name=f"work {job}")
            if self._cancelled:
                self._work.cancel()
            await self._work
            state = JobState.SUCCEEDED
        except FedcreditError as found:
            error = found
        except asyncio.CancelledError:
            state, error = JobState.CANCELLED, RefusedError(Problem("CANCELLED", f"job {job}", "was cancelled"))
        except Exception as found:  # noqa: BLE001 - the end of the line: whatever it was, the job has to end
            error = FedcreditError(Problem("INTERNAL", f"job {job}", f"{type(found).__name__} in {self._premises.me}"))
            error.__cause__ = found
            _log.error("job.bug", job=job, error=type(found).__name__, places=logs.places(found))
        self._ending = True
        self._table.close()
        await asyncio.to_thread(self._end, state, error)
        self._log.state(state, error)
        self._premises.transport.forget(self._specification.hash)
        return state

    async def _run_stages(self) -> None:
        specification, table = self._specification, self._table
        await self._step("validate", Validated, lambda: asyncio.to_thread(self._validate))
        aligned = await self._align()
        results: dict[str, ModelResult] = {}
        held_out = None
        if specification.models:
            held_out = await self._step("split", Split, lambda: self._split(aligned))
            train = await asyncio.to_thread(table.read, aligned.rows[~held_out.test])
            test = await asyncio.to_thread(table.read, aligned.rows[held_out.test])
            for entry in specification.models:
                results[entry.name] = await runner_of(entry.kind).run(self._context(entry.name, train, test))
        # Nobody gets a result of a table that is not the party's own any more.
        await asyncio.to_thread(table.verify_unchanged)
        await self._publish(aligned, held_out, results)

    async def _step(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        job, store, clock = self._specification.id, self._premises.store, self._premises.clock
        kept = await asyncio.to_thread(store.stages.state, job, stage)
        if kept is not None:
            return kind.thaw(kept)
        # The steps of a model are many and short: they are in the store once they are done, and in the log of events.
        whole, started = "/" not in stage, clock.now()
        if whole:
            await asyncio.to_thread(store.stages.begin, job, stage)
        self._log.stage(stage, "begun")
        state = await work()
        frozen = await asyncio.to_thread(state.freeze)
        await asyncio.to_thread(store.stages.finish, job, stage, frozen, started)
        if whole:
            digest = hashlib.sha256(frozen).hexdigest()
            await asyncio.to_thread(self._record, Event.STAGE_DONE, stage=stage, digest=digest)
        self._log.stage(stage, "done")
        return state

    def _validate(self) -> Validated:
        table = self._table
        if table.fingerprint != self._fingerprint:
            what = "is not the table that this party committed to when the job was agreed"
            fix = "run the job again with the table as it is now"
            raise DataError(Problem("DATASET_CHANGED", table.spec.title, what, fix))
        table.verify_unchanged()
        return Validated(table.n_rows, len(table.features), table.fingerprint.hex())

    async def _align(self) -> Aligned:
        premises = self._premises
        aligner = Aligner(
            specification=self._specification,
            me=premises.me,
            epoch=self._epoch,
            transport=premises.transport,
            meter=self._meter,
            step=self._step,
            progress=self._log.progress,
            peer_timeout_s=premises.limits.peer_timeout_s,
        )
        return await aligner.align(self._table.ids())

    async def _split(self, aligned: Aligned) -> Split:
        premises, timeout = self._premises, self._premises.limits.peer_timeout_s
        where = (self._epoch, premises.transport, self._meter, timeout)
        test = await split(self._specification, premises.me, self._table, aligned.rows, *where)
        return Split(test)

    def _context(self, name: str, train: Rows, test: Rows) -> ModelContext:
        specification, premises = self._specification, self._premises
        return ModelContext(
            me=premises.me,
            label_party=specification.label_party,
            feature_parties=specification.feature_parties,
            ssid=specification.hash,
            epoch=self._epoch,
            seed=specification.job.seed,
            entry=next(entry for entry in specification.models if entry.name == name),
            train=train,
            test=test,
            transport=premises.transport,
            meter=self._meter,
            step=self._step,
            progress=self._log.progress,
            peer_timeout_s=premises.limits.peer_timeout_s,
            threads=premises.limits.threads,
        )

    async def _publish(self, aligned: Aligned, held_out: Split | None, results: Mapping[str, ModelResult]) -> None:
        self._log.stage("publish", "begun")
        specification, me = self._specification, self._premises.me
        files: dict[str, bytes] = {
            "leakage.json": _pretty([row.model_dump() for row in specification.leakage]),
            "specification.json": specification.to_bytes(),
            "traffic.json": _pretty(traffic_of(me, self._meter)),
            # For this party's own people: what normalising changed, what is missing. Nobody else gets it.
            "quality.json": _pretty(self._table.quality.to_dict()),
            "cost.json": _pretty({"seconds": seconds_of(self._meter), "peak_memory_mib": peak_memory_mib()}),
        }
        for name, result in results.items():
            files |= {f"model/{name}/{file}": data for file, data in result.files.items()}
        if me == specification.label_party:
            test = None if held_out is None else held_out.test
            figures = job_figures(specification, self._started(), aligned.rows.size, test, results, me, self._meter)
            files["metrics.json"] = _pretty(figures)
        if not specification.models and aligned.rows.size:
            files["aligned.csv"] = await asyncio.to_thread(_id_file, self._table, aligned.rows)
        self._ending = True  # a result is published whole or not at all
        await asyncio.to_thread(self._write_result, files)
        self._log.stage("publish", "done")

    def _write_result(self, files: Mapping[str, bytes]) -> None:
        partial, final = self._folder / "result.partial", self._folder / "result"
        shutil.rmtree(partial, ignore_errors=True)
        digests = []
        for name, data in sorted(files.items()):
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            digests.append((name, hashlib.sha256(data).digest(), len(data)))
        manifest = hashlib.sha256(b"".join(digest for _, digest, _ in digests)).hexdigest()
        self._record(Event.RESULT_RELEASED, files=len(digests), manifest=manifest)
        partial.rename(final)
        _sync_folder(self._folder)
        self._premises.store.results.add(self._specification.id, digests)

    def _end(self, state: JobState, error: FedcreditError | None) -> None:
        event = Event.JOB_DONE if state is JobState.SUCCEEDED else Event.JOB_FAILED
        self._record(event, state=state.value, code="" if error is None else error.code)
        if error is not None:
            write_failure(self._folder, error)
        self._premises.store.jobs.end(self._specification.id, state, error)
        forget_snapshot(self._premises.folder, self._specification.id)

    def _record(self, event: Event, **facts: str | int | bool) -> None:
        self._premises.recorder.record(event, self._specification.id, **facts)

    def _started(self) -> str:
        row = self._premises.store.jobs.job(self._specification.id)
        return "" if row is None else row.created


def open_own_table(premises: Premises, specification: JobSpecification) -> Table:
    """This party's table for the job, checked, with no more columns than the policy's decision on the job allows.

    Raises: DataError or ConfigError with all that is wrong with it; RefusedError (TABLE_UNKNOWN).
    """
    split_by = specification.split.time if specification.split is not None else None
    time = split_by if premises.me == specification.label_party else None
    spill = premises.folder / "spill"
    spill.mkdir(exist_ok=True)
    memory, threads = premises.limits.memory_mib << 20, premises.limits.threads or 2
    resources = Resources(memory_limit_bytes=memory, threads=threads, spill_dir=spill)
    name = specification.party(premises.me).table
    spec = premises.own_table(specification).spec(premises.folder, time, name)
    decided = DecisionRecord.read(premises.folder / "jobs" / specification.id)
    if decided is None:
        raise RefusedError(Problem("DECISION_MISSING", f"job {specification.id}", "was not decided on", "run it again"))
    spec = replace(spec, only=decided.columns)
    return open_for_job(spec, premises.folder, specification.id, resources, premises.clock.now().date())


def write_failure(folder: Path, error: FedcreditError) -> None:
    """Leave the problems where this party's own people find them; peers are told the code alone."""
    folder.mkdir(parents=True, exist_ok=True)
    problems = [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in error.problems]
    fresh = folder / "failure.json.new"
    fresh.write_bytes(_pretty({"exit_status": error.exit_status, "problems": problems}))
    fresh.replace(folder / "failure.json")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _pretty(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _id_file(table: Table, rows: npt.NDArray[np.int64]) -> bytes:
    ids = table.ids()[rows].tolist()
    if table.spec.id_type == "text":
        ids = [safe_cell(name.decode()).encode() for name in ids]  # a spreadsheet must not run an identifier
    return b"\n".join([safe_cell(table.spec.id).encode(), *ids]) + b"\n"
