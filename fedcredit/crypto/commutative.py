"""Masking by a secret exponent, in which the order of two masks does not matter: H(x)^a^b = H(x)^b^a.

Whoever sees H(x)^a without a learns nothing of x, and once both have masked an item, the two can compare what neither
could have made alone.

Shapes: n items of w bytes, (n, w) uint8; points (n, 32).
Assumes: decisional Diffie-Hellman in ristretto255, and a random oracle into the group (RFC 9380).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.kernels import group

__all__ = ["CommutativeKey"]

U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CommutativeKey:
    """One party's mask for one session. Never more than 2^28 points under one key (`docs/protocols/intersect.md`)."""

    _scalar: bytes = field(repr=False)

    @classmethod
    def generate(cls, randomness: Randomness) -> CommutativeKey:
        """A fresh key."""
        return cls(randomness.scalar())

    def mask(self, items: U8) -> U8:
        """Items, hashed to the group, under this key."""
        return group.oprf_blind(items, self._scalar)

    def mask_again(self, points: U8) -> U8:
        """What the other party has masked, under this key too. Raises: BadPoint."""
        return group.multiply(points, self._scalar)

    def unmask(self, points: U8) -> U8:
        """Take this key's mask off. Raises: BadPoint."""
        inverse = group.invert(np.frombuffer(self._scalar, np.uint8).reshape(1, group.SCALAR_BYTES))
        return group.multiply(points, inverse.tobytes())
