"""Inner products with columns in fixed point: those of columns that were cut before, in one way and the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.test_kernels_rlwe import C, E, F, numbers, owner, public

from fedcredit.kernels.rlwe import PLAIN_MODULUS, SLOTS
from fedcredit.kernels.rlwe_limbs import PREPARED_BYTES, Limbs

T = PLAIN_MODULUS


def columns_of(limbs: Limbs) -> np.ndarray:
    """All that is summed over, one row a sum, by plain arithmetic."""
    wide = limbs.numbers.astype(np.int64)
    bits = limbs.bits
    if limbs.pairs:
        first, second = np.triu_indices(len(wide))
        wide, bits = wide[first] * wide[second], 2 * bits
    if limbs.limbs == 1:
        return wide
    upper = (wide + (1 << (bits - 1))) >> bits
    return np.stack([upper, wide - (upper << bits)], axis=1).reshape(-1, wide.shape[1])


def drawn(seed: int, d: int, rows: int, most: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-most, most + 1, (d, rows)).astype(np.int32)


cases = given(
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 2, 100, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS + 5]),
    d=st.integers(1, 4),
    limbs=st.integers(1, 2),
    bits=st.integers(3, 14),
    pairs=st.booleans(),
)


@settings(max_examples=30, deadline=None)
@cases
def test_inner_products_are_those_of_columns_that_were_cut_before(
    seed: int, rows: int, d: int, limbs: int, bits: int, pairs: bool
) -> None:
    """To the last bit of the answers, prepared and not."""
    of = Limbs(drawn(seed, d, rows, (1 << 28) - 1), limbs, bits, pairs)
    columns = columns_of(of)
    assert len(of) == len(columns)
    at = slice(len(of) // 2, len(of))
    masks = numbers(seed + 1, len(columns))[at]
    sent = owner().encrypt(numbers(seed + 2, 1, rows), slots=False, public=C, secret=E)
    expected = public().inner_products(C, sent, np.ascontiguousarray(columns[None, at]), masks, secret=F)
    for made in (of, of.prepare()):
        assert np.array_equal(made.products(public(), C, sent, at, masks, secret=F), expected)


@settings(max_examples=50, deadline=None)
@cases
def test_sums_with_a_share_are_exact(seed: int, rows: int, d: int, limbs: int, bits: int, pairs: bool) -> None:
    """Also of the largest numbers that there are, and of shares that are not of least size."""
    of = Limbs(drawn(seed, d, rows, (1 << 28) - 1), limbs, bits, pairs)
    share = np.random.default_rng(seed).integers(-T, T, rows)
    share[0] = -T // 2
    at = slice(0, max(1, len(of) - 1))
    expected = [sum(int(x) * int(s) for x, s in zip(row[:300], share, strict=False)) for row in columns_of(of)[at]]
    cut = Limbs(np.ascontiguousarray(of.numbers[:, :300]), limbs, bits, pairs)
    found = cut.sums(at, share[:300])
    assert np.abs(found).max() <= T // 2
    assert [int(x) % T for x in found] == [x % T for x in expected]
    ones = of.sums(slice(0, len(of)), np.ones(rows, np.int64))
    assert [int(x) % T for x in ones] == [int(x) % T for x in columns_of(of).astype(object).sum(axis=1)]


def test_the_largest_sums_do_not_overflow() -> None:
    of = Limbs(np.full((2, 3 * SLOTS), -(1 << 28), np.int32), 1, 14, pairs=True)
    for share in (T // 2, -(T // 2)):
        expected = 3 * SLOTS * (1 << 56) * share % T
        assert [int(x) % T for x in of.sums(slice(0, 3), np.full(3 * SLOTS, share))] == [expected] * 3


def test_what_is_prepared_takes_what_it_says() -> None:
    of = Limbs(drawn(1, 3, SLOTS + 1, 5), 2, 7)
    assert of.prepared_bytes == 6 * 2 * PREPARED_BYTES == 6 * 2 * 3 * 8192 * 8
    assert of.prepare().prepared is not None
    assert "numbers" not in repr(of)


class TestRefused:
    @pytest.mark.parametrize(
        ("array", "limbs", "bits"),
        [
            (np.zeros((2, 5), np.int64), 1, 7),
            (np.zeros(5, np.int32), 1, 7),
            (np.zeros((2, 0), np.int32), 1, 7),
            (np.zeros((5, 2), np.int32).T, 1, 7),
            (np.zeros((2, 5), np.int32), 0, 7),
            (np.zeros((2, 5), np.int32), 3, 7),
            (np.zeros((2, 5), np.int32), 1, 0),
            (np.zeros((2, 5), np.int32), 1, 32),
        ],
    )
    def test_no_columns_in_limbs(self, array: np.ndarray, limbs: int, bits: int) -> None:
        with pytest.raises(ValueError, match=r"numbers|limbs"):
            Limbs(array, limbs, bits)

    def test_shapes_and_sizes(self) -> None:
        of = Limbs(drawn(1, 2, 10, 5), 2, 7)
        sent = owner().encrypt(numbers(1, 1, 10), slots=False, public=C, secret=E)
        other = owner().encrypt(numbers(1, 2, 10), slots=False, public=C, secret=E)
        whole, two = slice(0, 4), np.zeros(2, np.int64)
        four = np.zeros(4, np.int64)
        cases = [
            lambda: of.sums(whole, np.zeros(9, np.int64)),
            lambda: of.sums(whole, np.zeros(10)),
            lambda: of.products(public(), C, sent, whole, two, secret=F),
            lambda: of.products(public(), C, sent, whole, four.astype(float), secret=F),
            lambda: of.products(public(), C, other, whole, four, secret=F),
            lambda: of.prepare().products(public(), C, other, whole, four, secret=F),
            lambda: of.products(public(), C[1:], sent, whole, four, secret=F),
            lambda: of.products(public(), C, sent, whole, four, secret=F[1:]),
        ]
        for case in cases:
            with pytest.raises(ValueError, match=r"share|masks|ciphertexts|seed"):
                case()
