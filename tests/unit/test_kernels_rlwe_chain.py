"""Vectors that pass from party to party: the kernel gives what its twin on Python's integers gives."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.kernels import reference_rlwe_chain as reference
from fedcredit.kernels.rlwe import SLOTS
from fedcredit.kernels.rlwe_chain import (
    PLAIN_MODULUS,
    PRIMES,
    Conditions,
    OwnerKernel,
    PublicKernel,
    answer_bytes,
    first_bad,
    polynomial_bytes,
)

SECRET, KEY, ERRORS, SEED, HIDDEN = (bytes([i]) * 32 for i in range(5))
WIDTH, ROWS, BLOCKS = 100, 3, 4


def is_prime(n: int) -> bool:
    """Miller and Rabin, by bases that leave no doubt below 2^64."""
    odd = n - 1
    while odd % 2 == 0:
        odd //= 2
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        x, power = pow(base, odd, n), odd
        while power != n - 1 and x not in (1, n - 1):
            x, power = x * x % n, 2 * power
        if x != n - 1 and power % 2 == 0:
            return False
    return True


def test_moduli_are_the_largest_primes_that_they_are_said_to_be() -> None:
    step = 1 << 15

    def below(bound: int, count: int) -> list[int]:
        found = []
        candidate = (bound - 2) // step * step + 1
        while len(found) < count:
            found += [candidate] if is_prime(candidate) else []
            candidate -= step
        return found

    assert list(PRIMES[:3]) == below(int(2 ** (134 / 3)), 3)
    assert list(PRIMES[3:]) == below(1 << 42, 7)
    assert below(1 << 29, 1) == [PLAIN_MODULUS]


def slots_of(rows: np.ndarray) -> list[int]:
    slots = np.zeros((BLOCKS, SLOTS // BLOCKS), np.int64)
    slots[: len(rows), : rows.shape[1]] = rows
    return [int(x) for x in slots.reshape(-1)]


@pytest.mark.slow
def test_a_vector_that_passes_two_parties_is_bit_by_bit_that_of_the_twin() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(-(1 << 27), 1 << 27, (ROWS, WIDTH))
    owner = OwnerKernel(SLOTS, SECRET)
    b = owner.public(KEY, ERRORS)
    key5 = reference.public(SECRET, KEY, ERRORS, 5)
    assert b.tobytes() == reference.packed(key5[0], 5)
    fresh = owner.encrypt(values, BLOCKS, 4, public=SEED, secret=HIDDEN)
    pair = reference.fresh(SECRET, reference.plaintext(slots_of(values)), 0, SEED, HIDDEN, 4)
    assert fresh.tobytes() == reference.packed(pair[0], 4)
    assert reference.unpacked(fresh.tobytes(), 4) == pair[0]

    public = PublicKernel(SLOTS, KEY, b)
    every = Conditions(
        np.arange(WIDTH + 1, dtype=np.uint32), np.arange(WIDTH, dtype=np.uint32), np.ones(WIDTH, np.uint8)
    )
    kept = rng.integers(0, 2, (2, ROWS, WIDTH)).astype(np.uint8)
    released = np.array([[1, 1, 1], [1, 0, 1]], np.uint8)
    key = [[x % int(np.prod(np.array(PRIMES[:4], object))) for x in part] for part in key5]
    passed = public.keep(fresh, SEED, 4, every, kept[0], released[0], blocks=BLOCKS, last=False, secret=b"s" * 32)
    factor = reference.plaintext(slots_of(kept[0] * released[0][:, None]))
    pair = reference.passed(pair, factor, (key[0], key[1]), 0, b"s" * 32, 4)
    assert passed.tobytes() == reference.packed(pair[0], 3) + reference.packed(pair[1], 3)

    answer = public.keep(passed, None, 3, every, kept[1], released[1], blocks=BLOCKS, last=True, secret=b"t" * 32)
    factor = reference.plaintext(slots_of(kept[1] * released[1][:, None]))
    words = reference.answer(pair, factor, (key[0], key[1]), 0, b"t" * 32, BLOCKS)
    found = [int.from_bytes(answer[0, 6 * i : 6 * i + 6].tobytes(), "little") for i in range(BLOCKS + SLOTS)]
    # Scaling down is of fractions of 108 bits: a tie may go either way.
    assert max(abs(x - y) for x, y in zip(found, words, strict=True)) <= 1
    sums, sound = owner.open(answer, BLOCKS)
    assert sound.all()
    wanted = (values * kept[0] * kept[1] * released[0][:, None] * released[1][:, None]).sum(axis=1)
    residues = np.remainder(wanted + PLAIN_MODULUS // 2, PLAIN_MODULUS) - PLAIN_MODULUS // 2
    assert sums[0, :ROWS].tolist() == residues.tolist()
    assert sums[0, 3] == 0


def test_wrong_shapes_are_refused() -> None:
    owner = OwnerKernel(SLOTS, SECRET)
    b = owner.public(KEY, ERRORS)
    with pytest.raises(ValueError, match="degree"):
        OwnerKernel(4096, SECRET)
    with pytest.raises(ValueError, match="seed"):
        OwnerKernel(SLOTS, b"")
    with pytest.raises(ValueError, match="public key"):
        PublicKernel(SLOTS, KEY, b[:-1])
    with pytest.raises(ValueError, match="public key"):
        PublicKernel(SLOTS, KEY, np.full_like(b, 255))
    with pytest.raises(ValueError, match="answers"):
        owner.open(np.zeros((1, 5), np.uint8), 4)
    with pytest.raises(ValueError, match="primes"):
        first_bad(SLOTS, 6, b)
    assert first_bad(SLOTS, 5, b) is None
    assert first_bad(SLOTS, 5, np.full_like(b, 255)) == 0
    assert len(b) == polynomial_bytes(SLOTS, 5) == 8192 * (3 * 45 + 2 * 42) // 8
    assert answer_bytes(SLOTS, 4) == 6 * 8196
    nothing = Conditions(np.zeros(2, np.uint32), np.empty(0, np.uint32), np.empty(0, np.uint8))
    fresh = owner.encrypt(np.ones((1, 1), np.int64), 1, 3, public=SEED, secret=HIDDEN)
    one, public = np.ones((1, 1), np.uint8), PublicKernel(SLOTS, KEY, b)
    for blocks, released in ((3, np.ones(1, np.uint8)), (1, np.ones(2, np.uint8))):
        with pytest.raises(ValueError, match=r"blocks|rows"):
            public.keep(fresh, SEED, 3, nothing, one, released, blocks=blocks, last=True, secret=HIDDEN)
