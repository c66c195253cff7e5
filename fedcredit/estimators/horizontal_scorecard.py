"""Scorecards over the rows of all members, who have the same columns and a label: all end with the same whole card."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.periods import PeriodIndex
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import ConfigError, Problem
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_label import LabelOutcome
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.horizontal_binning import HorizontalBinning, refuse_labels
from fedcredit.estimators.horizontal_scorecard_alone import AloneCard
from fedcredit.estimators.horizontal_scorecard_member import MemberCard
from fedcredit.estimators.scorecard import HeldOut, rows_of
from fedcredit.estimators.sums import Sums
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column

__all__ = ["HorizontalScorecard"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


class HorizontalScorecard:
    """A points table over columns that all members have, from the rows of all of them.

    Parameters are those of `credit.scorecard_params.ScorecardParams`, by name or as one value; `iv_disclosure` says
    nothing here, `merged_card` is refused: every member has the whole card, and the counts that it is from. `weight`
    and `offset` are columns of every member. `get_params` and `set_params` are scikit-learn's.

    Learned, after `fit`, the same at every member: `part_`, the whole card, a document in the leader's name;
    `columns_`, binned, with the rows and bad rows of all members; `outcome_` (selection, fit, spread of scores);
    `stability_`, of each column its name, the leader and its stability index (-1 for none); `binning_`; `held_`, rows
    held out; `alone_tally_`, how scores are spread where each member scores its rows held out with its own card;
    `within_`, how both order the rows of one member, over all members (both None where none are held out). This
    member's own: `alone_`, what its rows alone give by the same rules; `seconds_`, of each stage run here and now.

    Reveals: to every member, sums over all members: what `HorizontalBinning` reveals; rows held out in each bin;
    correlations of weights of evidence; what the steps of each fit show (`horizontal_logistic`); how many good and bad
    rows, to train on and held out, have each number of points, and of rows held out also by the members' own cards,
    and how many pairs of rows of one member either puts in order.
    With these and the card a member that takes its own rows away knows how the others' are spread, all together.
    Assumes: semi-honest members, of which at least three have rows; what `estimators.sums` assumes.
    """

    def __init__(self, params: ScorecardParams | None = None, **names: Any) -> None:
        if params is not None and names:
            what = "give ScorecardParams or parameters by name, not both"
            raise ConfigError(Problem("CONFIG_CONFLICT", "HorizontalScorecard", what))
        self.params = params
        self._names = dict(names)
        self._checked = ScorecardParams.from_mapping(names) if params is None else params
        HorizontalBinning(self._checked.bins)
        if self._checked.merged_card:
            what = "has no effect where all members have the whole card"
            raise ConfigError(Problem("CONFIG_CONFLICT", "merged_card", what, "leave it out"))
        if self._checked.period_scores or self._checked.time is not None:
            what = "is not told by month over rows of several members"
            raise ConfigError(Problem("CONFIG_CONFLICT", "time", what, "leave it out, and drop the column"))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that make an equal, unfitted card."""
        return ({} if self.params is None else {"params": self.params}) | self._names

    def set_params(self, **names: Any) -> Self:
        """Change some arguments. Raises: ConfigError."""
        HorizontalScorecard.__init__(self, **(self.get_params() | names))
        return self

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8,
        *,
        sums: Sums,
        held_out: HeldOut | None = None,
        name: str = "scorecard",
        run_stage: StageRunner = run_at_once,
        progress: Callable[[str, int, int], None] = lambda _phase, _done, _all: None,
    ) -> Self:
        """Make a card with the other members, who call it with the same parameters, each on its own rows.

        `run_stage` may keep the record of each stage and thaw it in a later start of the job. `progress` is told the
        phase, how far it is, and of how much.

        Shapes: columns of n rows each; label (n,) 0 or 1.
        Raises: DataError (LABEL_*, VALUE_*, COLUMNS_DIFFER, COLUMN_MISSING, NO_COLUMNS_LEFT, the fit's); FedcreditError
        CARD_DIFFERS; PeerLost; PeerError.
        """
        params, stages = self._checked, Stages(federation, name, run_stage)
        held = held_out or HeldOut({}, 0, np.zeros(0, np.uint8))
        train, test = rows_of(params, columns, label), rows_of(params, held.columns, held.label)
        refuse_labels(test.labels)
        features = {of: column for of, column in columns.items() if of not in params.apart}
        binning = HorizontalBinning(params.bins)
        await binning.fit(federation, features, label, sums=sums, name=name, run_stage=run_stage, progress=progress)
        self.binning_, self.columns_, self.seconds_ = binning, binning.columns_, stages.seconds
        own = await asyncio.to_thread(CardColumns.of, binning.columns_, held.columns, label.size, held.n_rows)
        own = replace(own, missing=binning.missing_)
        table = CardTable(sums.leader, own.columns, ())
        card = MemberCard(params, own, table, train, test, binning.total_.rows, sums, stages)
        model = f"{federation.ssid.hex()}/{name}"
        self.outcome_: LabelOutcome
        self.outcome_, self.held_ = await card.run(model)
        self.part_ = self.outcome_.part
        listed = zip(table.columns, self.outcome_.stability.tolist(), strict=True)
        self.stability_: list[tuple[str, PartyId, float]] = [(of.name, of.party, index) for of, index in listed]
        self.periods_: dict[str | None, tuple[PeriodIndex, ...]] = {}
        self.alone_ = await AloneCard.of(params, federation, features, held, train, test)
        self.alone_tally_, self.within_ = None, None
        if self.held_.rows:
            points, (low, high) = self.alone_.points, self.alone_.bounds
            self.alone_tally_ = await card.counted("tally.alone", points, test.labels, low, high)
            self.within_ = await card.within(self.outcome_.own_points[1], points)
        stages.seconds.update(binning.seconds_)
        return self

    def transform(self, columns: Mapping[str, Column]) -> F64:
        """Weights of evidence in the columns of the card. Shapes: returns (n, columns of the card).

        Raises: DataError (COLUMN_MISSING, COLUMN_KIND, VALUE_INFINITE).
        """
        return self.part_.woe_of(columns, self._rows(columns))

    def points(self, columns: Mapping[str, Column]) -> I64:
        """Points of each row in each column of the card. Raises: as `transform`."""
        return self.part_.points_of(columns, self._rows(columns))

    def score(self, columns: Mapping[str, Column]) -> I64:
        """Total points of each row: a higher score is a better risk. Shapes: returns (n,). Raises: as `transform`."""
        return self.part_.totals(self.points(columns))

    def predict_proba(self, columns: Mapping[str, Column]) -> F64:
        """Probabilities of being good and bad of each row, by its points. Shapes: returns (n, 2). Raises: as
        `transform`."""
        bad = self.part_.scale.probability(self.score(columns).astype(np.float64))
        return np.stack([1.0 - bad, bad], axis=1)

    def reasons(self, columns: Mapping[str, Column]) -> list[list[str]]:
        """Of each row, the columns in which it falls shortest of the reference, the largest shortfall first.

        Raises: as `transform`.
        """
        names = [column.name for column in self.part_.columns]
        return [[names[f] for f in row if f >= 0] for row in self.part_.reasons(self.points(columns)).tolist()]

    def _rows(self, columns: Mapping[str, Column]) -> int:
        """How many rows there are: a card has a column at least, and the ones that are missing are told of."""
        return next((columns[of.name].values.size for of in self.part_.columns if of.name in columns), 0)
