"""Counts of bad rows over several banks: each bank encrypts its own labels, and no bank sees counts of its own rows.

    P -> leader  RowCounts       rows of each pre-bin, over all banks;   P -> other banks  CountNumbers
    B -> P       CountKey        a key of each bank's own
    part         some rows of one bank
                 B -> P   SealedLabels
                 P -> B   SealedCounts    inner products, under masks that add up to nothing over all parts of all banks
    banks        decrypt uniform numbers, and add them up for the leader, who reads the counts

What else there is to binning, shapes and what departments are told, is between the leader and the departments as in
`protocols.binning`.

Reveals: to the leader, the rows and bad rows of each pre-bin over the rows of all banks, by opaque number; to other
banks, about how many pre-bins there are; to departments nothing.
Assumes: semi-honest parties; ring learning with errors; what adds up hides all but the total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.settling import PrebinShape
from fedcredit.credit.woe import BinCounts
from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.ids import PartyId
from fedcredit.protocols.binning import BinningFeature, BinningLabel, LentColumns
from fedcredit.protocols.binning.counts import add_answers, parts_of, receive_rows
from fedcredit.protocols.binning.layout import Layout
from fedcredit.protocols.ciphertexts import send_bytes
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.mixed.adding import ToLeader, residues_to_leader
from fedcredit.wire.binning import CountKey, CountPlan, SealedLabels
from fedcredit.wire.mixed import CountNumbers

__all__ = ["MixedBinningBank", "MixedBinningDepartment", "MixedBinningLeader"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MixedBinningLeader(BinningLabel):
    """Counts good and bad rows of each pre-bin of every department's columns, over all banks, and tells each its bins.

    `labels` are of its own rows, `rows` and `bad` of all `banks`, this one first; `to_leader` adds up over them.

    Reveals: to this bank, how many rows and how many bad rows of all banks together each pre-bin of each department's
    column has, by opaque number; of its own rows by themselves nothing.
    Assumes: semi-honest parties; ring learning with errors; what adds up hides all but the total.
    """

    banks: tuple[PartyId, ...] = ()
    rows: int = 0
    bad: int = 0
    to_leader: ToLeader | None = field(repr=False, default=None)

    @property
    def n_rows(self) -> int:
        """Rows of all banks."""
        return self.rows

    @property
    def n_bad(self) -> int:
        """Bad rows of all banks."""
        return self.bad

    def learn_shapes(self) -> Steps[tuple[tuple[PrebinShape, ...], ...]]:
        """As `BinningLabel` does; other banks are told the number of batches too. Raises: PeerError."""
        shapes = yield from super(MixedBinningLeader, self).learn_shapes()
        for bank in self.banks[1:]:
            yield from send(bank, CountPlan(max((len(self.batches(of)) for of in shapes), default=0)))
        return shapes

    def count(
        self, batch: int, shapes: Sequence[tuple[PrebinShape, ...]], session: bytes, randomness: Randomness
    ) -> Steps[tuple[tuple[BinCounts, ...], ...]]:
        """The counts of each department's columns in one batch, in their order. Raises: PeerError."""
        assert self.to_leader is not None, "the leader adds up with other banks"
        groups = {peer: self.batches(of).groups(batch) for peer, of in zip(self.peers, shapes, strict=True)}
        layouts = {}
        for peer, of_peer in groups.items():
            if of_peer:
                layouts[peer] = Layout.of((yield from self._rows(peer, of_peer)))
        sizes = {peer: len(layout) for peer, layout in layouts.items()}
        total = yield from _counted(self.labels, sizes, self.to_leader, randomness)
        assert total is not None, "the leader has the total"
        counts = {}
        for (peer, layout), numbers in zip(layouts.items(), _split(total, sizes), strict=True):
            try:
                counts[peer] = np.stack([layout.rows, layout.read(numbers % rlwe.PLAIN_MODULUS)])
            except ValueError:
                raise self._broke(peer, "counted more bad rows than there are rows", "COUNTS_INVALID") from None
        return tuple(self.checked(peer, groups[peer], counts[peer]) if peer in counts else () for peer in self.peers)

    def _rows(self, peer: PartyId, groups: tuple[int, ...]) -> Steps[I64]:
        rows = yield from receive_rows(peer, sum(groups))
        # What `checked` says of them; here so that a layout has room for them.
        if (rows > self.rows).any():
            raise self._broke(peer, "counted other rows than there are", "COUNTS_INVALID")
        return rows


@dataclass(frozen=True, slots=True)
class MixedBinningBank:
    """Lends the labels of its rows to counts over all banks. Shapes: labels (n,), 0 or 1.

    Reveals: to this bank, about how many pre-bins each department's columns have together.
    Assumes: semi-honest parties; ring learning with errors; what adds up hides all but the total.
    """

    leader: PartyId
    peers: tuple[PartyId, ...]
    labels: U8 = field(repr=False)
    to_leader: ToLeader = field(repr=False)

    def batches(self) -> Steps[int]:
        """How many batches of columns are counted. Raises: PeerError."""
        return (yield from recv(self.leader, CountPlan)).batches

    def lend(self, randomness: Randomness) -> Steps[None]:
        """Have the columns of one batch counted. Raises: PeerError."""
        sizes = {}
        for peer in self.peers:
            told = yield from recv(peer, CountNumbers)
            if told.numbers:
                sizes[peer] = told.numbers
        yield from _counted(self.labels, sizes, self.to_leader, randomness)


@dataclass(frozen=True, slots=True)
class MixedBinningDepartment(BinningFeature):
    """Has the columns of this party binned by the leading bank, over the rows of all banks.

    `rows`: where each bank's rows are, the leader's first.

    Reveals: to this party, what `params.iv_disclosure` says, as in `BinningFeature`, of the labels of all banks
    together; of one bank nothing.
    Assumes: semi-honest parties; ring learning with errors.
    """

    rows: Mapping[PartyId, slice] = field(default_factory=dict)

    def lend(self, batch: int, session: bytes, randomness: Randomness) -> Steps[None]:
        """Have the columns of one batch counted. Raises: PeerError."""
        features, groups = self.batches[batch], self.batches.groups(batch)
        codes = np.ascontiguousarray(self.columns.codes[list(features)])
        lent = {bank: LentColumns(bank, codes, groups) for bank in self.rows}
        rows = lent[self.label_party].rows()
        layout = Layout.of(rows)
        if features:
            yield from lent[self.label_party].tell_rows(rows)
        for bank in lent:
            if bank != self.label_party:
                yield from send(bank, CountNumbers(len(layout)))
        if features:
            yield from self._answer(lent, layout, randomness)

    def _answer(self, lent: Mapping[PartyId, LentColumns], layout: Layout, randomness: Randomness) -> Steps[None]:
        columns = lent[self.label_party].coded(layout)
        parts = [(bank, part) for bank, of in self.rows.items() for part in _parts(of)]
        left, keys = np.zeros(len(columns), np.int64), dict[PartyId, rlwe.PublicKey]()
        for bank, part in parts:
            if bank not in keys:
                keys[bank] = yield from lent[bank].receive_key()
            masks = left
            if (bank, part) != parts[-1]:
                masks = rlwe.masks(randomness, len(columns))
                left = (left - masks) % rlwe.PLAIN_MODULUS
            sealed = yield from lent[bank].receive_labels(keys[bank], part.stop - part.start)
            yield from lent[bank].answer(keys[bank], sealed, columns.rows(part), masks, randomness)


def _counted(
    labels: U8, sizes: Mapping[PartyId, int], to_leader: ToLeader, randomness: Randomness
) -> Steps[I64 | None]:
    """A bank's part, whichever it is: the numbers of all departments, one after the other, at the leader."""
    secret = rlwe.SecretKey.generate(randomness)
    key = CountKey(secret.public.to_bytes().tobytes())
    for peer in sizes:
        yield from send(peer, key)
    numbers = {peer: np.zeros(size, np.int64) for peer, size in sizes.items()}
    for part in parts_of(labels.size):
        sealed = secret.encrypt_coefficients(labels[None, part].astype(np.int64), randomness).to_bytes()
        for peer in sizes:
            yield from send_bytes(peer, sealed, SealedLabels)
        for peer in sizes:
            yield from add_answers(numbers[peer], secret, peer, part.stop - part.start)
    none = np.zeros(0, np.int64)
    return (yield from residues_to_leader(to_leader, np.concatenate([none, *numbers.values()]), randomness))


def _split(total: I64, sizes: Mapping[PartyId, int]) -> list[I64]:
    return np.split(total, np.cumsum(list(sizes.values()))[:-1]) if sizes else []


def _parts(rows: slice) -> list[slice]:
    return [slice(rows.start + part.start, rows.start + part.stop) for part in parts_of(rows.stop - rows.start)]
