"""The slow twin of `kernels/rlwe_chain.py`: Python's integers, from the same seeds, degree 8192. An oracle for tests.

Built of `reference_rlwe`, which multiplies with no transform. Not constant time; never for keys that matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final, TypeAlias

from fedcredit.kernels.reference_rlwe import (
    UNIFORM,
    centred,
    coefficients,
    error,
    multiply,
    rounded,
    secret,
    ternary,
    values,
    words,
)
from fedcredit.kernels.rlwe import SLOTS
from fedcredit.kernels.rlwe_chain import KEPT_PRIMES, PLAIN_MODULUS, PRIMES

__all__ = ["answer", "fresh", "packed", "passed", "plaintext", "public", "unpacked"]

Polynomial: TypeAlias = list[int]
Pair: TypeAlias = tuple[Polynomial, Polynomial]

FLOOD: Final = 4
FLOOD_BITS: Final = 94
WORD_BITS: Final = 48


def uniform(seed: bytes, number: int, primes: int) -> Polynomial:
    """A uniform polynomial; its values are drawn, not its coefficients."""
    rows = []
    for limb, q in enumerate(PRIMES[:primes]):
        mask = (1 << q.bit_length()) - 1
        drawn = (word & mask for word in words(seed, UNIFORM, limb, number, 2 * SLOTS))
        rows.append([word for word in drawn if word < q][:SLOTS])
    return _joined(rows)


def plaintext(slots: Sequence[int]) -> Polynomial:
    """The polynomial of numbers in slots, coefficients of least size."""
    return [centred(x, PLAIN_MODULUS) for x in coefficients([x % PLAIN_MODULUS for x in slots], PLAIN_MODULUS)]


def public(secret_seed: bytes, public_seed: bytes, errors: bytes, primes: int) -> Pair:
    """(b, a)."""
    zero = [0] * SLOTS
    return fresh(secret_seed, zero, 0, public_seed, errors, primes)


def fresh(
    secret_seed: bytes, plain: Sequence[int], number: int, public_seed: bytes, errors: bytes, primes: int
) -> Pair:
    """round(q m / t) + e - a s, and a."""
    q, a = prod(PRIMES[:primes]), uniform(public_seed, number, primes)
    parts = zip(plain, error(errors, number), multiply(a, secret(secret_seed)), strict=True)
    return [(rounded(q * m, PLAIN_MODULUS) + e - p) % q for m, e, p in parts], a


def passed(pair: Pair, factor: Sequence[int], key: Pair, number: int, seed: bytes, primes: int) -> Pair:
    """What is handed on, modulo one prime less."""
    p = PRIMES[primes - 1]
    found = []
    for part, kept in enumerate(_kept(pair, factor, key, number, seed)):
        summed = [x + e for x, e in zip(kept, error(seed, 2 * number + part), strict=True)]
        found.append([(x - centred(x, p)) // p % prod(PRIMES[: primes - 1]) for x in summed])
    return found[0], found[1]


def answer(pair: Pair, factor: Sequence[int], key: Pair, number: int, seed: bytes, blocks: int) -> list[int]:
    """Words of the coefficients that are due, and of the second part."""
    q = prod(PRIMES[:KEPT_PRIMES])
    first, second = _kept(pair, factor, key, number, seed)
    drawn = words(seed, FLOOD, 0, number, blocks, width=16)
    floods = [word % (1 << (FLOOD_BITS + 1)) - (1 << FLOOD_BITS) for word in drawn]
    due = [first[i * SLOTS // blocks] + flood for i, flood in enumerate(floods)]
    rest = [x + e for x, e in zip(second, error(seed, 2 * number + 1), strict=True)]
    return [rounded(x % q << WORD_BITS, q) % (1 << WORD_BITS) for x in due + rest]


def packed(polynomial: Sequence[int], primes: int) -> bytes:
    """A polynomial's values modulo each prime, as many bits each as the prime has."""
    return b"".join(_bits(values(polynomial, q), q.bit_length()) for q in PRIMES[:primes])


def unpacked(data: bytes, primes: int) -> Polynomial:
    """The way back."""
    rows, start = [], 0
    for q in PRIMES[:primes]:
        bits = q.bit_length()
        number = int.from_bytes(data[start : start + SLOTS * bits // 8], "little")
        rows.append([number >> (bits * i) & ((1 << bits) - 1) for i in range(SLOTS)])
        start += SLOTS * bits // 8
    return _joined(rows)


def _kept(pair: Pair, factor: Sequence[int], key: Pair, number: int, seed: bytes) -> list[Polynomial]:
    u = ternary(seed, number)
    return [
        [x + y for x, y in zip(multiply(part, factor), multiply(of, u), strict=True)]
        for part, of in zip(pair, key, strict=True)
    ]


def _bits(numbers: Sequence[int], bits: int) -> bytes:
    return sum(x << (bits * i) for i, x in enumerate(numbers)).to_bytes(len(numbers) * bits // 8, "little")


def _joined(rows: Sequence[Sequence[int]]) -> Polynomial:
    moduli = PRIMES[: len(rows)]
    parts = [coefficients(row, q) for row, q in zip(rows, moduli, strict=True)]
    q = prod(moduli)
    units = [q // p * pow(q // p, -1, p) for p in moduli]
    return [sum(x * unit for x, unit in zip(at, units, strict=True)) % q for at in zip(*parts, strict=True)]
