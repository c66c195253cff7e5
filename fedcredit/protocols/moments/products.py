"""Sums of products of two parties' columns: one encrypts its columns, the other multiplies.

    owner -> other   Encrypted    public keys, a bunch: one for each column of a group
    owner -> other   Encrypted    a group of columns, by coefficients
    other -> owner   Encrypted    their inner products with every column of the other, each under a mask
                     and so on with the owner's next group
    owner            decrypts: the sums, under the masks

A group has as many columns as fit the memory that both sides spend on it, which both know.

Reveals: to the owner, uniform numbers where masks are uniform, and where they are zero, the sums; to the other nothing.
Assumes: semi-honest parties; ring learning with errors.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe_bunch
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import BadCiphertext, BadKey
from fedcredit.protocols.ciphertexts import receive_bytes, send_bytes
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.moments.shape import MomentsShape, Pair, StandardColumns

__all__ = ["ask_products", "serve_products"]

I64: TypeAlias = npt.NDArray[np.int64]


def ask_products(shape: MomentsShape, pair: Pair, own: StandardColumns, randomness: Randomness) -> Steps[I64]:
    """The owner's side, with keys of its own for this pair. Returns sums under masks (vectors, columns).

    Raises: PeerError SHAPE, CIPHERTEXT_INVALID.
    """
    groups = list(shape.groups(pair.vectors))
    secret = rlwe_bunch.SecretBunch.generate(randomness, _size(groups[0]), answers=pair.entries)
    yield from send_bytes(pair.other, secret.public.to_bytes())
    found = np.empty((pair.vectors, pair.columns), np.int64)
    for group in groups:
        vectors = secret.encrypt(own.some(group), randomness)
        yield from send_bytes(pair.other, vectors.to_bytes())
        for at in shape.batches(pair.columns):
            sizes = {"vectors": _size(group), "columns": _size(at)}
            flat = yield from receive_bytes(pair.other, rlwe_bunch.BunchProducts.size(**sizes), shape.step)
            try:
                answer = rlwe_bunch.BunchProducts.from_bytes(flat, secret.public, rows=shape.n_rows, **sizes)
                found[group, at] = secret.decrypt(answer)
            except BadCiphertext as bad:
                raise bad.of_peer(pair.other, shape.step) from None
    return found


def serve_products(
    shape: MomentsShape, pair: Pair, own: StandardColumns, masks: I64, randomness: Randomness
) -> Steps[None]:
    """The other's side. Shapes: masks (vectors, columns). Raises: PeerError SHAPE, KEY_INVALID, CIPHERTEXT_INVALID."""
    groups = list(shape.groups(pair.vectors))
    size = _size(groups[0])
    flat = yield from receive_bytes(pair.owner, rlwe_bunch.PublicBunch.size(size), shape.step)
    try:
        keys = rlwe_bunch.PublicBunch.from_bytes(flat, keys=size)
    except BadKey as bad:
        raise bad.of_peer(pair.owner, shape.step) from None
    for group in groups:
        size = _size(group)
        flat = yield from receive_bytes(pair.owner, rlwe_bunch.BunchVectors.size(size, shape.n_rows), shape.step)
        try:
            vectors = rlwe_bunch.BunchVectors.from_bytes(flat, keys, vectors=size, rows=shape.n_rows)
        except BadCiphertext as bad:
            raise bad.of_peer(pair.owner, shape.step) from None
        for at in shape.batches(pair.columns):
            answer = keys.products(vectors, own.some(at), masks[group, at], randomness)
            yield from send_bytes(pair.owner, answer.to_bytes())


def _size(at: slice) -> int:
    return int(at.stop - at.start)
