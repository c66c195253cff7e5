"""An oblivious pseudorandom function, RFC 9497 mode 0 over ristretto255-SHA512, in batches.

The holder of a key and the holder of items compute F_k(item) so that the first learns nothing of the items but their
number, and the second nothing of the key but the values it asked for. `OprfKey` and `OprfBlind` are single-session:
make them fresh, and drop them with the session. A filter alone outlives its session, and its key with it, in a private
file of its owner (`docs/protocols/intersect.md`).

Shapes: n items of w bytes, (n, w) uint8; points (n, 32); values (n, width), the first bytes of the RFC's 64 an item.
Assumes: the one-more gap Diffie-Hellman assumption and a random oracle (RFC 9497, section 7); and, since a blind serves
a whole batch, decisional Diffie-Hellman for hiding the items, where the RFC's blind for every item hides them
unconditionally. That saves one random scalar and one inversion an item and gives the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.kernels import group

__all__ = ["OprfBlind", "OprfKey"]

U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class OprfKey:
    """The key holder's side. Never more than 2^28 evaluations under one key (`docs/protocols/intersect.md`)."""

    _scalar: bytes = field(repr=False)

    @classmethod
    def generate(cls, randomness: Randomness) -> OprfKey:
        """A fresh key."""
        return cls(randomness.scalar())

    @classmethod
    def from_bytes(cls, secret: bytes) -> OprfKey:
        """The key that `to_bytes` gave. Raises: ValueError for what is no key."""
        group.invert(np.frombuffer(secret, np.uint8).reshape(1, -1))
        return cls(secret)

    def to_bytes(self) -> bytes:
        """The key itself, for its owner's private file."""
        return self._scalar

    def blind_evaluate(self, blinded: U8) -> U8:
        """RFC 9497 `BlindEvaluate`: points to points. Raises: BadPoint."""
        return group.multiply(blinded, self._scalar)

    def evaluate(self, items: U8, width: int) -> U8:
        """RFC 9497 `Evaluate`: the values of the holder's own items."""
        return group.oprf_evaluate(items, self._scalar, width=width)


@dataclass(frozen=True, slots=True)
class OprfBlind:
    """The item holder's side: one blind for all its items."""

    _scalar: bytes = field(repr=False)

    @classmethod
    def generate(cls, randomness: Randomness) -> OprfBlind:
        """A fresh blind."""
        return cls(randomness.scalar())

    @classmethod
    def from_bytes(cls, secret: bytes) -> OprfBlind:
        """The blind that `to_bytes` gave. Raises: ValueError for what is no blind."""
        group.invert(np.frombuffer(secret, np.uint8).reshape(1, -1))
        return cls(secret)

    def to_bytes(self) -> bytes:
        """The blind itself, for who is to see that points hide just the items that they are said to hide."""
        return self._scalar

    def blind(self, items: U8) -> U8:
        """RFC 9497 `Blind`: items to points."""
        return group.oprf_blind(items, self._scalar)

    def finalize(self, items: U8, evaluated: U8, width: int) -> U8:
        """RFC 9497 `Finalize`: the values of `items` from the evaluated points. Raises: BadPoint."""
        return group.oprf_finalize(items, evaluated, self._scalar, width=width)
