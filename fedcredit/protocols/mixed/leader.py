"""The leading bank's side of a fit whose labels are at several banks: it has rows as every bank, and plans for all.

Messages: `bank`; between leader and departments those of `linear.label`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from fedcredit.credit.quasi_newton import Search
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import DataError, Problem
from fedcredit.protocols.effects import Steps, send
from fedcredit.protocols.linear.columns import from_limbs
from fedcredit.protocols.linear.fixed import centred
from fedcredit.protocols.linear.gradients import receive_masked
from fedcredit.protocols.linear.information import assembled, receive_entries
from fedcredit.protocols.linear.label import LabelRun, LinearLabel, LinearLabelFit
from fedcredit.protocols.mixed.adding import ToLeader
from fedcredit.protocols.mixed.bank import BankRows
from fedcredit.protocols.mixed.columns import PooledMoments, bank_columns
from fedcredit.protocols.mixed.shape import MixedShape
from fedcredit.wire.linear import END, EVALUATE, Masked
from fedcredit.wire.mixed import SCORE, STAND, STOP, BankMove

__all__ = ["MixedLeader"]

F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]

NONE = np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class MixedLeader:
    """Fits the intercept and the coefficients of the banks' common columns X, and leads the search.

    `labels` (n,) of its own rows, 1 = event; `events` of all banks' rows; `pooled` is of X over all banks;
    `to_leader` adds up over banks.

    Reveals: to this bank, what `LinearLabel` is revealed of departments, over the rows of all banks together; the
    gradient of the banks' common columns at every step, over the rows of all banks; the largest size of all banks'
    partial scores, rounded up; the log-likelihood of all rows. Of a row, or of a bank by itself, nothing.
    Assumes: semi-honest parties; this bank and the partner do not collude; what `linear` assumes; what adds up hides
    all but the total.
    """

    shape: MixedShape
    X: F64 = field(repr=False)
    labels: U8 = field(repr=False)
    events: int
    pooled: PooledMoments = field(repr=False)
    to_leader: ToLeader = field(repr=False)
    l2: float = 0.0

    def steps(self, randomness: Randomness) -> Steps[LinearLabelFit]:
        """Fit. Raises: DataError LABEL_ONE_CLASS, COLUMN_CONSTANT, COLUMN_DEPENDENT, SCORES_TOO_LARGE, NOT_CONVERGED,
        INFORMATION_TOO_LARGE, PENALTY_TOO_LARGE, ROWS_TOO_FEW; PeerError."""
        if not 0 < self.events < self.shape.total:
            raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only at all banks together"))
        self.pooled.refuse(dependent=self.l2 > 0)
        run = _Run(self, randomness)
        yield from run.set_up()
        gap = yield from run.search()
        return (yield from run.finish(gap, 1.0))


class _Run(LabelRun):
    def __init__(self, role: MixedLeader, randomness: Randomness) -> None:
        shape = role.shape
        part = shape.part(shape.leader)
        self._share = role.events / shape.total
        self._others = shape.banks[1:]
        columns = bank_columns(part, role.X, role.pooled)
        self._rows = BankRows(part, columns, role.labels, role.to_leader, randomness)
        ones, none = np.ones(part.n_rows), np.zeros(part.n_rows)
        leads = LinearLabel(shape.whole, role.X, role.labels, l2=role.l2)
        super().__init__(leads, columns, ones, none, randomness)

    def set_up(self) -> Steps[None]:
        terms = yield from self._counted()
        yield from self._rows.announce()
        for party in (*self._shape.peers, *self._others):
            yield from send(party, terms)
        yield from self._rows.meet(self._counts)

    def _without_columns(self) -> tuple[float, float]:
        return float(logit(self._share)), self._share * (1.0 - self._share)

    def _score(self, values: F64) -> Steps[int]:
        yield from self._tell_banks(SCORE, values)
        largest = yield from self._rows.score(values)
        assert largest is not None, "the leader has the total"
        return largest

    def _tell(self, action: int, search: Search | None = None) -> Steps[None]:
        yield from super()._tell(action, search)
        if action in (EVALUATE, END):
            yield from self._tell_banks(STAND if action == EVALUATE else STOP, NONE)

    def _tell_banks(self, action: int, values: F64) -> Steps[None]:
        for bank in self._others:
            yield from send(bank, BankMove(action, values))

    def _gradient(self, values: F64) -> Steps[F64]:
        shape, bits = self._shape, self._shape.bits
        self.gradients += 1
        sums = yield from self._rows.gradient()
        assert sums is not None, "the leader has the total"
        own = sums[shape.label]
        for peer in shape.peers:
            yield from send(peer, Masked(sums[peer]))
        own = centred(own + (yield from receive_masked(shape.partner, shape, own.size)))
        return np.ldexp(from_limbs(own, bits.limbs, bits.limb), -(bits.column + bits.probability)) + (
            self._penalty * values
        )

    def _likelihood(self) -> Steps[float]:
        shape, total = self._shape, (yield from self._rows.likelihood())
        assert total is not None, "the leader has the total"
        total = centred(total + (yield from receive_entries(shape.partner, shape, 1)))
        return float(np.ldexp(float(total[0]), -shape.bits.likelihood))

    def _information(self) -> Steps[F64]:
        shape, entries = self._shape, (yield from self._rows.information())
        assert entries is not None, "the leader has the total"
        for peer in shape.peers:
            entries = centred(entries + (yield from receive_entries(peer, shape, entries.size)))
        found = assembled(entries, tuple(self._counts.values()), shape.bits)
        d = len(self._columns)
        found[np.arange(d), np.arange(d)] += self._penalty
        return found
