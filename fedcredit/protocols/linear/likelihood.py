"""The log-likelihood at the end, as a sum of shares: sum over rows of s ((y - 1/2) z - ln(2 cosh(z / 2))).

    A -> all P   Encrypted   s (y - 1/2) of every row, by coefficients; P answers with the sum of its partial scores
                             times that, under a mask
    P' -> H      Masked      further parties: the mask, turned round;   H -> A  ShareSums  all of them and its own,
                             less its share of the sum of the second terms (`curves`)
    A            adds up

Reveals: to A, the log-likelihood, and of H's and further parties' sums nothing else but their total; to others nothing.
Assumes: semi-honest parties; A and H do not collude; what `keys` assumes.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.fourier import REACH
from fedcredit.protocols.ciphertexts import send_bytes
from fedcredit.protocols.effects import Steps, send
from fedcredit.protocols.linear.curves import ask_curve, serve_curve
from fedcredit.protocols.linear.fixed import centred, fixed, multiplied
from fedcredit.protocols.linear.gradients import receive_masked
from fedcredit.protocols.linear.information import receive_entries
from fedcredit.protocols.linear.keys import OwnKey, PeerKey
from fedcredit.protocols.linear.shape import LinearShape
from fedcredit.wire.linear import Masked, ShareSums

__all__ = ["further_likelihood", "label_likelihood", "label_part", "partner_likelihood", "partner_part"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

SIDE_BITS = 14
"""Digits of s (y - 1/2); those of a partial score are the rest."""


def label_likelihood(shape: LinearShape, key: OwnKey, shares: I64, weights: F64, y: F64, scores: F64) -> Steps[float]:
    """A's side. Shapes: shares, weights, y, scores (n,), scores being its own part of the log-odds."""
    total = yield from label_part(shape, key, shares, weights, y)
    total = centred(total + (yield from receive_entries(shape.partner, shape, 1)))
    return float(np.ldexp(float(total[0]), -shape.bits.likelihood) + (weights * (y - 0.5)) @ scores)


def label_part(shape: LinearShape, key: OwnKey, shares: I64, weights: F64, y: F64) -> Steps[I64]:
    """A's share of all but what its own scores add. Shapes: shares, weights, y (n,); returns (1,)."""
    bits = shape.bits.likelihood
    side = fixed(weights * (y - 0.5), SIDE_BITS)
    sealed = key.seal(side[None], _score_bits(shape))
    total = np.zeros(1, np.int64)
    for peer in shape.peers:
        yield from send_bytes(peer, sealed)
        total = centred(total + (yield from key.open_sums(peer, 1, 1, _score_bits(shape)))[0])
    curve = yield from ask_curve(shape, key, "cosh", bits, shares, weights)
    return centred(total - _sum(curve))


def partner_likelihood(shape: LinearShape, key: PeerKey, shares: I64, scores: F64) -> Steps[None]:
    """H's side. Shapes: shares (n,) of all log-odds, scores (n,) its own partial scores."""
    yield from send(shape.label, ShareSums((yield from partner_part(shape, key, shares, scores))))


def partner_part(shape: LinearShape, key: PeerKey, shares: I64, scores: F64) -> Steps[I64]:
    """H's share, with those of further parties: (1,)."""
    masks = yield from _answer(shape, key, scores)
    curve = yield from serve_curve(shape, key, "cosh", shape.bits.likelihood, shares)
    total = centred(-masks - _sum(curve))
    for peer in shape.further:
        total = centred(total + (yield from receive_masked(peer, shape, 1)))
    return total


def further_likelihood(shape: LinearShape, key: PeerKey, scores: F64) -> Steps[None]:
    """The side of a party that holds no share. Shapes: scores (n,) its own partial scores."""
    masks = yield from _answer(shape, key, scores)
    yield from send(shape.partner, Masked(centred(-masks)))


def _answer(shape: LinearShape, key: PeerKey, scores: F64) -> Steps[I64]:
    column = fixed(scores, shape.bits.likelihood - SIDE_BITS)[None]
    vector = yield from key.receive(1, _score_bits(shape))
    (masks,) = yield from key.answer(vector, 1, column, _score_bits(shape))
    return np.asarray(masks)


def _score_bits(shape: LinearShape) -> int:
    """Binary digits of the largest partial score, which is within the reach of the series."""
    return shape.bits.likelihood - SIDE_BITS + math.ceil(math.log2(REACH))


def _sum(numbers: I64) -> I64:
    """The sum modulo t; so many numbers would overflow 64 bits. Shapes: returns (1,)."""
    low, high = numbers & ((1 << 32) - 1), numbers >> 32
    return centred(multiplied(high.sum(keepdims=True), np.array(1 << 32)) + low.sum(keepdims=True))
