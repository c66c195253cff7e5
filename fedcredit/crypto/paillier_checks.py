"""What is no Paillier key and no Paillier ciphertext, and why.

BitForge (CVE-2023-33241) read keys out of signers who took a modulus with small factors; `phe` takes 0, n and n^2 + 5
for ciphertexts.

What is checked of a modulus keeps mistakes and the known tricks out. That n has exactly two primes is not proven by it:
that takes a proof from the key's owner, which a malicious profile would need.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.kernels import paillier as kernel

__all__ = [
    "LEGACY_112",
    "STRONG_128",
    "BadCiphertext",
    "BadKey",
    "Profile",
    "bad_rows",
    "check_modulus",
    "check_primes",
    "insecure_profile",
    "is_probable_prime",
    "refuse_shared_factors",
]

B: TypeAlias = npt.NDArray[np.bool_]
U8: TypeAlias = npt.NDArray[np.uint8]

SMALL_FACTORS_BELOW: Final = 1 << 20
PRIME_ROUNDS: Final = 40
"""A composite passes a round of Miller and Rabin with at most 1/4: 2^-80 for numbers that an adversary chose."""


class BadKey(DataError):
    """A Paillier key that must not be used. Code: KEY_INVALID."""

    default_code = "KEY_INVALID"

    def __init__(self, reason: str, fix: str = "make a key with PrivateKey.generate") -> None:
        super().__init__(Problem(self.default_code, "Paillier key", reason, fix))
        self.reason = reason

    def of_peer(self, culprit: str, step: str) -> PeerError:
        """The same, said of the peer that sent the key."""
        return PeerError(culprit, step, f"Paillier key: {self.reason}", self.code)


class BadCiphertext(DataError):
    """What is no ciphertext of this key, or not one that is due. Code: CIPHERTEXT_INVALID.

    `index` is the row, or None where the batch as a whole is wrong.
    """

    default_code = "CIPHERTEXT_INVALID"

    def __init__(self, index: int | None, reason: str) -> None:
        where = "Paillier ciphertexts" if index is None else f"Paillier ciphertext {index}"
        super().__init__(Problem(self.default_code, where, reason))
        self.index, self.reason = index, reason

    def of_peer(self, culprit: str, step: str) -> PeerError:
        """The same, said of the peer that sent the ciphertext."""
        return PeerError(culprit, step, str(self.problems[0]), self.code)


@dataclass(frozen=True, slots=True)
class Profile:
    """How long keys are. Source: NIST SP 800-57 part 1, table 2: 3072 bits for 128 bits of security, 2048 for 112."""

    name: str
    min_bits: int
    default_bits: int


STRONG_128: Final = Profile("128-bit", 3072, 3072)
LEGACY_112: Final = Profile("112-bit", 2048, 2048)
"""For peers that cannot do more. Not for data that is to stay secret beyond 2030."""


def insecure_profile(bits: int = kernel.MIN_BITS) -> Profile:
    """For tests: keys of `bits` and more, which anybody can factor."""
    return Profile("insecure", bits, bits)


def check_modulus(n: int, profile: Profile) -> None:
    """Raise BadKey unless `n` could be the modulus of a key of the profile."""
    if n < 2 or n % 2 == 0:
        raise BadKey("the modulus is even or not positive")
    if n.bit_length() < profile.min_bits:
        raise BadKey(
            f"{n.bit_length()} bits; profile {profile.name} takes keys from {profile.min_bits} bits on",
            f"make a key of {profile.default_bits} bits",
        )
    if n.bit_length() > kernel.MAX_BITS:
        raise BadKey(f"{n.bit_length()} bits are more than {kernel.MAX_BITS}")
    if _has_small_factor(n):
        raise BadKey(f"the modulus has a factor below {SMALL_FACTORS_BELOW}")
    if _is_power(n):
        raise BadKey("the modulus is a power")
    if is_probable_prime(n):
        raise BadKey("the modulus is prime")


def check_primes(p: int, q: int) -> None:
    """Raise BadKey unless `p` and `q` are primes that go together. Their length is `check_modulus`'s business."""
    bits = p.bit_length()
    if p == q or bits != q.bit_length():
        raise BadKey("the primes are equal or of different length")
    # FIPS 186-5, A.1.3: otherwise n is factored from its square root.
    if bits > 128 and abs(p - q).bit_length() <= bits - 100:
        raise BadKey("the primes are too near to each other")
    if not (is_probable_prime(p) and is_probable_prime(q)):
        raise BadKey("a factor of the modulus is not prime")


def refuse_shared_factors(n: int, known: Iterable[int]) -> None:
    """Raise BadKey if `n` has a factor in common with the modulus of another party, or is that modulus."""
    if any(math.gcd(n, other) != 1 for other in known):
        raise BadKey("the modulus shares a factor with a known key")


def is_probable_prime(n: int, rounds: int = PRIME_ROUNDS) -> bool:
    """Miller's and Rabin's test with random bases, so that no number can be made to pass it."""
    if n < 4:
        return n in (2, 3)
    if n % 2 == 0:
        return False
    twos = ((n - 1) & (1 - n)).bit_length() - 1
    odd = (n - 1) >> twos
    return all(_passes(n, secrets.randbelow(n - 3) + 2, odd, twos) for _ in range(rounds))


def bad_rows(rows: U8, n: int) -> B:
    """Which rows are not in (1, n^2). Shapes: rows (r, 2 width) uint8, big-endian; returns (r,)."""
    width = rows.shape[1]
    # numpy compares byte strings as if the shorter one had zeros behind: for one width, as big-endian numbers.
    numbers = np.ascontiguousarray(rows).view(f"S{width}").ravel()
    square, one = (np.array([x.to_bytes(width, "big")], f"S{width}") for x in (n * n, 1))
    bad: B = (numbers >= square) | (numbers <= one)
    return bad


def _passes(n: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, n)
    if power in (1, n - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % n
        if power == n - 1:
            return True
    return False


@cache
def _small_primes() -> npt.NDArray[np.uint64]:
    sieve = np.ones(SMALL_FACTORS_BELOW, np.bool_)
    sieve[:2] = False
    for number in range(2, math.isqrt(SMALL_FACTORS_BELOW) + 1):
        if sieve[number]:
            sieve[number * number :: number] = False
    return np.flatnonzero(sieve).astype(np.uint64)


def _has_small_factor(n: int) -> bool:
    """Whether a prime below 2^20 other than `n` itself divides it. 40 bits at a time: a remainder and they are 60."""
    primes = _small_primes()
    rest = np.zeros_like(primes)
    pieces = (n.bit_length() + 39) // 40
    for piece in reversed(range(pieces)):
        rest = ((rest << np.uint64(40)) | np.uint64(n >> (40 * piece) & ((1 << 40) - 1))) % primes
    return bool((rest == 0).any())


def _is_power(n: int) -> bool:
    """Whether `n` is a power of a whole number from 2^20 on: exponents that are prime are enough."""
    return any(
        _root(n, exponent) ** exponent == n
        for exponent in range(2, n.bit_length() // 20 + 1)
        if all(exponent % k for k in range(2, math.isqrt(exponent) + 1))
    )


def _root(n: int, exponent: int) -> int:
    """The whole part of the root, by Newton's method from above."""
    root = 1 << -(-n.bit_length() // exponent)
    while True:
        step = ((exponent - 1) * root + n // root ** (exponent - 1)) // exponent
        if step >= root:
            return root
        root = step
