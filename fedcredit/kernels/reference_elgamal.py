"""The slow twin of `kernels.elgamal`: the definitions, on integers and the points of `reference_group`. For tests only.

One row at a time, not constant time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fedcredit.kernels.reference_group import IDENTITY, L, Point, decode, encode, generator

__all__ = ["doubled", "encrypt", "masked", "open_sum", "prove", "verify"]


def encrypt(key: Point, message: int, randomness: int) -> bytes:
    """(r G, m G + r Y)."""
    second = generator() * (message % L) + key * (randomness % L)
    return encode(generator() * (randomness % L)) + encode(second)


def open_sum(secret: int, ciphertexts: Sequence[bytes]) -> Point:
    """m G of the sum m of all ciphertexts."""
    first, second = IDENTITY, IDENTITY
    for ciphertext in ciphertexts:
        first += decode(ciphertext[:32])
        second += decode(ciphertext[32:])
    return second + -(first * secret)


def doubled(message: int) -> bytes:
    """The encoding of 2 m G."""
    return encode(generator() * (2 * message % L))


def masked(value: int, masks: Sequence[bytes], negative: Sequence[bool]) -> bytes:
    """`value` and 64-byte masks, added or subtracted."""
    for mask, minus in zip(masks, negative, strict=True):
        value += (-1 if minus else 1) * int.from_bytes(mask, "little")
    return (value % L).to_bytes(32, "little")


def prove(secret: int, nonce: int, context: bytes) -> bytes:
    """R = k G and s = k + e x."""
    commitment = encode(generator() * nonce)
    response = (nonce + _challenge(context, encode(generator() * secret), commitment) * secret) % L
    return commitment + response.to_bytes(32, "little")


def verify(point: bytes, context: bytes, proof: bytes) -> bool:
    """s G = R + e Y, of what is canonical."""
    response = int.from_bytes(proof[32:], "little")
    try:
        key, commitment = decode(point), decode(proof[:32])
    except ValueError:
        return False
    if not 0 < response < L or IDENTITY in (key, commitment):
        return False
    return generator() * response == commitment + key * _challenge(context, point, proof[:32])


def _challenge(context: bytes, point: bytes, commitment: bytes) -> int:
    hashed = b"fedcredit v1 schnorr ristretto255" + len(context).to_bytes(8, "big") + context + point + commitment
    return int.from_bytes(hashlib.sha512(hashed).digest(), "little") % L
