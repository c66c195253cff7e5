"""The slow twin of `kernels/rlwe.py`: ring-LWE on Python's integers, from the same seeds. An oracle for tests.

Polynomials are lists of integers, by their coefficients; a product is one of large integers (Kronecker), with no
transform in it. The transform is needed for formats alone, which carry values, and is done level by level on arrays of
Python's integers. Not constant time; never for keys that matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels import digest
from fedcredit.kernels.rlwe import PLAIN_MODULUS, PRIMES, SLOTS

__all__ = [
    "MODULUS",
    "bunch_product",
    "centred",
    "ciphertext",
    "from_residues",
    "inner_product",
    "multiply",
    "noise",
    "phase",
    "plaintext",
    "secret",
    "slot_product",
    "to_residues",
    "uniform",
    "values",
]

Polynomial: TypeAlias = list[int]
U8: TypeAlias = npt.NDArray[np.uint8]

MODULUS: Final = prod(PRIMES)
UNIFORM, ERROR, TERNARY, FLOOD = 1, 2, 3, 4
ERROR_BITS: Final = 21
FLOOD_BITS: Final = 122


def words(seed: bytes, use: int, limb: int, number: int, n: int, width: int = 8) -> list[int]:
    """The first `n` words of a stream."""
    item = bytes([use, limb, 0, 0, 0, 0, 0, 0]) + number.to_bytes(8, "little")
    stream = digest.keyed(seed, np.frombuffer(item, np.uint8).reshape(1, -1), n * width).tobytes()
    return [int.from_bytes(stream[i : i + width], "little") for i in range(0, n * width, width)]


def uniform(seed: bytes, number: int) -> Polynomial:
    """A uniform polynomial; its values are drawn, not its coefficients."""
    rows = []
    for limb, q in enumerate(PRIMES):
        drawn = [word & ((1 << 60) - 1) for word in words(seed, UNIFORM, limb, number, SLOTS + 8)]
        rows.append([word for word in drawn if word < q][:SLOTS])
    return from_residues(rows)


def error(seed: bytes, number: int) -> Polynomial:
    """Ones among 21 bits, less ones among the next 21."""
    mask = (1 << ERROR_BITS) - 1
    return [
        (word & mask).bit_count() - (word >> ERROR_BITS & mask).bit_count()
        for word in words(seed, ERROR, 0, number, SLOTS)
    ]


def ternary(seed: bytes, number: int) -> Polynomial:
    """-1, 0 and 1."""
    return [(3 * word >> 64) - 1 for word in words(seed, TERNARY, 0, number, SLOTS)]


def flood(seed: bytes, number: int) -> Polynomial:
    """Uniform in [-2^122, 2^122)."""
    drawn = words(seed, FLOOD, 0, number, SLOTS, width=16)
    return [word % (1 << (FLOOD_BITS + 1)) - (1 << FLOOD_BITS) for word in drawn]


def secret(seed: bytes) -> Polynomial:
    """The secret key of a seed."""
    return ternary(seed, 0)


def centred(x: int, modulus: int) -> int:
    """The number of least size that is x modulo an odd number."""
    return (x + modulus // 2) % modulus - modulus // 2


def rounded(above: int, below: int) -> int:
    """The nearest whole number to a fraction."""
    return (2 * above + below) // (2 * below)


def multiply(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    """The product modulo X^SLOTS + 1, over the integers."""
    bits = max(map(abs, a)).bit_length() + max(map(abs, b)).bit_length() + SLOTS.bit_length() + 2
    width = (bits + 7) // 8
    half = 1 << (8 * width - 1)

    def halves(n: int) -> int:
        return int.from_bytes(half.to_bytes(width, "little") * n, "little")

    def packed(x: Sequence[int]) -> int:
        return int.from_bytes(b"".join((v + half).to_bytes(width, "little") for v in x), "little") - halves(len(x))

    flat = (packed(a) * packed(b) + halves(2 * SLOTS)).to_bytes(2 * SLOTS * width, "little")
    terms = [int.from_bytes(flat[i : i + width], "little") - half for i in range(0, 2 * SLOTS * width, width)]
    return [low - high for low, high in zip(terms[:SLOTS], terms[SLOTS:], strict=True)]


@cache
def _roots(q: int) -> npt.NDArray[Any]:
    """Powers of psi in the order of reversed bits."""
    order = 2 * SLOTS
    psi = next(r for g in range(2, 100) if pow(r := pow(g, (q - 1) // order, q), SLOTS, q) == q - 1)
    powers = [1]
    for _ in range(SLOTS - 1):
        powers.append(powers[-1] * psi % q)
    bits = SLOTS.bit_length() - 1
    return np.array([powers[int(f"{i:0{bits}b}"[::-1], 2)] for i in range(SLOTS)], object)


def values(coefficients: Sequence[int], q: int) -> list[int]:
    """Values at the odd powers of psi, in the order of reversed bits."""
    x, roots = np.array(coefficients, object) % q, _roots(q)
    groups = 1
    while groups < SLOTS:
        pairs = x.reshape(groups, 2, -1)
        low, high = pairs[:, 0], pairs[:, 1] * roots[groups : 2 * groups, None] % q
        x = np.stack([low + high, low - high], axis=1).reshape(-1) % q
        groups *= 2
    return [int(v) for v in x]


def coefficients(of: Sequence[int], q: int) -> Polynomial:
    """The way back from values."""
    x, roots = np.array(of, object), _roots(q)
    groups = SLOTS // 2
    half = pow(2, -1, q)
    while groups:
        pairs = x.reshape(groups, 2, -1)
        inverses = np.array([pow(int(root), -1, q) for root in roots[groups : 2 * groups]], object)
        low, high = pairs[:, 0], pairs[:, 1]
        x = np.stack([(low + high) * half, (low - high) * half * inverses[:, None]], axis=1).reshape(-1) % q
        groups //= 2
    return [int(v) for v in x]


def to_residues(polynomial: Sequence[int]) -> list[list[int]]:
    """Values modulo each prime, as ciphertexts carry them."""
    return [values(polynomial, q) for q in PRIMES]


def from_residues(rows: Sequence[Sequence[int]]) -> Polynomial:
    """The polynomial with these values, its coefficients below the modulus."""
    parts = [coefficients(row, q) for row, q in zip(rows, PRIMES, strict=True)]
    units = [MODULUS // q * pow(MODULUS // q, -1, q) for q in PRIMES]
    return [sum(x * unit for x, unit in zip(at, units, strict=True)) % MODULUS for at in zip(*parts, strict=True)]


def plaintext(numbers: Sequence[int], *, slots: bool) -> Polynomial:
    """The polynomial of numbers, coefficients of least size."""
    padded = [int(x) % PLAIN_MODULUS for x in numbers] + [0] * (SLOTS - len(numbers))
    of = coefficients(padded, PLAIN_MODULUS) if slots else padded
    return [centred(x, PLAIN_MODULUS) for x in of]


def scaled(plain: Sequence[int]) -> Polynomial:
    """round(q m / t)."""
    return [rounded(MODULUS * x, PLAIN_MODULUS) for x in plain]


def ciphertext(key: Sequence[int], plain: Sequence[int], number: int, public: bytes, hidden: bytes) -> Polynomial:
    """The first part of a fresh ciphertext: round(q m / t) + e - a s modulo q."""
    product = multiply(uniform(public, number), key)
    parts = zip(scaled(plain), error(hidden, number), product, strict=True)
    return [(m + e - p) % MODULUS for m, e, p in parts]


def phase(c0: Sequence[int], c1: Sequence[int], key: Sequence[int]) -> Polynomial:
    """c0 + c1 s modulo q, of least size."""
    return [centred(x + y, MODULUS) for x, y in zip(c0, multiply(c1, key), strict=True)]


def noise(c0: Sequence[int], c1: Sequence[int], key: Sequence[int], plain: Sequence[int]) -> Polynomial:
    """How far the phase is from that of a plaintext."""
    parts = zip(phase(c0, c1, key), scaled(plain), strict=True)
    return [centred(x - m, MODULUS) for x, m in parts]


def answer(
    pairs: Sequence[tuple[Polynomial, Polynomial]],
    factors: Sequence[Polynomial],
    mask: Polynomial,
    key: tuple[Polynomial, Polynomial],
    number: int,
    hidden: bytes,
) -> tuple[list[int], list[int]]:
    """The sum of ciphertexts times plaintexts and a mask, made fresh under the key (b, a), scaled to 2^64."""
    c0, c1 = [0] * SLOTS, [0] * SLOTS
    for pair, factor in zip(pairs, factors, strict=True):
        c0 = [x + y for x, y in zip(c0, multiply(pair[0], factor), strict=True)]
        c1 = [x + y for x, y in zip(c1, multiply(pair[1], factor), strict=True)]
    u = ternary(hidden, number)
    zero0, zero1 = multiply(key[0], u), multiply(key[1], u)
    more = zip(c0, zero0, flood(hidden, number), scaled(mask), strict=True)
    first = [sum(terms) % MODULUS for terms in more]
    second = [sum(terms) % MODULUS for terms in zip(c1, zero1, error(hidden, number), strict=True)]
    down = [[rounded(x << 64, MODULUS) % (1 << 64) for x in part] for part in (first, second)]
    return down[0], down[1]


def slot_product(
    pairs: Sequence[tuple[Polynomial, Polynomial]],
    plain: Sequence[Sequence[int]],
    mask: Sequence[int],
    key: tuple[Polynomial, Polynomial],
    number: int,
    hidden: bytes,
) -> tuple[list[int], list[int]]:
    """The answer of one block, number by number."""
    factors = [plaintext(row, slots=True) for row in plain]
    return answer(pairs, factors, plaintext(mask, slots=True), key, number, hidden)


def inner_product(
    pairs: Sequence[tuple[Polynomial, Polynomial]],
    columns: Sequence[Sequence[int]],
    mask: int,
    key: tuple[Polynomial, Polynomial],
    number: int,
    hidden: bytes,
) -> tuple[int, list[int]]:
    """The answer of one column in blocks: the first coefficient of the first part, and the second part."""
    factors = []
    for column in columns:
        x = plaintext(column, slots=False)
        factors.append([x[0]] + [-v for v in reversed(x[1:])])
    first, second = answer(pairs, factors, plaintext([mask], slots=False), key, number, hidden)
    return first[0], second


def bunch_product(
    firsts: Sequence[Sequence[Polynomial]],
    seconds: Sequence[Polynomial],
    columns: Sequence[Sequence[int]],
    masks: Sequence[int],
    keys: tuple[Sequence[Polynomial], Polynomial],
    number: int,
    hidden: bytes,
) -> tuple[list[int], list[int]]:
    """The answer of one column in blocks, for vectors under a bunch of keys: first coefficients, and the second part.

    `firsts` of each vector and block, `seconds` of each block; keys are (b of each vector, a).
    """
    factors = []
    for column in columns:
        x = plaintext(column, slots=False)
        factors.append([x[0]] + [-v for v in reversed(x[1:])])
    zeros = [0] * SLOTS
    _, second = answer(list(zip(firsts[0], seconds, strict=True)), factors, zeros, (zeros, keys[1]), number, hidden)
    u, floods = ternary(hidden, number), flood(hidden, number)
    found = []
    for v, (blocks, b) in enumerate(zip(firsts, keys[0], strict=True)):
        terms = [multiply(c0, factor)[0] for c0, factor in zip(blocks, factors, strict=True)]
        total = sum(terms) + multiply(b, u)[0] + floods[v] + scaled(plaintext([masks[v]], slots=False))[0]
        found.append(rounded(total % MODULUS << 64, MODULUS) % (1 << 64))
    return found, second
