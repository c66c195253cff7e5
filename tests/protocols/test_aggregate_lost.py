"""Sums that survive losses: whoever is lost, whenever; what does not survive is a typed error; bad peers are named."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from aggregate_cases import SESSION, added, members, surviving, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import (
    LeftOut,
    Round,
    SurvivingSum,
    TooFewLeft,
    dealing,
    default_threshold,
    group,
    refuse_threshold,
)
from fedcredit.protocols.aggregate import surviving as rounds
from fedcredit.transport.memory import Link, Outcome
from fedcredit.wire.aggregate import (
    GO_ON,
    SEND_WORDS,
    SHOW_SHARES,
    Deal,
    DealsHeld,
    MaskedWords,
    MembersLeft,
    SecretShares,
    SumWords,
)
from fedcredit.wire.message import Message, message_type

FIVE = members(5)
LEADER = FIVE[0]


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five words make three messages, of which one is sent unasked."""
    monkeypatch.setattr(group, "CHUNK_WORDS", 2)
    monkeypatch.setattr(rounds, "_UNASKED", 1)


def check(outcome: Outcome, values: dict) -> set[PartyId]:
    """Those that got a sum, which is of those whose words are in it, and the same at all."""
    done = {me for me in values if me not in outcome.lost}
    named = {outcome.results[me].members for me in done}
    assert len(named) <= 1
    for me in done:
        assert np.array_equal(outcome.results[me].words, added(values, outcome.results[me].members))
    return done


@pytest.mark.parametrize("n", range(3, 11))
@pytest.mark.parametrize("length", [0, 3, 500])
def test_with_everybody_there_it_is_the_sum(n: int, length: int) -> None:
    values = vectors(n, length)
    outcome = surviving(values)
    assert check(outcome, values) == set(values)
    assert outcome.results[members(n)[0]].members == members(n)


@pytest.mark.slow
def test_a_hundred_members_lose_a_third() -> None:
    values = vectors(100, 3)
    outcome = surviving(values, silent=dict.fromkeys(members(100)[67:], 100))
    assert check(outcome, values) == set(members(67))


def messages_of_each() -> Counter[PartyId]:
    return Counter(sender for sender, *_ in surviving(vectors(5, 5), threshold=4).traffic)


@pytest.mark.parametrize("at_once", [False, True], ids=["late", "at once"])
@pytest.mark.parametrize("lost", FIVE)
def test_whoever_is_lost_whenever(lost: PartyId, at_once: bool, small_messages: None) -> None:
    values = vectors(5, 5)
    sent = messages_of_each()[lost]
    # To four members; what each hears, and three messages of words; shares. The leader says more.
    assert sent >= 4 + 1 + 3 + 1
    for after in range(sent + 1):
        outcome = surviving(values, threshold=4, silent={lost: after}, at_once=at_once)
        done = check(outcome, values)
        assert lost not in done
        if lost != LEADER:
            assert done == set(FIVE) - {lost}
            # Half of a vector is never in a sum: it takes four deals, a report and all three messages of words.
            assert (lost in outcome.results[LEADER].members) == (after >= 4 + 1 + 3)
        else:
            assert bool(done) == (after > sent - 4)
            assert all(isinstance(outcome.lost[me], PeerLost) for me in set(FIVE) - done)
            assert all(outcome.lost[me].culprit == LEADER for me in set(FIVE[1:]) - done)


def test_two_that_are_lost_are_too_many_for_a_threshold_of_four(small_messages: None) -> None:
    values, sent = vectors(5, 5), messages_of_each()
    for one, other in itertools.combinations(FIVE[1:], 2):
        for after, then in itertools.product(range(0, sent[one], 3), range(0, sent[other], 2)):
            outcome = surviving(values, threshold=4, silent={one: after, other: then})
            assert not check(outcome, values)
            error = outcome.lost[LEADER]
            assert isinstance(error, TooFewLeft)
            assert error.exit_status == 69
            assert {*error.lost} == {one, other}
            assert error.culprit in (one, other)
            assert all(outcome.lost[me].culprit == LEADER for me in FIVE[1:] if me not in (one, other))


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_two_of_seven_are_lost_in_any_order_of_delivery(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "CHUNK_WORDS", 2)
        patch.setattr(rounds, "_UNASKED", 1)
        values = vectors(7, 5)
        names = members(7)
        lost = data.draw(st.lists(st.sampled_from(names[1:]), min_size=2, max_size=2, unique=True))
        silent = {me: data.draw(st.integers(0, 11)) for me in lost}
        at_once = data.draw(st.booleans())
        outcome = surviving(
            values, silent=silent, at_once=at_once, pick=lambda links: data.draw(st.sampled_from(links))
        )
        done = check(outcome, values)
        assert done >= set(names) - set(lost)


def test_of_two_without_a_link_one_is_left_out(small_messages: None) -> None:
    values = vectors(5, 5)
    for one, other in itertools.combinations(FIVE[1:], 2):
        outcome = surviving(values, threshold=4, cut=[Link(one, other), Link(other, one)])
        assert check(outcome, values) == set(FIVE) - {other}
        assert isinstance(outcome.lost[other], LeftOut)
        assert outcome.lost[other].culprit == LEADER
    # One way is enough: two that do not both have the other's deal cannot mask together.
    outcome = surviving(values, threshold=4, cut=[Link(FIVE[1], FIVE[2])])
    assert check(outcome, values) == set(FIVE) - {FIVE[2]}


def test_of_several_links_down_who_lacks_most_goes() -> None:
    values = vectors(7, 3)
    names = members(7)
    cut = [Link(*pair) for k in (2, 4, 6) for pair in ((names[1], names[k]), (names[k], names[1]))]
    outcome = surviving(values, cut=cut)
    assert check(outcome, values) == set(names) - {names[1]}


def test_one_that_the_leader_cannot_hear_finds_that_out(small_messages: None) -> None:
    values = vectors(5, 5)
    outcome = surviving(values, threshold=4, cut=[Link(FIVE[3], LEADER), Link(LEADER, FIVE[3])])
    assert check(outcome, values) == set(FIVE) - {FIVE[3]}
    assert (outcome.lost[FIVE[3]].culprit, outcome.lost[FIVE[3]].exit_status) == (LEADER, 69)


@pytest.mark.slow
def test_a_full_window_does_not_hold_up_who_is_left() -> None:
    values = vectors(5, 20 << 17)
    for after in (5, 12, 26):
        outcome = surviving(values, threshold=4, silent={FIVE[2]: after})
        assert check(outcome, values) == set(FIVE) - {FIVE[2]}


def test_ten_members_with_a_million_values_send_little_more_than_a_plain_sum() -> None:
    length, names = 1_000_000, members(10)
    values = vectors(10, length)
    # Two are lost after they have masked: when they have sent all but the last of their messages of words.
    messages = 9 + 1 + -(-length // (1 << 17))
    outcome = surviving(values, silent={names[4]: messages - 1, names[7]: messages})
    assert check(outcome, values) == set(names) - {names[4], names[7]}
    assert names[7] in outcome.results[names[0]].members
    assert names[4] not in outcome.results[names[0]].members
    plain = 2 * 9 * 8 * length
    assert sum(size for *_, size in outcome.traffic) <= 1.1 * plain + (64 << 10) * 45


def test_thresholds_that_a_leader_alone_could_get_around_are_refused() -> None:
    for n in range(3, 130):
        refuse_threshold(default_threshold(n), n)
        for threshold in range(n + 2):
            # The leader tells some that a member is left, the others that it is not, and has its own share of both.
            alone = max(min(told, n - 1 - told) + 1 for told in range(n))
            safe = 3 <= threshold <= n and threshold > alone
            if not safe:
                with pytest.raises(ConfigError) as refused:
                    refuse_threshold(threshold, n)
                assert refused.value.code == "AGGREGATE_THRESHOLD"
    assert [default_threshold(n) for n in (2, 3, 4, 5, 6, 10, 100)] == [2, 3, 3, 4, 5, 7, 67]


Change = Callable[[Message, Link], Message]


def play_with(change: Change, culprit: PartyId, *, silent: dict | None = None) -> PeerError:
    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if link.sender == culprit:
            message = change(message, link)
        return message.tag, message.encode()

    with pytest.raises(PeerError) as raised:
        surviving(vectors(5, 5), threshold=4, tamper=tamper, silent=silent)
    return raised.value


def of(kind: type[Message], make: Callable) -> Change:
    return lambda message, link: make(message) if isinstance(message, kind) else message


def flipped(array: np.ndarray, at: tuple) -> np.ndarray:
    array = array.copy()
    array[at] ^= 1
    return array


def with_members(step: int, *places: int) -> Change:
    flags = np.zeros(5, np.uint8)
    flags[list(places)] = 1
    return of(MembersLeft, lambda m: MembersLeft(m.step, flags) if m.step == step else m)


BY_MEMBERS = {
    "deal of a low-order key": (of(Deal, lambda m: Deal(bytes(32), m.shares, m.checks)), "KEY_INVALID"),
    "share of a seed": (of(Deal, lambda m: Deal(m.public, flipped(m.shares, (0, 3)), m.checks)), "SHARE_INVALID"),
    "share of a key": (of(Deal, lambda m: Deal(m.public, flipped(m.shares, (1, 3)), m.checks)), "SHARE_INVALID"),
    "checks of others": (of(Deal, lambda m: Deal(m.public, m.shares, m.checks[:-1])), "SHAPE"),
    "report of others": (of(DealsHeld, lambda m: DealsHeld(m.members[:-1])), "SHAPE"),
    "words out of order": (of(MaskedWords, lambda m: MaskedWords(m.first + 2, m.words)), "SHAPE"),
    "words too few": (of(MaskedWords, lambda m: MaskedWords(m.first, m.words[:1])), "SHAPE"),
    "words too many": (of(MaskedWords, lambda m: MaskedWords(m.first, np.resize(m.words, 3))), "SHAPE"),
    "other share": (of(SecretShares, lambda m: SecretShares(flipped(m.shares, (1, 7)))), "SHARE_INVALID"),
    "shares too few": (of(SecretShares, lambda m: SecretShares(m.shares[1:])), "SHAPE"),
    "type": (of(DealsHeld, lambda m: SecretShares(np.zeros((1, 32), np.uint8))), "UNEXPECTED_MESSAGE"),
}
BY_LEADER = {
    "no deal of it": (with_members(SEND_WORDS, 0, 1, 2, 3), "", {FIVE[3]: 1}),
    "too few": (with_members(SEND_WORDS, 0, 1, 2), "MEMBERS_INVALID", None),
    "without the leader": (with_members(SEND_WORDS, 1, 2, 3, 4), "MEMBERS_INVALID", None),
    "others to go on": (with_members(GO_ON, 0, 1, 2, 4), "MEMBERS_INVALID", None),
    "too few survivors": (with_members(SHOW_SHARES, 0, 1, 2), "MEMBERS_INVALID", None),
    "one back from the dead": (with_members(SHOW_SHARES, 0, 1, 2, 3, 4), "MEMBERS_INVALID", {FIVE[4]: 2}),
    "of another number": (of(MembersLeft, lambda m: MembersLeft(m.step, np.ones(6, np.uint8))), "SHAPE", None),
    "asked twice": (
        of(SumWords, lambda m: MembersLeft(SHOW_SHARES, np.ones(5, np.uint8))),
        "UNEXPECTED_MESSAGE",
        None,
    ),
    "asked too early": (
        of(MembersLeft, lambda m: MembersLeft(SHOW_SHARES, m.members)),
        "UNEXPECTED_MESSAGE",
        None,
    ),
    "other words": (of(SumWords, lambda m: SumWords(m.first, m.words[:1])), "SHAPE", None),
}


@pytest.mark.parametrize("name", BY_MEMBERS)
def test_a_member_that_sends_what_it_should_not_is_named(name: str, small_messages: None) -> None:
    change, code = BY_MEMBERS[name]
    error = play_with(change, FIVE[2])
    assert (error.culprit, error.code) == (FIVE[2], code)


@pytest.mark.parametrize("name", [name for name, (_, code, _) in BY_LEADER.items() if code])
def test_a_leader_that_says_what_cannot_be_is_named(name: str, small_messages: None) -> None:
    change, code, silent = BY_LEADER[name]
    error = play_with(change, LEADER, silent=silent)
    assert (error.culprit, error.code) == (LEADER, code)


@pytest.mark.parametrize("which", ["key", "no polynomial"])
def test_a_dealer_of_bad_shares_is_named_when_they_are_needed(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It deals shares, with hashes that fit them, of another key than it published, or of nothing at all."""
    honest = dealing.split
    dealt = itertools.count()

    def split(secrets: np.ndarray, n: int, threshold: int, randomness: object) -> np.ndarray:
        shares = honest(secrets, n, threshold, randomness)
        if next(dealt) != 3:
            return shares
        # What is off by the same at all holders is a secret that is off by that.
        shares[:, 1, 0] ^= 8 if which == "key" else np.arange(n, dtype=np.uint8) ** 3
        return shares

    monkeypatch.setattr(dealing, "split", split)
    # All deal in the order of their names; the fourth is lost before it sends words, and one share more is to hand.
    with pytest.raises(PeerError) as raised:
        surviving(vectors(6, 3), threshold=4, silent={FIVE[3]: 6})
    assert (raised.value.culprit, raised.value.code) == (
        FIVE[3],
        "SHARE_INVALID" if which == "key" else "SHARES_DIFFER",
    )


def test_what_is_no_round_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        Round(LEADER, FIVE, SESSION, "x", 2, 3)
    assert refused.value.code == "AGGREGATE_THRESHOLD"
    this = Round(LEADER, FIVE, SESSION, "x", 4, 3)
    with pytest.raises(ValueError, match="words"):
        next(SurvivingSum(this, np.zeros(4, np.uint64)).steps(insecure_seeded(1)))
