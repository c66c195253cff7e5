"""The loops that grow a model, one for each kind of party: a set-up and then tree after tree, each a stage of its own.

A stage gives a record, and the record is all that the loop goes on with, whether it was just made or thawed from the
store. What lives for one session only, the oblivious transfers of the group-by-sum, is made when the first tree that
is not thawed begins: at all parties at the same point, since all go on from the same checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binary import log_loss
from fedcredit.credit.schedule import EarlyStopping
from fedcredit.errors import PeerError
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.records import FeatureSetup, FeatureTree, LabelSetup, LabelTree, Losses
from fedcredit.protocols.boosting import FeatureParty, FeatureState, LabelParty, LabelState
from fedcredit.runtime.state import StageRunner, StageState

__all__ = ["FeatureTraining", "LabelTraining", "Stages"]

F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]
S = TypeVar("S", bound=StageState)


class Stages:
    """The stages of one model, named `NAME/PHASE`. `seconds` are of those that were run here and now, by phase."""

    def __init__(self, federation: Federation, name: str, run_stage: StageRunner) -> None:
        self.federation, self.name = federation, name
        self.seconds: dict[str, float] = {}
        self._run_stage = run_stage

    async def run(self, phase: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        """The record of `phase`, thawed or made by `work`."""
        made, begun, set_up_before = False, time.perf_counter(), self.seconds.get("setup", 0.0)

        async def timed() -> S:
            nonlocal made
            made = True
            return await work()

        record = await self._run_stage(self.channel(phase), kind, timed)
        if made:
            # A set-up that a tree had to make first is counted as one.
            apart = self.seconds.get("setup", 0.0) - set_up_before
            self.seconds[phase] = time.perf_counter() - begun - apart
        return record

    def channel(self, phase: str) -> str:
        """The stage's name on the links."""
        return f"{self.name}/{phase}"

    async def apart(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run the set-up of a session within another phase."""
        begun = time.perf_counter()
        await work()
        self.seconds["setup"] = self.seconds.get("setup", 0.0) + time.perf_counter() - begun


class FeatureTraining:
    """Lends this party's columns to the label party until the model is whole."""

    def __init__(self, party: FeatureParty, stages: Stages) -> None:
        self._party, self._stages = party, stages
        self._session: FeatureState | None = None

    async def run(self) -> FeatureState:
        """The state after the last tree. Raises: PeerLost, PeerError."""
        setup = await self._stages.run("setup", FeatureSetup, self._declare)
        setup.check(self._party.columns)
        state = FeatureState(None)
        while state.more:
            record = await self._stages.run(f"tree.{state.trees}", FeatureTree, partial(self._grow, state))
            state = state.absorb(record.lent(state.trees, self._party.columns))
        return state

    async def _declare(self) -> FeatureSetup:
        await self._set_up()
        return FeatureSetup.of(self._party.columns)

    async def _set_up(self) -> None:
        federation = self._stages.federation
        self._session = await federation.run(self._stages.channel("setup"), self._party.set_up(federation.randomness))

    async def _grow(self, state: FeatureState) -> FeatureTree:
        if self._session is None:
            await self._stages.apart(self._set_up)
        assert self._session is not None, "it has just been set up"
        steps = self._party.grow(replace(state, holder=self._session.holder))
        return FeatureTree.of(await self._stages.federation.run(self._stages.channel(f"tree.{state.trees}"), steps))


class LabelTraining:
    """Grows the model. `label` are those of all rows, of which `party` learns from the first.

    Learned: `losses`, tree by tree; `scores`, the raw scores of all rows under the trees that the model keeps.
    """

    def __init__(self, party: LabelParty, label: U8, stages: Stages) -> None:
        self._party, self._label, self._stages = party, label, stages
        validates = party.n_train < label.size
        self._stopping = EarlyStopping(party.params.early_stopping_round if validates else 0)
        self._session: LabelState | None = None
        self.losses: list[Losses] = []
        self.scores: F64 = np.empty(0)

    async def run(self) -> LabelState:
        """The state after the last tree. Raises: PeerLost, PeerError, DataError (LABEL_ONE_CLASS)."""
        party = self._party
        setup = await self._stages.run("setup", LabelSetup, self._learn_shapes)
        state = LabelState.begin(setup.features((party.me, *party.peers)), {}, setup.initial, party.columns.n_rows)
        best = state.scores
        while not state.finished:
            number = len(state.trees)
            record = await self._stages.run(f"tree.{number}", LabelTree, partial(self._grow, state))
            state = state.absorb(record.grown(party.columns.n_rows))
            if record.losses is not None:
                self.losses.append(record.losses)
                if record.losses[1] is not None:
                    self._stopping.update(record.losses[1])
                    best = state.scores if self._stopping.best_tree == number + 1 else best
        # Trees after the best one are dropped from the model, so their leaves do not count here either.
        self.scores = state.scores if len(state.trees) == len(self.losses) else best
        return state

    async def _learn_shapes(self) -> LabelSetup:
        session = await self._set_up()
        return LabelSetup.of(session.features, session.initial)

    async def _set_up(self) -> LabelState:
        federation = self._stages.federation
        steps = self._party.set_up(federation.randomness)
        self._session = await federation.run(self._stages.channel("setup"), steps)
        return self._session

    async def _set_up_again(self, state: LabelState) -> None:
        """A new session for a model that is under way already, over the same features."""
        session = await self._set_up()
        shapes = zip(self._party.peers, session.features.groups[1:], session.features.missing[1:], strict=True)
        for number, (peer, groups, missing) in enumerate(shapes, start=1):
            if (groups, missing) != (state.features.groups[number], state.features.missing[number]):
                what = "declared other columns than before the interruption"
                raise PeerError(peer, self._stages.channel("setup"), what, "SHAPE")

    async def _grow(self, state: LabelState) -> LabelTree:
        if self._session is None:
            await self._stages.apart(partial(self._set_up_again, state))
        assert self._session is not None, "it has just been set up"
        number, noted = len(state.trees), []

        def stop(scores: F64) -> int | None:
            noted.append(self._losses(scores))
            return self._keep(number, noted[0])

        steps = self._party.grow(replace(state, askers=self._session.askers), stop=stop)
        grown = await self._stages.federation.run(self._stages.channel(f"tree.{number}"), steps)
        return LabelTree.of(grown, noted[0] if noted else None)

    def _losses(self, scores: F64) -> Losses:
        label, n_train = self._label, self._party.n_train
        train = float(log_loss(label[:n_train], scores[:n_train]))
        return train, float(log_loss(label[n_train:], scores[n_train:])) if n_train < label.size else None

    def _keep(self, tree: int, losses: Losses) -> int | None:
        """How many trees to keep if tree number `tree` is the last one. Changes nothing: `run` counts."""
        enough = tree + 1 == self._party.params.num_trees
        if losses[1] is None:
            return tree + 1 if enough else None
        after = replace(self._stopping)
        return after.best_tree if after.update(losses[1]) or enough else None
