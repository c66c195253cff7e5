"""Joint scorecards as a modeller calls them: the same call at every party, each on its own columns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.credit.metrics import rank_curve
from fedcredit.credit.periods import PeriodIndex, Periods, banded, by_period, index_of
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.estimators.binning import Binning
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_feature import PERIOD, FeatureCard
from fedcredit.estimators.card_label import CardRows, LabelCard, LabelOutcome
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.linear import Encryption
from fedcredit.protocols.tally import CardPoints, Tally, TallyLabel, TallyShape, feature_role
from fedcredit.protocols.totals import TotalsFeature, TotalsLabel, TotalsPartner, TotalsShape
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column

__all__ = ["HeldOut", "Scorecard", "rows_of", "spread"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Rows that a card is not trained on, and is judged by. `label` at the label party alone."""

    columns: Mapping[str, Column] = field(repr=False)
    n_rows: int
    label: U8 | None = field(repr=False, default=None)


class Scorecard:
    """A points table over the columns of several parties, one of which has the label.

    Parameters are those of `credit.scorecard_params.ScorecardParams`, by name or as one value; `groupsum` as for
    `Binning`. `get_params` and `set_params` are scikit-learn's, so `sklearn.base.clone` works.

    Learned, after `fit`: `part_`, this party's part of the card; `columns_`, this party's binned columns; `stability_`,
    of each column that is known here its name, party and stability index (-1 for none); `seconds_`, of each stage run
    here and now; at the label party `outcome_` (selection, fit, tallies), `alone_`, what this party's
    own columns give by the same rules, None where none stays, and `binning_` with what it knows of others' columns.

    Reveals: `docs/protocols/scorecard.md`; `leakage.json` of a job says it in plain words.
    """

    def __init__(
        self,
        params: ScorecardParams | None = None,
        *,
        groupsum: Literal["auto", "rlwe", "onehot", "paillier"] = "auto",
        **names: Any,
    ) -> None:
        if params is not None and names:
            what = "give ScorecardParams or parameters by name, not both"
            raise ConfigError(Problem("CONFIG_CONFLICT", "Scorecard", what))
        self.params = params
        self.groupsum = groupsum
        self._names = dict(names)
        self._checked = ScorecardParams.from_mapping(names) if params is None else params

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that make an equal, unfitted card."""
        given = {} if self.params is None else {"params": self.params}
        return given | self._names | {"groupsum": self.groupsum}

    def set_params(self, **names: Any) -> Self:
        """Change some arguments. Raises: ConfigError."""
        Scorecard.__init__(self, **(self.get_params() | names))
        return self

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        n_rows: int,
        held_out: HeldOut | None = None,
        name: str = "scorecard",
        run_stage: StageRunner = run_at_once,
        progress: Callable[[str, int, int], None] = lambda _phase, _done, _all: None,
    ) -> Self:
        """Make a card with the other parties, who call it with the same parameters and the same row order.

        `run_stage` may keep the record of each stage and thaw it in a later start of the job. `progress` is told the
        phase, how far it is, and of how much.

        Shapes: columns of n aligned rows each; label (n,) 0 or 1 at the label party, None elsewhere.
        Raises: DataError (LABEL_*, VALUE_*, COLUMN_MISSING, NO_COLUMNS_LEFT, the fit's); PeerLost; PeerError.
        """
        if (label is None) == federation.is_label_party:
            what = "is missing at the label party" if label is None else "was given to a feature party"
            raise DataError(Problem("LABEL_PARTY", "label", what, "give it where the job says the label is"))
        params, stages = self._checked, Stages(federation, name, run_stage)
        held = held_out or HeldOut({}, 0, None if label is None else np.zeros(0, np.uint8))
        features = dict(columns)
        for apart in params.apart if federation.is_label_party else ():
            features.pop(apart, None)
        features.pop(params.time or "", None)
        periods = await asyncio.to_thread(periods_of, params, columns, held.columns, required=federation.is_label_party)
        binning = Binning(params.bins, groupsum=self.groupsum, band=(params.iv_min, params.iv_max))
        await binning.fit(federation, features, label, n_rows=n_rows, name=name, run_stage=run_stage, progress=progress)
        self.columns_, self.seconds_ = binning.columns_, stages.seconds
        numbered = binning.columns_ if label is not None else binning.columns_[: binning.numbered_]
        own = await asyncio.to_thread(CardColumns.of, numbered, held.columns, n_rows, held.n_rows)
        model = f"{federation.ssid.hex()}/{name}"
        encryption: Encryption = "paillier" if self.groupsum == "paillier" else "rlwe"
        self.stability_: list[tuple[str, PartyId, float]]
        if label is None:
            index = await asyncio.to_thread(own.stability)
            names = [column.column.name for column in own.columns]
            self.stability_ = [(name, federation.me, i) for name, i in zip(names, index.tolist(), strict=True)]
            self.part_ = await FeatureCard(params, own, stages, encryption).run(model)
        else:
            train = rows_of(params, columns, label)
            test = replace(rows_of(params, held.columns, held.label), periods=periods)
            table = CardTable(federation.me, own.columns, binning.foreign_)
            self.binning_ = binning
            card = LabelCard(params, own, table, train, test, stages, encryption)
            self.outcome_: LabelOutcome = await card.run(model)
            self.part_ = self.outcome_.part
            listed = zip(table.columns, self.outcome_.stability.tolist(), strict=True)
            self.stability_ = [(column.name, column.party, i) for column, i in listed]
            self.alone_ = await self._alone(federation, own, train, test)
        stages.seconds.update(binning.seconds_)
        self.periods_ = await asyncio.to_thread(self._by_period, own, periods)
        return self

    def transform(self, columns: Mapping[str, Column], n_rows: int) -> F64:
        """Weights of evidence of this party's columns of the card. Shapes: returns (n, columns of the part).

        Raises: DataError (COLUMN_MISSING, COLUMN_KIND, VALUE_INFINITE).
        """
        return self.part_.woe_of(columns, n_rows)

    def points(self, columns: Mapping[str, Column], n_rows: int) -> I64:
        """Points of each row in each of this party's columns of the card. Raises: as `transform`."""
        return self.part_.points_of(columns, n_rows)

    def reasons(self, columns: Mapping[str, Column], n_rows: int) -> list[list[str]]:
        """Of each row, this party's columns in which it falls shortest of the reference, the largest shortfall first.

        Raises: as `transform`.
        """
        names = [column.name for column in self.part_.columns]
        found = self.part_.reasons(self.points(columns, n_rows))
        return [[names[f] for f in row if f >= 0] for row in found.tolist()]

    async def tally(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        n_rows: int,
        stage: str = "scorecard/score",
    ) -> Tally | None:
        """How the scores of good and of bad rows are spread, at the label party; None at the others, who all call it.

        `stage` is a name that this job has used for nothing else. Raises: as `transform`; PeerLost, PeerError.
        """
        part = self.part_
        values = part.totals(await asyncio.to_thread(part.points_of, columns, n_rows))
        peers = federation.feature_parties
        shape = TallyShape(federation.session(stage), federation.label_party, peers, n_rows)
        points = CardPoints(values, *part.point_range)
        if label is not None:
            return await federation.run(stage, TallyLabel(shape, points, label).steps(federation.randomness))
        role = feature_role(shape, federation.me, points)
        await federation.run(stage, role.steps(federation.randomness), peers=federation.beside(peers))
        return None

    async def predict_proba(
        self, federation: Federation, columns: Mapping[str, Column], *, n_rows: int, stage: str = "scorecard/predict"
    ) -> F64 | None:
        """Probabilities of being good and bad of every row, by its points, at the label party; None at the others, who
        all call it.

        **The label party is shown the total points of every row**, so with one feature party that party's part of each,
        which no job shows anybody: see `protocols.totals`. `score` and `tally` do without.

        `stage` is a name that this job has used for nothing else. Shapes: returns (n, 2).
        Raises: as `transform`; PeerLost, PeerError.
        """
        part, me, peers = self.part_, federation.me, federation.feature_parties
        points = part.totals(await asyncio.to_thread(part.points_of, columns, n_rows))
        shape = TotalsShape(federation.label_party, peers, n_rows)
        if not federation.is_label_party:
            first = me == peers[0]
            steps = (
                TotalsPartner(shape, points).steps()
                if first
                else TotalsFeature(shape, points).steps(federation.randomness)
            )
            await federation.run(stage, steps, peers=federation.beside(peers))
            return None
        total = await federation.run(stage, TotalsLabel(shape, points).steps())
        bad = part.scale.probability(total.astype(np.float64))
        return np.stack([1.0 - bad, bad], axis=1)

    async def score(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        n_rows: int,
        stage: str = "scorecard/score",
    ) -> float | None:
        """The area under the ROC curve over these rows, at the label party; None at the others. See `tally`."""
        tally = await self.tally(federation, columns, label, n_rows=n_rows, stage=stage)
        if tally is None:
            return None
        y, points = spread(tally)
        return rank_curve(y, -points).auc

    def _by_period(self, own: CardColumns, periods: Periods | None) -> dict[str | None, tuple[PeriodIndex, ...]]:
        """How far this party's columns of the card have moved in each period; under None the total, where known."""
        if periods is None or not own.test.shape[1]:
            return {}
        places = {column.column.name: f for f, column in enumerate(own.columns)}
        found: dict[str | None, tuple[PeriodIndex, ...]] = {}
        outcome: LabelOutcome | None = getattr(self, "outcome_", None)
        if outcome is not None and (total := _total_by_period(outcome, periods)):
            found[None] = total
        for column in self.part_.columns:
            f = places[column.name]
            expected = np.bincount(own.train[f], minlength=own.bins(f).n_bins)
            found[column.name] = by_period(expected, own.test[f].astype(np.int64), periods)
        return found

    async def _alone(
        self, federation: Federation, own: CardColumns, train: CardRows, test: CardRows
    ) -> LabelOutcome | None:
        """What the label party's own columns give by the same rules."""
        table = CardTable(federation.me, own.columns, ())
        stages = Stages(replace(federation, feature_parties=()), "alone", run_at_once)
        params = replace(self._checked, merged_card=False, period_scores=False)
        card = LabelCard(params, own, table, train, test, stages)
        try:
            return await card.run("alone")
        except DataError as error:
            if error.code not in ("NO_COLUMNS_LEFT", "LABEL_SEPARABLE"):
                raise
            return None


def periods_of(
    params: ScorecardParams, columns: Mapping[str, Column], held: Mapping[str, Column], *, required: bool
) -> Periods | None:
    """When the rows held out are from, at a party that has a column that says it.

    Raises: DataError COLUMN_MISSING at the label party if it has none, VALUE_INVALID.
    """
    if params.time is None:
        return None
    if params.time not in columns:
        if required and params.period_scores:
            what = "is no column of the label party's table"
            raise DataError(Problem("COLUMN_MISSING", f"time: {params.time}", what, "name one, or leave the key out"))
        return None
    if params.time not in held:
        return None
    column = held[params.time]
    return Periods.of(params.time, column.values, column.levels, params.periods)


def _total_by_period(outcome: LabelOutcome, periods: Periods) -> tuple[PeriodIndex, ...]:
    """The same of the total points: from tallies, or of a card that is all the label party's own, from its rows."""
    rows = periods.rows.tolist()
    if base := outcome.tallies.get(f"{PERIOD}base"):
        counts = [outcome.tallies[f"{PERIOD}{place}"].counts[:, 0] for place in range(len(rows))]
        expected, *actual = banded(base.counts[:, 0], *counts)
        told = zip(periods.names, rows, actual, strict=True)
        return tuple(PeriodIndex(name, n, index_of(expected, of)) for name, n, of in told)
    if outcome.part.others:
        return ()
    train, test = outcome.own_points
    edges = np.unique(np.quantile(train, np.linspace(0, 1, 11)[1:-1], method="lower"))
    bands = np.searchsorted(edges, test, side="right")
    return by_period(np.bincount(np.searchsorted(edges, train, side="right"), minlength=edges.size + 1), bands, periods)


def spread(tally: Tally) -> tuple[U8, F64]:
    """A label and a score for each row that was tallied, in no order of rows. Shapes: (n,), (n,)."""
    scores = tally.scores.astype(np.float64)
    good, bad = tally.counts.T
    y = np.repeat(np.array([0, 1], np.uint8), [int(good.sum()), int(bad.sum())])
    return y, np.concatenate([np.repeat(scores, good), np.repeat(scores, bad)])


def rows_of(params: ScorecardParams | LogisticParams, columns: Mapping[str, Column], label: U8 | None) -> CardRows:
    """Labels, weights and offset. Raises: DataError COLUMN_MISSING, COLUMN_KIND, VALUE_INVALID."""
    assert label is not None, "the label party has labels"
    found: dict[str, F64] = {}
    for key, name in (("weights", params.weight), ("offset", params.offset)):
        if name is None or (label.size == 0 and name not in columns):
            continue
        if name not in columns:
            what = "is no column of the label party's table"
            raise DataError(Problem("COLUMN_MISSING", f"{key}: {name}", what, "name one, or leave the key out"))
        column = columns[name]
        if column.kind == "categorical":
            raise DataError(Problem("COLUMN_KIND", f"{key}: {name}", "is categorical", "name a numeric column"))
        if not np.isfinite(column.values).all():
            what = "has values that are missing or infinite"
            raise DataError(Problem("VALUE_INVALID", f"{key}: {name}", what, "fill them"))
        found[key] = column.values
    return CardRows(label, found.get("weights"), found.get("offset"))
