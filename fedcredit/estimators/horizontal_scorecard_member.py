"""A member's way to a scorecard over the rows of all members, stage by stage: all add up, and all choose alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.metrics import stability_index
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.credit.selection import by_correlation, by_number, correlations
from fedcredit.errors import FedcreditError, Problem
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_label import COMPARED, CardRows, LabelOutcome, compare, fit_until_it_stands
from fedcredit.estimators.card_records import FittedLabel, TallyRecord
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.horizontal_binning import BOUND
from fedcredit.estimators.horizontal_newton import newton
from fedcredit.estimators.horizontal_scorecard_alone import stretch
from fedcredit.estimators.horizontal_scorecard_records import CardAgreed, ComparedColumns, HeldRows
from fedcredit.estimators.horizontal_within import PairsWithin, pairs_within
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.estimators.sums import Sums
from fedcredit.estimators.training import Stages
from fedcredit.protocols.linear import ROWS_A_COLUMN
from fedcredit.protocols.tally import Tally

__all__ = ["LEVELS", "MemberCard"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

LEVELS: Final = 1024
"""Points are counted one by one while a card spans no more than so many."""
ADDED: Final = 2
"""Of the columns that a vertical card compares, so many times as many are compared by sums."""


@dataclass(frozen=True, slots=True)
class MemberCard:
    """Makes a card with the other members. `train`, `test`: this member's rows to train on, and those it holds out.

    `columns` have the rows, counts and shares missing of all members; `table` lists them. `rows`: all members' rows to
    train on.
    """

    params: ScorecardParams
    columns: CardColumns = field(repr=False)
    table: CardTable = field(repr=False)
    train: CardRows = field(repr=False)
    test: CardRows = field(repr=False)
    rows: int
    sums: Sums = field(repr=False)
    stages: Stages = field(repr=False)

    async def run(self, model: str) -> tuple[LabelOutcome, HeldRows]:
        """Select, fit, count points.

        Raises: PeerLost, PeerError, FedcreditError CARD_DIFFERS, and DataError NO_COLUMNS_LEFT and those of the fit.
        """
        stages, table, params = self.stages, self.table, self.params
        held = await stages.run("held", HeldRows, self._held)
        stability = self._stability(held)
        table.apply_first(self.columns.missing, stability, params)
        # With fewer rows a column, its sums would say something of single rows.
        most = min(ADDED * COMPARED * params.max_features, max(1, self.rows // ROWS_A_COLUMN))
        table.apply(by_number(table.names, table.worth, most))
        table.refuse_none()
        r = (await stages.run("moments", ComparedColumns, self._moments)).correlation
        selection = by_correlation(table.names, r, table.worth, params.max_correlation)
        table.apply(selection)
        # As a vertical card compares its columns: no more than it would.
        best = by_number(table.names, table.worth, COMPARED * params.max_features)
        table.apply(best)
        at = selection.places()[best.places()]
        r = r[np.ix_(at, at)]
        compare(table, r, params)
        fit, fits = await fit_until_it_stands(self.stages, self.table, self.params, self._fit)
        part = self._part(model, fit)
        await stages.run("card", CardAgreed, partial(self._agree, part))
        tallies = {"tally.train": await self._tally("tally.train", part, test=False)}
        if held.rows:
            tallies["tally.test"] = await self._tally("tally.test", part, test=True)
        own = self.points(part, test=False), self.points(part, test=True)
        return LabelOutcome(part, table, stability, fit, tallies, own, (), fits), held

    def points(self, part: CardPart, *, test: bool) -> I64:
        """The points of this member's rows, with what an offset is worth. Shapes: returns (n,)."""
        of_bins = {f: np.array(c.points, np.int64) for f, c in zip(self._numbers, part.columns, strict=True)}
        values = self.columns.points(of_bins, test=test) + (part.base_points or 0)
        offset = (self.test if test else self.train).offset
        return values if offset is None else values - np.rint(self.params.scale.factor * offset).astype(np.int64)

    async def counted(self, phase: str, points: I64, labels: U8, low: int, high: int) -> Tally:
        """How points of good and bad rows of all members are spread between two bounds, which hold what is beyond."""
        record = await self.stages.run(phase, TallyRecord, partial(self._count, phase, points, labels, low, high))
        return record.tally()

    async def within(self, points: I64, alone: I64) -> PairsWithin:
        """How the card orders rows held out of the same member, and how its own card does, over all members."""
        joint, own = -points.astype(np.float64), -alone.astype(np.float64)
        count = partial(pairs_within, self.sums, self.test.labels, joint, own, label=self._label("within"))
        return await self.stages.run("within", PairsWithin, count)

    @property
    def _numbers(self) -> list[int]:
        return [int(number) for number in self.table.numbers(self.sums.leader)]

    def _label(self, phase: str) -> str:
        return self.stages.channel(phase)

    # -- selection ------------------------------------------------------------------------------------------------

    async def _held(self) -> HeldRows:
        columns, labels = self.columns, self.test.labels
        own = [np.array([labels.size, np.count_nonzero(labels)], np.int64)]
        for f, column in enumerate(columns.columns):
            if column.bins is not None:
                own.append(np.bincount(columns.test[f], minlength=column.bins.n_bins).astype(np.int64))
        whole = await self.sums.integers(self._label("held"), np.concatenate(own), bound=BOUND)
        return HeldRows(int(whole[0]), int(whole[1]), whole[2:])

    def _stability(self, held: HeldRows) -> F64:
        """(F,) how far each column moved from the rows to train on to those held out; -1 where that is not known."""
        found = np.full(len(self.columns.columns), -1.0)
        with_bins = [f for f, column in enumerate(self.columns.columns) if column.bins is not None]
        counts = held.of_columns([self.columns.bins(f).n_bins for f in with_bins])
        for f, actual in zip(with_bins, counts, strict=True):
            if held.rows:
                expected = np.array(self.columns.columns[f].rows, np.float64)
                found[f] = stability_index(expected, actual.astype(np.float64))
        return found

    async def _moments(self) -> ComparedColumns:
        """Correlations over all rows, of weights of evidence put to mean 0 and mean square 1 by known counts."""
        numbers = np.array(self._numbers, np.int64)
        scaled = np.empty((self.train.labels.size, 1 + numbers.size))
        scaled[:, 0], most = 1.0, 1.0
        for j, f in enumerate(numbers.tolist(), start=1):
            rows, woe = np.array(self.columns.columns[f].rows, np.float64), np.array(self.columns.bins(f).evidence)
            centred = woe - rows @ woe / rows.sum()
            spread = np.sqrt(rows @ centred**2 / rows.sum())
            standard = centred / spread if spread > 1e-12 else np.zeros_like(centred)
            scaled[:, j] = standard[self.columns.train[f]]
            most = max(most, float(np.abs(standard).max()))
        at = np.triu_indices(1 + numbers.size)
        products = scaled.T @ scaled
        whole = np.empty_like(products)
        bound = 2.0 * most**2 * self.rows
        whole[at] = await self.sums.reals(self._label("moments"), products[at], bound=bound)
        whole.T[at] = whole[at]
        return ComparedColumns(correlations(whole))

    # -- fit ------------------------------------------------------------------------------------------------------

    async def _fit(self, number: int) -> FittedLabel:
        params, rows, names = self.params, self.train, self.table.names
        woe = await asyncio.to_thread(self.columns.woe, np.array(self._numbers, np.int64))
        fit = await newton(
            self.sums,
            woe,
            rows.labels,
            l2=params.l2,
            weights=rows.weights,
            offset=rows.offset,
            signs=np.full(len(names), -1, np.int8) if params.signs == "fixed" else None,
            names=names,
            label=self._label(f"fit.{number}"),
        )
        return FittedLabel.of_rows(fit)

    # -- points ---------------------------------------------------------------------------------------------------

    def _part(self, model: str, fit: FittedLabel) -> CardPart:
        params, intercept, leader = self.params, float(fit.values[0]), self.sums.leader
        return CardPart(
            model=model,
            party=leader,
            label_party=leader,
            scale=params.scale,
            intercept=intercept,
            base_points=round(params.scale.base_points(intercept)),
            columns=self.columns.in_card(np.array(self._numbers, np.int64), fit.values[1:], fit.errors[1:], params),
            n_reasons=params.n_reasons,
        )

    async def _agree(self, part: CardPart) -> CardAgreed:
        """Raises: FedcreditError CARD_DIFFERS unless all members have come to the same document."""
        own = int.from_bytes(sha256(part.to_bytes()).digest()[:8], "little")
        whole = await self.sums.words(self._label("card"), np.array([own], np.uint64))
        if int(whole[0]) != own * len(self.sums.members) % (1 << 64):
            fix = "run the same version of fedcredit and of its libraries on like machines"
            raise FedcreditError(Problem("CARD_DIFFERS", "scorecard", "is not the same at all members", fix))
        return CardAgreed(len(part.columns))

    async def _tally(self, phase: str, part: CardPart, *, test: bool) -> Tally:
        points = await asyncio.to_thread(partial(self.points, part, test=test))
        low, high = part.point_range
        if self.params.offset is not None:
            # Nobody knows how far an offset reaches at others.
            below, above = stretch(self.params)
            low, high = min(low, below), max(high, above)
        return await self.counted(phase, points, (self.test if test else self.train).labels, low, high)

    async def _count(self, phase: str, points: I64, labels: U8, low: int, high: int) -> TallyRecord:
        step = max(1, -(-(high - low) // (LEVELS - 1)))
        at = (2 * (np.clip(points, low, high) - low) + step) // (2 * step)
        size = (2 * (high - low) + step) // (2 * step) + 1
        own = np.bincount(at + size * labels.astype(np.int64), minlength=2 * size).reshape(2, size).T
        whole = await self.sums.integers(self._label(phase), np.ascontiguousarray(own, np.int64), bound=BOUND)
        return TallyRecord(low, step, whole)
