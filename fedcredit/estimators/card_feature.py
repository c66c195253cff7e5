"""A feature party's way to its part of a scorecard, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.credit.selection import Selection, by_correlation
from fedcredit.estimators.card_column import CardColumn
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_records import ChosenRecord, FittedFeature, Lent
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear import Encryption, LinearFeature, LinearFeatureFit, LinearPartner, LinearShape
from fedcredit.protocols.moments import MomentsFeature, MomentsShape
from fedcredit.protocols.scorecard import Chosen, SelectionFeature
from fedcredit.protocols.tally import MAX_LEVELS, CardPoints, TallyShape, feature_role

__all__ = ["PERIOD", "FeatureCard", "card_shape", "nearest_of", "period_tallies", "tallies_of", "tally_levels"]

PERIOD: Final = "tally.period."

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FeatureCard:
    """Brings its columns to a card until the label party says which are in it, and then its points to be tallied."""

    params: ScorecardParams
    columns: CardColumns = field(repr=False)
    stages: Stages = field(repr=False)
    encryption: Encryption = "rlwe"

    async def run(self, model: str) -> CardPart:
        """This party's part. Raises: PeerLost, PeerError, and what the fit raises."""
        stages, federation = self.stages, self.stages.federation
        parties = federation.feature_parties
        record = await stages.run("figures", ChosenRecord, self._figures)
        chosen = record.chosen(parties)
        if chosen.columns.size:
            record = await stages.run("moments", ChosenRecord, partial(self._moments, chosen))
            chosen = record.chosen(parties)
        fitted, number = None, 0
        while chosen.columns.size and not chosen.final:
            fitted = await stages.run(f"fit.{number}", FittedFeature, partial(self._fit, chosen, number))
            chosen, number = fitted.chosen(parties), number + 1
        part = self._part(model, chosen.columns, fitted)
        if chosen.columns.size:
            for phase, peers, test in tallies_of(chosen.parties, self.columns.test.shape[1]):
                if federation.me in peers:
                    await stages.run(phase, Lent, partial(self._tally, phase, peers, part, chosen.columns, test=test))
            for phase, test in period_tallies(self.params, self.columns.test.shape[1]):
                peers = chosen.parties
                await stages.run(phase, Lent, partial(self._tally, phase, peers, part, chosen.columns, test=test))
            if self.params.merged_card:
                await stages.run("card", Lent, partial(self._tell, part))
        return part

    @property
    def _role(self) -> SelectionFeature:
        federation = self.stages.federation
        return SelectionFeature(federation.me, federation.label_party, federation.feature_parties)

    async def _figures(self) -> ChosenRecord:
        federation, role = self.stages.federation, self._role

        def steps() -> Steps[Chosen]:
            yield from role.tell_figures(self.columns.missing, self.columns.stability())
            chosen = yield from role.hear_chosen(np.arange(len(self.columns.columns)))
            if not chosen.columns.size:
                return chosen
            selection, nearest, correlation = own_selection(self.columns, chosen.columns, self.params)
            kept = np.array([v.kept for v in selection.verdicts], np.uint8)
            yield from role.tell_kept(kept, correlation, chosen.columns[nearest])
            return (yield from role.hear_chosen(chosen.columns[kept > 0]))

        chosen = await federation.run(self.stages.channel("figures"), steps())
        return ChosenRecord.of(chosen, federation.feature_parties)

    async def _moments(self, chosen: Chosen) -> ChosenRecord:
        federation, role = self.stages.federation, self._role
        correlates = self._correlates(chosen)

        def steps() -> Steps[Chosen]:
            yield from correlates
            return (yield from role.hear_chosen(chosen.columns))

        found = await federation.run(self.stages.channel("moments"), steps(), peers=self._audience(chosen.parties))
        return ChosenRecord.of(found, federation.feature_parties)

    def _audience(self, parties: tuple[PartyId, ...]) -> tuple[PartyId, ...]:
        """Whom this party speaks with where these feature parties take part."""
        return self.stages.federation.beside(parties)

    def _correlates(self, chosen: Chosen) -> Steps[None]:
        """This party's role in correlations."""
        federation = self.stages.federation
        shape = MomentsShape(federation.label_party, chosen.parties, self.columns.train.shape[1])
        return MomentsFeature(shape, federation.me, self.columns.woe(chosen.columns)).steps(federation.randomness)

    def _fits_with(self, chosen: Chosen) -> Steps[LinearFeatureFit]:
        """This party's role in a fit."""
        federation, rows = self.stages.federation, self.columns.train.shape[1]
        shape = card_shape(federation.label_party, chosen.parties, rows, self.params, self.encryption)
        woe = self.columns.woe(chosen.columns)
        if federation.me == shape.partner:
            return LinearPartner(shape, woe).steps(federation.randomness)
        return LinearFeature(shape, federation.me, woe, federation.kept_secret).steps(federation.randomness)

    async def _fit(self, chosen: Chosen, number: int) -> FittedFeature:
        federation, role = self.stages.federation, self._role
        fits = self._fits_with(chosen)

        def steps() -> Steps[FittedFeature]:
            fit = yield from fits
            yield from role.tell_significance(np.where(fit.held, 0.0, fit.estimates.z))
            left = yield from role.hear_chosen(chosen.columns, held=fit.held)
            return FittedFeature.of(fit, left, federation.feature_parties)

        phase = self.stages.channel(f"fit.{number}")
        return await federation.run(phase, steps(), peers=self._audience(chosen.parties))

    async def _tally(self, phase: str, peers: tuple[PartyId, ...], part: CardPart, numbers: I64, *, test: bool) -> Lent:
        federation = self.stages.federation
        of_columns = zip(numbers.tolist(), part.columns, strict=True)
        values = self.columns.points({f: np.array(c.points, np.int64) for f, c in of_columns}, test=test)
        levels = tally_levels(phase)
        shape = TallyShape(federation.session(phase), federation.label_party, peers, values.size, levels)
        points = CardPoints(values, *part.point_range)
        role = feature_role(shape, federation.me, points)
        await federation.run(
            self.stages.channel(phase), role.steps(federation.randomness), peers=federation.beside(peers)
        )
        return Lent()

    async def _tell(self, part: CardPart) -> Lent:
        await self.stages.federation.run(self.stages.channel("card"), self._role.tell_part(part.to_bytes()))
        return Lent()

    def _part(self, model: str, numbers: I64, fitted: FittedFeature | None) -> CardPart:
        params, columns = self.params, tuple[CardColumn, ...]()
        if numbers.size:
            assert fitted is not None, "columns that are left were in a fit"
            columns = self.columns.in_card(numbers, fitted.values, fitted.errors, params)
        federation = self.stages.federation
        return CardPart(
            model=model,
            party=federation.me,
            label_party=federation.label_party,
            scale=params.scale,
            intercept=None,
            base_points=None,
            columns=columns,
            n_reasons=params.n_reasons,
        )


def card_shape(
    label: PartyId, peers: tuple[PartyId, ...], n_rows: int, params: ScorecardParams, encryption: Encryption
) -> LinearShape:
    """The fit of a card. More weight of evidence is less risk, so that signs that are fixed are below 0."""
    return LinearShape(label, peers, n_rows, sign=-1 if params.signs == "fixed" else 0, encryption=encryption)


def own_selection(columns: CardColumns, numbers: I64, params: ScorecardParams) -> tuple[Selection, I64, F64]:
    """Of a party's own columns those that are like no better one; of each, the one it is most like, and how much.

    Shapes: numbers (d,); returns d verdicts, d places among `numbers`, d correlations in [0, 1].
    """
    correlation = columns.correlations(numbers)
    worth = columns.iv[numbers]
    names = [columns.columns[f].column.name for f in numbers.tolist()]
    selection = by_correlation(names, correlation, worth.tolist(), params.max_correlation)
    nearest, size = nearest_of(selection, correlation, worth)
    return selection, nearest, size


def nearest_of(selection: Selection, correlation: F64, worth: F64) -> tuple[I64, F64]:
    """The better column that stayed which each is most like, itself where there is none, and the correlation's size."""
    r, size = np.abs(correlation), np.zeros(worth.size)
    nearest = np.arange(worth.size)
    before: list[int] = []
    for j in np.argsort(-worth, kind="stable").tolist():
        if before:
            nearest[j] = max(before, key=lambda k: (r[j, k], -k))
            size[j] = min(float(r[j, nearest[j]]), 1.0)
        if selection.verdicts[j].kept:
            before.append(j)
    return nearest, size


def tallies_of(parties: tuple[PartyId, ...], n_test: int) -> Iterator[tuple[str, tuple[PartyId, ...], bool]]:
    """The tallies of a card of these feature parties: phase, feature parties in it, whether over rows held out.

    All rows to train on, all rows held out; then rows held out without the label party's points, and without those of
    each feature party, as far as more than one party is left to hide behind.
    """
    if not parties:
        return
    yield "tally.train", parties, False
    if n_test:
        yield "tally.test", parties, True
        yield "tally.without.label", parties, True
        if len(parties) > 1:
            for number, left_out in enumerate(parties):
                yield f"tally.without.{number}", tuple(p for p in parties if p != left_out), True


def period_tallies(params: ScorecardParams, n_test: int) -> Iterator[tuple[str, bool]]:
    """The tallies that stability by period takes: phase, whether over rows held out.

    They are as many whatever periods there are, so that nobody learns how many.
    """
    if params.period_scores and n_test:
        yield f"{PERIOD}base", False
        for number in range(params.periods):
            yield f"{PERIOD}{number}", True


def tally_levels(phase: str) -> int:
    """In how many steps a tally counts: of periods a quarter of what it counts all rows in."""
    return MAX_LEVELS // 4 if phase.startswith(PERIOD) else MAX_LEVELS
