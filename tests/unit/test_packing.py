"""Signed numbers in one plaintext: their sums, and what does not fit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.crypto.packing import Packing
from fedcredit.crypto.paillier import PrivateKey
from fedcredit.crypto.paillier_checks import BadCiphertext, insecure_profile, is_probable_prime
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels.reference_paillier import from_rows, to_rows


@cache
def private(bits: int = 512) -> PrivateKey:
    p, q = (next(n for n in range(start, start << 1, 2) if is_probable_prime(n)) for start in starts(bits // 2))
    return PrivateKey.from_primes(p, q, insecure_profile(bits))


def starts(bits: int) -> tuple[int, int]:
    return (3 << (bits - 2)) + 1, (7 << (bits - 3)) + 1


def value(packing: Packing, numbers: list[int]) -> int:
    """The plaintext by the formula."""
    return sum(v << (place * packing.slot_bits) for place, v in enumerate(numbers)) % packing.key.n


@given(
    data=st.data(), bits=st.sampled_from([130, 256, 512]), max_value=st.integers(1, 2**40), terms=st.integers(1, 2**20)
)
def test_what_is_packed_is_the_formulas_and_comes_out(
    data: st.DataObject, bits: int, max_value: int, terms: int
) -> None:
    packing = Packing(private(bits).public, max_value, terms)
    edges = st.sampled_from([-max_value, -1, 0, 1, max_value])
    one = st.lists(edges | st.integers(-max_value, max_value), min_size=packing.slots, max_size=packing.slots)
    rows = data.draw(st.lists(one, min_size=1, max_size=5))
    plain = packing.pack(np.array(rows, np.int64))
    assert from_rows(plain) == [value(packing, row) for row in rows]
    assert packing.unpack(plain).tolist() == rows
    # The largest sums there may be.
    sums = [[v * terms for v in row] for row in rows]
    assert packing.unpack(to_rows([value(packing, row) for row in sums], packing.key.width)).tolist() == sums


@given(data=st.data(), max_sum=st.integers(1, 2**40))
def test_a_slot_that_overflowed_is_seen(data: st.DataObject, max_sum: int) -> None:
    packing = Packing(private().public, max_sum, 1)
    numbers = data.draw(st.lists(st.integers(-max_sum, max_sum), min_size=packing.slots, max_size=packing.slots))
    place = data.draw(st.integers(0, packing.slots - 1))
    beyond = data.draw(st.integers(max_sum + 1, (1 << packing.slot_bits) - max_sum - 1))
    numbers[place] = data.draw(st.sampled_from([-beyond, beyond]))
    good = [0] * packing.slots
    with pytest.raises(BadCiphertext, match="ciphertext 1: a packed number does not fit"):
        packing.unpack(to_rows([value(packing, good), value(packing, numbers)], packing.key.width))


def test_what_is_above_all_slots_is_seen() -> None:
    packing = Packing(private().public, 100, 10, slots=3)
    for high in (1, -1, 1 << 400):
        with pytest.raises(BadCiphertext):
            packing.unpack(to_rows([(high << (3 * packing.slot_bits)) % packing.key.n], packing.key.width))


@given(st.lists(st.lists(st.integers(-1000, 1000), min_size=4, max_size=4), min_size=2, max_size=30))
def test_sums_of_ciphertexts_are_sums_of_every_slot(rows: list[list[int]]) -> None:
    key = private()
    packing = Packing(key.public, 1000, len(rows), slots=4)
    c = key.encryptor(insecure_seeded(4)).encrypt(packing.pack(np.array(rows, np.int64)))
    total = key.public.sums(c, np.zeros((len(rows), 1), np.uint32), 1)
    assert packing.unpack(key.decrypt(total)).tolist() == [np.sum(rows, axis=0).tolist()]


def test_headroom_is_a_condition() -> None:
    key = private().public
    full = Packing(key, 1000, 1000)
    assert full.slot_bits == 24
    assert full.slots == 510 // 24
    # slots (2^bits) rows < n / 2, with the sum's sign and one bit more in every slot.
    assert 2 ** (full.slots * full.slot_bits) <= key.n // 2
    for wrong in ((0, 1, 0), (1, 0, 0), (1, 1, -1), (1000, 1000, full.slots + 1), (2**62, 1, 0), (2**31, 2**31, 0)):
        with pytest.raises(ValueError, match="packing"):
            Packing(key, *wrong)
    for numbers in ([[1001]], [[-1001]], [[-(2**63)]]):
        with pytest.raises(ValueError, match="numbers"):
            Packing(key, 1000, 1, slots=1).pack(np.array(numbers, np.int64))
    for shape in ((1, 2), (1,)):
        with pytest.raises(ValueError, match="numbers"):
            Packing(key, 1000, 1, slots=1).pack(np.zeros(shape, np.int64))
    with pytest.raises(ValueError, match="plaintexts"):
        full.unpack(np.zeros((1, 1), np.uint8))


def test_no_rows_are_no_rows() -> None:
    packing = Packing(private().public, 1000, 1000)
    plain = packing.pack(np.zeros((0, packing.slots), np.int64))
    assert plain.shape == (0, packing.key.width)
    assert packing.unpack(plain).shape == (0, packing.slots)
