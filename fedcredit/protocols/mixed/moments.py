"""Correlations over the rows of several banks: between departments as in `protocols.moments`, over all rows; between
the banks' common columns and a department's, bank by bank, and added up before anybody sees them.

once         P -> leader  MomentColumns, OwnCorrelations;   leader -> P, B  ColumnCounts
P and banks  with each bank: the one with fewer columns encrypts, the other masks (`moments.products`);
             banks add up what they have for the leader, P -> leader  MomentShares  its part over all banks
P and P'     as in `protocols.moments`

Reveals: to the leader, the correlation of each column with each over the rows of all banks; how many columns each party
brings. To others, how many columns others bring.
Assumes: semi-honest parties; ring learning with errors; what adds up hides all but the total.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.mixed.adding import ToLeader, residues_to_leader
from fedcredit.protocols.mixed.columns import PooledMoments
from fedcredit.protocols.mixed.shape import MixedShape
from fedcredit.protocols.moments.label import Moments, assembled, receive_own_correlations, receive_shares
from fedcredit.protocols.moments.products import ask_products, serve_products
from fedcredit.protocols.moments.shape import BITS, MomentsShape, Pair, StandardColumns
from fedcredit.wire.moments import ColumnCounts, MomentColumns, MomentShares, OwnCorrelations

__all__ = ["MixedMomentsBank", "MixedMomentsDepartment", "MixedMomentsLeader"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class MixedMomentsLeader:
    """Learns the correlations of all columns with all. Shapes: X (n, d), the banks' common columns in its own rows.

    Reveals: to this bank, the correlation of each column with each over the rows of all banks, and what
    `MomentsLabel` says may follow from it; how many columns each department brings. Of no row or bank anything beyond.
    Assumes: semi-honest parties; ring learning with errors; what adds up hides all but the total.
    """

    shape: MixedShape
    X: F64 = field(repr=False)
    pooled: PooledMoments = field(repr=False)
    to_leader: ToLeader = field(repr=False)

    def steps(self, randomness: Randomness) -> Steps[Moments]:
        """Correlate. Raises: DataError ROWS_TOO_FEW, COLUMNS_TOO_MANY; PeerError."""
        shape, whole = self.shape, _whole(self.shape)
        own = _of_bank(self.X, self.pooled)
        columns = {shape.leader: len(own)}
        blocks = {(shape.leader, shape.leader): own.correlation}
        for peer in shape.peers:
            told = yield from recv(peer, MomentColumns)
            if told.rows != whole.n_rows:
                raise PeerError(peer, whole.step, f"has {told.rows} rows of {whole.n_rows}", "SHAPE")
            columns[peer] = told.columns
            blocks[peer, peer] = yield from receive_own_correlations(whole, peer, told.columns)
        counts = tuple(columns.values())
        whole.refuse_columns(counts)
        for party in (*shape.peers, *shape.banks[1:]):
            yield from send(party, ColumnCounts(np.array(counts, np.uint32)))
        for pair in whole.pairs(counts):
            sums = yield from self._sums(whole, pair, own, randomness)
            found = whole.correlations(sums.reshape(pair.vectors, pair.columns))
            if found is None:
                culprit = pair.owner if pair.other == shape.leader else pair.other
                raise PeerError(culprit, whole.step, "answered with sums that no columns have", "SUMS_INVALID")
            blocks[pair.owner, pair.other] = found
        return Moments(assembled(whole, counts, blocks), columns)

    def _sums(self, whole: MomentsShape, pair: Pair, own: StandardColumns, randomness: Randomness) -> Steps[I64]:
        """Sums, and what masks them taken off."""
        leader = self.shape.leader
        if leader not in (pair.owner, pair.other):
            masks = yield from receive_shares(whole, pair.other, pair)
            return rlwe.centred(rlwe.centred((yield from receive_shares(whole, pair.owner, pair))) - masks)
        banks = yield from _with_department(self.shape, leader, pair, own, self.to_leader, randomness)
        assert banks is not None, "the leader has the total"
        department = pair.owner if pair.other == leader else pair.other
        theirs = rlwe.centred((yield from receive_shares(whole, department, pair)))
        return rlwe.centred(theirs - banks if pair.owner == department else banks - theirs)


@dataclass(frozen=True, slots=True, eq=False)
class MixedMomentsBank:
    """Has the banks' common columns X (n, d) of its rows correlated with all others, for the leader.

    Reveals: to this bank, how many columns each department brings. Of no row or column anything.
    Assumes: semi-honest parties; ring learning with errors; what adds up hides all but the total.
    """

    shape: MixedShape
    me: PartyId
    X: F64 = field(repr=False)
    pooled: PooledMoments = field(repr=False)
    to_leader: ToLeader = field(repr=False)

    def steps(self, randomness: Randomness) -> Steps[None]:
        """Take part. Raises: DataError; PeerError."""
        leader, own = self.shape.leader, _of_bank(self.X, self.pooled)
        counts = yield from _counts(self.shape, leader, len(own))
        for pair in _whole(self.shape).pairs(counts):
            if leader in (pair.owner, pair.other):
                yield from _with_department(self.shape, self.me, pair, own, self.to_leader, randomness)


@dataclass(frozen=True, slots=True, eq=False)
class MixedMomentsDepartment:
    """Has its columns X (total, d) correlated with all others, for the leading bank.

    Reveals: to this party, how many columns others bring. Of no row or column anything.
    Assumes: semi-honest parties; ring learning with errors.
    """

    shape: MixedShape
    me: PartyId
    X: F64 = field(repr=False)

    def steps(self, randomness: Randomness) -> Steps[None]:
        """Take part. Raises: DataError VALUE_INVALID, ROWS_TOO_FEW, COLUMNS_TOO_MANY; PeerError."""
        leader, whole = self.shape.leader, _whole(self.shape)
        own = StandardColumns.of(whole, self.X)
        yield from send(leader, MomentColumns(len(own), whole.n_rows))
        yield from send(leader, OwnCorrelations(own.correlation[np.triu_indices(len(own), 1)]))
        counts = yield from _counts(self.shape, self.me, len(own))
        for pair in whole.pairs(counts):
            if self.me not in (pair.owner, pair.other):
                continue
            if leader in (pair.owner, pair.other):
                yield from self._with_banks(pair, own, randomness)
            elif self.me == pair.owner:
                yield from self._give((yield from ask_products(whole, pair, own, randomness)))
            else:
                masks = rlwe.masks(randomness, pair.vectors, pair.columns)
                yield from serve_products(whole, pair, own, masks, randomness)
                yield from self._give(masks)

    def _with_banks(self, pair: Pair, own: StandardColumns, randomness: Randomness) -> Steps[None]:
        total = np.zeros((pair.vectors, pair.columns), np.int64)
        for bank, at in self.shape.slices().items():
            shape, rows = _part(self.shape, bank, self.me), replace(own, numbers=own.numbers[:, at])
            if self.me == pair.owner:
                part = yield from ask_products(shape, replace(pair, other=bank), rows, randomness)
            else:
                part = rlwe.masks(randomness, pair.vectors, pair.columns)
                yield from serve_products(shape, replace(pair, owner=bank), rows, part, randomness)
            total = rlwe.centred(total + rlwe.centred(part))
        yield from self._give(total)

    def _give(self, shares: I64) -> Steps[None]:
        yield from send(self.shape.leader, MomentShares(np.remainder(shares, rlwe.PLAIN_MODULUS).reshape(-1)))


def _with_department(
    shape: MixedShape, me: PartyId, pair: Pair, own: StandardColumns, to_leader: ToLeader, randomness: Randomness
) -> Steps[I64 | None]:
    """A bank's part of sums with a department's columns: at the leader what all banks decrypted, or their masks."""
    department = pair.owner if pair.other == shape.leader else pair.other
    part = _part(shape, me, department)
    if department == pair.other:
        found = yield from ask_products(part, replace(pair, owner=me), own, randomness)
    else:
        found = rlwe.masks(randomness, pair.vectors, pair.columns)
        yield from serve_products(part, replace(pair, other=me), own, found, randomness)
    return (yield from residues_to_leader(to_leader, found.reshape(-1), randomness))


def _counts(shape: MixedShape, me: PartyId, own: int) -> Steps[tuple[int, ...]]:
    """How many columns each party brings, the banks' common ones first."""
    whole = _whole(shape)
    told = yield from recv(shape.leader, ColumnCounts)
    counts = tuple(int(count) for count in told.columns)
    if len(counts) != len(whole.parties) or counts[whole.parties.index(me)] != own:
        raise PeerError(shape.leader, whole.step, "told other numbers of columns than there are", "SHAPE")
    whole.refuse_columns(counts)
    return counts


def _of_bank(X: F64, pooled: PooledMoments) -> StandardColumns:
    """A bank's rows of the common columns, put to mean square 1 over all banks; zeros where all are equal."""
    flat = pooled.flat
    spread = np.where(flat, 1.0, pooled.spread)
    scaled = np.where(flat, 0.0, (X - pooled.mean) / spread).T
    numbers = np.ascontiguousarray(np.rint(np.ldexp(scaled, BITS)), np.int32)
    return StandardColumns(numbers, pooled.correlation)


def _whole(shape: MixedShape) -> MomentsShape:
    return MomentsShape(shape.leader, shape.peers, shape.total)


def _part(shape: MixedShape, bank: PartyId, department: PartyId) -> MomentsShape:
    return MomentsShape(bank, (department,), shape.rows[bank])
