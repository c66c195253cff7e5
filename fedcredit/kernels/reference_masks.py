"""The slow twin of `kernels.masks`: the same streams from another library, the field byte by byte. For tests only."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["interpolate", "mask", "product", "split"]

_MODULUS = 0x11B


def mask(key: bytes, first: int, n: int) -> list[int]:
    """Words `first` to `first + n` of the stream of `key`."""
    counter = (first // 2).to_bytes(16, "big")
    stream = Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor().update(bytes(8 * (n + first % 2)))
    words = [int.from_bytes(stream[place : place + 8], "little") for place in range(0, len(stream), 8)]
    return words[first % 2 :]


def product(a: int, b: int) -> int:
    """`a * b` of GF(2^8), as polynomials."""
    total = 0
    for bit in range(8):
        total ^= (a << bit) * (b >> bit & 1)
    for bit in range(14, 7, -1):
        total ^= (_MODULUS << (bit - 8)) * (total >> bit & 1)
    return total


def split(secret: int, coefficients: Sequence[int], n: int) -> list[int]:
    """Shares of one byte: the polynomial's values at 1 to n, power by power."""
    shares = []
    for x in range(1, n + 1):
        value, power = secret, 1
        for coefficient in coefficients:
            power = product(power, x)
            value ^= product(coefficient, power)
        shares.append(value)
    return shares


def interpolate(at: int, points: Sequence[tuple[int, int]]) -> int:
    """The value at `at` of the polynomial through `points`, by Lagrange's formula."""
    total = 0
    for x, y in points:
        for other, _ in points:
            if other != x:
                y = product(y, product(at ^ other, _inverse(x ^ other)))
        total ^= y
    return total


def _inverse(a: int) -> int:
    return next(b for b in range(1, 256) if product(a, b) == 1)
