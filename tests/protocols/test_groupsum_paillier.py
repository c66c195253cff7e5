"""The `paillier` backend of the group-by-sum: what it sends, and bad keys and ciphertexts from either side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from groupsum_cases import BANK, SHORT_KEY, TAX, asking, case, holding, in_the_clear, play, shape

from fedcredit.crypto.paillier import Ciphertexts, PrivateKey
from fedcredit.crypto.paillier_checks import STRONG_128
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.word_packing import WordPacking
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.kernels.onehot import Assignment
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import paillier
from fedcredit.protocols.groupsum.roles import Sealed, words_of
from fedcredit.transport.memory import run_network
from fedcredit.wire.groupsum import EncryptedSums, EncryptedValues, PaillierKey
from fedcredit.wire.message import message_type

N, WIDE = SHORT_KEY.public.n, 2 * SHORT_KEY.public.width
Kind = type[EncryptedValues] | type[EncryptedSums]

VECTORS: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "paillier.json").read_text())


def big(number: int, width: int = WIDE) -> Any:
    return np.frombuffer(number.to_bytes(width, "big"), np.uint8)


def tampered(kind: type[Any], change: Callable[[Any], Any]) -> Callable[[Any, int, bytes], tuple[int, bytes]]:
    """Change the first message of a kind on its way."""
    done = []

    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != kind.tag or done:
            return tag, body
        done.append(tag)
        return tag, change(message_type(tag).decode(body)).encode()

    return tamper


def refused(kind: type[Any], change: Callable[[Any], Any]) -> PeerError:
    with pytest.raises(PeerError) as caught:
        play(1, 60, (5, 9), 2, "paillier", tamper=tampered(kind, change))
    return caught.value


BAD_KEYS = {
    "even": N - 1,
    "prime": 2**511 + 111,
    "square": SHORT_KEY.p**2,
    "short": SHORT_KEY.p,
    "small factor": 3 * N,
}

WORDS = {"even": "even", "prime": "is prime", "square": "power", "short": "256 bits", "small factor": "factor below"}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key_names_its_sender(name: str) -> None:
    n = BAD_KEYS[name]
    error = refused(PaillierKey, lambda _: PaillierKey(n.to_bytes((n.bit_length() + 7) // 8, "big")))
    assert (error.culprit, error.code) == (BANK, "KEY_INVALID")
    assert WORDS[name] in error.problems[0].what


def test_a_key_with_leading_zeros_names_its_sender() -> None:
    error = refused(PaillierKey, lambda key: PaillierKey(b"\0" + key.modulus))
    assert (error.culprit, error.code) == (BANK, "KEY_INVALID")


def test_a_key_shorter_than_the_profile_asks_names_its_sender() -> None:
    """What the tests compute with would not do outside them."""
    grouping = shape(4, (2,))
    holder = paillier.set_up_holder(grouping, np.zeros((1, 4), np.uint8), insecure_seeded(1), profile=STRONG_128)
    with pytest.raises(PeerError) as caught:
        run_network({BANK: asking(grouping, "paillier"), TAX: holder}, insecure_in_process=True)
    assert (caught.value.culprit, caught.value.code) == (BANK, "KEY_INVALID")


def first_row(number: int) -> Callable[[Any], Any]:
    def change(message: Any) -> Any:
        rows = message.rows.copy()
        rows[0] = big(number)
        return replace(message, rows=rows)

    return change


BAD_CIPHERTEXTS: dict[str, Callable[[Any], Any]] = {
    "zero": first_row(0),
    "one": first_row(1),
    "n": first_row(N),
    "n squared": first_row(N * N),
    "n squared and 5": first_row(N * N + 5),
    "minus one": first_row(2 ** (8 * WIDE) - 1),
    "a factor of n": first_row(SHORT_KEY.p * 12345),
    "another key": lambda message: replace(message, key=bytes(16)),
    "longer": lambda message: replace(message, rows=np.pad(message.rows, ((0, 0), (1, 0)))),
    "fewer": lambda message: replace(message, rows=message.rows[:-1].copy()),
    "more": lambda message: replace(message, rows=np.concatenate([message.rows, message.rows[:1]])),
    "none": lambda message: replace(message, rows=message.rows[:0].copy()),
}


@pytest.mark.parametrize(("kind", "culprit"), [(EncryptedValues, BANK), (EncryptedSums, TAX)])
@pytest.mark.parametrize("name", BAD_CIPHERTEXTS)
def test_a_bad_ciphertext_names_its_sender(name: str, kind: Kind, culprit: str) -> None:
    error = refused(kind, BAD_CIPHERTEXTS[name])
    assert (error.culprit, error.code) == (culprit, "CIPHERTEXT_INVALID")


@pytest.mark.parametrize("field", ["round", "first"])
@pytest.mark.parametrize(("kind", "culprit"), [(EncryptedValues, BANK), (EncryptedSums, TAX)])
def test_a_message_of_another_round_names_its_sender(kind: Kind, culprit: str, field: str) -> None:
    error = refused(kind, lambda message: replace(message, **{field: getattr(message, field) + 1}))
    assert (error.culprit, error.code) == (culprit, "SHAPE")


def test_a_value_sent_back_as_a_sum_names_its_sender() -> None:
    """The asker would read its own value and, by what it does next, tell of it."""
    seen: list[Any] = []

    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if isinstance(message, EncryptedValues):
            seen.append(message.rows[7])
        if not isinstance(message, EncryptedSums):
            return tag, body
        rows = message.rows.copy()
        rows[1] = seen[0]
        return tag, replace(message, rows=rows).encode()

    with pytest.raises(PeerError) as caught:
        play(1, 60, (5, 9), 2, "paillier", tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (TAX, "CIPHERTEXT_INVALID")


def test_a_sum_that_overflows_its_slot_names_its_sender() -> None:
    encryptor, packing = SHORT_KEY.encryptor(insecure_seeded(3)), WordPacking(SHORT_KEY.public, 60)
    plain = np.zeros((1, SHORT_KEY.public.width), np.uint8)
    plain[0, -packing.slot_bytes] = 0x80

    def change(message: Any) -> Any:
        rows = message.rows.copy()
        rows[0] = encryptor.encrypt(plain).sent()[0]
        return replace(message, rows=rows)

    error = refused(EncryptedSums, change)
    assert (error.culprit, error.code) == (TAX, "CIPHERTEXT_INVALID")


def test_sums_show_nothing_of_how_they_were_made() -> None:
    """The owner of the key reads the sum modulo 2^64, and above it a pad; the same sum twice has nothing in common."""
    seen: list[Any] = []

    def watch(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if isinstance(message, EncryptedSums):
            seen.append(message.rows)
        return tag, body

    codes, grouping, at = np.zeros((1, 40), np.uint8), shape(40, (2,)), Assignment.whole(40)
    values = np.full((40, 1), 2**64 - 1, np.uint64)

    def ask() -> Steps[Any]:
        side = yield from asking(grouping, "paillier")
        shared = yield from side.share(0, (0,), values, at)
        first = yield from side.learn(shared, shared.sums)
        second = yield from side.learn(shared, shared.sums)
        return first, second

    def hold() -> Steps[None]:
        side = yield from holding(grouping, codes, "paillier")
        held = yield from side.take(0, (0,), 1, at)
        yield from side.show(held, held.sums)
        yield from side.show(held, held.sums)

    outcome = run_network({BANK: ask(), TAX: hold()}, insecure_in_process=True, tamper=watch)
    wanted = in_the_clear(codes, (2,), values, at)
    assert all(np.array_equal(found, wanted) for found in outcome.results[BANK])
    one, two = (SHORT_KEY.decrypt(Ciphertexts(SHORT_KEY.public, rows, fresh=False)) for rows in seen)
    slot = WordPacking(SHORT_KEY.public, 40).slot_bytes
    assert not (seen[0] == seen[1]).all()
    for place in range(2):
        end = one.shape[1] - place * slot
        assert (one[0, end - 8 : end] == two[0, end - 8 : end]).all()
        # 39 carries would be a byte of it alone.
        assert (one[0, end - slot : end - 8] != two[0, end - slot : end - 8]).sum() > 4


def test_a_sealed_part_is_no_share() -> None:
    with pytest.raises(FedcreditError, match="settled"):
        words_of(Sealed((1, 1, 2)))


def test_rows_outside_a_round_are_refused() -> None:
    codes, values, at, _ = case(1, 20, (5,), 1)
    some = Assignment(at.rows[:10], at.nodes[:10], 3)

    def ask() -> Steps[Any]:
        side = yield from asking(shape(20, (5,)), "paillier")
        yield from side.share(0, (0,), values[:10], some)

    def hold(*, keep: bool, later: Assignment) -> Steps[Any]:
        side = yield from holding(shape(20, (5,)), codes, "paillier")
        held = yield from side.take(0, (0,), 1, some, keep=keep)
        side.further(held, later)

    for keep, later in ((True, at), (False, some)):
        with pytest.raises(ValueError, match="not part of the round"):
            run_network({BANK: ask(), TAX: hold(keep=keep, later=later)}, insecure_in_process=True)


def test_no_rows_and_many_groups_of_different_sizes() -> None:
    """A node may be empty; features of few and of many groups are summed by kernels of their own."""
    groups = (256, 2, 200, 3, 2)
    codes, values, _, _ = case(2, 30, groups, 1)
    nobody = Assignment(np.zeros(0, np.uint32), np.zeros(0, np.uint32), 2)
    everyone = Assignment.whole(30)

    def ask() -> Steps[Any]:
        side = yield from asking(shape(30, groups), "paillier")
        shared = yield from side.share(0, (4, 0, 1, 3, 2), values, everyone)
        none = yield from side.learn(shared, side.further(shared, nobody))
        empty = yield from side.share(1, (1,), values[:0], nobody)
        first = yield from side.learn(shared, shared.sums)
        second = yield from side.learn(empty, empty.sums)
        return first, none, second

    def hold() -> Steps[None]:
        side = yield from holding(shape(30, groups), codes, "paillier")
        held = yield from side.take(0, (4, 0, 1, 3, 2), 1, everyone)
        yield from side.show(held, side.further(held, nobody))
        empty = yield from side.take(1, (1,), 1, nobody)
        yield from side.show(held, held.sums)
        yield from side.show(empty, empty.sums)

    first, none, second = run_network({BANK: ask(), TAX: hold()}, insecure_in_process=True).results[BANK]
    order = (4, 0, 1, 3, 2)
    assert np.array_equal(first, in_the_clear(codes[list(order)], tuple(groups[f] for f in order), values, everyone))
    assert not none.any()
    assert not second.any()


@pytest.mark.parametrize("n_values", [1, 4])
def test_small_chunks_give_the_same_sums(monkeypatch: pytest.MonkeyPatch, n_values: int) -> None:
    """What a million rows need: messages, sums and kernels in many pieces."""
    monkeypatch.setattr("fedcredit.protocols.groupsum.opening.CHUNK_BYTES", 400)
    monkeypatch.setattr("fedcredit.protocols.groupsum.paillier.SUM_ROWS", 16)
    monkeypatch.setattr("fedcredit.protocols.groupsum.paillier.KERNEL_CELLS", 8)
    outcome, (codes, values, at, later) = play(4, 70, (5, 4, 9), n_values, "paillier")
    first, second, third = outcome.results[BANK]
    by_row = np.zeros_like(values)
    by_row[at.rows] = values
    assert np.array_equal(first, in_the_clear(codes, (5, 4, 9), values, at))
    assert np.array_equal(second, in_the_clear(codes, (5, 4, 9), by_row[later.rows], later))
    assert np.array_equal(third, in_the_clear(codes[:1], (5,), values[:, :1], at))
    names = [name for *_, name, _ in outcome.traffic]
    assert all(names.count(kind) > 8 for kind in ("EncryptedValues", "EncryptedSums"))


def of_3072_bits() -> PrivateKey:
    found = next(case for case in VECTORS["cases"] if case["bits"] == 3072)
    return PrivateKey.from_primes(int(found["p"], 16), int(found["q"], 16), STRONG_128)


def test_traffic_at_3072_bits_is_the_documented_formula() -> None:
    """384 bytes once; 768 a row of up to 20 values; 768 for every 20 sums."""
    n, groups, nodes = 1500, (32, 32, 7), 3
    rng = np.random.default_rng(4)
    codes = np.stack([rng.integers(0, b, n, dtype=np.uint8) for b in groups])
    values = rng.integers(0, 2**64, (n, 1), dtype=np.uint64)
    at = Assignment(np.arange(n, dtype=np.uint32), rng.integers(0, nodes, n, dtype=np.uint32), nodes)
    grouping, key = shape(n, groups), of_3072_bits()

    def ask() -> Steps[Any]:
        side = yield from paillier.set_up_asker(grouping, paillier.OwnKey.of(key, insecure_seeded(1)))
        shared = yield from side.share(0, (0, 1, 2), values, at)
        return (yield from side.learn(shared, shared.sums))

    def hold() -> Steps[None]:
        side = yield from paillier.set_up_holder(grouping, codes, insecure_seeded(2))
        held = yield from side.take(0, (0, 1, 2), 1, at)
        yield from side.show(held, held.sums)

    outcome = run_network({BANK: ask(), TAX: hold()}, insecure_in_process=True)
    assert np.array_equal(outcome.results[BANK], in_the_clear(codes, groups, values, at))
    sent, messages = Counter[str](), Counter[str]()
    for _, _, kind, size in outcome.traffic:
        sent[kind] += size
        messages[kind] += 1
        assert size <= (1 << 20) + 48
    slots = WordPacking(key.public, n).slots
    assert slots == 21
    wanted = {"PaillierKey": 384, "EncryptedValues": 768 * n, "EncryptedSums": 768 * -(-nodes * sum(groups) // slots)}
    assert set(sent) == set(wanted)
    for kind, data in wanted.items():
        assert 0 <= sent[kind] - data <= 48 * messages[kind], kind
    assert messages["EncryptedValues"] == 2


def test_phe_reads_the_sums() -> None:
    """The oracle: another implementation decrypts what the holder sends, and finds the sums in their slots."""
    phe = pytest.importorskip("phe", reason="phe is not installed: `pip install fedcredit[phe]`")
    seen: list[int] = []

    def watch(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if isinstance(message, EncryptedSums):
            seen.extend(int.from_bytes(row.tobytes(), "big") for row in message.rows)
        return tag, body

    codes, values, at, _ = case(3, 50, (4,), 1)
    grouping = shape(50, (4,))

    def ask() -> Steps[Any]:
        side = yield from asking(grouping, "paillier")
        shared = yield from side.share(0, (0,), values, at)
        return (yield from side.learn(shared, shared.sums))

    def hold() -> Steps[None]:
        side = yield from holding(grouping, codes, "paillier")
        held = yield from side.take(0, (0,), 1, at)
        yield from side.show(held, held.sums)

    run_network({BANK: ask(), TAX: hold()}, insecure_in_process=True, tamper=watch)
    public = phe.PaillierPublicKey(N)
    private = phe.PaillierPrivateKey(public, SHORT_KEY.p, SHORT_KEY.q)
    packing = WordPacking(SHORT_KEY.public, 50)
    read = [
        private.raw_decrypt(number) >> (8 * packing.slot_bytes * slot) & (2**64 - 1)
        for number in seen
        for slot in range(packing.slots)
    ]
    assert read[: 3 * 4] == in_the_clear(codes, (4,), values, at).reshape(-1).tolist()
