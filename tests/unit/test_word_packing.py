"""Words in a plaintext: sums modulo 2^64, pads that hide carries, slots that overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from groupsum_cases import SHORT_KEY
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.paillier import Ciphertexts, OwnEncryptor
from fedcredit.crypto.paillier_checks import BadCiphertext
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.word_packing import HIDING_BITS, WordPacking

KEY = SHORT_KEY.public
WORDS = st.integers(0, 2**64 - 1)


def number(plain: Any) -> int:
    return int.from_bytes(plain.tobytes(), "big")


def plaintext(value: int) -> Any:
    return np.frombuffer(value.to_bytes(KEY.width, "big"), np.uint8).reshape(1, -1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=3, max_size=3), min_size=1, max_size=9), st.integers(0, 99))
def test_sums_of_plaintexts_and_a_pad_are_sums_modulo_2_64(rows: list[list[int]], seed: int) -> None:
    packing = WordPacking(KEY, len(rows))
    words = np.array(rows, np.uint64)
    shares = insecure_seeded(seed).words(3).reshape(1, 3)
    total = sum(number(row) for row in packing.pack(words)) + number(packing.pads(shares, insecure_seeded(seed, "pad")))
    assert total < KEY.n // 2
    found = packing.unpack(plaintext(total), 3)
    assert np.array_equal(found[0], words.sum(axis=0, dtype=np.uint64) + shares[0])


@pytest.mark.parametrize("terms", [1, 2, 3, 255, 256, 257, 2**20, 2**31])
def test_a_slot_holds_the_largest_sum_and_hides_how_often_it_carried(terms: int) -> None:
    packing = WordPacking(KEY, terms)
    largest_pad = 2 ** (8 * packing.slot_bytes - 2) - 1
    assert terms * (2**64 - 1) + largest_pad < 2 ** (8 * packing.slot_bytes - 1)
    # Of so many multiples of 2^64 in the pad, carries reach past the end with one in 2^64 of them.
    assert (largest_pad + 1) // 2**64 >= terms * 2**HIDING_BITS
    assert packing.slots * 8 * packing.slot_bytes <= KEY.n.bit_length() - 2


def test_a_pad_of_words_of_zero_adds_nothing_to_the_words() -> None:
    packing = WordPacking(KEY, 4)
    pads = packing.pads(np.zeros((50, 3), np.uint64), insecure_seeded(1))
    assert not packing.unpack(pads, 3).any()
    assert len({row.tobytes() for row in pads}) == 50


@pytest.mark.parametrize("slot", [0, 1, 2])
def test_what_overflows_is_refused(slot: int) -> None:
    packing = WordPacking(KEY, 4)
    with pytest.raises(BadCiphertext) as caught:
        packing.unpack(plaintext(1 << (8 * packing.slot_bytes * (slot + 1) - 1)), 3)
    assert caught.value.code == "CIPHERTEXT_INVALID"


def test_what_lies_above_the_words_is_refused() -> None:
    packing = WordPacking(KEY, 4)
    with pytest.raises(BadCiphertext):
        packing.unpack(plaintext(1 << (8 * packing.slot_bytes)), 1)


def test_shapes_that_do_not_fit_are_refused() -> None:
    packing = WordPacking(KEY, 4)
    wrong: tuple[Any, ...] = (np.zeros((2, packing.slots + 1), np.uint64), np.zeros((2, 1), np.int64), np.zeros(3))
    for words in wrong:
        with pytest.raises(ValueError, match="words"):
            packing.pack(words)
    for n_words in (0, packing.slots + 1):
        with pytest.raises(ValueError, match="words"):
            packing.unpack(plaintext(0), n_words)
    with pytest.raises(ValueError, match="plaintexts"):
        packing.unpack(np.zeros((1, 3), np.uint8), 1)
    with pytest.raises(ValueError, match="max_terms"):
        WordPacking(KEY, 0)


def decrypted(c: Ciphertexts) -> list[int]:
    return [number(row) for row in SHORT_KEY.decrypt(c)]


def encrypted(values: list[int]) -> Ciphertexts:
    rows = np.concatenate([plaintext(value) for value in values])
    return OwnEncryptor(SHORT_KEY, insecure_seeded(5)).encrypt(rows)


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 144, 433])
def test_shifted_ciphertexts_are_of_so_many_times_as_much(bits: int) -> None:
    values = [0, 1, 12345, KEY.n - 1]
    c = KEY.shifted(encrypted(values), bits)
    assert not c.fresh
    assert decrypted(c) == [(value << bits) % KEY.n for value in values]
    with pytest.raises(ValueError, match="shifted"):
        KEY.shifted(c, -1)


def test_blinded_ciphertexts_are_of_the_sum_and_any_ciphertext_of_it() -> None:
    values = [0, 1, 12345, KEY.n - 1]
    c = encrypted(values)
    pads = np.concatenate([plaintext(value) for value in (3, 0, 5, 2)])
    once, twice = KEY.blinded(c, pads, insecure_seeded(6)), KEY.blinded(c, pads, insecure_seeded(7))
    assert once.fresh
    assert decrypted(once) == decrypted(twice) == [3, 1, 12350, 1]
    assert not (once.rows == twice.rows).all(axis=1).any()
    # A ciphertext of nothing, as a sum of no rows is: it does not stay 1.
    nothing = Ciphertexts(KEY, np.repeat(KEY.sums(c, np.zeros((4, 1), np.uint32), 2).rows[1:], 4, axis=0), fresh=False)
    assert decrypted(KEY.blinded(nothing, np.zeros_like(pads), insecure_seeded(8))) == [0, 0, 0, 0]


def test_blinding_reaches_powers_that_squares_do_not() -> None:
    """Encryption is by squares; what comes out is an n-th power of any number, half of them no square modulo p."""
    c = encrypted([1] * 40)
    blinded = KEY.blinded(c, np.zeros((40, KEY.width), np.uint8), insecure_seeded(9))
    symbols = {pow(value, (SHORT_KEY.p - 1) // 2, SHORT_KEY.p) == 1 for value in blinded.to_integers()}
    assert symbols == {True, False}
