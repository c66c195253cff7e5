"""The stages of a job at a party: each is run once and its frozen state kept, or thawed when it is kept already."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit import failpoints
from fedcredit.governance.audit import Event
from fedcredit.node.events import EventLog
from fedcredit.node.jobs.premises import Premises
from fedcredit.runtime.state import StageState

__all__ = ["Drained", "Finished", "Split", "StageKeeper", "Validated"]

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


@dataclass(frozen=True, slots=True)
class Finished(StageState):
    """Everybody has kept all stages: this party needs nobody any more."""

    schema = "finished/1"


class Drained(Exception):
    """The run was asked to stop at its next checkpoint, and that is where it is."""


class StageKeeper:
    """Runs the stages of one start of a job; a `StageRunner`. Stages of an older epoch that are kept are thawed.

    Raises `Drained` instead of beginning another stage once `draining` is set.
    """

    def __init__(self, job: str, epoch: int, premises: Premises, log: EventLog) -> None:
        self._job, self._epoch, self._premises, self._log = job, epoch, premises, log
        self.stage = "start"
        self.draining = False

    async def __call__(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        """See `StageRunner`. Raises: FedcreditError (STALE_EPOCH) when the job has been started anew meanwhile."""
        job, store = self._job, self._premises.store
        kept = await asyncio.to_thread(store.stages.state, job, stage)
        if kept is not None:
            return kind.thaw(kept)
        if self.draining:
            raise Drained
        # The steps of a model are many and short: they are in the store once they are done, and in the log of events.
        whole, started = "/" not in stage, self._premises.clock.now()
        self.stage = stage
        self._log.stage(stage, "begun")
        failpoints.hit("job.stage.begun", stage)
        state = await work()
        frozen = await asyncio.to_thread(state.freeze)
        failpoints.hit("job.stage.computed", stage)
        await asyncio.to_thread(store.stages.finish, job, stage, frozen, started, epoch=self._epoch)
        failpoints.hit("job.stage.kept", stage)
        if whole:
            digest = hashlib.sha256(frozen).hexdigest()
            record = self._premises.recorder.record
            await asyncio.to_thread(record, Event.STAGE_DONE, job, stage=stage, digest=digest)
        self._log.stage(stage, "done")
        return state
