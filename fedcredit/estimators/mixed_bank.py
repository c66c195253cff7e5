"""A bank's way to a mixed scorecard where it does not lead: it lends its rows, and gets the banks' part of the card."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.estimators.card_label import CardRows
from fedcredit.estimators.card_records import ChosenRecord
from fedcredit.estimators.mixed_columns import BankColumns
from fedcredit.estimators.mixed_frame import MixedFrame
from fedcredit.estimators.mixed_records import SharedPart
from fedcredit.estimators.mixed_tallies import BankTallies
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv
from fedcredit.protocols.mixed import MixedBank, MixedMomentsBank
from fedcredit.protocols.scorecard import Chosen, SelectionLabel
from fedcredit.protocols.tally import CardPoints, Tally
from fedcredit.wire.scorecard import ChosenColumns

__all__ = ["BankCard", "BankOutcome", "no_department", "points_of"]

I64: TypeAlias = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class BankOutcome:
    """What a bank that does not lead has at the end: the banks' part, and how scores are spread at it and over all."""

    part: CardPart
    own_tallies: dict[str, Tally] = field(repr=False)
    tallies: dict[str, Tally] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BankCard:
    """Follows the leader of a card with its own rows. `train`, `test`: what this bank knows of them."""

    params: ScorecardParams
    columns: BankColumns = field(repr=False)
    train: CardRows = field(repr=False)
    test: CardRows = field(repr=False)
    stages: Stages = field(repr=False)
    frame: MixedFrame

    async def run(self, model: str) -> BankOutcome:
        """Take part until the card stands. Raises: DataError NO_COLUMNS_LEFT; PeerLost, PeerError."""
        stages, parties, number = self.stages, self.stages.federation.feature_parties, 0
        record = await stages.run("figures", ChosenRecord, self._figures)
        chosen = self._left(record.chosen(parties))
        record = await stages.run("moments", ChosenRecord, partial(self._moments, chosen))
        chosen = self._left(record.chosen(parties))
        while not chosen.final:
            record = await stages.run(f"fit.{number}", ChosenRecord, partial(self._fit, chosen, number))
            chosen, number = self._left(record.chosen(parties)), number + 1
        part = await self._part(model)
        numbers, tested = chosen.columns, self.columns.held_rows
        tallies = BankTallies(self.frame, stages, (self.train.labels, self.test.labels))
        own, whole = await tallies.run(chosen.parties, partial(points_of, self.columns, part, numbers), tested)
        return BankOutcome(part, own, whole)

    async def _figures(self) -> ChosenRecord:
        every = np.arange(len(self.columns.columns), dtype=np.int64)
        return await self._run("figures", self._hear(every), (self.frame.leader,))

    async def _moments(self, chosen: Chosen) -> ChosenRecord:
        federation, numbers = self.stages.federation, chosen.columns
        role = MixedMomentsBank(
            self.frame.shape(chosen.parties),
            federation.me,
            self.columns.woe(numbers),
            self.columns.moments_of(numbers),
            self.frame.to_leader(self.stages.channel("moments")),
        )

        def steps() -> Steps[Chosen]:
            yield from role.steps(federation.randomness)
            return (yield from self._hear(numbers))

        return await self._run("moments", steps(), (self.frame.leader, *chosen.parties))

    async def _fit(self, chosen: Chosen, number: int) -> ChosenRecord:
        federation, numbers = self.stages.federation, chosen.columns
        role = MixedBank(
            self.frame.shape(chosen.parties, self.params),
            federation.me,
            self.columns.woe(numbers),
            self.train.labels,
            self.columns.moments_of(numbers),
            self.frame.to_leader(self.stages.channel(f"fit.{number}")),
        )

        def steps() -> Steps[Chosen]:
            yield from role.steps(federation.randomness)
            return (yield from self._hear(numbers))

        return await self._run(f"fit.{number}", steps(), (self.frame.leader, *chosen.parties))

    async def _part(self, model: str) -> CardPart:
        leader = self.frame.leader

        async def hear() -> SharedPart:
            steps = SelectionLabel((leader,)).hear_parts({leader: np.ones(1, np.int64)})
            return SharedPart.of((await self._drive("part", steps, (leader,)))[leader])

        record = await self.stages.run("part", SharedPart, hear)
        try:
            part = CardPart.from_bytes(record.document.tobytes())
        except DataError as error:
            raise PeerError(leader, "scorecard/part", "sent what is no part of a card", error.code) from None
        names = {column.column.name for column in self.columns.columns}
        if part.model != model or part.party != leader or not {column.name for column in part.columns} <= names:
            raise PeerError(leader, "scorecard/part", "sent what is no part of this card", "CARD_PARTS_DIFFER")
        return part

    def _hear(self, among: I64) -> Steps[Chosen]:
        """Which of the banks' common columns go on, and which departments have such columns. Raises: PeerError."""
        leader, parties = self.frame.leader, self.stages.federation.feature_parties
        got = yield from recv(leader, ChosenColumns)
        columns = got.columns.astype(np.int64)
        if got.parties.size != len(parties) or not np.isin(columns, among).all():
            raise PeerError(leader, "selection", "chose among other columns or parties than there are", "SHAPE")
        left = tuple(party for party, flag in zip(parties, got.parties, strict=True) if flag)
        return Chosen(columns, left, got.final)

    def _left(self, chosen: Chosen) -> Chosen:
        if not chosen.parties:
            raise no_department()
        return chosen

    async def _run(self, phase: str, steps: Steps[Chosen], peers: tuple[PartyId, ...]) -> ChosenRecord:
        chosen: Chosen = await self._drive(phase, steps, peers)
        return ChosenRecord.of(chosen, self.stages.federation.feature_parties)

    async def _drive(self, phase: str, steps: Steps[T], peers: tuple[PartyId, ...]) -> T:
        return await self.stages.federation.run(self.stages.channel(phase), steps, peers=peers)


def points_of(columns: BankColumns, part: CardPart, numbers: I64, test: bool) -> CardPoints:
    """The banks' part of the score of each of a bank's rows: base points, and points of the common columns."""
    of_bins = {f: np.array(c.points, np.int64) for f, c in zip(numbers.tolist(), part.columns, strict=True)}
    return CardPoints(columns.points(of_bins, test=test) + (part.base_points or 0), *part.point_range)


def no_department() -> DataError:
    """The error of a card in which no department's column is left."""
    what = "no column of a department is left, after all rules"
    return DataError(Problem("NO_COLUMNS_LEFT", "scorecard", what, "loosen a rule, or run a job of the banks alone"))
