"""The gradient of every party's own coefficients, from residuals that A and H share.

    A -> all P    Encrypted    its share r_A of every residual, by coefficients;   H -> A, all other P likewise r_H
    every owner of columns answers each that is not its own, and gets sums under its masks back:

    P             X' r = (masked sum of A) - mask + (masked sum of H) - mask;      A and H sum their own shares

With two limbs a column (`Bits`) each of these sums is two.

Reveals: to each owner of columns, the gradient of its own coefficients, with two limbs as two sums for each, over the
upper and the lower digits of the column; to A and H, uniform numbers.
Assumes: semi-honest parties; A and H do not collude; what `keys` assumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import send_bytes
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.linear.columns import ALL, OwnColumns, from_limbs
from fedcredit.protocols.linear.fixed import centred
from fedcredit.protocols.linear.keys import OwnKey, PeerKey
from fedcredit.protocols.linear.shape import LinearShape
from fedcredit.wire.linear import Masked

__all__ = ["further_gradient", "label_gradient", "partner_gradient", "receive_masked"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


def label_gradient(
    shape: LinearShape,
    own: OwnKey,
    partner: PeerKey,
    columns: OwnColumns,
    counts: Mapping[PartyId, int],
    share: I64,
) -> Steps[F64]:
    """A's side. Shapes: share (n,); returns the gradient of its coefficients (d,)."""
    bits, limbs = shape.column_bits, shape.bits.limbs
    sealed = own.seal(share[None], bits)
    for peer in shape.peers:
        yield from send_bytes(peer, sealed)
    theirs = yield from partner.receive(1, bits)
    d = len(columns) * limbs
    (masks,) = yield from partner.answer(theirs, 1, columns.summed, bits)
    got = yield from receive_masked(shape.partner, shape, d)
    for peer in shape.peers:
        (opened,) = yield from own.open_sums(peer, 1, counts[peer] * limbs, bits)
        yield from send(peer, Masked(opened))
    return _real(shape, got - masks + columns.summed.sums(ALL, share))


def partner_gradient(
    shape: LinearShape,
    own: OwnKey,
    label: PeerKey,
    columns: OwnColumns,
    counts: Mapping[PartyId, int],
    share: I64,
) -> Steps[F64]:
    """H's side. Shapes: share (n,); returns the gradient of its coefficients (d,)."""
    bits, limbs = shape.column_bits, shape.bits.limbs
    theirs = yield from label.receive(1, bits)
    sealed = own.seal(share[None], bits)
    for peer in (shape.label, *shape.further):
        yield from send_bytes(peer, sealed)
    (opened,) = yield from own.open_sums(shape.label, 1, counts[shape.label] * limbs, bits)
    yield from send(shape.label, Masked(opened))
    d = len(columns) * limbs
    (masks,) = yield from label.answer(theirs, 1, columns.summed, bits)
    got = yield from receive_masked(shape.label, shape, d)
    for peer in shape.further:
        (opened,) = yield from own.open_sums(peer, 1, counts[peer] * limbs, bits)
        yield from send(peer, Masked(opened))
    return _real(shape, got - masks + columns.summed.sums(ALL, share))


def further_gradient(shape: LinearShape, keys: Mapping[PartyId, PeerKey], columns: OwnColumns) -> Steps[F64]:
    """The side of a party that holds no share. Returns the gradient of its coefficients (d,)."""
    d, bits = len(columns) * shape.bits.limbs, shape.column_bits
    vectors = {}
    for holder, key in keys.items():
        vectors[holder] = yield from key.receive(1, bits)
    total = np.zeros(d, np.int64)
    for holder, key in keys.items():
        (masks,) = yield from key.answer(vectors[holder], 1, columns.summed, bits)
        got = yield from receive_masked(holder, shape, d)
        total = centred(total + got - masks)
    return _real(shape, total)


def receive_masked(sender: PartyId, shape: LinearShape, count: int) -> Steps[I64]:
    """The numbers that a key's owner decrypted. Raises: PeerError SHAPE."""
    got = yield from recv(sender, Masked)
    if got.numbers.shape != (count,):
        raise PeerError(sender, shape.step, f"returned {got.numbers.size} sums of {count}", "SHAPE")
    return centred(got.numbers)


def _real(shape: LinearShape, numbers: I64) -> F64:
    bits = shape.bits
    return np.ldexp(from_limbs(centred(numbers), bits.limbs, bits.limb), -(bits.column + bits.probability))
