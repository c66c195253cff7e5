"""A feature party's side of joint correlations: it has columns, and learns nothing of anybody's. Messages: `label`."""

from __future__ import annotations

from dataclasses import dataclass, field
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

__all__ = ["MomentsFeature"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class MomentsFeature:
    """Has its columns X (n, d) correlated with all others, for the label party.

    Reveals: to this party, how many columns each of the others brings. Of no row or column anything.
    Assumes: semi-honest parties; ring learning with errors.
    """

    shape: MomentsShape
    me: PartyId
    X: F64 = field(repr=False)

    def __post_init__(self) -> None:
        if self.me not in self.shape.peers:
            raise ValueError(f"MomentsFeature: {self.me} is no feature party of these correlations")

    def steps(self, randomness: Randomness) -> Steps[None]:
        """Take part. Raises: DataError VALUE_INVALID, ROWS_TOO_FEW, COLUMNS_TOO_MANY; PeerError."""
        shape, own = self.shape, StandardColumns.of(self.shape, self.X)
        alone = [0] * len(shape.parties)
        alone[shape.parties.index(self.me)] = len(own)
        shape.refuse_columns(alone)
        yield from send(shape.label, MomentColumns(len(own), shape.n_rows))
        yield from send(shape.label, OwnCorrelations(own.correlation[np.triu_indices(len(own), 1)]))
        told = yield from recv(shape.label, ColumnCounts)
        counts = tuple(int(count) for count in told.columns)
        if len(counts) != len(shape.parties) or counts[shape.parties.index(self.me)] != len(own):
            raise PeerError(shape.label, shape.step, "told other numbers of columns than there are", "SHAPE")
        shape.refuse_columns(counts)
        for pair in shape.pairs(counts):
            if self.me == pair.owner:
                yield from self._give((yield from ask_products(shape, pair, own, randomness)))
            elif self.me == pair.other:
                masks = self._masks(pair, randomness)
                yield from serve_products(shape, pair, own, masks, randomness)
                if pair.owner != shape.label:
                    yield from self._give(masks)

    def _masks(self, pair: Pair, randomness: Randomness) -> I64:
        if pair.owner == self.shape.label:
            # What L decrypts is for L.
            return np.zeros((pair.vectors, pair.columns), np.int64)
        return rlwe.masks(randomness, pair.vectors, pair.columns)

    def _give(self, shares: I64) -> Steps[None]:
        yield from send(self.shape.label, MomentShares(shares.reshape(-1)))
