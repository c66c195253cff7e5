"""The size of an intersection alone: right for any two sets, and nothing that says which subjects are in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.crypto.commutative import CommutativeKey
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import DataError, PeerError, RefusedError
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.intersect import SizeHolder, SizeReceiver, sizing
from fedcredit.protocols.intersect.choice import choose
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire import intersect as wire
from fedcredit.wire.message import Message

SSID = bytes(range(32))
BANK, TAX = party_id("bank"), party_id("tax")

Pick = Callable[[Sequence[Link]], Link]
Tamper = Callable[[Link, int, bytes], tuple[int, bytes]]


def numbered(numbers: Sequence[int]) -> Any:
    return np.array([f"{i:018}".encode() for i in numbers], "S18")


def run(
    bank: Sequence[int],
    tax: Sequence[int],
    pick: Pick | None = None,
    tamper: Tamper | None = None,
    seed: int = 1,
    **options: Any,
) -> Outcome:
    options = {"ssid": SSID, "minimum": 0, **options}
    receiver = SizeReceiver(BANK, TAX, ids=numbered(bank), randomness=insecure_seeded(seed, "bank"), **options)
    holder = SizeHolder(TAX, BANK, ids=numbered(tax), randomness=insecure_seeded(seed, "tax"), **options)
    roles: dict[PartyId, Steps[Any]] = {BANK: receiver.steps(), TAX: holder.steps()}
    return run_network(roles, insecure_in_process=True, pick=pick, tamper=tamper)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "POINTS_PER_CHUNK", 10)


sets = st.lists(st.integers(0, 30), min_size=1, max_size=25, unique=True)


@pytest.mark.usefixtures("small_chunks")
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(bank=sets, tax=sets, data=st.data())
def test_both_learn_the_size_in_any_order_of_delivery(bank: list[int], tax: list[int], data: st.DataObject) -> None:
    outcome = run(bank, tax, pick=lambda links: data.draw(st.sampled_from(links)))
    assert outcome.results == {BANK: len(set(bank) & set(tax)), TAX: len(set(bank) & set(tax))}


def test_for_the_receiver_alone_the_holder_hears_no_size() -> None:
    for bank, tax in ((range(20), range(10, 40)), (range(20), range(20)), (range(5), range(10, 20))):
        outcome = run(bank, tax, both_learn=False)
        assert outcome.results == {BANK: len(set(bank) & set(tax)), TAX: None}


@pytest.mark.usefixtures("small_chunks")
def test_traffic_depends_on_the_declared_sizes_alone() -> None:
    shapes = set()
    for start in (0, 7, 35, 1_000):
        outcome = run(range(50), range(start, start + 35), both_learn=False)
        shapes.add(tuple(sorted(outcome.traffic)))
    assert len(shapes) == 1
    kinds = [kind for *_, kind, _ in next(iter(shapes))]
    assert (kinds.count("BlindedItems"), kinds.count("EvaluatedItems")) == (5, 5)
    assert set(kinds) == {"SetSize", "BlindedItems", "EvaluatedItems", "ItemMasks", "Release"}


def test_no_message_is_as_long_as_the_intersection() -> None:
    few, many = (run(range(300), range(start, start + 200)).traffic for start in (290, 50))
    assert sorted(row for row in few if row[2] != "Release") == sorted(row for row in many if row[2] != "Release")


@pytest.mark.usefixtures("small_chunks")
def test_the_holder_shuffles_over_the_whole_set_and_sends_nothing_back_before_it_has_all() -> None:
    sent: list[tuple[str, Any]] = []

    def listen(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        for kind in (wire.BlindedItems, wire.EvaluatedItems):
            if tag == kind.tag:
                sent.append((kind.__name__, kind.decode(body).points.copy()))
        return tag, body

    keys: list[CommutativeKey] = []
    original = CommutativeKey.generate.__func__  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            CommutativeKey,
            "generate",
            classmethod(lambda cls, randomness: keys.append(original(cls, randomness)) or keys[-1]),
        )
        run(range(100), range(50, 150), tamper=listen)
    names = [name for name, _ in sent]
    assert names == ["BlindedItems"] * 10 + ["EvaluatedItems"] * 10
    blinded = np.concatenate([points for name, points in sent if name == "BlindedItems"])
    evaluated = np.concatenate([points for name, points in sent if name == "EvaluatedItems"])
    orders = []
    for key in keys:
        due = [point.tobytes() for point in key.mask_again(blinded)]
        places = {point: place for place, point in enumerate(due)}
        found = [places.get(point.tobytes(), -1) for point in evaluated]
        if -1 not in found:
            orders.append(found)
    (order,) = orders
    assert sorted(order) == list(range(100))
    moved = sum(place // 10 != row // 10 for row, place in enumerate(order))
    assert moved > 60, "a point hardly ever comes back in the chunk it went in"


def test_the_order_is_fresh_in_every_session() -> None:
    seen: list[bytes] = []

    def listen(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == wire.EvaluatedItems.tag:
            seen.append(body)
        return tag, body

    for seed in (1, 2):
        run(range(30), range(30), tamper=listen, seed=seed)
    assert len(set(seen)) == 2


def test_a_size_below_the_minimum_is_not_released() -> None:
    outcome_of = lambda minimum: run(range(40), range(20, 60), minimum=minimum)  # noqa: E731
    assert outcome_of(20).results == {BANK: 20, TAX: 20}
    released: list[wire.Release] = []

    def listen(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == wire.Release.tag:
            released.append(wire.Release.decode(body))
        return tag, body

    with pytest.raises(RefusedError) as refused:
        run(range(40), range(20, 60), minimum=21, tamper=listen)
    assert refused.value.code == "INTERSECTION_TOO_SMALL"
    assert released == [wire.Release(released=False, rows=0)]


def changing(culprit: PartyId, kind: type[Message], change: Callable[[Any], Message]) -> Tamper:
    """`culprit` sends something else in place of every `kind`."""

    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if link.sender != culprit or tag != kind.tag:
            return tag, body
        changed = change(kind.decode(body))
        return changed.tag, changed.encode()

    return tamper


IDENTITY = np.zeros((1, 32), np.uint8)


@pytest.mark.parametrize(
    ("culprit", "kind", "change", "code"),
    [
        (BANK, wire.SetSize, lambda m: wire.SetSize(31), "SET_SIZE"),
        (BANK, wire.BlindedItems, lambda m: wire.BlindedItems(m.points[1:]), "SET_SIZE"),
        (BANK, wire.BlindedItems, lambda m: wire.BlindedItems(np.r_[IDENTITY, m.points[1:]]), "POINT_INVALID"),
        (TAX, wire.EvaluatedItems, lambda m: wire.EvaluatedItems(m.points[1:]), "SET_SIZE"),
        (TAX, wire.EvaluatedItems, lambda m: wire.EvaluatedItems(np.r_[IDENTITY, m.points[1:]]), "POINT_INVALID"),
        (TAX, wire.EvaluatedItems, lambda m: wire.EvaluatedItems(np.repeat(m.points[:1], 30, 0)), "TAG_INVALID"),
        (TAX, wire.ItemMasks, lambda m: wire.ItemMasks(m.masks[1:]), "SET_SIZE"),
        (TAX, wire.ItemMasks, lambda m: wire.ItemMasks(m.masks[:, :-1].copy()), "ARRAY_INVALID"),
        (BANK, wire.Release, lambda m: wire.Release(released=True, rows=31), "SET_SIZE"),
        (BANK, wire.Release, lambda m: wire.Release(released=True, rows=9), "SET_SIZE"),
    ],
)
def test_who_breaks_the_protocol_is_named(
    culprit: PartyId, kind: type[Message], change: Callable[[Any], Message], code: str
) -> None:
    with pytest.raises(PeerError) as broken:
        run(range(30), range(30), tamper=changing(culprit, kind, change), minimum=10, max_rows=30)
    assert (broken.value.culprit, broken.value.code) == (culprit, code)


def test_repeated_and_empty_sets_are_refused_at_home() -> None:
    for ids, code in (([1, 2, 1], "ID_DUPLICATE"), ([], "SET_EMPTY")):
        with pytest.raises(DataError) as refused:
            run(ids, range(3))
        assert refused.value.code == code


def test_masks_may_be_put_on_in_either_order_and_taken_off() -> None:
    one, two = (CommutativeKey.generate(insecure_seeded(seed)) for seed in (1, 2))
    items = np.arange(64, dtype=np.uint8).reshape(4, 16)
    both = two.mask_again(one.mask(items))
    assert np.array_equal(both, one.mask_again(two.mask(items)))
    assert np.array_equal(one.unmask(both), two.mask(items))
    assert "scalar" not in repr(one)


def test_auto_says_why_it_is_elliptic_curves() -> None:
    choice = choose("auto", [10_000_000, 5], size_only=True)
    assert (choice.mode, "size alone" in choice.why) == ("ecdh", True)
    assert choose("auto", [10_000_000, 5]).mode == "fast"
