"""A department's way to its part of a mixed scorecard: to each bank a feature party, with one part for all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.estimators.card_feature import FeatureCard, tally_levels
from fedcredit.estimators.card_records import Lent
from fedcredit.estimators.mixed_frame import MixedFrame
from fedcredit.estimators.mixed_tallies import bank_phase, enough
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear import LinearFeatureFit
from fedcredit.protocols.mixed import MixedDepartment, MixedMomentsDepartment
from fedcredit.protocols.scorecard import Chosen
from fedcredit.protocols.tally import CardPoints, TallyShape, feature_role

__all__ = ["DepartmentCard"]

I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentCard(FeatureCard):
    """Brings its columns of the rows of all banks, one bank's after another's, to a card that the first bank leads."""

    frame: MixedFrame

    def _audience(self, parties: tuple[PartyId, ...]) -> tuple[PartyId, ...]:
        me = self.stages.federation.me
        return (*self.frame.banks, *(party for party in parties if party != me))

    def _correlates(self, chosen: Chosen) -> Steps[None]:
        federation = self.stages.federation
        woe = self.columns.woe(chosen.columns)
        role = MixedMomentsDepartment(self.frame.shape(chosen.parties), federation.me, woe)
        return role.steps(federation.randomness)

    def _fits_with(self, chosen: Chosen) -> Steps[LinearFeatureFit]:
        federation = self.stages.federation
        shape, woe = self.frame.shape(chosen.parties, self.params), self.columns.woe(chosen.columns)
        return MixedDepartment(shape, federation.me, woe, federation.kept_secret).steps(federation.randomness)

    async def _tally(self, phase: str, peers: tuple[PartyId, ...], part: CardPart, numbers: I64, *, test: bool) -> Lent:
        federation = self.stages.federation
        of_columns = zip(numbers.tolist(), part.columns, strict=True)
        values = self.columns.points({f: np.array(c.points, np.int64) for f, c in of_columns}, test=test)
        known = self.frame.rows.held_out if test else self.frame.rows.train
        sizes = [known.get(bank, 0) for bank in self.frame.banks]
        starts = np.cumsum([0, *sizes]).tolist()
        for bank, (start, end) in zip(self.frame.banks, pairwise(starts), strict=True):
            if not enough(end - start):
                continue
            name = self.stages.channel(bank_phase(phase, bank))
            shape = TallyShape(federation.session(name), bank, peers, end - start, tally_levels(phase))
            role = feature_role(shape, federation.me, CardPoints(values[start:end], *part.point_range))
            others = tuple(peer for peer in peers if peer != federation.me)
            await federation.run(name, role.steps(federation.randomness), peers=(bank, *others))
        return Lent()
