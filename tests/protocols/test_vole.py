"""Vector oblivious linear evaluation between two roles: the relation, the traffic, and peers that misbehave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import gf128, vole
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.vole import Correlation, VoleReceiver, VoleSender, set_up_receiver, set_up_sender
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.message import MessageInvalid, message_type
from fedcredit.wire.transfers import SeedSums, TransferChoices, TransferKey
from fedcredit.wire.vole import VoleChoices, VoleOffer

BANK, TAX = PartyId("bank"), PartyId("tax")
"""The receiver and the sender."""

MESSAGE_OVERHEAD = 32
"""Bytes at most that protobuf adds to the data of one message."""


def shape(session: bytes = b"s" * 32, piece_elements: int = vole.MAX_ELEMENTS) -> Correlation:
    return Correlation(session, TAX, BANK, piece_elements)


def sender(of: Correlation, counts: tuple[int, ...], seed: int = 1) -> Steps[tuple[bytes, list[Any]]]:
    side = yield from set_up_sender(of, insecure_seeded(seed))
    shares = []
    for count in counts:
        shares.append((yield from side.take(count)))
    return side.delta, shares


def receiver(of: Correlation, counts: tuple[int, ...], seed: int = 2) -> Steps[list[Any]]:
    side = yield from set_up_receiver(of, insecure_seeded(seed))
    shares = []
    for count in counts:
        shares.append((yield from side.take(count)))
    return shares


def play(*counts: int, of: Correlation | None = None, **how: Any) -> Outcome:
    of = of or shape()
    roles = {TAX: sender(of, counts), BANK: receiver(of, counts)}
    return run_network(roles, insecure_in_process=True, **how)


def check(outcome: Outcome, *counts: int) -> None:
    delta, bs = outcome.results[TAX]
    assert len(delta) == 16
    assert len(bs) == len(counts) == len(outcome.results[BANK])
    for count, b, (a, c) in zip(counts, bs, outcome.results[BANK], strict=True):
        assert a.shape == b.shape == c.shape == (count, 16)
        assert np.array_equal(gf128.scale(a, delta) ^ b, c)


@pytest.mark.parametrize("counts", [(1,), (0,), (12_289,), (100, 0, 3000, 1), (150_000,)], ids=str)
def test_the_relation_holds(counts: tuple[int, ...]) -> None:
    check(play(*counts), *counts)


@pytest.mark.parametrize(("piece", "pieces"), [(1000, 3), (2500, 1), (833, 4)])
def test_many_elements_come_in_pieces_of_bounded_size(piece: int, pieces: int) -> None:
    outcome = play(2500, of=shape(piece_elements=piece))
    check(outcome, 2500)
    assert sum(kind == "VoleOffer" for *_, kind, _ in outcome.traffic) == pieces


@pytest.mark.slow
def test_the_relation_holds_for_more_elements_than_a_piece_has() -> None:
    count = vole.MAX_ELEMENTS + 1
    check(play(count), count)


def test_nothing_comes_twice() -> None:
    """Elements of one session, of two sessions and of two directions have nothing in common but the factor."""
    first, second = play(600, 600), play(600, of=shape(b"t" * 32))
    found = [*first.results[BANK], *second.results[BANK]]
    for which in (0, 1):
        rows = np.concatenate([pair[which] for pair in found])
        assert len(np.unique(rows, axis=0)) == 1800


def test_the_factor_and_the_noise_are_drawn() -> None:
    of = shape()

    def run(ours: int, theirs: int) -> tuple[bytes, Any]:
        roles = {TAX: sender(of, (50,), ours), BANK: receiver(of, (50,), theirs)}
        results = run_network(roles, insecure_in_process=True).results
        return results[TAX][0], results[BANK][0][0]

    (delta, a), (other_delta, same_a), (same_delta, other_a) = run(1, 2), run(3, 2), run(1, 4)
    assert delta == same_delta != other_delta
    # What the receiver makes of its own noise does not depend on the sender.
    assert np.array_equal(a, same_a)
    assert not np.array_equal(a, other_a)


@settings(max_examples=8, deadline=None)
@given(data=st.data(), counts=st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_any_order_of_delivery_gives_the_same(data: st.DataObject, counts: list[int]) -> None:
    of = shape(piece_elements=15)
    straight = play(*counts, of=of)
    shuffled = play(*counts, of=of, pick=lambda links: data.draw(st.sampled_from(links)))
    check(shuffled, *counts)
    for one, two in zip(straight.results[BANK], shuffled.results[BANK], strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(one, two, strict=True))
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


def test_it_runs_in_the_smallest_window() -> None:
    """A link that holds one message at a time: neither side waits for room that the other would have to make."""
    check(play(100, 2500, of=shape(piece_elements=500), window_bytes=1), 100, 2500)


@pytest.mark.parametrize("count", [1, 12_288, 12_289, 200_000])
def test_traffic_is_the_documented_formula(count: int) -> None:
    leaves = max(32, -(-2 * count // 768))
    depth = int(np.ceil(np.log2(leaves)))
    wanted = {
        "TransferKey": (BANK, 32),
        "TransferChoices": (TAX, 128 * 2 * 32),
        "SeedSums": (BANK, 128 * 2 * 16),
        "VoleChoices": (BANK, 4 * 768 * (128 + depth)),
        "VoleOffer": (TAX, 16 * 768 * (2 * depth + 1)),
    }
    found = {kind: (source, size) for source, _, kind, size in play(count).traffic}
    assert found.keys() == wanted.keys()
    for kind, (source, data) in wanted.items():
        assert found[kind][0] == source
        assert 0 <= found[kind][1] - data <= MESSAGE_OVERHEAD, kind


def test_traffic_depends_on_public_sizes_alone() -> None:
    of = shape()
    runs = [{TAX: sender(of, (99,), seed), BANK: receiver(of, (99,), seed + 1)} for seed in (1, 5)]
    one, two = (run_network(roles, insecure_in_process=True).traffic for roles in runs)
    assert one == two


def test_a_piece_of_any_size_costs_less_than_a_megabyte() -> None:
    piece = vole.Piece(bytes(32), vole.MAX_ELEMENTS)
    assert 512 * piece.columns + 16 * piece.trees * (2 * piece.depth + 1) < 800_000


def cut(kind: Any, of: str, axis: int) -> Any:
    """Takes the last of an axis off a message's array, so that its bytes still agree with its shape."""

    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != kind.tag:
            return tag, body
        array = getattr(kind.decode(body), of)
        smaller = np.take(array, range(array.shape[axis] - 1), axis=axis)
        changed = kind.proto.FromString(body)
        matrix = getattr(changed, of)
        matrix.data, matrix.shape[:] = smaller.tobytes(), smaller.shape
        return tag, changed.SerializeToString()

    return tamper


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("kind", "of", "culprit"),
    [
        (TransferChoices, "points", TAX),
        (SeedSums, "blocks", BANK),
        (VoleChoices, "words", BANK),
        (VoleOffer, "blocks", TAX),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_matrix_of_another_size_names_its_sender(kind: Any, of: str, culprit: PartyId, axis: int) -> None:
    with pytest.raises(PeerError) as caught:
        play(60, tamper=cut(kind, of, axis))
    assert caught.value.culprit == culprit
    assert caught.value.code in ("ARRAY_INVALID", "OT_CHECK_FAILED")


def test_two_levels_less_are_refused_by_the_role_itself() -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != VoleOffer.tag:
            return tag, body
        message = VoleOffer.decode(body)
        return tag, VoleOffer(message.piece, message.blocks[:, 2:].copy()).encode()

    with pytest.raises(PeerError) as caught:
        play(60, tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (TAX, "OT_CHECK_FAILED")


@pytest.mark.parametrize(("kind", "culprit"), [(VoleChoices, BANK), (VoleOffer, TAX)])
def test_a_message_of_another_piece_names_its_sender(kind: Any, culprit: PartyId) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message: Any = message_type(tag).decode(body)
        return (tag, replace(message, piece=1).encode()) if isinstance(message, kind) else (tag, body)

    with pytest.raises(PeerError) as caught:
        play(60, tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (culprit, "OT_CHECK_FAILED")


def test_sides_that_make_different_numbers_find_out() -> None:
    of = shape()
    roles = {TAX: sender(of, (60,)), BANK: receiver(of, (61,))}
    with pytest.raises(PeerError) as caught:
        run_network(roles, insecure_in_process=True)
    assert (caught.value.culprit, caught.value.code) == (BANK, "SET_SIZE")


@pytest.mark.parametrize("kind", [TransferKey, TransferChoices])
def test_a_bad_point_names_its_sender(kind: Any) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != kind.tag:
            return tag, body
        bad = (
            TransferKey(b"\xff" * 32) if kind is TransferKey else TransferChoices(np.full((128, 2, 32), 255, np.uint8))
        )
        return tag, bad.encode()

    with pytest.raises(PeerError) as caught:
        play(60, tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (BANK if kind is TransferKey else TAX, "POINT_INVALID")


def set_up() -> tuple[VoleSender, VoleReceiver]:
    of = shape()
    roles: Any = {TAX: set_up_sender(of, insecure_seeded(1)), BANK: set_up_receiver(of, insecure_seeded(2))}
    results = run_network(roles, insecure_in_process=True).results
    return results[TAX], results[BANK]


def test_an_abort_burns_the_session() -> None:
    """Whatever ends a call early, nobody takes the session up again."""
    ours, theirs = set_up()
    steps = ours.take(5), theirs.take(5)
    for each in steps:
        next(each)
        each.close()
    for side in (ours, theirs):
        with pytest.raises(FedcreditError) as caught:
            next(side.take(5))
        assert caught.value.code == "OT_CHECK_FAILED"


def test_a_bad_message_burns_the_session() -> None:
    ours, theirs = set_up()
    roles: Any = {TAX: ours.take(9), BANK: theirs.take(10)}
    with pytest.raises(PeerError, match="SET_SIZE"):
        run_network(roles, insecure_in_process=True)
    with pytest.raises(FedcreditError, match="OT_CHECK_FAILED"):
        next(ours.take(9))


def test_two_calls_at_once_are_refused() -> None:
    ours, _ = set_up()
    next(ours.take(5))
    with pytest.raises(FedcreditError, match="OT_CHECK_FAILED"):
        next(ours.take(5))


@pytest.mark.parametrize(
    "bad",
    [{"session": b"short"}, {"sender": BANK}, {"piece_elements": 0}, {"piece_elements": vole.MAX_ELEMENTS + 1}],
    ids=str,
)
def test_impossible_correlations_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Correlation"):
        replace(shape(), **bad)


def test_nothing_secret_shows() -> None:
    ours, theirs = set_up()
    assert "seeds" not in repr(ours) + repr(theirs)
    assert str(ours.base.delta) not in repr(ours)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VoleChoices(0, 0, np.zeros((32, 1, 2), np.uint64)),
        lambda: VoleChoices(0, vole.MAX_ELEMENTS + 1, np.zeros((32, 1, 2), np.uint64)),
        lambda: VoleChoices(-1, 1, np.zeros((32, 1, 2), np.uint64)),
        lambda: VoleChoices(0, 1, np.zeros((31, 1, 2), np.uint64)),
        lambda: VoleChoices(0, 1, np.zeros((32, 847, 2), np.uint64)),
        lambda: VoleOffer(0, np.zeros((768, 2, 2), np.uint64)),
        lambda: VoleOffer(0, np.zeros((767, 3, 2), np.uint64)),
        lambda: VoleOffer(0, np.zeros((768, 29, 2), np.uint64)),
        lambda: VoleOffer(0, np.zeros((768, 27, 2), np.int64)),
    ],
)
def test_messages_out_of_bounds_are_none(make: Any) -> None:
    with pytest.raises(MessageInvalid):
        make()
