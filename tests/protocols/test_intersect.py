"""The intersection protocol: right for any sets, parties and order of delivery; quiet about everything else."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import DataError, FedcreditError, RefusedError
from fedcredit.ids import PartyId, party_id
from fedcredit.kernels import okvs
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.intersect import (
    Alignment,
    IntersectHolder,
    IntersectReceiver,
    Mode,
    holder,
    listing,
    receiver,
    vole_oprf,
)
from fedcredit.protocols.intersect.alignment import STATISTICAL_BITS, false_match_bits, mask_bytes
from fedcredit.protocols.intersect.choice import MODES
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.memory import Link, MemoryNetwork, Outcome, run_network
from fedcredit.wire import intersect as wire

SSID = bytes(range(32))
BANK = party_id("bank")
HOLDERS = tuple(map(party_id, ("tax", "registry", "utility")))

Sets = Mapping[PartyId, Sequence[bytes]]


def ids(values: Sequence[bytes]) -> npt.NDArray[np.bytes_]:
    return np.array(list(values), dtype="S18")


def parties(sets: Sets, *, seed: int = 1, **options: Any) -> dict[PartyId, Any]:
    """The receiver is the bank, the others hold."""
    holders = tuple(party for party in sets if party != BANK)

    def role(party: PartyId) -> Any:
        common = {"me": party, "ssid": SSID, "ids": ids(sets[party]), "randomness": insecure_seeded(seed, party)}
        if party == BANK:
            return IntersectReceiver(holders=holders, **common, **options)
        others = tuple(other for other in holders if other != party)
        return IntersectHolder(receiver=BANK, others=others, **common, **options)

    return {party: role(party) for party in sets}


def run(
    sets: Sets,
    pick: Callable[[Sequence[Link]], Link] | None = None,
    tamper: Callable[[Link, int, bytes], tuple[int, bytes]] | None = None,
    **options: Any,
) -> Outcome:
    roles: dict[PartyId, Steps[Any]] = {party: role.steps() for party, role in parties(sets, **options).items()}
    return run_network(roles, insecure_in_process=True, pick=pick, tamper=tamper)


def aligned(sets: Sets, outcome: Outcome, party: PartyId) -> list[bytes]:
    result: Alignment = outcome.results[party]
    return [sets[party][row] for row in result.rows]


universe = st.integers(0, 25).map(lambda i: f"9111000{i:04}".encode())


@st.composite
def consortia(draw: st.DrawFn) -> dict[PartyId, list[bytes]]:
    """Two to four parties with overlapping sets of ids."""
    names = (BANK, *HOLDERS[: draw(st.integers(1, 3))])
    return {name: draw(st.lists(universe, min_size=1, max_size=25, unique=True)) for name in names}


modes = pytest.mark.parametrize("mode", MODES)


@modes
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sets=consortia(), data=st.data())
def test_all_parties_learn_exactly_the_intersection_in_one_order(mode: Mode, sets: Sets, data: st.DataObject) -> None:
    outcome = run(sets, pick=lambda links: data.draw(st.sampled_from(links)), minimum=0, mode=mode)
    orders = [aligned(sets, outcome, party) for party in sets]
    assert all(order == orders[0] for order in orders)
    assert len(orders[0]) == len(set(orders[0]))
    assert set(orders[0]) == set.intersection(*map(set, sets.values()))


@modes
@settings(max_examples=6, deadline=None)
@given(sets=consortia(), data=st.data())
def test_any_delivery_order_gives_the_same_bytes(mode: Mode, sets: Sets, data: st.DataObject) -> None:
    def bytes_sent(pick: Callable[[Sequence[Link]], Link] | None) -> dict[Link, list[bytes]]:
        sent: dict[Link, list[bytes]] = {}

        def listen(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
            sent.setdefault(link, []).append(body)
            return tag, body

        run(sets, pick=pick, tamper=listen, minimum=0, mode=mode)
        return sent

    assert bytes_sent(lambda links: data.draw(st.sampled_from(links))) == bytes_sent(None)


@modes
@settings(max_examples=6, deadline=None)
@given(sets=consortia())
def test_receiver_only_tells_holders_nothing(mode: Mode, sets: Sets) -> None:
    outcome = run(sets, both_learn=False, minimum=0, mode=mode)
    assert set(aligned(sets, outcome, BANK)) == set.intersection(*map(set, sets.values()))
    assert all(outcome.results[party] is None for party in sets if party != BANK)
    assert not {"AlignedTags", "AlignedPlaces"} & {kind for *_, kind, _ in outcome.traffic}


def numbered(*ranges: range) -> list[bytes]:
    return [f"{i:018}".encode() for i in itertools.chain(*ranges)]


def traffic(outcome: Outcome) -> list[tuple[str, str, str, int]]:
    """Sorted, because parties take turns in an order that says nothing."""
    return sorted(outcome.traffic)


@modes
def test_traffic_depends_on_sizes_alone(mode: Mode) -> None:
    bank, tax, registry = BANK, HOLDERS[0], HOLDERS[1]
    cases = [
        {bank: numbered(range(50)), tax: numbered(range(20, 60)), registry: numbered(range(10, 40))},
        {bank: numbered(range(50)), tax: numbered(range(20, 60)), registry: numbered(range(900, 920), range(20, 30))},
        {bank: numbered(range(500, 550)), tax: numbered(range(540)[-40:]), registry: numbered(range(700, 730))},
    ]
    alone = [traffic(run(sets, both_learn=False, minimum=0, mode=mode)) for sets in cases]
    assert alone[0] == alone[1] == alone[2]
    # When both learn, the size of the intersection shows too, and nothing else.
    both = [traffic(run(sets, minimum=0, mode=mode)) for sets in cases]
    assert both[0] != both[2]
    moved = {bank: cases[0][bank][::-1], tax: cases[0][tax][::-1], registry: numbered(range(20, 40), range(90, 100))}
    assert both[0] == traffic(run(moved, minimum=0, mode=mode))


def test_with_one_holder_the_fast_mode_shows_sizes_alone_even_of_the_intersection() -> None:
    # Bits over the holder's list say which rows it has in common, and their number follows from the list's.
    tax = HOLDERS[0]
    cases = [{BANK: numbered(range(300)), tax: numbered(range(start, start + 200))} for start in (100, 250, 5_000)]
    shapes = {tuple((*link, size) for *link, size in traffic(run(sets, minimum=0, mode="fast"))) for sets in cases}
    # The size of the intersection is told, as a number of one to two bytes.
    assert len({tuple(row for row in shape if row[2] != "Release") for shape in shapes}) == 1


@pytest.mark.slow
def test_traffic_is_the_documented_formula() -> None:
    n_x, n_y, common = 33_000, 1_000, 100
    sets = {BANK: numbered(range(n_x)), HOLDERS[0]: numbered(range(n_x - common, n_x - common + n_y))}
    outcome = run(sets)
    assert len(outcome.results[BANK]) == common
    payload = 2 * 32 + n_x * 64 + okvs.slots(n_y) * 16 + 32 + common * 16
    framing = sum(size for *_, size in outcome.traffic) - payload
    assert 0 < framing < 40 * len(outcome.traffic)
    kinds = [kind for *_, kind, _ in outcome.traffic]
    assert kinds.count("BlindedItems") == kinds.count("EvaluatedItems") == 2
    assert max(size for *_, size in outcome.traffic) <= (1 << 20) + 64


@modes
@pytest.mark.parametrize("n_holders", [1, 2])
def test_sets_of_many_chunks_and_unequal_sizes(mode: Mode, n_holders: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (receiver, "POINTS_PER_CHUNK"),
        (holder, "POINTS_PER_CHUNK"),
        (receiver, "SLOTS_PER_CHUNK"),
        (holder, "SLOTS_PER_CHUNK"),
        (vole_oprf, "SLOTS_PER_CHUNK"),
        (listing, "SLOTS_PER_CHUNK"),
        (listing, "BITS_PER_CHUNK"),
    ):
        monkeypatch.setattr(module, name, 10)
    sets = {
        BANK: numbered(range(0, 3_000, 3)),
        HOLDERS[0]: numbered(range(0, 3_000, 2))[::-1],
        HOLDERS[1]: numbered(range(0, 300)),
    }
    sets = dict(itertools.islice(sets.items(), 1 + n_holders))
    outcome = run(sets, mode=mode)
    orders = [aligned(sets, outcome, party) for party in sets]
    assert all(order == orders[0] for order in orders)
    assert set(orders[0]) == set(numbered(range(0, 300 if n_holders == 2 else 3_000, 6)))
    kinds = [kind for *_, kind, _ in outcome.traffic]
    assert kinds.count("BlindedItems") == (100 * n_holders if mode == "ecdh" else 0)
    assert kinds.count("ItemMasks") == (150 if mode == "fast" and n_holders == 1 else 0)
    assert orders[0] != sorted(orders[0]), "the common order must say nothing of the receiver's"


@modes
def test_the_order_is_fresh_in_every_session(mode: Mode) -> None:
    sets = {BANK: numbered(range(50)), HOLDERS[0]: numbered(range(50))}
    first, second = (aligned(sets, run(sets, seed=seed, mode=mode), BANK) for seed in (1, 2))
    assert first != second
    assert set(first) == set(second)


def test_ids_may_come_in_chunks_and_padded() -> None:
    sets = {BANK: numbered(range(20)), HOLDERS[0]: numbered(range(10, 30))}
    roles = parties(sets)
    pieces = [ids(sets[BANK][:7]), ids([]), ids(sets[BANK][7:]).astype("S40")]
    roles[BANK] = IntersectReceiver(
        me=BANK, holders=(HOLDERS[0],), ssid=SSID, ids=iter(pieces), randomness=insecure_seeded(3)
    )
    outcome = run_network({party: role.steps() for party, role in roles.items()}, insecure_in_process=True)
    assert set(aligned(sets, outcome, BANK)) == set(numbered(range(10, 20)))


class TestNoPairwiseIntersection:
    """With three parties the receiver sees, outside the intersection of all, the same whatever the others share."""

    @pytest.fixture(autouse=True, params=MODES)
    def in_mode(self, request: pytest.FixtureRequest) -> None:
        self.mode = request.param

    def residues(self, sets: Sets) -> dict[bytes, bytes]:
        """What the receiver has per id after all it computed: zero for the intersection."""
        roles = parties(sets, minimum=0, mode=self.mode)
        seen: list[npt.NDArray[np.uint8]] = []
        original = IntersectReceiver._read_store

        def spy(self: Any, holder: PartyId, n_rows: int, items: Any, residue: Any) -> Any:
            before = residue.copy()
            yield from original(self, holder, n_rows, items, residue)
            seen.append(residue ^ before)
            seen.append(residue.copy())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(IntersectReceiver, "_read_store", spy)
            run_network({party: role.steps() for party, role in roles.items()}, insecure_in_process=True)
        # Per store: what it read, then the running sum; the last running sum decides.
        self.read = [seen[0], seen[2]]
        return {i: row.tobytes() for i, row in zip(sets[BANK], seen[-1], strict=True)}

    def test_values_outside_the_intersection_are_distinct_noise(self) -> None:
        sets = {
            BANK: numbered(range(3000)),
            HOLDERS[0]: numbered(range(0, 2000)),
            HOLDERS[1]: numbered(range(1000, 3000)),
        }
        residues = self.residues(sets)
        everywhere, nowhere_else = numbered(range(1000, 2000)), numbered(range(1000), range(2000, 3000))
        assert {residues[i] for i in everywhere} == {bytes(16)}
        assert len({residues[i] for i in nowhere_else}) == len(nowhere_else)
        # Members of one pairwise intersection only look like members of the other, and both like noise.
        for some in (numbered(range(1000)), numbered(range(2000, 3000))):
            bits = np.unpackbits(np.frombuffer(b"".join(residues[i] for i in some), np.uint8))
            assert abs(bits.mean() - 0.5) < 6 * 0.5 / np.sqrt(bits.size)
        for read in self.read:
            assert len(np.unique(read, axis=0)) == 3000, "what a store gives repeats for no two ids"
            for rows in (slice(0, 1000), slice(1000, 2000), slice(2000, 3000)):
                bits = np.unpackbits(read[rows])
                assert abs(bits.mean() - 0.5) < 6 * 0.5 / np.sqrt(bits.size)

    def test_one_holders_residue_alone_never_matches(self) -> None:
        # The receiver's own shares cancel against one store only if nobody else shares keys with that holder.
        sets = {BANK: numbered(range(100)), HOLDERS[0]: numbered(range(100)), HOLDERS[1]: numbered(range(200, 300))}
        assert bytes(16) not in self.residues(sets).values()


class TestMinimum:
    sets: ClassVar = {
        BANK: numbered(range(50)),
        HOLDERS[0]: numbered(range(40, 90)),
        HOLDERS[1]: numbered(range(45, 70)),
    }

    def test_an_intersection_of_the_minimum_is_released(self) -> None:
        assert len(run(self.sets, minimum=5).results[BANK]) == 5

    @modes
    @pytest.mark.parametrize("both_learn", [True, False])
    def test_a_smaller_one_is_refused_without_its_size(self, mode: Mode, both_learn: bool) -> None:
        with pytest.raises(RefusedError) as refusal:
            run(self.sets, minimum=6, both_learn=both_learn, mode=mode)
        assert refusal.value.code == "INTERSECTION_TOO_SMALL"
        assert "5" not in str(refusal.value)

    def test_holders_are_told_the_fact_alone(self) -> None:
        steps = parties(self.sets, minimum=6)[HOLDERS[0]].steps()
        others = {party: role.steps() for party, role in parties(self.sets, minimum=0).items() if party != HOLDERS[0]}
        told = wire.Release(released=False, rows=0)
        assert len(told.encode()) == 0, "a refusal has no size and no reason"

        def refuse(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
            return (tag, told.encode()) if tag == wire.Release.tag else (tag, body)

        with pytest.raises(RefusedError) as refusal:
            run_network({**others, HOLDERS[0]: steps}, insecure_in_process=True, tamper=refuse)
        assert refusal.value.code == "INTERSECTION_TOO_SMALL"


@pytest.mark.parametrize(
    ("own", "options", "code"),
    [
        ([], {}, "SET_EMPTY"),
        ([b"a", b"b", b"a"], {}, "ID_DUPLICATE"),
        ([b"a", b"b", b"c"], {"max_rows": 2}, "SET_SIZE"),
    ],
)
@pytest.mark.parametrize("party", [BANK, HOLDERS[0]])
def test_unusable_sets_are_the_owners_fault(
    own: list[bytes], options: dict[str, Any], code: str, party: PartyId
) -> None:
    sets = {BANK: [b"x"], HOLDERS[0]: [b"x"], party: own}
    with pytest.raises(DataError) as error:
        run(sets, **options)
    assert error.value.code == code


def test_statistical_security_holds_for_every_size() -> None:
    for log_x, log_y in itertools.product(range(29), repeat=2):
        assert false_match_bits(1 << log_x, 1 << log_y) >= STATISTICAL_BITS
    assert false_match_bits(wire.MAX_ROWS, wire.MAX_ROWS) >= 71


def test_masks_are_as_long_as_the_sizes_need() -> None:
    for log_x, log_y in itertools.product(range(29), repeat=2):
        for n_x, n_y in itertools.product((1 << log_x, (1 << log_x) + 1), (1 << log_y, (1 << log_y) + 1)):
            width = mask_bytes(n_x, n_y)
            # The probability that any of the n_x n_y pairs of different items has one mask.
            assert 8 * width - math.log2(n_x * n_y) >= STATISTICAL_BITS
            assert 8 * (width - 1) - math.log2(n_x * n_y) < STATISTICAL_BITS + 1
    assert mask_bytes(1 << 20, 1 << 20) == 10
    with pytest.raises(FedcreditError):
        mask_bytes(1 << 45, 1 << 45)


def test_no_secret_in_repr() -> None:
    for role in parties({BANK: [b"SECRET"], HOLDERS[0]: [b"SECRET"]}).values():
        assert "SECRET" not in repr(role)
        assert "Randomness" not in repr(role)
    outcome = run({BANK: [b"SECRET"], HOLDERS[0]: [b"SECRET"]})
    assert repr(outcome.results[BANK]) == "Alignment()"


@pytest.mark.anyio
async def test_over_the_driver_all_parties_agree() -> None:
    sets = {BANK: numbered(range(100)), HOLDERS[0]: numbered(range(20, 120)), HOLDERS[1]: numbered(range(60, 200))}
    network = MemoryNetwork(sets, insecure_in_process=True)
    results: dict[PartyId, Alignment] = {}

    async def party(name: PartyId, role: Any) -> None:
        channel = network.transport(name).open(SSID, "align")
        results[name] = await drive(role.steps(), channel, deadline_s=30, meter=Meter())

    async with asyncio.TaskGroup() as group:
        for name, role in parties(sets).items():
            group.create_task(party(name, role))
    orders = [[sets[name][row] for row in results[name].rows] for name in sets]
    assert orders[0] == orders[1] == orders[2]
    assert set(orders[0]) == set(numbered(range(60, 100)))
