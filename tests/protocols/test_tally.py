"""How total points are spread: the counts of the pooled totals, in any order of delivery, and bad messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, DataError, PeerError
from fedcredit.governance.leakage import PublicJob, PublicModel, statement_of
from fedcredit.governance.leakage_tally import tally_disclosures
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.tally import CardPoints, TallyFeature, TallyLabel, TallyPartner, TallyShape
from fedcredit.protocols.tally.shape import MIN_ROWS, step_of
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire import groupsum
from fedcredit.wire import tally as wire
from fedcredit.wire.message import MessageInvalid, message_type

BANK, TAX, WATER, POWER = PARTIES = tuple(map(PartyId, ("bank", "tax", "water", "power")))
SESSION = b"t" * 32


class Case:
    """Points of several parties, each with a card that can give somewhat more than the rows have."""

    def __init__(self, ranges: tuple[tuple[int, int], ...], n: int = 120, levels: int = 16, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.points = [
            CardPoints(rng.integers(low, high + 1, n).astype(np.int64), low - slack, high + slack)
            for (low, high), slack in zip(ranges, rng.integers(0, 3, len(ranges)).tolist(), strict=True)
        ]
        self.labels = (rng.random(n) < 0.3).astype(np.uint8)
        self.n, self.levels = n, levels
        self.counted: np.ndarray | None = None

    @property
    def shape(self) -> TallyShape:
        return TallyShape(SESSION, BANK, PARTIES[1 : len(self.points)], self.n, self.levels)

    def roles(self, seed: int = 1) -> dict[PartyId, Steps[Any]]:
        shape = self.shape
        roles = {BANK: TallyLabel(shape, self.points[0], self.labels, self.counted).steps(insecure_seeded(seed, BANK))}
        roles[TAX] = TallyPartner(shape, self.points[1]).steps(insecure_seeded(seed, TAX))
        for peer, points in zip(shape.further, self.points[2:], strict=True):
            roles[peer] = TallyFeature(shape, peer, points).steps(insecure_seeded(seed, peer))
        return roles

    def in_the_clear(self, step: int) -> np.ndarray:
        """Good and bad rows of each level, from the pooled points."""
        total = sum(np.floor((p.values - p.low) / step + 0.5).astype(int) for p in self.points)
        counts = [np.bincount(total[self.labels == y], minlength=self.levels) for y in (0, 1)]
        return np.stack(counts, axis=1)


def play(case: Case, *, seed: int = 1, **network: Any) -> Outcome:
    return run_network(case.roles(seed), insecure_in_process=True, **network)


CASES = {
    "two parties": Case(((10, 60), (-40, 35)), levels=128),
    "no rounding": Case(((0, 3), (0, 3)), levels=16),
    "four parties": Case(((10, 60), (-40, 35), (0, 90), (-7, 7)), levels=64),
    "parties without points": Case(((0, 0), (0, 0), (0, 0))),
    "label party without points": Case(((0, 0), (0, 50), (0, 80)), levels=32),
    "points as far apart as can be": Case(((-900_000, 900_000), (-900_000, 900_000)), levels=32),
    "few rows": Case(((0, 9), (0, 9)), n=MIN_ROWS),
}


@pytest.mark.parametrize("name", CASES)
def test_the_counts_are_those_of_the_pooled_totals(name: str) -> None:
    case = CASES[name]
    outcome = play(case)
    found = outcome.results[BANK]
    assert np.array_equal(found.counts, case.in_the_clear(found.step))
    assert found.counts.dtype == np.int64
    assert found.low == sum(p.low for p in case.points)
    assert found.scores[1] - found.scores[0] == found.step
    assert [outcome.results[peer] for peer in case.shape.peers] == [None] * len(case.shape.peers)


def test_rows_that_are_left_out_are_counted_nowhere_and_nobody_sees_which() -> None:
    whole, some, none = (Case(((10, 60), (-40, 35), (0, 9)), levels=64) for _ in range(3))
    some.counted = (np.arange(some.n) % 3 == 0).astype(np.uint8)
    none.counted = np.zeros(none.n, np.uint8)
    a, b, c = play(whole), play(some), play(none)
    assert a.traffic == b.traffic == c.traffic
    found = b.results[BANK]
    left = Case(((0, 0),))
    left.points = [CardPoints(p.values[some.counted > 0], p.low, p.high) for p in some.points]
    left.labels, left.levels = some.labels[some.counted > 0], some.levels
    assert np.array_equal(found.counts, left.in_the_clear(found.step))
    assert found.counts.sum() == some.counted.sum()
    assert not c.results[BANK].counts.any()


def test_a_step_of_one_point_rounds_nothing() -> None:
    case = CASES["no rounding"]
    found = play(case).results[BANK]
    total = sum(p.values for p in case.points)
    assert found.step == 1
    for y in (0, 1):
        values, counts = np.unique(total[case.labels == y], return_counts=True)
        there = found.counts[:, y] > 0
        assert np.array_equal(found.scores[there], values)
        assert np.array_equal(found.counts[there, y], counts)


def test_rounded_totals_are_off_by_half_a_step_a_party() -> None:
    """The distribution's mean is off by no more, and a row is not either."""
    case = Case(((0, 300), (0, 200), (-100, 250)), n=400, levels=64)
    found = play(case).results[BANK]
    total = sum(p.values for p in case.points)
    rows = found.counts.sum(axis=1)
    assert found.step > 1
    assert abs(found.scores @ rows / rows.sum() - total.mean()) <= 1.5 * found.step
    # By their order, totals and levels differ by no more than rows can.
    assert np.abs(np.repeat(found.scores, rows) - np.sort(total)).max() <= 1.5 * found.step


@pytest.mark.parametrize("widths", [(2, 3), (1, 2, 1)])
def test_many_blocks_small_windows_and_chunks_give_the_same_counts(
    widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a million rows need: many rounds, bulk messages in many pieces, and a peer that takes one at a time."""
    case = Case(tuple((0, 5 * w) for w in widths), n=333)
    straight = play(case)
    monkeypatch.setattr("fedcredit.protocols.tally.shape.BLOCK_ROWS", 50)
    monkeypatch.setattr("fedcredit.protocols.tally.shares.MAX_CHUNK_ROWS", 40)
    pieces = play(case, window_bytes=1)
    assert np.array_equal(straight.results[BANK].counts, pieces.results[BANK].counts)
    assert len(pieces.traffic) > 1.2 * len(straight.traffic)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), k=st.integers(2, 4), n=st.integers(MIN_ROWS, 90), seed=st.integers(0, 1000))
def test_any_order_of_delivery_gives_the_same_counts_and_messages(
    data: st.DataObject, k: int, n: int, seed: int
) -> None:
    case = Case(((-3, 20), (0, 15), (5, 9), (0, 40))[:k], n=n, seed=seed)
    straight = play(case)
    shuffled = play(case, pick=lambda links: data.draw(st.sampled_from(links)))
    assert np.array_equal(straight.results[BANK].counts, shuffled.results[BANK].counts)
    assert np.array_equal(straight.results[BANK].counts, case.in_the_clear(straight.results[BANK].step))
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


def test_what_a_party_is_sent_depends_on_nobodys_rows() -> None:
    """Other points and labels under the same cards: the same messages, to the byte in length."""
    one, two = (Case(((0, 20), (0, 20), (0, 20)), seed=s) for s in (3, 4))
    two.points = [CardPoints(p.values, q.low, q.high) for p, q in zip(two.points, one.points, strict=True)]
    assert play(one).traffic == play(two).traffic


def test_bytes_are_those_of_the_formula() -> None:
    """What docs/protocols/tally.md says, to the byte but for what protobuf adds to a message."""
    n, levels = 1280, 128
    case = Case(((0, 90), (0, 90), (0, 90)), n=n, levels=levels)
    traffic = play(case).traffic
    setup = ("TransferKey", "TransferChoices", "SeedSums", "ChoiceCorrections", "LevelSums")
    for names, data in (
        (setup, 124 * n + 12_320),
        (("Corrections",), 8 * levels * n),
        (("LevelShares",), 2 * n),
        (("TallySums",), 8 * levels),
        (("PointRange", "TallyStep"), 0),
    ):
        sizes = [size for *_, name, size in traffic if name in names]
        assert sizes
        assert 0 <= sum(sizes) - data <= 24 * len(sizes)


def captured(case: Case, seed: int) -> list[tuple[PartyId, PartyId, Any]]:
    seen = []

    def watch(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        seen.append((link.sender, link.receiver, message_type(tag).decode(body)))
        return tag, body

    play(case, seed=seed, tamper=watch)
    return seen


def test_shares_alone_say_nothing() -> None:
    """All rows of a further party have one level; what L and H get of it is spread over all levels, and adds up."""
    case = Case(((0, 3), (0, 3), (0, 40)), n=4000)
    case.points[2] = CardPoints(np.full(4000, 40, np.int64), 0, 40)
    seen = captured(case, 1)
    shares = {to: m.words for _, to, m in seen if isinstance(m, wire.LevelShares)}
    assert shares.keys() == {BANK, TAX}
    for share in shares.values():
        assert np.bincount(share, minlength=16).min() > 4000 / 16 / 2
    (step,) = {m.step for _, _, m in seen if isinstance(m, wire.TallyStep)}
    assert set(((shares[BANK] + shares[TAX]) % 16).tolist()) == {round(40 / step)}


def test_the_label_party_is_sent_the_counts_under_its_own_share_alone() -> None:
    """What the partner sends of the counts looks uniform, is fresh each time, and nothing else of it is opened."""
    case = CASES["two parties"]
    sums = []
    for seed in (1, 2):
        seen = captured(case, seed)
        assert not [m for *_, m in seen if isinstance(m, groupsum.GroupSums)]
        (words,) = (m.words for *_, m in seen if isinstance(m, wire.TallySums))
        sums.append(words)
    assert not (sums[0] == sums[1]).any()
    assert 2**62 < np.median(sums[0].astype(float)) < 3 * 2**62


@given(
    widths=st.lists(st.integers(0, 2 * wire.MAX_POINTS), min_size=2, max_size=15), levels=st.sampled_from([16, 32, 128])
)
def test_the_step_is_the_finest_that_has_room(widths: list[int], levels: int) -> None:
    def fits(step: int) -> bool:
        return sum(-(-w // step) for w in widths) < levels

    step = step_of(widths, levels)
    assert fits(step)
    assert step <= 2 * wire.MAX_POINTS
    assert step == 1 or not fits(step - 1)


def test_shapes_that_are_none_are_refused() -> None:
    for peers in ((), (BANK,), (TAX, TAX), tuple(PartyId(f"p{k}") for k in range(64))):
        with pytest.raises(ConfigError):
            TallyShape(SESSION, BANK, peers, 100)
    for levels in (0, 8, 100, 256, -16):
        with pytest.raises(ConfigError):
            TallyShape(SESSION, BANK, (TAX,), 100, levels)
    with pytest.raises(ConfigError):
        TallyShape(SESSION, BANK, tuple(PartyId(f"p{k}") for k in range(15)), 100, 16)
    for n, code in ((0, "ROWS_TOO_FEW"), (MIN_ROWS - 1, "ROWS_TOO_FEW"), (wire.MAX_ROWS + 1, "ROWS_TOO_MANY")):
        with pytest.raises(DataError) as error:
            TallyShape(SESSION, BANK, (TAX,), n)
        assert error.value.code == code
    with pytest.raises(ValueError, match="32 bytes"):
        TallyShape(b"short", BANK, (TAX,), 100)


def test_points_and_labels_that_are_none_are_refused() -> None:
    n = MIN_ROWS
    shape, zeros = TallyShape(SESSION, BANK, (TAX, WATER), n), np.zeros(n, np.int64)
    card = CardPoints(zeros, 0, 1)
    for bad in (
        lambda: CardPoints(zeros + 2, 0, 1),
        lambda: CardPoints(zeros - 1, 0, 1),
        lambda: CardPoints(zeros, 1, 0),
        lambda: CardPoints(zeros, 0, wire.MAX_POINTS + 1),
        lambda: CardPoints(zeros.astype(np.float64), 0, 1),
        lambda: TallyPartner(shape, CardPoints(zeros[1:], 0, 1)),
        lambda: TallyLabel(shape, card, np.zeros(n - 1, np.uint8)),
        lambda: TallyLabel(shape, card, np.full(n, 2, np.uint8)),
        lambda: TallyLabel(shape, card, np.zeros(n, np.uint8), np.zeros(n - 1, np.uint8)),
        lambda: TallyLabel(shape, card, np.zeros(n, np.uint8), np.full(n, 2, np.uint8)),
        lambda: TallyLabel(shape, card, np.zeros(n, np.uint8), np.zeros(n, np.int64)),  # type: ignore[arg-type]
        lambda: TallyFeature(shape, TAX, card),
        lambda: TallyFeature(shape, POWER, card),
    ):
        with pytest.raises(ValueError):
            bad()


def test_messages_that_are_none_are_refused() -> None:
    for make in (
        lambda: wire.PointRange(2, 1),
        lambda: wire.PointRange(0, wire.MAX_POINTS + 1),
        lambda: wire.TallyStep(0),
        lambda: wire.LevelShares(0, np.full(3, wire.MAX_LEVELS, np.uint8)),
        lambda: wire.TallySums(np.zeros(wire.MAX_LEVELS + 1, np.uint64)),
    ):
        with pytest.raises(MessageInvalid):
            make()
    for message in (wire.PointRange(-7, -3), wire.LevelShares(5, np.arange(9, dtype=np.uint8))):
        assert type(message).decode(message.encode()).encode() == message.encode()


def test_points_do_not_show_in_what_is_printed() -> None:
    case = CASES["two parties"]
    role = TallyLabel(case.shape, case.points[0], case.labels)
    assert "array" not in repr(role) + repr(case.points[0]) + repr(play(case).results[BANK])


def tampering(kind: type[Any], number: int, make: Callable[[Any], Any], sender: PartyId) -> Callable[..., Any]:
    """Change the message of one kind and number that `sender` sends."""
    seen: list[int] = []

    def tamper(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if not isinstance(message, kind) or link.sender != sender:
            return tag, body
        seen.append(1)
        if len(seen) != number + 1:
            return tag, body
        other = make(message)
        return other.tag, other.encode()

    return tamper


def one_more(words: np.ndarray, row: int, by: int) -> np.ndarray:
    changed = words.copy()
    changed[row] = (int(words[row]) + by) % 2**64
    return changed


BAD: dict[str, tuple[type[Any], int, Callable[[Any], Any], PartyId, str]] = {
    "a step too fine": (wire.TallyStep, 0, lambda m: wire.TallyStep(1), BANK, "SHAPE"),
    "shares of other rows": (
        wire.LevelShares,
        0,
        lambda m: wire.LevelShares(m.first + 1, m.words),
        WATER,
        "SHAPE",
    ),
    "shares missing": (wire.LevelShares, 1, lambda m: wire.LevelShares(0, m.words[1:].copy()), WATER, "SHAPE"),
    "a share that is no level": (wire.LevelShares, 0, lambda m: wire.LevelShares(0, m.words + 100), WATER, "SHAPE"),
    "sums missing": (wire.TallySums, 0, lambda m: wire.TallySums(m.words[1:].copy()), TAX, "SHAPE"),
    "a row more": (wire.TallySums, 0, lambda m: wire.TallySums(one_more(m.words, 3, 1 << 32)), TAX, "COUNTS_INVALID"),
    "a bad row more": (wire.TallySums, 0, lambda m: wire.TallySums(one_more(m.words, 3, 1)), TAX, "COUNTS_INVALID"),
    "less than nothing": (
        wire.TallySums,
        0,
        lambda m: wire.TallySums(one_more(one_more(m.words, 2, -(60 << 32)), 3, 60 << 32)),
        TAX,
        "COUNTS_INVALID",
    ),
    "corrections of another round": (
        groupsum.Corrections,
        0,
        lambda m: groupsum.Corrections(m.round + 1, m.first, m.words),
        BANK,
        "SHAPE",
    ),
    "another kind": (wire.PointRange, 0, lambda m: wire.TallyStep(1), TAX, "UNEXPECTED_MESSAGE"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_peer_that_breaks_the_protocol_is_named(name: str) -> None:
    kind, number, make, culprit, code = BAD[name]
    case = Case(((0, 20), (0, 40), (0, 30)), n=60, seed=4)
    with pytest.raises(PeerError) as caught:
        play(case, tamper=tampering(kind, number, make, culprit))
    assert (caught.value.culprit, caught.value.code) == (culprit, code)


def test_the_table_says_who_learns_what_and_roles_and_messages_say_it_too() -> None:
    model = PublicModel(name="card", kind="linear")
    two, three = (
        list(tally_disclosures(PublicJob(platform=POWER, label_party=BANK, feature_parties=peers), model))
        for peers in ((TAX,), (TAX, WATER))
    )
    assert {(row.id, row.parties, row.about) for row in two} == {
        ("scorecard.tally", (BANK,), (TAX,)),
        ("scorecard.range", (BANK,), (TAX,)),
        ("scorecard.step", (TAX,), (BANK,)),
    }
    assert {row.id for row in three} == {"scorecard.tally", "scorecard.range", "scorecard.step", "scorecard.shares"}
    (shares,) = (row for row in three if row.id == "scorecard.shares")
    assert (shares.parties, shares.about) == ((BANK, TAX), (WATER,))
    for kind in (TallyLabel, TallyPartner, TallyFeature, *(getattr(wire, n) for n in wire.__all__ if n[0] != "M")):
        assert statement_of(kind).reveals
