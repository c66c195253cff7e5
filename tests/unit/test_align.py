"""The align stage in buckets: kept on the way, taken up again in another start, the same rows as in one piece."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from fedcredit.errors import FedcreditError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.align import Aligner
from fedcredit.node.platform import make_proposal
from fedcredit.node.specification import JobSpecification, PartyEntry
from fedcredit.protocols.intersect import buckets
from fedcredit.runtime.meter import Meter
from fedcredit.runtime.state import StageState
from fedcredit.transport.memory import MemoryNetwork

pytestmark = pytest.mark.anyio

BANK, TAX, REGISTRY = PartyId("bank"), PartyId("tax"), PartyId("registry")
S = TypeVar("S", bound=StageState)
Sets = dict[PartyId, range]

SETS: Sets = {BANK: range(300), TAX: range(100, 500), REGISTRY: range(0, 260, 2)}


PAIR: Sets = {BANK: SETS[BANK], TAX: SETS[TAX]}

by_protocol = pytest.mark.parametrize(
    ("sets", "mode"), [(SETS, "ecdh"), (SETS, "fast"), (PAIR, "fast")], ids=["ecdh", "fast", "fast, two parties"]
)


class Memory:
    """Keeps frozen stages as a store does; `fail_at` breaks the stage of that name before it begins."""

    def __init__(self, kept: dict[str, bytes] | None = None, fail_at: str = "") -> None:
        self.kept = dict(kept or {})
        self.ran: list[str] = []
        self._fail_at = fail_at

    async def __call__(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        if stage in self.kept:
            return kind.thaw(self.kept[stage])
        if stage == self._fail_at:
            raise FedcreditError(Problem("INTERRUPTED", stage, "on purpose"))
        state = await work()
        self.ran.append(stage)
        self.kept[stage] = state.freeze()
        return kind.thaw(self.kept[stage])


def specification(
    receiver_only: bool, sets: Sets = SETS, mode: str = "ecdh", size_only: bool = False
) -> JobSpecification:
    definition = {
        "job": {"name": "alignment", "purpose": "research", "seed": 1, "trust": "semi-honest"},
        "parties": [{"id": p, "role": "label" if p == BANK else "feature"} for p in sets],
        "intersect": {"mode": mode, "min_size": 10, "receiver_only": receiver_only, "size_only": size_only},
        "split": None,
        "models": [],
    }
    proposal = make_proposal(definition, PartyId("platform"))
    offers = {
        party: PartyEntry.model_validate(
            {**proposal.party(party).model_dump(), "rows": len(rows), "features": 0}, strict=False
        )
        for party, rows in sets.items()
    }
    return proposal.with_offers(offers)


def ids(party: PartyId) -> npt.NDArray[np.bytes_]:
    rows = np.array([f"{i:012}".encode() for i in SETS[party]])
    return np.random.default_rng(len(party)).permutation(rows)


async def align(
    job: JobSpecification, memories: dict[PartyId, Memory], epoch: int = 0, count: bool = False
) -> tuple[dict[PartyId, Any], dict[PartyId, list[tuple[str, int, int]]]]:
    network = MemoryNetwork(memories, insecure_in_process=True)
    progress: dict[PartyId, list[tuple[str, int, int]]] = {party: [] for party in memories}

    async def one(party: PartyId) -> Any:
        aligner = Aligner(
            specification=job,
            me=party,
            epoch=epoch,
            transport=network.transport(party),
            meter=Meter(),
            step=memories[party],
            progress=lambda *done: progress[party].append(done),
            peer_timeout_s=30.0,
            spill=Path(spill),
        )
        return await (aligner.count(ids(party)) if count else aligner.align(lambda: ids(party)))

    with tempfile.TemporaryDirectory() as spill:
        results = await asyncio.gather(*map(one, memories), return_exceptions=True)
    return dict(zip(memories, results, strict=True)), progress


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "BUCKET_ROWS", {"ecdh": 100, "fast": 100})


@by_protocol
@pytest.mark.parametrize("receiver_only", [False, True])
async def test_buckets_give_the_rows_that_one_piece_gives(
    receiver_only: bool, sets: Sets, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = specification(receiver_only, sets, mode)
    whole, _ = await align(job, {party: Memory() for party in sets})
    monkeypatch.setattr(buckets, "BUCKET_ROWS", {"ecdh": 100, "fast": 100})
    memories = {party: Memory() for party in sets}
    parts, progress = await align(job, memories)
    assert memories[BANK].ran == [*(f"align/bucket.{k}" for k in range(4)), "align"]
    assert progress[TAX] == [("align", k, 4) for k in range(1, 5)]
    for party in sets:
        assert np.array_equal(parts[party].rows, whole[party].rows)
    common = set.intersection(*(set(ids(party).tolist()) for party in sets))
    assert set(ids(BANK)[parts[BANK].rows].tolist()) == common
    assert parts[TAX].rows.size == (0 if receiver_only else len(common))


@by_protocol
async def test_an_alignment_goes_on_with_the_next_bucket_in_another_start(
    small_buckets: None, sets: Sets, mode: str
) -> None:
    job = specification(False, sets, mode)
    uninterrupted, _ = await align(job, {party: Memory() for party in sets})
    broken = {party: Memory(fail_at="align/bucket.2") for party in sets}
    failed, _ = await align(job, broken)
    assert all(isinstance(error, FedcreditError) for error in failed.values())
    resumed = {party: Memory(broken[party].kept) for party in sets}
    results, _ = await align(job, resumed, epoch=1)
    for party in sets:
        assert resumed[party].ran == ["align/bucket.2", "align/bucket.3", "align"]
        assert np.array_equal(results[party].rows, uninterrupted[party].rows)


async def test_every_start_draws_its_buckets_anew(small_buckets: None) -> None:
    job = specification(receiver_only=False)
    first, second = {p: Memory() for p in SETS}, {p: Memory() for p in SETS}
    await align(job, first)
    await align(job, second, epoch=1)
    stage = "align/bucket.0"
    # The holder's tags come from a fresh key; which rows lie in the bucket does not.
    assert first[TAX].kept[stage] != second[TAX].kept[stage]
    assert len(first[TAX].kept[stage]) == len(second[TAX].kept[stage])


@pytest.mark.parametrize("receiver_only", [False, True])
async def test_the_size_alone_is_kept_as_a_number_and_never_by_bucket(receiver_only: bool, small_buckets: None) -> None:
    job = specification(receiver_only, PAIR, "auto", size_only=True)
    memories = {party: Memory() for party in PAIR}
    found, progress = await align(job, memories, count=True)
    assert (found[BANK].common, found[TAX].common) == (200, 0 if receiver_only else 200)
    assert memories[BANK].ran == memories[TAX].ran == ["align"]
    assert progress == {BANK: [], TAX: []}
    again, _ = await align(job, memories, epoch=1, count=True)
    assert again == found
