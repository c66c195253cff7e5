"""The gradient of every party's own coefficients, from residuals that A and H share.

    A -> all P    Encrypted    its share r_A of every residual, by coefficients;   H -> A, all other P likewise r_H
    every owner of columns answers each that is not its own, and gets sums under its masks back:

    P             X' r = (masked sum of A) - mask + (masked sum of H) - mask;      A and H sum their own shares

With two limbs a column (`Bits`) each of these sums is two.

Reveals: to each owner of columns, the gradient of its own coefficients, with two limbs as two sums for each, over the
upper and the lower digits of the column; to A and H, uniform numbers.
Assumes: semi-honest parties; A and H do not collude; ring learning with errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import send_bytes
from fedcredit.protocols.effects import Steps, send
from fedcredit.protocols.linear.columns import ALL, OwnColumns, from_limbs
from fedcredit.protocols.linear.fixed import centred
from fedcredit.protocols.linear.shape import LinearShape
from fedcredit.protocols.linear.sums import (
    answer_sums,
    open_sums,
    receive_masked,
    receive_vector,
)
from fedcredit.wire.linear import Masked

__all__ = ["further_gradient", "label_gradient", "partner_gradient"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


def label_gradient(
    shape: LinearShape,
    secret: rlwe.SecretKey,
    partner: rlwe.PublicKey,
    columns: OwnColumns,
    counts: Mapping[PartyId, int],
    share: I64,
    randomness: Randomness,
) -> Steps[F64]:
    """A's side. Shapes: share (n,); returns the gradient of its coefficients (d,)."""
    vector = secret.encrypt_coefficients(share[None], randomness).to_bytes()
    for peer in shape.peers:
        yield from send_bytes(peer, vector)
    theirs = yield from receive_vector(partner, shape.partner, shape)
    d = len(columns) * shape.bits.limbs
    masks = yield from answer_sums(partner, shape.partner, theirs, shape, columns.summed, randomness)
    got = yield from receive_masked(shape.partner, shape, d)
    for peer in shape.peers:
        yield from send(peer, Masked((yield from open_sums(secret, peer, shape, counts[peer] * shape.bits.limbs))))
    return _real(shape, got - masks + columns.summed.sums(ALL, share))


def partner_gradient(
    shape: LinearShape,
    secret: rlwe.SecretKey,
    label: rlwe.PublicKey,
    columns: OwnColumns,
    counts: Mapping[PartyId, int],
    share: I64,
    randomness: Randomness,
) -> Steps[F64]:
    """H's side. Shapes: share (n,); returns the gradient of its coefficients (d,)."""
    theirs = yield from receive_vector(label, shape.label, shape)
    vector = secret.encrypt_coefficients(share[None], randomness).to_bytes()
    for peer in (shape.label, *shape.further):
        yield from send_bytes(peer, vector)
    yield from send(
        shape.label, Masked((yield from open_sums(secret, shape.label, shape, counts[shape.label] * shape.bits.limbs)))
    )
    d = len(columns) * shape.bits.limbs
    masks = yield from answer_sums(label, shape.label, theirs, shape, columns.summed, randomness)
    got = yield from receive_masked(shape.label, shape, d)
    for peer in shape.further:
        yield from send(peer, Masked((yield from open_sums(secret, peer, shape, counts[peer] * shape.bits.limbs))))
    return _real(shape, got - masks + columns.summed.sums(ALL, share))


def further_gradient(
    shape: LinearShape,
    keys: Mapping[PartyId, rlwe.PublicKey],
    columns: OwnColumns,
    randomness: Randomness,
) -> Steps[F64]:
    """The side of a party that holds no share. Returns the gradient of its coefficients (d,)."""
    d = len(columns) * shape.bits.limbs
    vectors = {}
    for holder, key in keys.items():
        vectors[holder] = yield from receive_vector(key, holder, shape)
    total = np.zeros(d, np.int64)
    for holder, key in keys.items():
        masks = yield from answer_sums(key, holder, vectors[holder], shape, columns.summed, randomness)
        got = yield from receive_masked(holder, shape, d)
        total = centred(total + got - masks)
    return _real(shape, total)


def _real(shape: LinearShape, numbers: I64) -> F64:
    bits = shape.bits
    return np.ldexp(from_limbs(centred(numbers), bits.limbs, bits.limb), -(bits.column + bits.probability))
