"""Boosting that was interrupted goes on from its last common stage, to the same model byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import pytest

from fedcredit.credit.trees import Tree
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.estimators import Federation, GradientBoosting
from fedcredit.estimators.records import FeatureSetup, FeatureTree, LabelSetup, LabelTree
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting import BinnedColumns, FeatureMap, GrownTree, LentTree, OwnSplit
from fedcredit.runtime.sessions import session_id
from fedcredit.runtime.state import StageState
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryChannel, MemoryNetwork, MemoryTransport

BANK, TAX, WATER = PartyId("bank"), PartyId("tax"), PartyId("water")
PARTIES = (BANK, TAX, WATER)
N = 240
S = TypeVar("S", bound=StageState)


class Killed(Exception):
    """A party is gone, in the middle of whatever it did."""


@dataclass
class Keeper:
    """A party's checkpoints. `die` is where it is killed next: (moment, stage)."""

    kept: dict[str, bytes] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    die: tuple[str, str] = ("", "")

    async def __call__(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        if stage in self.kept:
            return kind.thaw(self.kept[stage])
        self.made.append(stage)
        state = await work()
        if self.die == ("computed", stage):
            raise Killed
        self.kept[stage] = state.freeze()
        if self.die == ("kept", stage):
            raise Killed
        return state


class FragileTransport(MemoryTransport):
    """Dies at the first message that it sends, or waits for, in the stage where its party is to die."""

    def __init__(self, network: MemoryNetwork, me: PartyId, keeper: Keeper) -> None:
        super().__init__(network, me)
        self._keeper = keeper

    def open(self, ssid: bytes, stage: str, **how: Any) -> MemoryChannel:
        channel = super().open(ssid, stage, **how)
        if self._keeper.die == ("speaks", stage):
            channel.send = self._gone  # type: ignore[method-assign]
            channel.receive = self._gone  # type: ignore[method-assign]
        return channel

    async def _gone(self, *_: Any) -> Any:
        raise Killed


def table() -> tuple[dict[PartyId, dict[str, Column]], Any]:
    rng = np.random.default_rng(11)
    raw = {party: rng.normal(size=(2, N)) for party in PARTIES}
    score = sum(np.where(values > 0.2, 1.0, -0.6) * (k + 1) for of in raw.values() for k, values in enumerate(of))
    y = (rng.random(N) < 1 / (1 + np.exp(-score / 2))).astype(np.uint8)
    raw[TAX][1, rng.random(N) < 0.2] = np.nan
    return {p: {f"{p}_{k}": Column(f"{p}_{k}", "numeric", v) for k, v in enumerate(of)} for p, of in raw.items()}, y


class Job:
    """Three parties that train one model, start after start."""

    def __init__(self, **params: Any) -> None:
        self.columns, self.y = table()
        self.params = {"max_depth": 2, "max_bin": 6, "learning_rate": 0.4, "min_data_in_leaf": 5} | params
        self.network = MemoryNetwork(PARTIES, insecure_in_process=True)
        self.keepers = {p: Keeper() for p in PARTIES}
        self.epoch = 0

    async def start(self) -> dict[PartyId, GradientBoosting]:
        """One start. Raises Killed when a party dies."""
        models = {p: GradientBoosting(**self.params) for p in PARTIES}
        tasks = [asyncio.create_task(self._fit(p, models[p])) for p in PARTIES]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for error in [task.exception() for task in done]:
                if isinstance(error, Killed):
                    raise error
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return models

    async def _fit(self, party: PartyId, model: GradientBoosting) -> None:
        federation = Federation(
            me=party,
            label_party=BANK,
            feature_parties=(TAX, WATER),
            transport=FragileTransport(self.network, party, self.keepers[party]),
            ssid=b"j" * 32,
            epoch=self.epoch,
        )
        label = self.y if party == BANK else None
        await model.fit(federation, self.columns[party], label, run_stage=self.keepers[party])

    def rewind(self) -> None:
        """Back to the last stage that all parties have kept, and a new epoch."""
        common = set.intersection(*(set(keeper.kept) for keeper in self.keepers.values()))
        for keeper in self.keepers.values():
            keeper.kept = {stage: state for stage, state in keeper.kept.items() if stage in common}
            keeper.die = ("", "")
        self.epoch += 1

    def stages(self) -> list[str]:
        return list(self.keepers[BANK].kept)


def same(models: dict[PartyId, GradientBoosting], wanted: dict[PartyId, GradientBoosting]) -> None:
    for party in PARTIES:
        assert models[party].part_.to_bytes() == wanted[party].part_.to_bytes()
    assert models[BANK].learning_ == wanted[BANK].learning_
    assert np.array_equal(models[BANK].train_probability_, wanted[BANK].train_probability_)


VARIANTS: dict[str, dict[str, Any]] = {
    "shown": {"num_trees": 4, "bagging_fraction": 0.8, "bagging_freq": 2, "feature_fraction": 0.7},
    "hidden": {"num_trees": 3, "hide_nodes": True},
    "paillier": {"num_trees": 2, "max_depth": 2, "groupsum": "paillier"},
    "stops early": {"num_trees": 30, "early_stopping_round": 2},
}


SLOW = ("paillier", "stops early")


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in VARIANTS]
)
def test_killed_at_every_step_of_every_stage_it_ends_with_the_same_model(variant: str) -> None:
    async def run() -> None:
        whole = Job(**VARIANTS[variant])
        wanted = await whole.start()
        job, deaths = Job(**VARIANTS[variant]), 0
        for number, stage in enumerate(whole.stages()):
            for moment in ("speaks", "computed", "kept"):
                victim = PARTIES[(number + deaths) % 3]
                job.keepers[victim].die = (moment, stage)
                with pytest.raises(Killed):
                    await job.start()
                deaths += 1
                job.rewind()
        models = await job.start()
        same(models, wanted)
        assert deaths == 3 * len(whole.stages()) == job.epoch

    asyncio.run(run())


def test_it_goes_on_under_another_key_to_the_model_of_the_other_backend() -> None:
    """A key lives as long as a session. What it leads to is the same to the last bit, whatever carries the sums."""

    async def run() -> None:
        params: dict[str, Any] = {"num_trees": 2, "max_depth": 2}
        wanted = await Job(**params).start()
        job = Job(**params, groupsum="paillier")
        job.keepers[TAX].die = ("computed", "gbdt/tree.1")
        with pytest.raises(Killed):
            await job.start()
        job.rewind()
        assert "gbdt/tree.0" in job.stages()
        same(await job.start(), wanted)

    asyncio.run(run())


def test_a_model_whose_every_stage_is_kept_needs_no_peer() -> None:
    async def run() -> None:
        job = Job(num_trees=3)
        wanted = await job.start()
        alone = MemoryNetwork([BANK], insecure_in_process=True)
        job.network = alone
        again = GradientBoosting(**job.params)
        await job._fit(BANK, again)
        assert again.part_.to_bytes() == wanted[BANK].part_.to_bytes()
        assert again.seconds_ == {}

    asyncio.run(run())


def test_no_start_shares_its_session_with_another() -> None:
    ssid = b"s" * 32
    sessions = [session_id(ssid, epoch, step) for epoch in range(3) for step in ("align", "gbdt", "gbdt.1")]
    assert len(set(sessions)) == 9
    assert session_id(b"t" * 32, 0, "align") not in sessions


def test_a_peer_that_comes_back_with_other_columns_is_named() -> None:
    async def run() -> None:
        job = Job(num_trees=3)
        job.keepers[TAX].die = ("computed", "gbdt/tree.0")
        with pytest.raises(Killed):
            await job.start()
        job.rewind()
        del job.columns[WATER]["water_1"]
        # The party itself notices first, unless it has lost its memory.
        with pytest.raises(FedcreditError, match="STATE_INVALID"):
            await job.start()
        job.rewind()
        other = FeatureSetup(np.array([4], np.uint16), np.zeros(1, bool))
        job.keepers[WATER].kept["gbdt/setup"] = other.freeze()
        with pytest.raises(PeerError, match="water at gbdt/setup: declared other columns"):
            await job.start()

    asyncio.run(run())


def test_records_that_do_not_fit_are_refused() -> None:
    tree = Tree(
        owner=np.zeros(1, np.int32),
        feature=np.zeros(1, np.int32),
        bin=np.zeros(1, np.int32),
        missing_left=np.zeros(1, bool),
        left=np.array([-1], np.int32),
        right=np.array([-2], np.int32),
        gain=np.ones(1),
        leaf_value=np.array([0.5, -0.5]),
    )
    grown = GrownTree(tree, np.array([0, 1, 1], np.int32), np.zeros(1, np.int64), 1, None)
    record = LabelTree.thaw(LabelTree.of(grown, (0.5, None)).freeze())
    assert np.array_equal(record.grown(3).leaf_of_row, grown.leaf_of_row)
    columns = BinnedColumns(np.zeros((1, 3), np.uint8), (4,), (False,))
    lent = FeatureTree.of(LentTree((OwnSplit(2, 0, 3, True),), 1, True, 0))
    assert lent.lent(2, columns).splits == (OwnSplit(2, 0, 3, True),)
    setup = LabelSetup.of(FeatureMap(PARTIES, ((2,), (3, 4), ()), ((True,), (False, True), ())), 0.25)
    assert setup.features(PARTIES).groups == ((2,), (3, 4), ())
    for wrong in (
        lambda: record.grown(2),
        lambda: replace(record, leaf_of_row=np.array([0, 1, 2], np.uint8)).grown(3),
        lambda: replace(record, left=np.array([-2], np.int32)).grown(3),
        lambda: replace(lent, bin=np.array([4], np.uint8)).lent(2, columns),
        lambda: replace(lent, feature=np.array([1], np.int32)).lent(2, columns),
        lambda: setup.features((BANK, TAX)),
    ):
        with pytest.raises(FedcreditError, match="STATE_INVALID"):
            wrong()
