"""How scores are spread over the rows of several banks: each tallies its own with the departments, and banks add up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, Problem
from fedcredit.estimators.card_feature import tallies_of, tally_levels
from fedcredit.estimators.mixed_frame import MixedFrame
from fedcredit.estimators.mixed_records import BankTally
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.tally import CardPoints, Tally, TallyLabel, TallyShape
from fedcredit.protocols.tally.shape import MIN_ROWS

__all__ = ["BankTallies", "bank_phase", "enough"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

BOUND: Final = 1 << 48


@dataclass(frozen=True, slots=True)
class BankTallies:
    """All tallies of a card at one bank. `labels` of its rows to train on and of those held out.

    Reveals: to this bank, what `TallyLabel` is revealed, over its own rows, if they are 50 at least; and the sums over
    all banks that have so many: of two banks, the other's.
    """

    frame: MixedFrame
    stages: Stages = field(repr=False)
    labels: tuple[U8, U8] = field(repr=False)

    async def run(
        self, parties: tuple[PartyId, ...], points: Callable[[bool], CardPoints], n_test: int
    ) -> tuple[dict[str, Tally], dict[str, Tally]]:
        """By phase, of this bank's rows and of all banks'. `points` of rows held out, or not; `n_test` of all banks.

        Raises: DataError ROWS_TOO_FEW where no bank has enough; PeerLost, PeerError.
        """
        own, whole = dict[str, Tally](), dict[str, Tally]()
        for phase, peers, test in tallies_of(parties, n_test):
            of = await asyncio.to_thread(points, test)
            if phase == "tally.without.label":
                of = CardPoints(np.zeros_like(of.values), 0, 0)
            record = await self.stages.run(phase, BankTally, partial(self._tally, phase, peers, of, self.labels[test]))
            mine, whole[phase] = record.tallies()
            if mine is not None:
                own[phase] = mine
        return own, whole

    async def _tally(self, phase: str, peers: tuple[PartyId, ...], points: CardPoints, labels: U8) -> BankTally:
        federation, levels = self.stages.federation, tally_levels(phase)
        # Beside the counts of this bank where they begin, and that it has any: all who have say the same.
        words, own = np.zeros(2 * levels + 3, np.int64), None
        if enough(labels.size):
            name = self.stages.channel(bank_phase(phase, federation.me))
            shape = TallyShape(federation.session(name), federation.me, peers, labels.size, levels)
            steps = TallyLabel(shape, points, labels).steps(federation.randomness)
            tally = await federation.run(name, steps, peers=peers)
            own = tally.counts
            words = np.concatenate([own.ravel(), [tally.low, tally.step, 1]]).astype(np.int64)
        assert self.frame.sums is not None, "a bank adds up"
        words = await self.frame.sums.integers(self.stages.channel(phase), words, bound=BOUND)
        low, step, banks = words[-3:].tolist()
        if not banks:
            what = f"fewer than {MIN_ROWS} at every bank, which would show single ones"
            raise DataError(Problem("ROWS_TOO_FEW", phase, what, "evaluate on more rows"))
        return BankTally.of(low // banks, step // banks, own, words[:-3].reshape(levels, 2))


def enough(rows: int) -> bool:
    """Whether a bank with so many rows tallies them."""
    return rows >= MIN_ROWS


def bank_phase(phase: str, bank: PartyId) -> str:
    """The step of a phase that is between one bank and the departments."""
    return f"{phase}.{bank}"
