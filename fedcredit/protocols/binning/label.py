"""The label party's side of binning: it counts good and bad rows of everybody's pre-bins, and settles the bins.

P -> L   Prebins          how many pre-bins each column has                     P, alone, has cut its columns
L -> P   CountPlan
batch    under ring-LWE (`counts`), or by a group-by-sum of 2^32 + y_i, so that a sum holds rows and bad rows
P -> L   SealedCounts or GroupSums                                              counts of P's opaque pre-bins
L        joins pre-bins until each bin has enough rows of either class, then as the job's method says
L -> P   SettledBins      what the job tells: nothing, or which pre-bins are one bin, and of IV and WOE
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import PrebinShape, SettledColumn
from fedcredit.credit.woe import TELL_VALUES, BinCounts
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import DataError, PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8, U64, Assignment
from fedcredit.protocols.binning.columns import (
    I64,
    REFUSALS,
    STYLES,
    Batches,
    Counting,
    ToldColumn,
    told_columns,
)
from fedcredit.protocols.binning.counts import LabelCounter
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import Asker, Grouping, onehot, paillier, plain
from fedcredit.wire.binning import COLUMNS_AT_ONCE, CountPlan, Prebins, SettledBins

__all__ = ["BinningLabel"]

Shapes = tuple[PrebinShape, ...]

_BAD_BITS = 32
"""A sum has the bad rows in its lower half and all rows in its upper one; columns have less than 2^32 rows."""


@dataclass(frozen=True, slots=True)
class BinningLabel:
    """Counts good and bad rows of each pre-bin of every peer's columns, and tells each peer its bins.

    `key` is that of backend `paillier`, for all peers and batches of one start of a job; without one each batch has its
    own. Shapes: labels (n,), 0 or 1.

    Reveals: to this party, how many rows and how many bad rows each pre-bin of each peer's column has, by opaque
    number. Where one pre-bin has all bad rows, or all good ones, it thereby knows that each of these rows is in it.
    Assumes: semi-honest parties; what the way of counting assumes.
    """

    me: PartyId
    peers: tuple[PartyId, ...]
    labels: U8 = field(repr=False)
    params: BinParams
    backend: Counting = "rlwe"
    insecure_plain: bool = False
    key: paillier.OwnKey | None = field(repr=False, default=None)

    @property
    def n_rows(self) -> int:
        """Rows that are counted."""
        return self.labels.size

    @property
    def n_bad(self) -> int:
        """Bad rows among them."""
        return int(np.count_nonzero(self.labels))

    def batches(self, shapes: Shapes) -> Batches:
        """Which of a peer's columns are counted together."""
        return Batches(shapes, self.n_rows, self.backend)

    def learn_shapes(self) -> Steps[tuple[Shapes, ...]]:
        """How many pre-bins each peer's columns have; every peer is told the number of batches. Raises: PeerError."""
        found: list[Shapes] = []
        for peer in self.peers:
            got = yield from recv(peer, Prebins)
            try:
                found.append(tuple(_shape(got, f) for f in range(got.values.size)))
            except DataError:
                raise self._broke(peer, "declared columns that are like none") from None
        batches = max((len(self.batches(shapes)) for shapes in found), default=0)
        for peer in self.peers:
            yield from send(peer, CountPlan(batches))
        return tuple(found)

    def count(
        self, batch: int, shapes: Sequence[Shapes], session: bytes, randomness: Randomness
    ) -> Steps[tuple[tuple[BinCounts, ...], ...]]:
        """The counts of each peer's columns in one batch, in their order. Raises: PeerError."""
        groups = {peer: self.batches(of).groups(batch) for peer, of in zip(self.peers, shapes, strict=True)}
        due = {peer: of_peer for peer, of_peer in groups.items() if of_peer}
        counts: dict[PartyId, I64] = {}
        if self.backend == "rlwe":
            counter = LabelCounter((self.labels > 0).astype(np.uint8))
            counts = yield from counter.count(due, self.params.min_rows, randomness)
        else:
            values = (np.uint64(1 << _BAD_BITS) + (self.labels > 0))[:, None]
            for peer, of_peer in due.items():
                counts[peer] = yield from self._sums(peer, of_peer, values, session, randomness)
        return tuple(self.checked(peer, groups[peer], counts[peer]) if peer in due else () for peer in self.peers)

    def tell(self, settled: Mapping[PartyId, Sequence[SettledColumn]]) -> Steps[None]:
        """Tell each peer its bins, and of their information values what the job says."""
        for peer in self.peers:
            told = told_columns(settled[peer], self.params.iv_disclosure)
            for first in range(0, len(told), COLUMNS_AT_ONCE):
                yield from send(peer, _message(first, told[first : first + COLUMNS_AT_ONCE], self.params))

    def known_counts(self) -> BinCounts:
        """Those of a column with one pre-bin, which nobody needs to ask for."""
        bad = self.n_bad
        return BinCounts(np.array([self.n_rows - bad], np.int64), np.array([bad], np.int64))

    def _sums(
        self, peer: PartyId, groups: tuple[int, ...], values: U64, session: bytes, randomness: Randomness
    ) -> Steps[I64]:
        shape = Grouping(session, self.me, peer, self.labels.size, groups)
        asker: Asker
        if self.backend == "plain":
            asker = yield from plain.set_up_asker(shape, insecure_plain=self.insecure_plain)
        elif self.backend == "paillier":
            asker = yield from paillier.set_up_asker(shape, self.key or paillier.OwnKey.fresh(randomness))
        else:
            asker = yield from onehot.set_up_asker(shape, randomness)
        everything = tuple(range(len(groups)))
        whole = Assignment.whole(self.labels.size)
        shared = yield from asker.share(0, everything, values, whole, keep=False)
        sums = yield from asker.learn(shared, shared.sums)
        rows = (sums[0, 0] >> np.uint64(_BAD_BITS)).astype(np.int64)
        bad = (sums[0, 0] & np.uint64((1 << _BAD_BITS) - 1)).astype(np.int64)
        return np.stack([rows, bad])

    def checked(self, peer: PartyId, groups: tuple[int, ...], counts: I64) -> tuple[BinCounts, ...]:
        """Counts of a peer's columns, if these can be. Shapes: counts (2, cells). Raises: PeerError COUNTS_INVALID."""
        all_rows, all_bad = self.n_rows, self.n_bad
        found = []
        for column in np.split(counts, np.cumsum(groups)[:-1], axis=1):
            # Each count is bounded by the total before they are summed, so no sum overflows.
            sound = (column[1] <= column[0]).all() and (column[0] <= all_rows).all()
            if not sound or column.sum(axis=1).tolist() != [all_rows, all_bad]:
                raise self._broke(peer, "counted other rows than there are", "COUNTS_INVALID")
            if (column[0] < self.params.min_rows).any():
                raise self._broke(peer, "made a pre-bin of fewer rows than the job says", "COUNTS_INVALID")
            found.append(BinCounts(column[0] - column[1], column[1].copy()))
        return tuple(found)

    def _broke(self, peer: PartyId, how: str, code: str = "SHAPE") -> PeerError:
        return PeerError(peer, f"binning over {peer}", how, code)


def _shape(got: Prebins, f: int) -> PrebinShape:
    style = STYLES[int(got.style[f])]
    return PrebinShape(int(got.values[f]), bool(got.missing[f]), int(got.special[f]), style)


def _message(first: int, told: Sequence[ToldColumn], params: BinParams) -> SettledBins:
    labels = np.concatenate([column.labels for column in told]).astype(np.uint8)
    iv = [] if params.iv_disclosure not in TELL_VALUES else [column.iv or 0.0 for column in told]
    woe = [value for column in told for value in column.woe or ()]
    refused = np.array([REFUSALS.index(column.refused) for column in told], np.uint8)
    return SettledBins(first, refused, labels, np.array(iv, np.float64), np.array(woe, np.float64))
