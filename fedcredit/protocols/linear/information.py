"""The information matrix X' W X over the columns of all parties, W = s p (1 - p) of every row shared by A and H.

Of two columns of one party, the party sums their product with both shares of W, as it does for gradients. Of two
parties, the earlier one's column times W is first shared by A and H row by row (`weigh`), then the later one sums its
own column with both shares. All sums stay shares: of the holders of the keys, which decrypt them under masks, and of
the owner of columns, who knows the masks. Everybody sends its shares to A, which adds them up.

Entries stand in one order at all parties: for each party its own pairs j <= l, then for each pair of parties p < q the
columns of p by those of q. A comes first, with a column of ones, then H, then the others.

With two limbs a column, sums are over limbs: two for a pair of one party, four for a pair of two.

Reveals: to A, the matrix, of columns put to mean 0 and mean square 1, as sums over upper and lower digits of columns;
to others nothing.
Assumes: semi-honest parties; A and H do not collude; what `keys` assumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import send_bytes
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.linear.columns import ALL, OwnColumns, from_limbs
from fedcredit.protocols.linear.fixed import centred, fixed, multiplied
from fedcredit.protocols.linear.keys import OwnKey, PeerKey
from fedcredit.protocols.linear.shape import Bits, LinearShape
from fedcredit.wire.linear import ShareSums

__all__ = ["InformationParty", "assembled", "receive_entries"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class InformationParty:
    """One party's side: with a key and a share of W it is A or H, without both a further party.

    Reveals: see the module. Assumes: see the module.
    Shapes: share (n,); counts is columns by party, in their order, A's with its ones.
    """

    shape: LinearShape
    me: PartyId
    columns: OwnColumns
    counts: Mapping[PartyId, int]
    keys: Mapping[PartyId, PeerKey]
    """Those of A and H that are not this party's own, A's first."""
    penalty: F64 = field(repr=False)
    """(d,) what a penalty adds to the diagonal of this party's columns."""
    own: OwnKey | None = field(repr=False, default=None)
    share: I64 | None = field(repr=False, default=None)

    def steps(self) -> Steps[I64]:
        """This party's shares of all entries, zero where it has none."""
        parties = list(self.counts)
        entries: list[I64] = []
        for party in parties:
            entries.append((yield from self._own(party)))
        for p, first in enumerate(parties[:-1]):
            rows: list[dict[PartyId, I64]] = []
            # Some columns at a time, so that memory does not grow with them.
            for some in self.shape.batches(self._limbs(first)):
                weighed = yield from self._weigh(first, some)
                for at in range(0, some.stop - some.start, self.shape.vectors_at_once):
                    m = min(self.shape.vectors_at_once, some.stop - some.start - at)
                    shares = None if weighed is None else weighed[at : at + m]
                    rows.append((yield from self._across(parties[p + 1 :], m, shares)))
            none = np.zeros(0, np.int64)
            entries += [np.concatenate([none, *(row[second].ravel() for row in rows)]) for second in parties[p + 1 :]]
        return np.concatenate(entries)

    def give(self, entries: I64) -> Steps[None]:
        """Send this party's shares to A."""
        yield from send(self.shape.label, ShareSums(entries))

    def _own(self, party: PartyId) -> Steps[I64]:
        """Shares of the sums over pairs of `party`'s own columns."""
        d, bits = self.counts[party], self.shape.bits
        count = bits.limbs * d * (d + 1) // 2
        shares = None if self.share is None else self.share[None]
        (total,) = yield from self._sums(party, self.columns.pairs, count, 1, shares, 2 * self.shape.column_bits)
        if party == self.me:
            # Into the upper limb, whose lowest digit is as many digits above that of the product as a lower limb has.
            first, second = np.triu_indices(d)
            upper = bits.slope + 2 * bits.column - 2 * bits.limb * (bits.limbs - 1)
            total.reshape(-1, bits.limbs)[first == second, 0] += fixed(self.penalty, upper)
        return centred(total)

    def _across(self, seconds: Sequence[PartyId], m: int, shares: I64 | None) -> Steps[dict[PartyId, I64]]:
        """Shares of the sums of m weighed columns with every column of later parties: (m, columns) of each."""
        found, bits = {}, self.shape.column_bits
        for second in seconds:
            found[second] = yield from self._sums(second, self.columns.summed, self._limbs(second), m, shares, bits)
        return found

    def _sums(
        self, owner: PartyId, columns: rlwe.Limbs, count: int, m: int, shares: I64 | None, bits: int
    ) -> Steps[I64]:
        total = np.zeros((m, count), np.int64)
        if owner == self.me:
            for key in self.keys.values():
                vectors = yield from key.receive(m, bits)
                masks = yield from key.answer(vectors, m, columns, bits)
                total = centred(total - masks)
            if shares is not None:
                total = centred(total + np.stack([columns.sums(ALL, share) for share in shares]))
        elif shares is not None and self.own is not None:
            yield from send_bytes(owner, self.own.seal(shares, bits))
            total = yield from self.own.open_sums(owner, m, count, bits)
        return total

    def _weigh(self, owner: PartyId, some: slice) -> Steps[I64 | None]:
        """A's or H's share of W times some limbs of `owner`'s columns: (limbs, n); None at others."""
        d, n = some.stop - some.start, self.shape.n_rows
        if owner == self.me:
            return (yield from self._weigh_own(some))
        if self.own is None or self.share is None:
            return None
        found = np.zeros((d, n), np.int64)
        for at in self.shape.blocks():
            found[:, at] = yield from self.own.weigh(owner, self.share[at], d, self.shape.column_bits)
        return found

    def _weigh_own(self, some: slice) -> Steps[I64 | None]:
        """Serve the holders of W that are not this party: their masks add up to nothing, or to this party's share."""
        kept = np.zeros((some.stop - some.start, self.shape.n_rows), np.int64)
        sign = 1
        for key in self.keys.values():
            for at in self.shape.blocks():
                values = self.columns.limbs(some, at)
                # The second holder's mask is the first one's, turned round.
                masks = None if sign == 1 else centred(-kept[:, at])
                kept[:, at] = yield from key.serve_weigh(values, self.shape.column_bits, masks)
            sign = -sign
        if self.share is not None:
            for at in self.shape.blocks():
                kept[:, at] = centred(multiplied(self.share[at], self.columns.limbs(some, at)) - kept[:, at])
        return None if self.share is None else kept

    def _limbs(self, party: PartyId) -> int:
        return self.counts[party] * self.shape.bits.limbs


def receive_entries(sender: PartyId, shape: LinearShape, count: int) -> Steps[I64]:
    """Another party's shares. Raises: PeerError SHAPE."""
    got = yield from recv(sender, ShareSums)
    if got.numbers.shape != (count,):
        raise PeerError(sender, shape.step, f"sent {got.numbers.size} shares of {count}", "SHAPE")
    return centred(got.numbers)


def assembled(entries: I64, counts: Sequence[int], bits: Bits) -> F64:
    """The matrix from the sums of all shares. Shapes: entries as `InformationParty.steps` has them; returns (d, d)."""
    d, k = sum(counts), bits.limbs
    matrix = np.zeros((d, d))
    values = centred(entries)
    starts = np.concatenate([[0], np.cumsum(counts)])
    at = 0
    for start, count in zip(starts, counts, strict=False):
        first, second = np.triu_indices(count)
        size = first.size * k
        matrix[start + first, start + second] = from_limbs(values[at : at + size], k, 2 * bits.limb)
        at += size
    for p, rows in enumerate(counts):
        for q in range(p + 1, len(counts)):
            size = rows * k * counts[q] * k
            block = from_limbs(values[at : at + size].reshape(rows * k, counts[q] * k), k, bits.limb)
            weights = np.ldexp(1.0, bits.limb * np.arange(k)[::-1])
            block = np.einsum("rkc,k->rc", block.reshape(rows, k, counts[q]), weights)
            matrix[starts[p] : starts[p + 1], starts[q] : starts[q + 1]] = block
            at += size
    matrix = np.ldexp(matrix, -(bits.slope + 2 * bits.column))
    return matrix + np.triu(matrix, 1).T
