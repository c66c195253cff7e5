"""Sums of one party's columns with what another has encrypted.

owner of a key    encrypts a vector v of n numbers, by coefficients                        Encrypted
owner of columns  inner products with its columns, each under a mask of its own             Encrypted
owner of a key    decrypts: sums under masks. It returns them (Masked), or keeps them as shares.

Reveals: to the owner of a key, uniform numbers; to the owner of columns, ciphertexts, and the sums where they are
returned; what these tell is said where they are asked for (`gradients`, `information`).
Assumes: semi-honest parties; ring learning with errors.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import BadCiphertext
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import receive_bytes, send_bytes
from fedcredit.protocols.effects import Steps, recv
from fedcredit.protocols.linear.fixed import centred
from fedcredit.protocols.linear.shape import LinearShape
from fedcredit.wire.linear import Masked

__all__ = [
    "answer_sums",
    "open_sums",
    "receive_masked",
    "receive_vector",
]

I64: TypeAlias = npt.NDArray[np.int64]


def receive_vector(key: rlwe.PublicKey, sender: PartyId, shape: LinearShape) -> Steps[rlwe.Ciphertexts]:
    """One vector over all rows that the key's owner encrypted by coefficients. Raises: PeerError."""
    flat = yield from receive_bytes(sender, rlwe.Ciphertexts.size(1, shape.n_rows), shape.step)
    try:
        return rlwe.Ciphertexts.coefficients_from_bytes(flat, key, vectors=1, rows=shape.n_rows)
    except BadCiphertext as bad:
        raise bad.of_peer(sender, shape.step) from None


def answer_sums(
    key: rlwe.PublicKey,
    to: PartyId,
    vector: rlwe.Ciphertexts,
    shape: LinearShape,
    columns: rlwe.Limbs | I64,
    randomness: Randomness,
) -> Steps[I64]:
    """Send the key's owner inner products with all columns, under masks. Returns the masks, one a sum.

    Shapes: columns in limbs, or (f, n).
    """
    masks = rlwe.masks(randomness, len(columns))
    for at in shape.runs(len(columns)):
        if isinstance(columns, np.ndarray):
            answer = key.inner_products(vector, columns[at], masks[at], randomness)
        else:
            answer = key.limb_products(vector, columns, at, masks[at], randomness)
        yield from send_bytes(to, answer.to_bytes())
    return masks


def open_sums(secret: rlwe.SecretKey, sender: PartyId, shape: LinearShape, count: int) -> Steps[I64]:
    """Receive and decrypt `count` inner products: sums under masks (count,). Raises: PeerError."""
    numbers = np.zeros(count, np.int64)
    for at in shape.runs(count):
        due = at.stop - at.start
        flat = yield from receive_bytes(sender, rlwe.InnerProducts.size(due), shape.step)
        try:
            answer = rlwe.InnerProducts.from_bytes(flat, secret.public, count=due, rows=shape.n_rows)
            numbers[at] = secret.decrypt_inner(answer)
        except BadCiphertext as bad:
            raise bad.of_peer(sender, shape.step) from None
    return numbers


def receive_masked(sender: PartyId, shape: LinearShape, count: int) -> Steps[I64]:
    """The numbers that a key's owner decrypted. Raises: PeerError SHAPE."""
    got = yield from recv(sender, Masked)
    if got.numbers.shape != (count,):
        raise PeerError(sender, shape.step, f"returned {got.numbers.size} sums of {count}", "SHAPE")
    return centred(got.numbers)
