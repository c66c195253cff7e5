"""What messages of a sum say: nothing but the sum. Bytes are counted, and views of parties in league are explained.

An explanation: with other inputs that have the same sum, and with other secrets of those that are not in league, the
same messages come out, to the byte. As these secrets are as likely, who sees the messages cannot tell the inputs apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from aggregate_cases import (
    MOST,
    SESSION,
    UNIFORM,
    Recorder,
    added,
    blocks,
    chi_square,
    groups,
    members,
    surviving,
    totals,
)
from aggregate_cases import vectors as drawn

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.kernels.masks import add_masks
from fedcredit.protocols.aggregate import Round, group
from fedcredit.protocols.aggregate.dealing import Dealt
from fedcredit.transport.memory import Link
from fedcredit.wire.aggregate import Deal, DealsHeld, MaskedWords, MembersLeft, SecretShares, SumWords

FIVE = members(5)
LEADER = FIVE[0]
U64 = np.ndarray


def extreme(n: int, length: int) -> dict[PartyId, U64]:
    """As unlike uniform as can be: all zeros, all ones, a small count."""
    kinds = [np.zeros(length, np.uint64), np.full(length, MOST), np.full(length, 3, np.uint64)]
    return {me: kinds[k % 3] for k, me in enumerate(members(n))}


def subsets(names: Sequence[PartyId]) -> Iterable[tuple[PartyId, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(names, k) for k in range(1, len(names) + 1))


def test_the_measure_tells_what_is_not_uniform() -> None:
    assert UNIFORM[0] < chi_square(insecure_seeded(1).bytes(1 << 16)) < UNIFORM[1]
    assert chi_square(drawn(1, 8192)[LEADER].astype("<u8").tobytes()) < UNIFORM[1]
    nearly = np.frombuffer(insecure_seeded(1).bytes(1 << 16), np.uint8).copy()
    nearly[::20] = 7
    assert chi_square(nearly.tobytes()) > UNIFORM[1]


@pytest.mark.parametrize("how", ["total", "blocks"])
def test_all_but_the_sum_is_uniform(how: str) -> None:
    """Of a round with everybody, over many starts; and so are sums of any members' messages, but for those of all."""
    length, words = 64, dict.fromkeys(subsets(FIVE[1:]), b"")
    values = extreme(5, length)
    for seed in range(100):
        recorder, of = Recorder(), groups(5, seed=seed)
        if how == "total":
            totals(of, "x", values, tamper=recorder)
        else:
            blocks(of, "x", values, [length, 0, 0, 0, 0], tamper=recorder)
        sent = {link.sender: message.words for link, message in recorder.of(MaskedWords)}
        assert sent.keys() == set(FIVE[1:])
        kinds = {type(message) for _, message in recorder.messages}
        assert kinds == ({MaskedWords, SumWords} if how == "total" else {MaskedWords})
        for names in words:
            words[names] += added(sent, names).astype("<u8").tobytes()
    for data in words.values():
        assert UNIFORM[0] < chi_square(data) < UNIFORM[1]


def test_all_but_the_sum_and_who_is_left_is_uniform_where_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "CHUNK_WORDS", 32)
    values = extreme(5, 64)
    found: dict[str, bytes] = dict.fromkeys(["words", "late words", "shares dealt", "hashes", "shares shown"], b"")
    for seed in range(100):
        recorder = Recorder()
        # The last one is lost when the first of its two messages of words is sent.
        outcome = surviving(values, threshold=4, seed=seed, tamper=recorder, silent={FIVE[4]: 6})
        assert outcome.results[LEADER].members == FIVE[:4]
        for link, message in recorder.messages:
            match message:
                case MaskedWords():
                    late = link.sender == FIVE[4]
                    found["late words" if late else "words"] += message.words.astype("<u8").tobytes()
                case Deal():
                    found["shares dealt"] += message.shares.tobytes()
                    # The same hashes go to everybody.
                    found["hashes"] += message.checks.tobytes() if link.receiver in FIVE[:2] else b""
                case SecretShares():
                    found["shares shown"] += message.shares.tobytes()
                case MembersLeft() | DealsHeld():
                    assert message.members.tolist() in ([1, 1, 1, 1, 1], [1, 1, 1, 1, 0])
                case SumWords():
                    run = slice(message.first, message.first + message.words.size)
                    assert np.array_equal(message.words, added(values, FIVE[:4])[run])
                case _:
                    raise AssertionError(type(message))
    # Hashes go twice to each of two, so their measure is twice as large at most.
    for what, data in found.items():
        high = 2 * UNIFORM[1] if what == "hashes" else UNIFORM[1]
        assert UNIFORM[0] < chi_square(data) < high, what


def test_traffic_does_not_depend_on_what_is_summed() -> None:
    zero = {me: np.zeros(50, np.uint64) for me in FIVE}
    assert totals(groups(5), "x", zero).traffic == totals(groups(5), "x", extreme(5, 50)).traffic
    assert surviving(zero, silent={FIVE[2]: 5}).traffic == surviving(extreme(5, 50), silent={FIVE[2]: 5}).traffic


class Streams:
    """In place of the masks' streams: those of some keys shifted by other words, which are as likely."""

    def __init__(self) -> None:
        self.shifts: dict[bytes, U64] = {}

    def __call__(self, into: U64, keys: Sequence[bytes], subtract: Sequence[bool], first: int) -> None:
        add_masks(into, keys, subtract, first)
        for key, negative in zip(keys, subtract, strict=True):
            if key in self.shifts:
                shift = self.shifts[key][first : first + into.size]
                into += -shift if negative else shift


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    made = Streams()
    monkeypatch.setattr(group, "add_masks", made)
    monkeypatch.setattr(group, "CHUNK_WORDS", 4)
    return made


def other_inputs(values: dict[PartyId, U64], honest: Sequence[PartyId], seed: int = 5) -> dict[PartyId, U64]:
    """Other vectors of the honest ones, with the same sum of theirs."""
    made, rng = dict(values), np.random.default_rng(seed)
    for me in honest[:-1]:
        made[me] = rng.integers(0, 2**64, values[me].size, np.uint64)
    made[honest[-1]] = added(values, honest) - added(made, honest[:-1])
    return made


def explain(streams: Streams, before: dict, after: dict, honest: Sequence[PartyId], key_of) -> None:
    """Shift the masks between one honest member and the next by what their inputs differ in, so that sums stay."""
    owed = np.zeros_like(before[honest[0]])
    for one, other in itertools.pairwise(honest):
        # `one` adds this mask and `other` subtracts it.
        owed = owed + before[one] - after[one]
        streams.shifts[key_of(one, other)] = owed


@pytest.mark.parametrize("how", ["total", "blocks"])
@pytest.mark.parametrize("helper", FIVE[1:])
def test_leader_and_a_member_see_nothing_but_the_sum_of_the_others(how: str, helper: PartyId, streams: Streams) -> None:
    values = drawn(5, 9)
    honest = [me for me in FIVE if me not in (LEADER, helper)]
    others = other_inputs(values, honest)
    assert not any(np.array_equal(values[me], others[me]) for me in honest)

    def view(inputs: dict[PartyId, U64]) -> list[tuple[Link, bytes]]:
        recorder, of = Recorder(), groups(5)
        if how == "total":
            totals(of, "x", inputs, tamper=recorder)
        else:
            # One block, at the leader: elsewhere it would learn less.
            blocks(of, "x", inputs, [9, 0, 0, 0, 0], tamper=recorder)
        return recorder.seen_by(LEADER, helper)

    first = view(values)
    assert view(others) != first

    def key_of(one: PartyId, other: PartyId) -> bytes:
        of, place = groups(5)[one], FIVE.index(other)
        mask = of.mask("x", 9)
        return mask._keys[place if place < of.place else place - 1]

    explain(streams, values, others, honest, key_of)
    assert view(others) == first
    # With all that both hold, every sum over some of the others is uniform, and that over all of them is theirs.
    stripped = strip(first, helper, groups(5))
    assert np.array_equal(added(stripped, honest), added(values, honest))
    for names in subsets(honest[:-1]):
        assert not np.array_equal(added(stripped, names), added(values, names))


def strip(view: list[tuple[Link, bytes]], helper: PartyId, of: dict) -> dict[PartyId, U64]:
    """The others' words without the masks that the leader and its helper know."""
    found: dict[PartyId, list[U64]] = {}
    for link, body in view:
        # Keys are 34 bytes, and come in no round.
        if link.receiver == LEADER and link.sender != helper:
            found.setdefault(link.sender, []).append(MaskedWords.decode(body).words)
    stripped = {sender: np.concatenate(parts) for sender, parts in found.items()}
    masks = {ally: of[ally].mask("x", 9) for ally in (LEADER, helper)}
    for ally, mask in masks.items():
        places = [place for place in range(5) if place != FIVE.index(ally)]
        for place, key, subtract in zip(places, mask._keys, mask._subtract, strict=True):
            if FIVE[place] in stripped:
                # What the ally adds, the other subtracts.
                add_masks(stripped[FIVE[place]], [key], [subtract], 0)
    return stripped


def secrets(session: bytes, label: str, n_words: int, seed: int) -> tuple[dict[PartyId, Round], dict[PartyId, Dealt]]:
    """What each drew in a surviving round: its randomness is known here."""
    of = {me: Round(me, FIVE, session, label, 4, n_words) for me in FIVE}
    return of, {me: Dealt.fresh(of[me], insecure_seeded(seed, me)) for me in FIVE}


@pytest.mark.parametrize("sent", [0, 1, 2], ids=["no words", "some words", "all but the last words"])
def test_leader_and_a_member_see_nothing_of_who_is_lost_and_the_sum_of_who_is_left(sent: int, streams: Streams) -> None:
    values, helper, lost = drawn(5, 9), FIVE[1], FIVE[4]
    honest = [FIVE[2], FIVE[3]]
    others = other_inputs(values, honest)
    others[lost] = np.arange(9, dtype=np.uint64)

    def view(inputs: dict[PartyId, U64]) -> list[tuple[Link, bytes]]:
        recorder = Recorder()
        outcome = surviving(inputs, threshold=4, tamper=recorder, silent={lost: 5 + sent})
        assert outcome.results[LEADER].members == FIVE[:4]
        assert np.array_equal(outcome.results[LEADER].words, added(inputs, FIVE[:4]))
        return recorder.seen_by(LEADER, helper)

    first = view(values)
    assert view(others) != first
    of, drew = secrets(SESSION, "round", 9, 1)

    def key_of(one: PartyId, other: PartyId) -> bytes:
        return of[one].mask_key(drew[one].key, FIVE.index(one), drew[other].key.public, FIVE.index(other))

    explain(streams, values, others, honest, key_of)
    # Shares of the key of who is lost are shown, so only its own mask hides what it sent. Its seed is never shown.
    own = of[lost].self_mask_key(drew[lost].seed, FIVE.index(lost))
    streams.shifts[own] = values[lost] - others[lost]
    assert view(others) == first


def test_of_no_member_both_secrets_are_shown(streams: Streams) -> None:
    recorder = Recorder()
    surviving(drawn(5, 9), threshold=4, tamper=recorder, silent={FIVE[4]: 6})
    _, drew = secrets(SESSION, "round", 9, 1)
    answers = recorder.of(SecretShares)
    assert {link.sender for link, _ in answers} == set(FIVE[1:4])
    for link, message in answers:
        place = FIVE.index(link.sender)
        for row, dealer in enumerate(FIVE[1:]):
            seed, key = drew[dealer].to(place).shares
            assert np.array_equal(message.shares[row], key if dealer == FIVE[4] else seed)


def test_no_mask_serves_twice() -> None:
    """The same inputs under another label, in another start, of another length or in blocks are other words."""
    values = extreme(5, 40)
    seen: list[U64] = []

    def note(recorder: Recorder) -> None:
        for _, message in recorder.of(MaskedWords):
            seen.append(message.words)

    of = groups(5)
    later = groups(5, session=bytes(32))
    for label, members_of in (("a", of), ("b", of), ("a", later)):
        totals(members_of, label, values, tamper=(recorder := Recorder()))
        note(recorder)
    totals(
        of, "longer", {me: np.append(words, words[:1]) for me, words in values.items()}, tamper=(recorder := Recorder())
    )
    note(recorder)
    blocks(of, "blocks", values, [8] * 5, tamper=(recorder := Recorder()))
    note(recorder)
    for label, session, seed in (("a", SESSION, 1), ("b", SESSION, 1), ("a", bytes(32), 1), ("a", SESSION, 2)):
        surviving(values, label=label, session=session, seed=seed, tamper=(recorder := Recorder()))
        note(recorder)
    everything = np.concatenate(seen)
    assert len(np.unique(everything)) == everything.size
    # Nor does the difference of two rounds say anything: one mask less another is none that came before.
    same_length = [words for words in seen if words.size == 40]
    differences = np.concatenate([one - other for one, other in itertools.combinations(same_length, 2)])
    assert len(np.unique(differences)) == differences.size


def test_the_same_keys_and_label_but_another_length_is_another_mask() -> None:
    of = groups(5)[LEADER]
    again = groups(5)[LEADER]
    assert not {*of.mask("x", 9)._keys} & {*again.mask("x", 10)._keys}
    assert {*groups(5)[LEADER].mask("x", 9)._keys} == {*groups(5)[LEADER].mask("x", 9)._keys}


def test_keys_are_fresh_in_every_start() -> None:
    publics: set[bytes] = set()
    for seed in range(3):
        of = groups(3, seed=seed)
        keys = {key for one in of.values() for key in one._pair_keys if key}
        assert len(keys) == 3
        assert not keys & publics
        publics |= keys
