"""The work of a job at a party: a list of stages, then the result.

    validate -> align -> split -> per model: its own stages -> finish -> publish

Which of them are run and which are thawed is the keeper's business. The table is checked in every start, kept stages
or not: nobody gets a result of a table that is not the party's own any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from fedcredit import failpoints
from fedcredit.errors import DataError, Problem
from fedcredit.estimators import Federation
from fedcredit.estimators.mixed_frame import BankRows
from fedcredit.governance.audit import Event
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.node.align import Aligned, Aligner, Counted
from fedcredit.node.backends import choice_of
from fedcredit.node.events import EventLog
from fedcredit.node.figures import RowCounts, job_figures, peak_memory_mib, seconds_of, traffic_of
from fedcredit.node.filters.allowance import Allowance
from fedcredit.node.filters.session import UnbalancedAligner
from fedcredit.node.horizontal.members import accepts_two, in_common_order, members_rows
from fedcredit.node.horizontal.noise import privacy_of
from fedcredit.node.jobs.premises import Premises, pretty
from fedcredit.node.jobs.present import Present
from fedcredit.node.jobs.result import Content, write_result
from fedcredit.node.jobs.stages import Finished, Split, StageKeeper, Validated
from fedcredit.node.mixed.placing import Placed, place
from fedcredit.node.models import ModelContext, ModelResult, runner_of
from fedcredit.node.policy.record import DecisionRecord
from fedcredit.node.specification import JobSpecification
from fedcredit.node.split import split
from fedcredit.protocols.finish import FinishFollower, FinishLeader
from fedcredit.protocols.intersect.choice import UNBALANCED
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.tables import Rows, Table
from fedcredit.tables.export import identifier_lines

__all__ = ["JobWork"]

_ROWS_AT_ONCE = 1 << 20


class JobWork:
    """The stages of one start. `finished` says that a party has published already, so that nothing is left to wait for;
    `ending` is called before anything of the result is written."""

    def __init__(
        self,
        specification: JobSpecification,
        premises: Premises,
        log: EventLog,
        keeper: StageKeeper,
        *,
        epoch: int,
        present: Present,
        finished: bool,
        ending: Callable[[], None],
    ) -> None:
        self._specification, self._premises, self._log, self._keep = specification, premises, log, keeper
        self._epoch, self._finished, self._ending = epoch, finished, ending
        self._present = present
        self._meter = Meter()
        self._privacy = privacy_of(specification)
        self._folder = premises.job_folder(specification.id)

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """The other parties that take part in this start of the job."""
        return tuple(party for party in self._present.parties if party != self._premises.me)

    def waited(self) -> Mapping[PartyId, float]:
        """Seconds spent waiting for each peer so far."""
        return self._meter.waited()

    async def run(self, table: Table, fingerprint: bytes) -> None:
        """Do all of it. `table` must have the `fingerprint` that this party committed to. Raises FedcreditError."""
        specification, keep = self._specification, self._keep
        validated = await asyncio.to_thread(_validate, table, fingerprint)
        await keep("validate", Validated, lambda: _given(validated))
        if not specification.models:
            await asyncio.to_thread(table.let_go_of_rows)
        if specification.intersect.size_only:
            counted = await self._aligner().count(table.ids())
            await self._end(table, counted, RowCounts(counted.common, 0, 0), {})
            return
        if not specification.models:
            aligned = await self._align(table)
            await self._end(table, aligned, RowCounts(aligned.rows.size, 0, 0), {})
            return
        placed = await self._place(table)
        rows = RowCounts(placed.train.size + placed.test.size, placed.train.size, placed.test.size)
        train = await asyncio.to_thread(table.read, placed.train)
        test = await asyncio.to_thread(table.read, placed.test)
        if specification.layout != "vertical" and self._premises.me in specification.members:
            train, test = in_common_order(train), in_common_order(test)
            rows = await members_rows(specification, self._federation(), train, test, keep, self._privacy)
        results: dict[str, ModelResult] = {}
        for entry in specification.models:
            context = self._context(entry.name, rows.aligned, train, test, placed.banks)
            results[entry.name] = await runner_of(entry).run(context)
        await self._end(table, Aligned(np.concatenate([placed.train, placed.test])), rows, results)

    async def _align(self, table: Table) -> Aligned:
        specification = self._specification
        if specification.layout == "horizontal":
            return Aligned(np.arange(table.n_rows))  # everybody's rows are its own
        if specification.intersect_choice.mode == UNBALANCED:
            return await self._look_up(table)
        return await self._aligner().align(table.ids)

    async def _place(self, table: Table) -> Placed:
        """Which rows the models are about, and which of them are held out."""
        specification, me = self._specification, self._premises.me
        if specification.layout == "mixed":

            async def split_bank(rows: npt.NDArray[np.int64], bank: PartyId, stage: str) -> npt.NDArray[np.bool_]:
                return await self._split(table, rows, bank, stage)

            return await place(specification, me, table, self._aligner, split_bank, self._keep)
        aligned = await self._align(table)

        async def split_all() -> Split:
            return Split(await self._split(table, aligned.rows))

        test = (await self._keep("split", Split, split_all)).test
        return Placed(aligned.rows[~test], aligned.rows[test], BankRows({}))

    async def _end(
        self, table: Table, found: Aligned | Counted, rows: RowCounts, results: Mapping[str, ModelResult]
    ) -> None:
        await asyncio.to_thread(table.verify_unchanged)
        if not self._finished:
            await self._keep("finish", Finished, self._finish)
        await self._publish(table, found, rows, results)

    def _aligner(self, receiver: PartyId | None = None, stage: str = "align") -> Aligner:
        premises = self._premises
        return Aligner(
            specification=self._specification,
            me=premises.me,
            epoch=self._epoch,
            transport=premises.transport,
            meter=self._meter,
            step=self._keep,
            progress=self._log.progress,
            peer_timeout_s=premises.limits.peer_timeout_s,
            spill=premises.spill,
            receiver=receiver,
            stage=stage,
        )

    async def _look_up(self, table: Table) -> Aligned:
        premises, specification = self._premises, self._specification
        decided = DecisionRecord.read(self._folder)
        allowance = Allowance(
            specification=specification,
            epoch=self._epoch,
            rule="" if decided is None else decided.rule,
            me=premises.me,
            store=premises.store,
            policy=premises.policy,
            recorder=premises.recorder,
            clock=premises.clock,
        )
        aligner = UnbalancedAligner(aligner=self._aligner(), folder=premises.folder, allowance=allowance)
        return await aligner.align(table)

    async def _split(
        self, table: Table, rows: npt.NDArray[np.int64], leader: PartyId | None = None, stage: str = "split"
    ) -> npt.NDArray[np.bool_]:
        premises, timeout = self._premises, self._premises.limits.peer_timeout_s
        where = (self._epoch, premises.transport, self._meter, timeout)
        return await split(self._specification, premises.me, table, rows, *where, leader, stage)

    async def _finish(self) -> Finished:
        specification, premises = self._specification, self._premises
        leads = premises.me == self._present.leader
        peers = self.peers if leads else (self._present.leader,)
        channel = premises.transport.open(specification.hash, "finish", peers=peers, epoch=self._epoch)
        role = FinishLeader(peers) if leads else FinishFollower(self._present.leader)
        await drive(role.steps(), channel, deadline_s=premises.limits.peer_timeout_s, meter=self._meter)
        return Finished()

    def _context(self, name: str, aligned: int, train: Rows, test: Rows, banks: BankRows) -> ModelContext:
        specification, premises = self._specification, self._premises
        number, entry = next(of for of in enumerate(specification.models) if of[1].name == name)
        return ModelContext(
            me=premises.me,
            label_party=self._present.leader,
            feature_parties=self._columns_of(),
            members=self._present.members,
            threshold=specification.threshold,
            ssid=specification.hash,
            epoch=self._epoch,
            seed=specification.job.seed,
            number=number,
            entry=entry,
            groupsum=choice_of(specification, entry),
            secret=self._secret(),
            purpose=specification.job.purpose,
            leakage=tuple(dict.fromkeys(row.id for row in specification.leakage)),
            aligned=aligned,
            banks=banks,
            train=train,
            test=test,
            transport=premises.transport,
            meter=self._meter,
            step=self._keep,
            progress=self._log.progress,
            peer_timeout_s=premises.limits.peer_timeout_s,
            threads=premises.limits.threads,
            finished=self._finished,
            two_parties_accepted=accepts_two(specification),
            privacy=self._privacy,
        )

    def _columns_of(self) -> tuple[PartyId, ...]:
        """Whose columns a model is about besides the label party's."""
        present, mixed = self._present, self._specification.layout == "mixed"
        return tuple(party for party in present.others if not (mixed and party in present.members))

    def _federation(self) -> Federation:
        """All that add up."""
        premises, specification = self._premises, self._specification
        return Federation(
            me=premises.me,
            label_party=self._present.leader,
            feature_parties=self._present.members[1:],
            transport=premises.transport,
            ssid=specification.hash,
            epoch=self._epoch,
            deadline_s=premises.limits.peer_timeout_s,
            meter=self._meter,
            kept_secret=self._secret(),
        )

    def _secret(self) -> bytes:
        """This party's own, the same in all starts of the job."""
        return digest.derive("fedcredit v1 secret of a job", self._own_nonce())

    def _own_nonce(self) -> bytes:
        """What this party alone has known of the job since it offered its part."""
        row = self._premises.store.jobs.job(self._specification.id)
        assert row is not None, "a job that runs is in the store"
        assert row.commitment_nonce is not None, "a job that runs was offered"
        return row.commitment_nonce

    async def _publish(
        self, table: Table, found: Aligned | Counted, rows: RowCounts, results: Mapping[str, ModelResult]
    ) -> None:
        self._keep.stage = "publish"
        self._log.stage("publish", "begun")
        specification, me = self._specification, self._premises.me
        files: dict[str, Content] = {
            "leakage.json": pretty([row.model_dump() for row in specification.leakage]),
            "specification.json": specification.to_bytes(),
            "traffic.json": pretty(traffic_of(me, self._meter)),
            # For this party's own people: what normalising changed, what is missing. Nobody else gets it.
            "quality.json": pretty(table.quality.to_dict()),
            "cost.json": pretty({"seconds": seconds_of(self._meter), "peak_memory_mib": peak_memory_mib()}),
        }
        for name, result in results.items():
            files |= {f"model/{name}/{file}": data for file, data in result.files.items()}
        if me == self._present.leader or specification.layout == "horizontal":
            figures = job_figures(specification, self._started(), rows, results, me, self._meter)
            figures["job"]["starts"] = self._epoch + 1
            files["metrics.json"] = pretty(figures)
        if isinstance(found, Counted):
            if found.common:
                files["size.json"] = pretty({"common": found.common})
        elif not specification.models and found.rows.size:
            files["aligned.csv"] = identifier_lines(table.spec.key, table.ids(), found.rows)
            # Where they stand in this party's own table, for its own people.
            files["aligned.rows"] = _numbers(found.rows)
        self._ending()  # a result is published whole or not at all
        listed = await asyncio.to_thread(write_result, self._folder, files, self._release)
        await asyncio.to_thread(self._premises.store.results.add, specification.id, listed)
        failpoints.hit("job.result.noted", specification.id)
        self._log.stage("publish", "done")

    def _release(self, manifest: str, files: int) -> None:
        record = self._premises.recorder.record
        record(Event.RESULT_RELEASED, self._specification.id, files=files, manifest=manifest)

    def _started(self) -> str:
        row = self._premises.store.jobs.job(self._specification.id)
        return "" if row is None else row.created


def _numbers(rows: npt.NDArray[np.int64]) -> Iterator[bytes]:
    for start in range(0, rows.size, _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE].astype("<i8").tobytes()


async def _given(validated: Validated) -> Validated:
    return validated


def _validate(table: Table, fingerprint: bytes) -> Validated:
    if table.fingerprint != fingerprint:
        what = "is not the table that this party committed to when the job was agreed"
        fix = "run the job again with the table as it is now"
        raise DataError(Problem("DATASET_CHANGED", table.spec.title, what, fix))
    table.verify_unchanged()
    return Validated(table.n_rows, len(table.features), table.fingerprint.hex())
