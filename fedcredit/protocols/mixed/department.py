"""A department's side of a fit whose labels are at several banks: to each bank a feature party, over its rows.

It keeps one set of coefficients, and learns sums over the rows of all banks alone. Messages: `bank`, `linear.label`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import send_bytes
from fedcredit.protocols.effects import Steps, send
from fedcredit.protocols.linear.columns import ALL, OwnColumns, from_limbs
from fedcredit.protocols.linear.curves import serve_curve
from fedcredit.protocols.linear.encryption import own_key, peer_key
from fedcredit.protocols.linear.feature import FeatureRun, LinearFeatureFit
from fedcredit.protocols.linear.fixed import apart, centred, scores_to_shares
from fedcredit.protocols.linear.gradients import receive_masked
from fedcredit.protocols.linear.information import InformationParty
from fedcredit.protocols.linear.keys import OwnKey, PeerKey
from fedcredit.protocols.linear.likelihood import further_likelihood, partner_part
from fedcredit.protocols.linear.scores import receive_scores, split_scores
from fedcredit.protocols.mixed.columns import department_columns
from fedcredit.protocols.mixed.shape import BankShape, MixedShape
from fedcredit.wire.linear import Masked, ShareSums

__all__ = ["MixedDepartment"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class MixedDepartment:
    """Fits the coefficients of its own columns X (total, d), the rows of one bank after those of another.

    The first department is the partner: it holds the other share of every row's log-odds. `secret`: see
    `linear.scores.split_scores`.

    Reveals: to this party, the gradient of its own coefficients at every step over the rows of all banks together, what
    `LinearPartner` says such sums tell of labels; the factors of the combined moves, and how many steps there were; the
    share of events over all banks; how many columns others bring; with inference, its standard errors. Of one bank, or
    of a row, nothing.
    Assumes: semi-honest parties; no bank and the partner collude, nor does the leader with this party where only two
    banks are; what `linear` assumes.
    """

    shape: MixedShape
    me: PartyId
    X: F64 = field(repr=False)
    secret: bytes | None = field(repr=False, default=None)

    def steps(self, randomness: Randomness) -> Steps[LinearFeatureFit]:
        """Fit. Raises: DataError VALUE_INVALID, COLUMN_CONSTANT, COLUMN_DEPENDENT, ROWS_TOO_FEW; PeerError."""
        if self.me not in self.shape.peers:
            raise ValueError(f"MixedDepartment: {self.me} is no department of this fit")
        return (yield from _Run(self, randomness).steps())


class _Side:
    """One bank's rows: keys, columns and shares."""

    def __init__(self, shape: BankShape, rows: slice, columns: OwnColumns, key: OwnKey | None) -> None:
        self.shape, self.rows, self.columns, self.key = shape, rows, columns, key
        self.keys: dict[PartyId, PeerKey] = {}
        self.shares = np.zeros(0, np.int64)


class _Run(FeatureRun):
    def __init__(self, role: MixedDepartment, randomness: Randomness) -> None:
        super().__init__(role.shape.whole, role.me, role.X, randomness, role.secret)
        self._columns, parts = department_columns(role.shape, role.X)
        leads = role.me == self._shape.partner
        self._sides = [
            _Side(of, at, parts[bank], own_key(of, randomness) if leads else None)
            for bank, at, of in ((bank, at, role.shape.part(bank)) for bank, at in role.shape.slices().items())
        ]

    def _receive_keys(self) -> Steps[None]:
        for side in self._sides:
            side.keys[side.shape.label] = yield from peer_key(side.shape, side.shape.label, self._randomness)

    def _exchange_keys(self) -> Steps[None]:
        for side in self._sides:
            if side.key is None:
                side.keys[side.shape.partner] = yield from peer_key(side.shape, side.shape.partner, self._randomness)
            else:
                for peer in (side.shape.label, *side.shape.further):
                    yield from side.key.announce(peer)

    def _gradient(self, values: F64) -> Steps[F64]:
        shape, bits = self._shape, self._shape.bits
        d = len(self._columns) * bits.limbs
        total, opened = np.zeros(d, np.int64), dict[PartyId, I64]()
        for side in self._sides:
            if side.key is None:
                total = centred(total + (yield from self._further_sums(side)))
            else:
                total = centred(total + (yield from self._partner_sums(side, side.key, opened)))
        for party, sums in opened.items():
            yield from send(party, Masked(sums))
        if shape.partner != self._me:
            total = centred(total + (yield from receive_masked(shape.partner, shape, d)))
        total = centred(total + (yield from receive_masked(shape.label, shape, d)))
        gradient = np.ldexp(from_limbs(total, bits.limbs, bits.limb), -(bits.column + bits.probability))
        return np.asarray(gradient + self._penalty * values)

    def _further_sums(self, side: _Side) -> Steps[I64]:
        """What this party adds to the sums over one bank's rows: it holds no share, so its masks alone."""
        shape, bits = side.shape, side.shape.column_bits
        yield from split_scores(shape, self._scores[side.rows], self._randomness, self._split)
        vectors = {}
        for holder, key in side.keys.items():
            vectors[holder] = yield from key.receive(1, bits)
        total = np.zeros(len(side.columns.summed), np.int64)
        for holder, key in side.keys.items():
            (masks,) = yield from key.answer(vectors[holder], 1, side.columns.summed, bits)
            total = centred(total - masks)
        return total

    def _partner_sums(self, side: _Side, own: OwnKey, opened: dict[PartyId, I64]) -> Steps[I64]:
        """The partner's: sums of its shares, and its masks. What it decrypts for others is added to `opened`, for the
        leader that of the banks' common columns."""
        shape, bits = side.shape, side.shape.column_bits
        side.shares = centred(scores_to_shares(self._scores[side.rows]) - apart(shape.n_rows))
        for peer in shape.further:
            side.shares = centred(side.shares + (yield from receive_scores(peer, shape)))
        label = side.keys[shape.label]
        share = yield from serve_curve(shape, label, "probability", shape.bits.probability, side.shares)
        theirs = yield from label.receive(1, bits)
        sealed = own.seal(share[None], bits)
        for peer in (shape.label, *shape.further):
            yield from send_bytes(peer, sealed)
        (masks,) = yield from label.answer(theirs, 1, side.columns.summed, bits)
        for peer in (shape.label, *shape.further):
            count = self._counts[self._shape.label if peer == shape.label else peer] * shape.bits.limbs
            (sums,) = yield from own.open_sums(peer, 1, count, bits)
            to = self._shape.label if peer == shape.label else peer
            opened[to] = centred(opened.get(to, np.zeros(count, np.int64)) + sums)
        return centred(side.columns.summed.sums(ALL, share) - masks)

    def _likelihood(self) -> Steps[None]:
        total = np.zeros(1, np.int64)
        for side in self._sides:
            label = side.keys[side.shape.label]
            if side.key is None:
                yield from further_likelihood(side.shape, label, self._scores[side.rows])
            else:
                part = yield from partner_part(side.shape, label, side.shares, self._scores[side.rows])
                total = centred(total + part)
        if self._me == self._shape.partner:
            yield from send(self._shape.label, ShareSums(total))

    def _information(self) -> Steps[None]:
        total: I64 | None = None
        for side in self._sides:
            entries = yield from self._entries(side)
            total = entries if total is None else centred(total + entries)
        assert total is not None, "there are banks"
        yield from send(self._shape.label, ShareSums(total))

    def _entries(self, side: _Side) -> Steps[I64]:
        shape, share = side.shape, None
        if side.key is not None:
            share = yield from serve_curve(shape, side.keys[shape.label], "slope", shape.bits.slope, side.shares)
        # A penalty is added once.
        penalty = self._penalty if side is self._sides[0] else np.zeros(len(side.columns))
        party = InformationParty(
            shape, self._me, side.columns, self._of_bank(shape.label), side.keys, penalty, side.key, share
        )
        return (yield from party.steps())

    def _of_bank(self, bank: PartyId) -> Mapping[PartyId, int]:
        """Numbers of columns with this bank in the place of the leader."""
        counts = list(self._counts.values())
        return dict(zip((bank, *self._shape.peers), counts, strict=True))
