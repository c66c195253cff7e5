"""Numbers that are encrypted, and multiplied by numbers of another party's own: what a fit is made of.

Three products, the same under any encryption; sums are modulo t and answers under masks of the party that computes.

    sums       a vector over all rows, with columns: one sum for each       `OwnKey.seal`, `open_sums`; `PeerKey.answer`
    matching   52 numbers a row, with 52 others: one number a row           `OwnKey.match`; `PeerKey.serve_match`
    weighing   one number a row, with several: several numbers a row        `OwnKey.weigh`; `PeerKey.serve_weigh`

`rlwe_keys` and `paillier_keys` have them. Bounds of numbers are public and go with every call, for where an encryption
needs room for them.

Reveals: to the owner of a key, uniform numbers; to who computes, ciphertexts.
Assumes: semi-honest parties; what the encryption assumes.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps

__all__ = ["OwnKey", "PeerKey", "Vectors"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
Vectors: TypeAlias = Any
"""Vectors that were received, as the encryption has them."""


class OwnKey(Protocol):
    """A key of this party's own: it encrypts and decrypts."""

    def announce(self, to: PartyId) -> Steps[None]:
        """Send the public key."""

    def seal(self, vectors: I64, bits: int) -> U8:
        """Vectors as they are sent, for sums with columns of numbers below 2^bits in size. Shapes: (m, n)."""

    def open_sums(self, sender: PartyId, m: int, count: int, bits: int) -> Steps[I64]:
        """Receive and decrypt sums of m vectors with `count` columns: (m, count), under masks. Raises: PeerError."""

    def match(self, peer: PartyId, values: I64, bits: tuple[int, int]) -> Steps[I64]:
        """Of each row the inner product with what `peer` has, under its masks. Raises: PeerError.

        `bits` bound both sides' numbers. Shapes: values (k, rows); returns (rows,).
        """

    def weigh(self, peer: PartyId, values: I64, count: int, bits: int) -> Steps[I64]:
        """Of each row its number times each of `count` numbers that `peer` has, under its masks. Raises: PeerError.

        Shapes: values (rows,); returns (count, rows).
        """


class PeerKey(Protocol):
    """A key of another party: what is under it can be multiplied and answered."""

    def receive(self, m: int, bits: int) -> Steps[Vectors]:
        """m vectors over all rows that the key's owner sealed. Raises: PeerError."""

    def answer(self, vectors: Vectors, m: int, columns: rlwe.Limbs | I64, bits: int) -> Steps[I64]:
        """Send the key's owner sums of m vectors with all columns, under masks, which it returns: (m, columns)."""

    def serve_match(self, values: I64, bits: tuple[int, int]) -> Steps[I64]:
        """The other side of `OwnKey.match`: returns the masks (rows,). Raises: PeerError. Shapes: values (k, rows)."""

    def serve_weigh(self, values: I64, bits: int, masks: I64 | None = None) -> Steps[I64]:
        """The other side of `OwnKey.weigh`, under `masks` or fresh ones, which it returns. Raises: PeerError.

        Shapes: values, masks (count, rows).
        """
