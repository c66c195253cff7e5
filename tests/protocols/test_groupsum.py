"""Group-by-sum: all backends against sums in the clear, in any order of delivery, and against peers that misbehave."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from groupsum_cases import BACKENDS, BANK, MEMORY, TAX, asker, asking, case, holder, holding, in_the_clear, play, shape
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, FedcreditError, PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import Assignment
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import onehot, plain
from fedcredit.transport.memory import run_network
from fedcredit.wire.groupsum import (
    ChoiceCorrections,
    Corrections,
    GroupSums,
    LevelSums,
)
from fedcredit.wire.message import message_type
from fedcredit.wire.transfers import SeedSums, TransferChoices, TransferKey


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("n_rows", "groups", "n_values"),
    [
        (1, (2,), 1),
        (50, (2, 3, 4, 5), 1),
        (9000, (3, 2), 1),
        (300, (32, 33, 256), 2),
        (129, (7, 2), 5),
        (1000, (16,), 1),
    ],
)
def test_sums_equal_those_in_the_clear(backend: str, n_rows: int, groups: tuple[int, ...], n_values: int) -> None:
    outcome, (codes, values, at, later) = play(n_rows, n_rows, groups, n_values, backend)
    first, second, third = outcome.results[BANK]
    assert np.array_equal(first, in_the_clear(codes, groups, values, at))
    by_row = np.zeros_like(values)
    by_row[at.rows] = values
    assert np.array_equal(second, in_the_clear(codes, groups, by_row[later.rows], later))
    assert np.array_equal(third, in_the_clear(codes[:1], groups[:1], values[:, :1], at))
    assert outcome.results[TAX] is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_values", [1, 3])
def test_settled_parts_are_additive_shares(n_values: int, backend: str) -> None:
    """Neither share alone depends on the values in a way that its holder could see; together they are the sums."""
    codes, values, at, later = case(9, 100, (4, 9), n_values)
    grouping = shape(100, (4, 9))

    def keep_asker() -> Steps[Any]:
        side = yield from asking(grouping, backend)
        shared = yield from side.share(5, (0, 1), values, at)
        first = yield from side.settle(shared, shared.sums)
        second = yield from side.settle(shared, side.further(shared, later))
        return first, second

    def keep_holder() -> Steps[Any]:
        side = yield from holding(grouping, codes, backend)
        held = yield from side.take(5, (0, 1), n_values, at)
        first = yield from side.settle(held, held.sums)
        second = yield from side.settle(held, side.further(held, later))
        return first, second

    outcome = run_network({BANK: keep_asker(), TAX: keep_holder()}, insecure_in_process=True)
    assert "GroupSums" not in {name for *_, name, _ in outcome.traffic}
    by_row = np.zeros_like(values)
    by_row[at.rows] = values
    wanted = in_the_clear(codes, (4, 9), values, at), in_the_clear(codes, (4, 9), by_row[later.rows], later)
    for mine, theirs, sums in zip(outcome.results[BANK], outcome.results[TAX], wanted, strict=True):
        assert np.array_equal(theirs - mine, sums)
        assert backend == "plain" or not (theirs == sums).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_settled_part_can_still_be_opened(backend: str) -> None:
    codes, values, at, _ = case(9, 60, (4, 9), 2)
    grouping = shape(60, (4, 9))

    def open_asker() -> Steps[Any]:
        side = yield from asking(grouping, backend)
        shared = yield from side.share(5, (0, 1), values, at)
        share = yield from side.settle(shared, shared.sums)
        return (yield from side.learn(shared, (yield from side.settle(shared, share))))

    def open_holder() -> Steps[Any]:
        side = yield from holding(grouping, codes, backend)
        held = yield from side.take(5, (0, 1), 2, at)
        share = yield from side.settle(held, held.sums)
        yield from side.show(held, (yield from side.settle(held, share)))

    outcome = run_network({BANK: open_asker(), TAX: open_holder()}, insecure_in_process=True)
    assert np.array_equal(outcome.results[BANK], in_the_clear(codes, (4, 9), values, at))


@pytest.mark.parametrize("backend", ["onehot", "paillier"])
def test_rows_of_value_zero_are_left_out_without_being_named(backend: str) -> None:
    """A hidden set of rows: the holder sums all rows, and its messages and corrections look the same whatever is in."""
    codes, values, _, _ = case(4, 80, (6,), 1)
    grouping, everyone = shape(80, (6,)), Assignment.whole(80)
    chosen = np.arange(80) % 3 == 0
    hidden = np.where(chosen[:, None], values, np.uint64(0))
    roles = {
        BANK: asker(grouping, hidden, everyone, everyone, backend),
        TAX: holder(grouping, codes, 1, everyone, everyone, backend),
    }
    first = run_network(roles, insecure_in_process=True).results[BANK][0]
    rows = np.flatnonzero(chosen).astype(np.uint32)
    at = Assignment(rows, np.zeros(rows.size, np.uint32), 1)
    assert np.array_equal(first, in_the_clear(codes, (6,), values[chosen], at))


@pytest.mark.parametrize("backend", ["onehot", "paillier"])
@settings(max_examples=15, deadline=None)
@given(data=st.data(), n_rows=st.integers(1, 40), groups=st.lists(st.integers(2, 20), min_size=1, max_size=3))
def test_any_order_of_delivery_gives_the_same_sums_and_messages(
    backend: str, data: st.DataObject, n_rows: int, groups: list[int]
) -> None:
    straight, _ = play(3, n_rows, tuple(groups), 1, backend)
    shuffled, _ = play(3, n_rows, tuple(groups), 1, backend, pick=lambda links: data.draw(st.sampled_from(links)))
    for a, b in zip(straight.results[BANK], shuffled.results[BANK], strict=True):
        assert np.array_equal(a, b)
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


def test_traffic_does_not_tell_who_keeps_vectors() -> None:
    one, two = (play(1, 200, (5, 32), 2, backend)[0] for backend in MEMORY)
    assert one.traffic == two.traffic


@pytest.mark.parametrize("backend", ["onehot", "paillier"])
def test_traffic_depends_on_public_sizes_alone(backend: str) -> None:
    one, _ = play(1, 200, (5, 32), 2, backend)
    two, _ = play(2, 200, (5, 32), 2, backend)
    assert one.traffic == two.traffic


def test_the_holders_share_alone_says_nothing_and_is_fresh_every_round() -> None:
    """Equal values in two rounds give corrections that differ everywhere, and sums that look uniform."""
    seen: list[Any] = []

    def watch(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if isinstance(message, Corrections | GroupSums):
            seen.append(message.words)
        return tag, body

    codes = np.zeros((1, 400), np.uint8)
    values = np.ones((400, 1), np.uint64)
    at = Assignment.whole(400)
    grouping = shape(400, (4,))
    roles = {BANK: asker(grouping, values, at, at, "onehot"), TAX: holder(grouping, codes, 1, at, at, "onehot")}
    run_network(roles, insecure_in_process=True, tamper=watch)
    corrections = [w for w in seen if w.ndim == 3]
    assert len(corrections) == 2
    assert not (corrections[0] == corrections[1]).any()
    assert len(np.unique(corrections[0])) == 400
    assert int(corrections[0].max()) > 2**63
    assert int(corrections[0].min()) < 2**63


def test_plain_refuses_unless_told_that_nothing_is_at_stake() -> None:
    with pytest.raises(ConfigError, match="INSECURE"):
        next(plain.set_up_asker(shape(4, (2,)), insecure_plain=False))
    with pytest.raises(ConfigError, match="INSECURE"):
        next(plain.set_up_holder(shape(4, (2,)), np.zeros((1, 4), np.uint8), insecure_plain=False))


@pytest.mark.parametrize(
    ("groups", "n_rows"), [((1,), 5), ((257,), 5), ((), 5), ((4,), 0)], ids=["one", "many", "none", "no rows"]
)
def test_shapes_out_of_range_are_refused(groups: tuple[int, ...], n_rows: int) -> None:
    with pytest.raises(ValueError, match="Grouping"):
        shape(n_rows, groups)


def test_groups_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        next(onehot.set_up_holder(shape(4, (2,)), np.full((1, 4), 2, np.uint8), insecure_seeded(1)))


def cut(message: Any) -> Any:
    """The message with its last row of data missing."""
    match message:
        case Corrections():
            return Corrections(message.round, message.first, message.words[:, :-1].copy())
        case LevelSums():
            return LevelSums(message.feature, message.first_row, message.blocks[:-1].copy())
        case GroupSums():
            return GroupSums(message.round, message.first, message.words[:-1].copy())
    return None


@pytest.mark.parametrize(
    ("kind", "culprit"),
    [(Corrections, BANK), (LevelSums, BANK), (GroupSums, TAX)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_wrong_count_names_its_sender(kind: Any, culprit: PartyId) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        return (tag, cut(message).encode()) if isinstance(message, kind) else (tag, body)

    with pytest.raises(PeerError) as caught:
        play(1, 60, (5,), 1, "onehot", tamper=tamper)
    assert caught.value.culprit == culprit
    assert caught.value.code == "SHAPE"


BAD_POINTS = [bytes(32)] + [
    bytes.fromhex(bad["encoding"])
    for bad in json.loads((Path(__file__).parents[1] / "vectors" / "rfc9496.json").read_text())["bad_encodings"]
]


@pytest.mark.parametrize("bad", BAD_POINTS, ids=lambda bad: bad.hex()[:8])
def test_a_bad_key_of_the_base_transfers_names_its_sender(bad: bytes) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        return (tag, TransferKey(bad).encode()) if tag == TransferKey.tag else (tag, body)

    with pytest.raises(PeerError) as caught:
        play(1, 20, (5,), 1, "onehot", tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (TAX, "POINT_INVALID")


@pytest.mark.parametrize("field", ["round", "first"])
@pytest.mark.parametrize(("kind", "culprit"), [(Corrections, BANK), (GroupSums, TAX)])
def test_a_message_of_another_round_names_its_sender(kind: Any, culprit: PartyId, field: str) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if not isinstance(message, kind):
            return tag, body
        return tag, replace(message, **{field: getattr(message, field) + 1}).encode()

    with pytest.raises(PeerError) as caught:
        play(1, 60, (5,), 1, "onehot", tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (culprit, "SHAPE")


@pytest.mark.parametrize(
    ("kind", "of", "culprit"),
    [
        (TransferChoices, "points", BANK),
        (SeedSums, "blocks", TAX),
        (ChoiceCorrections, "words", TAX),
        (LevelSums, "blocks", BANK),
    ],
)
def test_a_matrix_of_another_size_names_its_sender(kind: Any, of: str, culprit: PartyId) -> None:
    """Whatever a field says of itself, the role knows the size that is due."""

    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != kind.tag:
            return tag, body
        changed = kind.proto.FromString(body)
        matrix = getattr(changed, of)
        matrix.data = matrix.data[: len(matrix.data) // matrix.shape[0]]
        matrix.shape[0] = 1
        return tag, changed.SerializeToString()

    with pytest.raises(PeerError) as caught:
        play(1, 60, (5, 9), 1, "onehot", tamper=tamper)
    assert caught.value.culprit == culprit
    assert caught.value.code in ("ARRAY_INVALID", "SHAPE")


def test_a_mask_is_used_once() -> None:
    """The same round for other values would show the holder their difference."""
    codes, values, at, _ = case(1, 20, (5,), 1)

    def twice() -> Steps[Any]:
        side = yield from onehot.set_up_asker(shape(20, (5,)), insecure_seeded(1))
        yield from side.share(0, (0,), values, at)
        yield from side.share(0, (0,), values, at)

    def taking() -> Steps[Any]:
        side = yield from onehot.set_up_holder(shape(20, (5,)), codes, insecure_seeded(2))
        yield from side.take(0, (0,), 1, at)
        yield from side.take(0, (0,), 1, at)

    with pytest.raises(FedcreditError) as caught:
        run_network({BANK: twice(), TAX: taking()}, insecure_in_process=True)
    assert caught.value.code == "ROUND_REUSED"


@pytest.mark.parametrize("bad", BAD_POINTS, ids=lambda bad: bad.hex()[:8])
@pytest.mark.parametrize("side", [0, 1])
def test_a_bad_point_names_its_sender(bad: bytes, side: int) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if not isinstance(message, TransferChoices):
            return tag, body
        points = message.points.copy()
        points[17, side] = np.frombuffer(bad, np.uint8)
        return tag, TransferChoices(points).encode()

    with pytest.raises(PeerError) as caught:
        play(1, 20, (5,), 1, "onehot", tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (BANK, "POINT_INVALID")
