"""Sums of products of two parties' columns: one encrypts its columns, the other multiplies.

    owner -> other   Encrypted    one column, by coefficients
    other -> owner   Encrypted    its inner products with every column of the other, each under a mask
                     and so on with the owner's next column
    owner            decrypts: the sums, under the masks

Reveals: to the owner, uniform numbers where masks are uniform, and where they are zero, the sums; to the other nothing.
Assumes: semi-honest parties; ring learning with errors.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import BadCiphertext
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import receive_bytes, receive_key, send_bytes, send_key
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.moments.shape import MomentsShape, Pair, StandardColumns

__all__ = ["ask_products", "serve_products"]

I64: TypeAlias = npt.NDArray[np.int64]


def ask_products(shape: MomentsShape, pair: Pair, own: StandardColumns, randomness: Randomness) -> Steps[I64]:
    """The owner's side, with a key of its own for this pair. Returns sums under masks (vectors, columns).

    Raises: PeerError SHAPE, CIPHERTEXT_INVALID.
    """
    secret = rlwe.SecretKey.generate(randomness, answers=pair.entries)
    yield from send_key(pair.other, secret.public)
    found = np.empty((pair.vectors, pair.columns), np.int64)
    for j in range(pair.vectors):
        vector = secret.encrypt_coefficients(own.some(slice(j, j + 1)), randomness)
        yield from send_bytes(pair.other, vector.to_bytes())
        for at in shape.batches(pair.columns):
            found[j, at] = yield from _open(secret, pair.other, shape, at.stop - at.start)
    return found


def serve_products(
    shape: MomentsShape, pair: Pair, own: StandardColumns, masks: I64, randomness: Randomness
) -> Steps[None]:
    """The other's side. Shapes: masks (vectors, columns). Raises: PeerError SHAPE, KEY_INVALID, CIPHERTEXT_INVALID."""
    key = yield from receive_key(pair.owner, shape.step)
    for mask in masks:
        flat = yield from receive_bytes(pair.owner, rlwe.Ciphertexts.size(1, shape.n_rows), shape.step)
        try:
            vector = rlwe.Ciphertexts.coefficients_from_bytes(flat, key, vectors=1, rows=shape.n_rows)
        except BadCiphertext as bad:
            raise bad.of_peer(pair.owner, shape.step) from None
        for at in shape.batches(pair.columns):
            answer = key.inner_products(vector, own.some(at), mask[at], randomness)
            yield from send_bytes(pair.owner, answer.to_bytes())


def _open(secret: rlwe.SecretKey, sender: PartyId, shape: MomentsShape, count: int) -> Steps[I64]:
    flat = yield from receive_bytes(sender, rlwe.InnerProducts.size(count), shape.step)
    try:
        return secret.decrypt_inner(rlwe.InnerProducts.from_bytes(flat, secret.public, count=count, rows=shape.n_rows))
    except BadCiphertext as bad:
        raise bad.of_peer(sender, shape.step) from None
