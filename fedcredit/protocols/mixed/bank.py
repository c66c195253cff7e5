"""A bank's side of a fit whose labels are at several banks: between it and the departments, it is a label party.

Every bank has a key of its own. What it decrypts of a sum is under masks of the sum's owner, and is added over banks
for the leader alone, who returns the total: nobody sees the sum of one bank.

once     leader -> B  LinearTerms;  B -> P  EncryptionKey;  H -> B  EncryptionKey
step     leader -> B  BankMove      coefficients of the banks' common columns
         B           adds up: the largest size of its part of the scores, of which the largest of all shows
         leader -> B  BankMove      evaluate
         P'-> B, H  ScoreShares;  B <-> H  residuals of B's rows as shares (`linear.curves`)
         B <-> P    Encrypted       sums of B's shares of them with the columns of P, which B decrypts and adds up;
                                    of H's shares with B's own columns, for H to decrypt
         H -> leader  Masked        the latter, over all banks
         leader -> P  Masked        the former, over all banks
end      leader -> B  BankMove;  shares of the log-likelihood and of the information matrix, added up likewise:
         H, P' -> leader  ShareSums  theirs, over all banks
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.fourier import REACH
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import send_bytes
from fedcredit.protocols.effects import Steps, recv
from fedcredit.protocols.linear.columns import ALL, OwnColumns
from fedcredit.protocols.linear.curves import ask_curve
from fedcredit.protocols.linear.encryption import own_key, peer_key
from fedcredit.protocols.linear.fixed import apart, centred, fixed, scores_to_shares
from fedcredit.protocols.linear.information import InformationParty
from fedcredit.protocols.linear.keys import OwnKey, PeerKey
from fedcredit.protocols.linear.likelihood import label_part
from fedcredit.protocols.linear.scores import receive_scores
from fedcredit.protocols.mixed.adding import ToLeader, residues_to_leader
from fedcredit.protocols.mixed.columns import PooledMoments, bank_columns
from fedcredit.protocols.mixed.shape import BankShape, MixedShape
from fedcredit.wire.linear import LinearTerms
from fedcredit.wire.mixed import SCORE, STOP, BankMove

__all__ = ["BankRows", "MixedBank"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


class BankRows:
    """What every bank, the leader too, does with its own rows."""

    def __init__(
        self,
        shape: BankShape,
        columns: OwnColumns,
        labels: U8,
        to_leader: ToLeader,
        randomness: Randomness,
    ) -> None:
        self.shape, self.columns = shape, columns
        self._y = labels.astype(np.float64)
        self._ones = np.ones(shape.n_rows)
        self._to_leader, self._randomness = to_leader, randomness
        self._key: OwnKey = own_key(shape, randomness)
        self._scores, self._own = np.zeros(0), np.zeros(0, np.int64)

    def announce(self) -> Steps[None]:
        """Send this bank's key to all departments."""
        for peer in self.shape.peers:
            yield from self._key.announce(peer)

    def meet(self, counts: Mapping[PartyId, int]) -> Steps[None]:
        """Receive the partner's key. `counts` of columns: this bank's with the ones, then each department's."""
        self._counts = dict(counts)
        self._partner: PeerKey = yield from peer_key(self.shape, self.shape.partner, self._randomness)

    def score(self, values: F64) -> Steps[int | None]:
        """Have scores under these coefficients; at the leader, the largest size of all banks' scores, rounded up.

        A bank adds a random word for each whole number that its own largest size is above, else 0; so a sum is not 0
        where some bank's is, and says no more. Range: REACH + 1 stands for all that is above REACH.
        """
        self._scores = self.columns.scores(values)
        largest = math.ceil(float(np.abs(self._scores).max()))
        words = self._randomness.words(int(REACH) + 1)
        words[largest:] = 0
        total = yield from self._to_leader(words)
        return None if total is None else int(np.count_nonzero(total))

    def gradient(self) -> Steps[dict[PartyId, I64] | None]:
        """At the leader, sums over all banks' rows by their owner, in limbs: those of the banks' own columns lack H's
        part, and those of each department are under its masks."""
        shape, bits = self.shape, self.shape.bits
        own = centred(scores_to_shares(self._scores) + apart(shape.n_rows))
        for peer in shape.further:
            own = centred(own + (yield from receive_scores(peer, shape)))
        self._own = own
        share = yield from ask_curve(shape, self._key, "probability", bits.probability, own, self._ones)
        residual = centred(share - fixed(self._y - 0.5, bits.probability))
        sealed = self._key.seal(residual[None], shape.column_bits)
        for peer in shape.peers:
            yield from send_bytes(peer, sealed)
        theirs = yield from self._partner.receive(1, shape.column_bits)
        (masks,) = yield from self._partner.answer(theirs, 1, self.columns.summed, shape.column_bits)
        found = {shape.label: centred(self.columns.summed.sums(ALL, residual) - masks)}
        for peer in shape.peers:
            count = self._counts[peer] * bits.limbs
            (found[peer],) = yield from self._key.open_sums(peer, 1, count, shape.column_bits)
        total = yield from residues_to_leader(self._to_leader, np.concatenate(list(found.values())), self._randomness)
        if total is None:
            return None
        ends = np.cumsum([part.size for part in found.values()])[:-1]
        return dict(zip(found, np.split(total, ends), strict=True))

    def likelihood(self) -> Steps[I64 | None]:
        """At the leader, the banks' shares of the log-likelihood, added up, in fixed point: (1,)."""
        share = yield from label_part(self.shape, self._key, self._own, self._ones, self._y)
        own = fixed(np.array([(self._y - 0.5) @ self._scores]), self.shape.bits.likelihood)
        return (yield from residues_to_leader(self._to_leader, centred(share + own), self._randomness))

    def information(self) -> Steps[I64 | None]:
        """At the leader, the banks' shares of the information matrix, added up."""
        shape = self.shape
        share = yield from ask_curve(shape, self._key, "slope", shape.bits.slope, self._own, self._ones)
        none = np.zeros(len(self.columns))
        side = InformationParty(
            shape, shape.label, self.columns, self._counts, {shape.partner: self._partner}, none, self._key, share
        )
        entries = yield from side.steps()
        return (yield from residues_to_leader(self._to_leader, entries, self._randomness))


@dataclass(frozen=True, slots=True, eq=False)
class MixedBank:
    """A bank that does not lead: lends labels and the banks' common columns X (n, d) of its rows to a fit over all.

    `labels` (n,) 1 = event; `pooled` is of X over all banks; `to_leader` adds up over banks.

    Reveals: to this bank, the coefficients of the banks' common columns at every step, how many columns each department
    brings, the share of events over all banks, the number of steps. Of a row, or of another bank by itself, nothing.
    Assumes: semi-honest parties; this bank and the partner do not collude; what `linear` assumes; what adds up hides
    all but the total.
    """

    shape: MixedShape
    me: PartyId
    X: F64 = field(repr=False)
    labels: U8 = field(repr=False)
    pooled: PooledMoments = field(repr=False)
    to_leader: ToLeader = field(repr=False)

    def steps(self, randomness: Randomness) -> Steps[F64]:
        """The coefficients at the end, the intercept first, of columns put to mean 0 and mean square 1.

        Raises: DataError VALUE_INVALID; PeerError.
        """
        part, leader = self.shape.part(self.me), self.shape.leader
        columns = bank_columns(part, self.X, self.pooled)
        rows = BankRows(part, columns, self.labels, self.to_leader, randomness)
        yield from rows.announce()
        terms = yield from recv(leader, LinearTerms)
        if len(terms.columns) != 1 + len(part.peers) or 1 + int(terms.columns[0]) != len(columns):
            raise PeerError(leader, part.step, "told other numbers of columns than there are", "SHAPE")
        counts = (int(terms.columns[0]) + 1, *terms.columns[1:].tolist())
        yield from rows.meet(dict(zip((self.me, *part.peers), counts, strict=True)))
        values = np.zeros(0)
        while (move := (yield from recv(leader, BankMove))).action != STOP:
            if move.action == SCORE:
                if move.values.shape != (len(columns),):
                    raise PeerError(leader, part.step, "has coefficients of other columns than there are", "SHAPE")
                values = move.values
                yield from rows.score(values)
            elif not values.size:
                raise PeerError(leader, part.step, "made a move that is not due", "UNEXPECTED_MESSAGE")
            else:
                yield from rows.gradient()
        yield from rows.likelihood()
        if self.shape.inference:
            yield from rows.information()
        return values
