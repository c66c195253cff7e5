"""The label party's side of joint correlations: it leads, and learns the matrix.

once        P -> L   MomentColumns, OwnCorrelations;   L -> P   ColumnCounts
each pair, one after the other in an order that all know; the one with fewer columns encrypts (`products`)
L, P        L encrypts: it decrypts the sums.   P encrypts: L masks, and   P -> L   MomentShares   what it decrypted
P, P'       the one that multiplies masks;   P, P' -> L   MomentShares   what was decrypted, and the masks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.moments.products import ask_products, serve_products
from fedcredit.protocols.moments.shape import MomentsShape, Pair, StandardColumns
from fedcredit.wire.moments import ColumnCounts, MomentColumns, MomentShares, OwnCorrelations

__all__ = ["Moments", "MomentsLabel", "assembled", "receive_own_correlations", "receive_shares"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The correlations of all columns with all: (D, D), the label party's columns first, then each peer's.

    A column of one value has correlation 0 with all others, and 1 with itself.
    """

    correlation: F64 = field(repr=False)
    columns: Mapping[PartyId, int]
    """How many columns each party brought, in the order of the matrix."""


@dataclass(frozen=True, slots=True, eq=False)
class MomentsLabel:
    """Learns the correlations of all columns with all. Shapes: X (n, d), d may be 0.

    Reveals: to this party, the correlation of each column with each, of whichever parties; how many columns each party
    brings. Where two columns have few values whose sizes it knows, e.g. weights of evidence of bins that it settled,
    the number of rows with each pair of values may follow. Of no row anything beyond.
    Assumes: semi-honest parties; ring learning with errors.
    """

    shape: MomentsShape
    X: F64 = field(repr=False)

    def steps(self, randomness: Randomness) -> Steps[Moments]:
        """Correlate. Raises: DataError VALUE_INVALID, ROWS_TOO_FEW, COLUMNS_TOO_MANY; PeerError."""
        shape, own = self.shape, StandardColumns.of(self.shape, self.X)
        columns = {shape.label: len(own)}
        blocks: dict[tuple[PartyId, PartyId], F64] = {(shape.label, shape.label): own.correlation}
        for peer in shape.peers:
            told = yield from recv(peer, MomentColumns)
            if told.rows != shape.n_rows:
                raise PeerError(peer, shape.step, f"has {told.rows} rows of {shape.n_rows}", "SHAPE")
            columns[peer] = told.columns
            blocks[peer, peer] = yield from receive_own_correlations(shape, peer, told.columns)
        counts = tuple(columns.values())
        shape.refuse_columns(counts)
        for peer in shape.peers:
            yield from send(peer, ColumnCounts(np.array(counts, np.uint32)))
        for pair in shape.pairs(counts):
            sums = yield from self._sums(pair, own, randomness)
            found = shape.correlations(sums.reshape(pair.vectors, pair.columns))
            if found is None:
                culprit = pair.owner if pair.other == shape.label else pair.other
                raise PeerError(culprit, shape.step, "answered with sums that no columns have", "SUMS_INVALID")
            blocks[pair.owner, pair.other] = found
        return Moments(assembled(shape, counts, blocks), columns)

    def _sums(self, pair: Pair, own: StandardColumns, randomness: Randomness) -> Steps[I64]:
        shape = self.shape
        if shape.label == pair.owner:
            return (yield from ask_products(shape, pair, own, randomness))
        if shape.label == pair.other:
            masks = rlwe.masks(randomness, pair.vectors, pair.columns)
            yield from serve_products(shape, pair, own, masks, randomness)
            masks = masks.reshape(-1)
        else:
            masks = yield from receive_shares(shape, pair.other, pair)
        sums = yield from receive_shares(shape, pair.owner, pair)
        return rlwe.centred(rlwe.centred(sums) - rlwe.centred(masks))


def receive_shares(shape: MomentsShape, sender: PartyId, pair: Pair) -> Steps[I64]:
    """A party's shares of the sums of a pair: (entries,). Raises: PeerError SHAPE."""
    got = yield from recv(sender, MomentShares)
    if got.numbers.shape != (pair.entries,):
        raise PeerError(sender, shape.step, f"sent {got.numbers.size} shares of {pair.entries}", "SHAPE")
    return got.numbers


def receive_own_correlations(shape: MomentsShape, peer: PartyId, d: int) -> Steps[F64]:
    """Those of a peer's d columns among themselves: (d, d). Raises: PeerError SHAPE."""
    got = yield from recv(peer, OwnCorrelations)
    above = np.triu_indices(d, 1)
    if got.numbers.shape != above[0].shape:
        raise PeerError(peer, shape.step, "sent correlations of another number of columns", "SHAPE")
    block = np.eye(d)
    block[above] = np.clip(got.numbers, -1.0, 1.0)
    return block + np.triu(block, 1).T


def assembled(shape: MomentsShape, counts: tuple[int, ...], blocks: Mapping[tuple[PartyId, PartyId], F64]) -> F64:
    """The matrix of all columns from its blocks."""
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    places = {party: slice(*run) for party, run in zip(shape.parties, pairwise(starts), strict=True)}
    matrix = np.zeros((starts[-1], starts[-1]))
    for (first, second), block in blocks.items():
        matrix[places[first], places[second]] = block
        matrix[places[second], places[first]] = block.T
    return matrix
