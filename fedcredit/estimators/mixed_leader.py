"""The leading bank's way to a mixed scorecard: it is the label party of the departments, over the rows of all banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.estimators.card_label import LabelCard
from fedcredit.estimators.card_records import FittedLabel, Lent
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.mixed_bank import no_department, points_of
from fedcredit.estimators.mixed_columns import BankColumns
from fedcredit.estimators.mixed_frame import MixedFrame
from fedcredit.estimators.mixed_tallies import BankTallies
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, send
from fedcredit.protocols.linear import LinearLabelFit
from fedcredit.protocols.mixed import MixedLeader, MixedMomentsLeader
from fedcredit.protocols.moments import Moments
from fedcredit.protocols.scorecard import SelectionFeature
from fedcredit.protocols.tally import Tally
from fedcredit.wire.scorecard import ChosenColumns

__all__ = ["LeaderCard"]

I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderCard(LabelCard):
    """Leads a card over the rows of several banks. `bad`: rows to train on that are bad, of all banks.

    `own_tallies` are filled in `run`: of this bank's rows by themselves.
    """

    columns: BankColumns
    frame: MixedFrame
    bad: int
    own_tallies: dict[str, Tally]

    @property
    def _n_rows(self) -> int:
        return self.frame.total

    @property
    def _n_test(self) -> int:
        return self.columns.held_rows

    @property
    def _others(self) -> tuple[PartyId, ...]:
        return self.frame.banks[1:]

    def _audience(self, parties: Sequence[PartyId]) -> tuple[PartyId, ...]:
        return (*parties, *self._others)

    def _tell(self, table: CardTable, to: Sequence[PartyId], *, final: bool = False) -> Steps[None]:
        yield from super(LeaderCard, self)._tell(table, to, final=final)
        flags = np.array([table.numbers(peer).size > 0 for peer in self._peers], np.uint8)
        for bank in self._others:
            yield from send(bank, ChosenColumns(table.numbers(self._me).astype(np.uint32), flags, final))

    def _correlates(self, parties: tuple[PartyId, ...], numbers: I64) -> Steps[Moments]:
        role = MixedMomentsLeader(
            self.frame.shape(parties),
            self.columns.woe(numbers),
            self.columns.moments_of(numbers),
            self.frame.to_leader(self.stages.channel("moments")),
        )
        return role.steps(self.stages.federation.randomness)

    def _fits_with(self, parties: tuple[PartyId, ...], numbers: I64, number: int) -> Steps[LinearLabelFit]:
        role = MixedLeader(
            self.frame.shape(parties, self.params),
            self.columns.woe(numbers),
            self.train.labels,
            self.bad,
            self.columns.moments_of(numbers),
            self.frame.to_leader(self.stages.channel(f"fit.{number}")),
            self.params.l2,
        )
        return role.steps(self.stages.federation.randomness)

    def _fit_alone(self, table: CardTable) -> FittedLabel:
        raise no_department()

    async def _tallies(self, part: CardPart) -> dict[str, Tally]:
        await self.stages.run("part", Lent, partial(self._share, part))
        numbers, labels = self.table.numbers(self._me), (self.train.labels, self.test.labels)
        tallies = BankTallies(self.frame, self.stages, labels)
        of = partial(points_of, self.columns, part, numbers)
        own, whole = await tallies.run(self._parties(self.table), of, self._n_test)
        self.own_tallies.update(own)
        return whole

    async def _share(self, part: CardPart) -> Lent:
        def steps() -> Steps[None]:
            for bank in self._others:
                yield from SelectionFeature(self._me, bank, ()).tell_part(part.to_bytes())

        await self.stages.federation.run(self.stages.channel("part"), steps(), peers=self._others)
        return Lent()
