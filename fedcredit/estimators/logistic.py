"""Joint logistic regression on numeric columns, as a modeller calls it: the same call at every party."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.card_label import CardRows
from fedcredit.estimators.card_records import FittedLabel, Lent, TallyRecord
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.logistic_part import LogisticColumn, LogisticPart, numeric_table
from fedcredit.estimators.scorecard import HeldOut, rows_of
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear import Encryption, LinearFeature, LinearLabel, LinearPartner, LinearShape
from fedcredit.protocols.scorecard import SelectionFeature, SelectionLabel
from fedcredit.protocols.tally import CardPoints, Tally, TallyLabel, TallyShape, feature_role
from fedcredit.runtime.state import StageRunner, StageState, run_at_once
from fedcredit.tables import Column

__all__ = ["LogisticRegression"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

ROUNDED_TO: Final = 50
"""What a party says of the range of its points is rounded outward to this: no row's value is an end of it."""


@dataclass(frozen=True, slots=True)
class FittedOwn(StageState):
    """At a feature party: coefficients of its columns and their errors. Shapes: (d,) each."""

    schema = "logistic-fit/1"
    values: F64
    errors: F64


class LogisticRegression:
    """Coefficients of numeric columns of several parties, one of which has the label.

    Parameters are those of `credit.logistic_params.LogisticParams`; `groupsum` says under which encryption the fit is
    made, of which `paillier` takes a thousand times as long and gives the same coefficients. Every feature party needs
    a numeric column.

    Learned, after `fit`: `part_`, this party's part; `seconds_`, of each stage run here and now; at the label party
    `fit_`, `columns_` (how many are whose), and `tallies_`, how scores are spread.

    Reveals: `docs/protocols/linear.md`, `docs/protocols/tally.md`; `leakage.json` of a job says it in plain words.
    """

    def __init__(
        self,
        params: LogisticParams | None = None,
        *,
        groupsum: Literal["auto", "rlwe", "paillier"] = "auto",
        **names: Any,
    ) -> None:
        self.params = LogisticParams.from_mapping(names) if params is None else params
        self.groupsum = groupsum

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        n_rows: int,
        held_out: HeldOut | None = None,
        name: str = "logistic",
        run_stage: StageRunner = run_at_once,
    ) -> Self:
        """Fit with the other parties, who call it with the same parameters and the same row order.

        Shapes: columns of n aligned rows each; label (n,) 0 or 1 at the label party, None elsewhere.
        Raises: DataError (LABEL_*, COLUMN_*, VALUE_*, and the fit's); PeerLost; PeerError.
        """
        params, stages = self.params, Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds
        held = held_out or HeldOut({}, 0, None if label is None else np.zeros(0, np.uint8))
        rows = None if label is None else rows_of(params, columns, label)
        apart = (params.weight, params.offset) if federation.is_label_party else ()
        own = {key: column for key, column in columns.items() if key not in apart}
        fills = {key: _mean(column.values) for key, column in own.items()}
        table = await asyncio.to_thread(numeric_table, own, n_rows, fills, params.missing)
        _refuse_constant(own, table, federation)
        mean, spread = table.mean(axis=0), table.std(axis=0)
        table = (table - mean) / spread
        if rows is None:
            found = await stages.run("fit", FittedOwn, partial(self._fit_feature, stages, table))
            intercept, values, errors = None, found.values, found.errors
        else:
            self.fit_ = await stages.run("fit", FittedLabel, partial(self._fit_label, stages, table, rows))
            self.columns_ = dict(
                zip((federation.me, *federation.feature_parties), self.fit_.columns.tolist(), strict=True)
            )
            intercept, values, errors = float(self.fit_.values[0]), self.fit_.values[1:], self.fit_.errors[1:]
        self.part_ = LogisticPart(
            party=federation.me,
            label_party=federation.label_party,
            scale=params.scale,
            intercept=intercept,
            columns=tuple(
                LogisticColumn(key, float(m), float(b / s), float(e / s) if np.isfinite(e) else None)
                for key, m, s, b, e in zip(own, mean, spread, values, errors, strict=True)
            ),
        )
        test_rows = None if held.label is None else rows_of(params, held.columns, held.label)
        self.tallies_: dict[str, Tally] = {}
        for phase, cells, n, of in (
            ("tally.train", columns, n_rows, rows),
            ("tally.test", held.columns, held.n_rows, test_rows),
        ):
            if n:
                await self._tally(stages, phase, cells, n, of)
        return self

    async def _fit_label(self, stages: Stages, table: F64, rows: CardRows) -> FittedLabel:
        federation, params = stages.federation, self.params
        peers = federation.feature_parties
        shape = self._shape(federation.me, peers, rows.labels.size)
        role = LinearLabel(shape, table, rows.labels, rows.weights, rows.offset, params.l2)

        def steps() -> Steps[FittedLabel]:
            fit = yield from role.steps(federation.randomness)
            z: F64 = np.zeros(0)
            if params.standard_errors:
                due = {peer: np.arange(fit.columns[peer]) for peer in peers}
                told = yield from SelectionLabel(peers).hear_significance(due)
                z = np.concatenate([told[peer] for peer in peers])
            return FittedLabel.of(fit, z)

        return await federation.run(stages.channel("fit"), steps())

    def _shape(self, label: PartyId, peers: tuple[PartyId, ...], n_rows: int) -> LinearShape:
        encryption: Encryption = "paillier" if self.groupsum == "paillier" else "rlwe"
        return LinearShape(label, peers, n_rows, self.params.standard_errors, encryption=encryption)

    async def _fit_feature(self, stages: Stages, table: F64) -> FittedOwn:
        federation, params = stages.federation, self.params
        me, parties = federation.me, federation.feature_parties
        shape = self._shape(federation.label_party, parties, len(table))
        partner = me == shape.partner
        role = LinearPartner(shape, table) if partner else LinearFeature(shape, me, table, federation.kept_secret)

        def steps() -> Steps[FittedOwn]:
            fit = yield from role.steps(federation.randomness)
            if params.standard_errors:
                yield from SelectionFeature(me, shape.label, parties).tell_significance(fit.estimates.z)
            return FittedOwn(fit.estimates.values, fit.estimates.standard_errors)

        return await federation.run(stages.channel("fit"), steps(), peers=federation.beside(federation.feature_parties))

    async def _tally(
        self, stages: Stages, phase: str, columns: Mapping[str, Column], n_rows: int, rows: CardRows | None
    ) -> None:
        federation, factor = stages.federation, self.params.scale.factor
        z = await asyncio.to_thread(self.part_.log_odds, columns, n_rows)
        if rows is not None and rows.offset is not None:
            z = z + rows.offset
        points = np.rint((self.params.scale.offset if rows is not None else 0.0) - factor * z).astype(np.int64)
        low, high = (int(side(points / ROUNDED_TO)) * ROUNDED_TO for side in (_down, _up))
        of = CardPoints(points, low, high)
        shape = TallyShape(federation.session(phase), federation.label_party, federation.feature_parties, n_rows)
        if rows is None:
            role = feature_role(shape, federation.me, of)

            async def lend() -> Lent:
                steps = role.steps(federation.randomness)
                await federation.run(stages.channel(phase), steps, peers=federation.beside(federation.feature_parties))
                return Lent()

            await stages.run(phase, Lent, lend)
            return

        async def learn() -> TallyRecord:
            steps = TallyLabel(shape, of, rows.labels).steps(federation.randomness)
            found = await federation.run(stages.channel(phase), steps)
            return TallyRecord(found.low, found.step, found.counts)

        self.tallies_[phase] = (await stages.run(phase, TallyRecord, learn)).tally()


def _down(values: F64) -> float:
    return float(np.floor(values.min()))


def _up(values: F64) -> float:
    return float(np.ceil(values.max()))


def _mean(values: F64) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else 0.0


def _refuse_constant(columns: Mapping[str, Column], table: F64, federation: Federation) -> None:
    if not columns and not federation.is_label_party:
        what = "has no column for this model"
        raise DataError(Problem("COLUMN_MISSING", federation.me, what, "leave the party out, or give it a column"))
    flat = [name for j, name in enumerate(columns) if np.ptp(table[:, j]) == 0]
    if flat:
        fix = "drop the column: it says nothing"
        raise DataError([Problem("COLUMN_CONSTANT", name, "has one value only", fix) for name in flat])
