"""Sums over all members: what comes out, in any order of delivery, at what cost, and who is named for what is bad."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from aggregate_cases import SESSION, added, blocks, groups, members, totals, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, FedcreditError, PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import agree, group, total
from fedcredit.transport.memory import Link, run_network
from fedcredit.wire.aggregate import CHUNK_WORDS, MaskedWords, MemberKey, SumWords
from fedcredit.wire.message import Message, message_type

LEADER = members(1)[0]


@pytest.mark.parametrize("n", range(2, 11))
def test_everybody_gets_the_sum_and_each_its_block(n: int) -> None:
    of = groups(n)
    for length in (0, 1, 3, 1000):
        values = vectors(n, length)
        outcome = totals(of, f"total-{length}", values)
        assert all(np.array_equal(outcome.results[me], added(values)) for me in of)
        sizes = [length // n + (k < length % n) for k in range(n)]
        outcome = blocks(of, f"blocks-{length}", values, sizes)
        assert np.array_equal(np.concatenate([outcome.results[me] for me in of]), added(values))
        assert [outcome.results[me].size for me in of] == sizes


def test_a_hundred_members() -> None:
    values = vectors(100, 3)
    outcome = totals(groups(100), "rows", values)
    assert all(np.array_equal(result, added(values)) for result in outcome.results.values())
    # One message up and one down, however many members there are.
    assert len(outcome.traffic) == 2 * 99


@pytest.mark.parametrize("length", [CHUNK_WORDS, 9 * CHUNK_WORDS + 5])
def test_long_vectors_go_in_messages_and_need_no_second_array(length: int, tmp_path: Path) -> None:
    of, values = groups(3), vectors(3, length)
    expected = added(values)
    on_disk = np.memmap(tmp_path / "sum", np.uint64, "w+", shape=(length,))
    names = members(3)
    into = {names[0]: values[names[0]], names[1]: on_disk, names[2]: values[names[2]]}
    roles = {me: total(of[me], "long", values[me], into=into[me]) for me in names}
    results = run_network(roles, insecure_in_process=True, window_bytes=6 << 20).results
    for me in names:
        assert results[me] is into[me]
        assert np.array_equal(results[me], expected)


@pytest.mark.parametrize("messages", [4, 24])
def test_memory_does_not_grow_with_the_vector(messages: int) -> None:
    """Beside the vectors: what three members have under way, a few messages of a MiB each."""
    of, values = groups(3), vectors(3, messages * CHUNK_WORDS)
    roles = {me: total(of[me], "long", values[me], into=values[me]) for me in of}
    tracemalloc.start()
    try:
        run_network(roles, insecure_in_process=True)
        assert tracemalloc.get_traced_memory()[1] < 14 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sizes", [[3, 0, 5 * CHUNK_WORDS], [0, 0, 1], [9 * CHUNK_WORDS, 1, CHUNK_WORDS + 1]])
def test_blocks_of_very_different_sizes(sizes: list[int]) -> None:
    values = vectors(3, sum(sizes))
    outcome = blocks(groups(3), "blocks", values, sizes, window_bytes=6 << 20)
    assert np.array_equal(np.concatenate([outcome.results[me] for me in members(3)]), added(values))


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_order_of_delivery_gives_the_same(data: st.DataObject) -> None:
    names = members(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "CHUNK_WORDS", 2)
        values = vectors(4, 11)

        def pick(links: list[Link]) -> Link:
            return data.draw(st.sampled_from(links))

        roles = {me: agree(me, names, SESSION, insecure_seeded(1, me)) for me in names}
        of = run_network(roles, insecure_in_process=True, pick=pick).results
        assert all(np.array_equal(r, added(values)) for r in totals(of, "t", values, pick=pick).results.values())
        outcome = blocks(of, "b", values, [5, 0, 6, 0], pick=pick)
        assert np.array_equal(np.concatenate([outcome.results[me] for me in names]), added(values))


@pytest.mark.parametrize("n", [3, 10])
def test_bytes_are_those_of_a_plain_sum(n: int) -> None:
    length = 200_000
    of, values = groups(n), vectors(n, length)
    plain = 2 * (n - 1) * 8 * length
    assert sum(size for *_, size in totals(of, "total", values).traffic) <= 1.001 * plain
    sizes = [length // n] * n
    sizes[0] += length % n
    assert sum(size for *_, size in blocks(of, "blocks", values, sizes).traffic) <= 1.001 * plain / 2


def test_a_label_serves_once() -> None:
    of, values = groups(3), vectors(3, 2)
    totals(of, "rows", values)
    for again in (lambda: totals(of, "rows", values), lambda: blocks(of, "rows", values, [1, 1, 0])):
        with pytest.raises(FedcreditError) as refused:
            again()
        assert (refused.value.code, refused.value.exit_status) == ("LABEL_REUSED", 70)


def changed(message: Message, how: str) -> Message:
    match message, how:
        case ((MaskedWords() | SumWords()), "first"):
            return type(message)(message.first + 1, message.words)
        case ((MaskedWords() | SumWords()), "short"):
            return type(message)(message.first, message.words[:-1])
        case ((MaskedWords() | SumWords()), "long"):
            return type(message)(message.first, np.append(message.words, message.words[:1]))
        case ((MaskedWords() | SumWords()), "type"):
            return MemberKey(bytes(32))
        case MemberKey(), "low order":
            return MemberKey(bytes(32))
        case MemberKey(), "type":
            return MaskedWords(0, np.zeros(1, np.uint64))
    return message


@pytest.mark.parametrize("culprit", members(3))
@pytest.mark.parametrize(
    ("how", "code"),
    [("first", "SHAPE"), ("short", "SHAPE"), ("long", "SHAPE"), ("type", "UNEXPECTED_MESSAGE")],
)
def test_who_sends_other_words_than_are_due_is_named(culprit: PartyId, how: str, code: str) -> None:
    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        message = changed(message, how) if link.sender == culprit else message
        return message.tag, message.encode()

    values = vectors(3, 6)
    for play in (
        lambda of: totals(of, "t", values, tamper=tamper),
        lambda of: blocks(of, "b", values, [2, 2, 2], tamper=tamper),
    ):
        with pytest.raises(PeerError) as raised:
            play(groups(3))
        assert (raised.value.culprit, raised.value.code) == (culprit, code)


@pytest.mark.parametrize("culprit", members(3))
@pytest.mark.parametrize(("how", "code"), [("low order", "KEY_INVALID"), ("type", "UNEXPECTED_MESSAGE")])
def test_who_sends_no_key_is_named(culprit: PartyId, how: str, code: str) -> None:
    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        message = changed(message, how) if link.sender == culprit else message
        return message.tag, message.encode()

    names = members(3)
    roles = {me: agree(me, names, SESSION, insecure_seeded(1, me)) for me in names}
    with pytest.raises(PeerError) as raised:
        run_network(roles, insecure_in_process=True, tamper=tamper)
    assert (raised.value.culprit, raised.value.code) == (culprit, code)


def test_what_is_no_group_or_no_vector_is_refused() -> None:
    randomness = insecure_seeded(1)
    for names in ((LEADER,), (LEADER, LEADER), members(129)):
        with pytest.raises(ConfigError):
            next(agree(LEADER, names, SESSION, randomness))
    with pytest.raises(FedcreditError):
        next(agree(PartyId("other"), members(3), SESSION, randomness))
    with pytest.raises(FedcreditError):
        next(agree(LEADER, members(3), b"short", randomness))
    of = groups(3)[LEADER]
    for values in (np.zeros((2, 2), np.uint64), np.zeros(2, np.int64)):
        with pytest.raises(ValueError, match="a sum of"):
            next(total(of, "bad", values))
    with pytest.raises(ValueError, match="does not fit"):
        next(total(of, "bad", np.zeros(2, np.uint64), into=np.zeros(3, np.uint64)))
    with pytest.raises(ValueError, match="scattered"):
        blocks(groups(3), "bad", vectors(3, 4), [1, 1, 1])


def test_nothing_secret_is_printed() -> None:
    of = groups(3)[LEADER]
    shown = repr(of) + repr(of.mask("x", 3))
    for key in of._pair_keys:
        assert not key or repr(key)[2:-1] not in shown
