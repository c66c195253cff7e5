"""The label party's way to a scorecard, stage by stage: it leads the selection, the fit and the tallies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.periods import MIN_ROWS, Periods
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.credit.selection import Selection, Verdict, by_correlation, by_inflation, by_number, by_significance
from fedcredit.errors import DataError, PeerError
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_feature import (
    PERIOD,
    card_shape,
    own_selection,
    period_tallies,
    tallies_of,
    tally_levels,
)
from fedcredit.estimators.card_records import FiguresRecord, FittedLabel, MomentsRecord, PartsRecord, TallyRecord
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.scorecard_part import CardPart, OtherPart, part_of_peer
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear import ROWS_A_COLUMN, Encryption, LinearLabel, LinearLabelFit
from fedcredit.protocols.moments import Moments, MomentsLabel, MomentsShape
from fedcredit.protocols.scorecard import OwnerKept, SelectionLabel
from fedcredit.protocols.tally import CardPoints, Tally, TallyLabel, TallyShape

__all__ = ["COMPARED", "CardRows", "LabelCard", "LabelOutcome", "compare", "fit_until_it_stands"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

MAX_FITS: Final = 5
"""What the last of so many keeps stands, though some column be no longer significant."""
COMPARED: Final = 2
"""Of the columns that a card may have, so many times as many are compared with each other."""


@dataclass(frozen=True, slots=True, eq=False)
class CardRows:
    """What the label party alone knows of rows; `periods` says when they are from.

    Shapes: labels, weights, offset (n,).
    """

    labels: U8 = field(repr=False)
    weights: F64 | None = field(repr=False, default=None)
    offset: F64 | None = field(repr=False, default=None)
    periods: Periods | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class LabelOutcome:
    """What the label party has at the end: its part, its table, the fit, and how scores are spread."""

    part: CardPart
    table: CardTable = field(repr=False)
    stability: F64 = field(repr=False)
    """Of all columns of the table; -1 where there is none."""
    fit: FittedLabel = field(repr=False)
    tallies: dict[str, Tally] = field(repr=False)
    own_points: tuple[I64, I64] = field(repr=False)
    """Base points and the points of this party's own columns, of the rows to train on and of those held out."""
    parts: tuple[bytes, ...] = field(repr=False, default=())
    fits: int = 1


@dataclass(frozen=True, slots=True)
class LabelCard:
    """Leads a card. `train`, `test`: what this party knows of the rows to train on, and of those held out."""

    params: ScorecardParams
    columns: CardColumns = field(repr=False)
    table: CardTable = field(repr=False)
    train: CardRows = field(repr=False)
    test: CardRows = field(repr=False)
    stages: Stages = field(repr=False)
    encryption: Encryption = "rlwe"

    async def run(self, model: str) -> LabelOutcome:
        """Select, fit, tally. Raises: PeerLost, PeerError, and DataError NO_COLUMNS_LEFT and those of the fit."""
        stages, table = self.stages, self.table
        none = FiguresRecord.of([], [])
        figures = await stages.run("figures", FiguresRecord, self._figures) if self._peers else none
        own = await asyncio.to_thread(self.columns.stability)
        stability = np.concatenate([own, figures.stability])
        await asyncio.to_thread(self._first, table, figures.missing, stability)
        self._kept(table, figures.answers([table.numbers(peer).size for peer in self._peers]))
        table.refuse_none()
        if self._parties(table):
            correlation = (await stages.run("moments", MomentsRecord, self._moments)).correlation
        else:
            correlation = await asyncio.to_thread(self.columns.correlations, table.numbers(self._me))
        compare(table, correlation, self.params)
        fit, fits = await fit_until_it_stands(self.stages, self.table, self.params, self._fit)
        part = self._part(model, fit)
        tallies = await self._tallies(part)
        parts: list[bytes] = []
        if self.params.merged_card and self._parties(table):
            parts = (await stages.run("card", PartsRecord, partial(self._hear_parts, part))).parts()
        own_points = self.points(part, test=False).values, self.points(part, test=True).values
        return LabelOutcome(part, table, stability, fit, tallies, own_points, tuple(parts), fits)

    @property
    def _me(self) -> PartyId:
        return self.stages.federation.me

    @property
    def _peers(self) -> tuple[PartyId, ...]:
        return self.stages.federation.feature_parties

    @property
    def _role(self) -> SelectionLabel:
        return SelectionLabel(self._peers)

    @property
    def _n_rows(self) -> int:
        """Rows that a card is made of."""
        return self.train.labels.size

    @property
    def _n_test(self) -> int:
        """Rows that it is judged by."""
        return int(self.columns.test.shape[1])

    def _audience(self, parties: Sequence[PartyId]) -> tuple[PartyId, ...]:
        """Whom this party speaks with where these feature parties take part."""
        return tuple(parties)

    def _tell(self, table: CardTable, to: Sequence[PartyId], *, final: bool = False) -> Steps[None]:
        """Say which columns go on, at the end of a stage."""
        yield from self._role.choose(self._numbers(table), to, final=final)

    def _parties(self, table: CardTable) -> tuple[PartyId, ...]:
        """The feature parties with columns that are left."""
        return tuple(peer for peer in self._peers if table.numbers(peer).size)

    def _numbers(self, table: CardTable) -> dict[PartyId, I64]:
        return {peer: table.numbers(peer) for peer in self._peers}

    # -- selection ------------------------------------------------------------------------------------------------

    async def _figures(self) -> FiguresRecord:
        stages, role, table = self.stages, self._role, self.table.copy()

        def steps() -> Steps[FiguresRecord]:
            found = yield from role.hear_figures({peer: len(table.columns_of(peer)) for peer in self._peers})
            own = self.columns
            missing = np.concatenate([own.missing, *(f.missing for f in found.values())])
            self._first(
                table,
                missing[own.missing.size :],
                np.concatenate([own.stability(), *(f.stability for f in found.values())]),
            )
            chosen = self._numbers(table)
            yield from role.choose(chosen, self._peers)
            kept = yield from role.hear_kept(chosen)
            self._kept(table, [kept[peer] for peer in self._parties(table)])
            yield from self._tell(table, [peer for peer in self._peers if chosen[peer].size])
            return FiguresRecord.of(list(found.values()), [kept.get(peer) for peer in self._peers])

        return await stages.federation.run(stages.channel("figures"), steps(), peers=self._audience(self._peers))

    def _first(self, table: CardTable, missing: F64, stability: F64) -> None:
        """What can be said of each column alone, then of this party's own among themselves."""
        table.apply_first(np.concatenate([self.columns.missing, missing]), stability, self.params)
        mine = table.numbers(self._me)
        if mine.size:
            table.apply_to(self._me, own_selection(self.columns, mine, self.params)[0])

    def _kept(self, table: CardTable, answers: Sequence[OwnerKept]) -> None:
        """What owners say of theirs, and then the best of all."""
        said = iter(answers)
        for peer in self._parties(table):
            numbers, answer = table.numbers(peer), next(said)
            verdicts = []
            for number, kept, size, near in zip(numbers, answer.kept, answer.correlation, answer.nearest, strict=True):
                name, most = f"{peer}.f{number}", self.params.max_correlation
                why = f"correlation {size:.3f} with {peer}.f{near}, which is worth more; above {most:g}"
                verdicts.append(Verdict(name, bool(kept), "correlation", float(size), "" if kept else why))
            table.apply_to(peer, Selection(tuple(verdicts)))
        # With fewer rows a column, its sums would say something of single rows, and are refused.
        most = min(COMPARED * self.params.max_features, max(1, self._n_rows // ROWS_A_COLUMN))
        table.apply(by_number(table.names, table.worth, most))

    async def _moments(self) -> MomentsRecord:
        stages, table = self.stages, self.table.copy()
        parties = self._parties(table)
        correlates = self._correlates(parties, table.numbers(self._me))

        def steps() -> Steps[MomentsRecord]:
            found = yield from correlates
            compare(table, found.correlation, self.params)
            yield from self._tell(table, parties)
            return MomentsRecord(found.correlation)

        return await stages.federation.run(stages.channel("moments"), steps(), peers=self._audience(parties))

    def _correlates(self, parties: tuple[PartyId, ...], numbers: I64) -> Steps[Moments]:
        """The label party's role in correlations with these parties, with these columns of its own."""
        shape = MomentsShape(self._me, parties, self._n_rows)
        return MomentsLabel(shape, self.columns.woe(numbers)).steps(self.stages.federation.randomness)

    # -- fit ------------------------------------------------------------------------------------------------------

    async def _fit(self, number: int) -> FittedLabel:
        stages, role, table = self.stages, self._role, self.table.copy()
        parties, chosen = self._parties(table), self._numbers(table)
        if not parties:
            return await asyncio.to_thread(self._fit_alone, table)
        fits = self._fits_with(parties, table.numbers(self._me), number)

        def steps() -> Steps[FittedLabel]:
            fit = yield from fits
            z = yield from role.hear_significance(chosen)
            record = FittedLabel.of(fit, np.concatenate([z[peer] for peer in parties]))
            selection, stands = judge(table, record, number, self.params)
            table.apply(selection)
            table.refuse_none()
            yield from self._tell(table, parties, final=stands)
            return record

        return await stages.federation.run(stages.channel(f"fit.{number}"), steps(), peers=self._audience(parties))

    def _fits_with(self, parties: tuple[PartyId, ...], numbers: I64, _number: int) -> Steps[LinearLabelFit]:
        """The label party's role in a fit with these parties, with these columns of its own."""
        rows, woe = self.train, self.columns.woe(numbers)
        shape = card_shape(self._me, parties, self._n_rows, self.params, self.encryption)
        party = LinearLabel(shape, woe, rows.labels, rows.weights, rows.offset, self.params.l2)
        return party.steps(self.stages.federation.randomness)

    def _fit_alone(self, table: CardTable) -> FittedLabel:
        """Where no other party's column is left there is nobody to fit with."""
        rows = self.train
        woe = self.columns.woe(table.numbers(self._me))
        signs = np.full(woe.shape[1], -1, np.int8) if self.params.signs == "fixed" else None
        fit = fit_logistic(woe, rows.labels, weights=rows.weights, offset=rows.offset, l2=self.params.l2, signs=signs)
        return FittedLabel.of_rows(fit)

    # -- points ---------------------------------------------------------------------------------------------------

    def _part(self, model: str, fit: FittedLabel) -> CardPart:
        params, table = self.params, self.table
        columns = self.columns.in_card(table.numbers(self._me), fit.values[1:], fit.errors[1:], params)
        intercept = float(fit.values[0])
        return CardPart(
            model=model,
            party=self._me,
            label_party=self._me,
            scale=params.scale,
            intercept=intercept,
            base_points=round(params.scale.base_points(intercept)),
            others=tuple(OtherPart(peer, table.numbers(peer).size) for peer in self._parties(table)),
            columns=columns,
            n_reasons=params.n_reasons,
        )

    def points(self, part: CardPart, *, test: bool) -> CardPoints:
        """This party's part of each row's score: base points, its columns' points, and what an offset is worth."""
        numbers = self.table.numbers(self._me).tolist()
        of_bins = {f: np.array(c.points, np.int64) for f, c in zip(numbers, part.columns, strict=True)}
        values = self.columns.points(of_bins, test=test) + (part.base_points or 0)
        offset = (self.test if test else self.train).offset
        if offset is None:
            return CardPoints(values, *part.point_range)
        values = values - np.rint(self.params.scale.factor * offset).astype(np.int64)
        return CardPoints(values, int(values.min(initial=0)), int(values.max(initial=0)))

    async def _tallies(self, part: CardPart) -> dict[str, Tally]:
        parties, found = self._parties(self.table), dict[str, Tally]()
        for phase, peers, test in tallies_of(parties, self._n_test):
            rows = self.test if test else self.train
            points = await asyncio.to_thread(partial(self.points, part, test=test))
            if phase == "tally.without.label":
                points = CardPoints(np.zeros_like(points.values), 0, 0)
            record = await self.stages.run(phase, TallyRecord, partial(self._tally, phase, peers, points, rows.labels))
            found[phase] = record.tally()
        for phase, test in period_tallies(self.params, self._n_test) if parties else ():
            points = await asyncio.to_thread(partial(self.points, part, test=test))
            labels = np.zeros(points.values.size, np.uint8)
            counted = self._from_period(phase) if test else None
            of = partial(self._tally, phase, parties, points, labels, counted)
            found[phase] = (await self.stages.run(phase, TallyRecord, of)).tally()
        return found

    def _from_period(self, phase: str) -> U8:
        """Which rows held out are of the period of a tally: none, if there are too few."""
        periods, number = self.test.periods, int(phase.removeprefix(PERIOD))
        assert periods is not None, "the label party has a column of months"
        of: U8 = (periods.codes == number).astype(np.uint8)
        return of if of.sum() >= MIN_ROWS else np.zeros_like(of)

    async def _tally(
        self,
        phase: str,
        peers: tuple[PartyId, ...],
        points: CardPoints,
        labels: U8,
        counted: U8 | None = None,
    ) -> TallyRecord:
        federation = self.stages.federation
        shape = TallyShape(federation.session(phase), self._me, peers, labels.size, tally_levels(phase))
        steps = TallyLabel(shape, points, labels, counted).steps(federation.randomness)
        tally = await federation.run(self.stages.channel(phase), steps, peers=peers)
        return TallyRecord(tally.low, tally.step, tally.counts)

    async def _hear_parts(self, part: CardPart) -> PartsRecord:
        stages, parties = self.stages, self._parties(self.table)
        steps = self._role.hear_parts(self._numbers(self.table))
        found = await stages.federation.run(stages.channel("card"), steps, peers=parties)
        for party in parties:
            try:
                await asyncio.to_thread(part_of_peer, part, party, found[party])
            except DataError as error:
                raise PeerError(party, "scorecard/card", "sent what is no part of this card", error.code) from None
        return PartsRecord.of([found[party] for party in parties])


def compare(table: CardTable, correlation: F64, params: ScorecardParams) -> None:
    """Take out columns that say what better ones say, and those beyond the most. Shapes: correlation (left, left)."""
    selection = by_correlation(table.names, correlation, table.worth, params.max_correlation)
    table.apply(selection)
    at = selection.places()
    table.apply(by_inflation(table.names, correlation[np.ix_(at, at)], params.max_inflation))
    table.apply(by_number(table.names, table.worth, params.max_features))


async def fit_until_it_stands(
    stages: Stages, table: CardTable, params: ScorecardParams, fit_number: Callable[[int], Awaitable[FittedLabel]]
) -> tuple[FittedLabel, int]:
    """Fit, drop from `table` what is not significant, fit again; the fit that stands, and how many there were.

    Raises: DataError NO_COLUMNS_LEFT; what a fit raises.
    """
    for number in range(MAX_FITS):
        fit = await stages.run(f"fit.{number}", FittedLabel, partial(fit_number, number))
        selection, stands = judge(table, fit, number, params)
        table.apply(selection)
        table.refuse_none()
        if stands:
            break
    return fit.freed(), number + 1


def judge(table: CardTable, fit: FittedLabel, number: int, params: ScorecardParams) -> tuple[Selection, bool]:
    """What fit number `number` says of the columns that are left, and whether it stands. The last fit stands as it is.

    Columns that are held at 0 are in every fit, since they may come back when others go; when it stands, they go.
    """
    freed = fit.freed()
    last, held = number + 1 == MAX_FITS, fit.held[1:] > 0
    said = by_significance(
        [name for name, at in zip(table.names, held.tolist(), strict=True) if not at],
        np.concatenate([[0.0], freed.standardised]),
        freed.information,
        enter=params.enter if params.stepwise and not last else None,
        leave=params.leave,
        negative=params.expected_sign and params.signs == "drop" and not last,
    )
    stands = len(said.kept) == len(said.verdicts)
    why = "held at 0 by its sign: its coefficient would turn against the column's own weight of evidence"
    verdicts = iter(said.verdicts)
    return Selection(
        tuple(
            Verdict(name, not stands, "sign", 0.0, why) if at else next(verdicts)
            for name, at in zip(table.names, held.tolist(), strict=True)
        )
    ), stands
