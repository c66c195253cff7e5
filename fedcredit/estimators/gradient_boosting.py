"""Joint gradient boosting as a modeller calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binary import probability
from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.estimators.columns import ColumnBins
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.parts import FeaturePart, LabelPart
from fedcredit.estimators.training import FeatureTraining, LabelTraining, Stages
from fedcredit.protocols.boosting import (
    BinnedColumns,
    FeatureParty,
    FeatureScorer,
    LabelParty,
    LabelScorer,
)
from fedcredit.protocols.groupsum import Backend
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column

__all__ = ["GradientBoosting"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]

BACKENDS: dict[str, Backend] = {"auto": "onehot", "onehot": "onehot", "paillier": "paillier"}
"""What may be named, and the protocol behind it; `plain` is not for models. A job knows sizes and lines and takes the
backend by them where it is left open (`protocols.groupsum.choice`); here `auto` is the one that computes least."""

VALIDATION_SHARE = 0.2
"""Of the training rows, kept aside to decide when to stop, where `early_stopping_round` asks for it."""


class GradientBoosting:
    """Gradient boosted trees over the columns of several parties, one of which has the label.

    Parameters are LightGBM's, by LightGBM's names (`credit.params.TreeParams`). `hide_nodes` keeps from the feature
    parties which rows lie in a node of a tree; it costs a correction per row, feature and node instead of one a tree.

    Learned, after `fit`: `part_`, this party's part of the model; `seconds_`, of each stage run here and now; at the
    label party also `train_probability_` (rows as given) and `learning_`, the losses tree by tree.

    Reveals: `docs/protocols/boosting.md`; `leakage.json` of a job says it in plain words.
    """

    def __init__(
        self,
        params: TreeParams | None = None,
        *,
        hide_nodes: bool = True,
        groupsum: Literal["auto", "onehot", "paillier"] = "auto",
        **names: Any,
    ) -> None:
        if params is not None and names:
            what = "give TreeParams or parameters by name, not both"
            raise ConfigError(Problem("CONFIG_CONFLICT", "GradientBoosting", what))
        if groupsum not in BACKENDS:
            fix = f"one of {', '.join(BACKENDS)}"
            raise ConfigError(Problem("CONFIG_VALUE", "groupsum", f"no such backend: {groupsum}", fix))
        self.params = TreeParams.from_mapping(names) if params is None else params
        self.hide_nodes = hide_nodes
        self.groupsum = groupsum

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        n_rows: int | None = None,
        name: str = "gbdt",
        run_stage: StageRunner = run_at_once,
    ) -> Self:
        """Train with the other parties; every party calls it with the same parameters and the same row order.

        `run_stage` may keep the record of each stage and thaw it in a later start of the job, which then goes on from
        there to the same model, byte for byte; all parties must thaw the same stages.

        Shapes: columns of n aligned training rows each; label (n,) 0 or 1 at the label party, None elsewhere; `n_rows`
        is needed where there are no columns.
        Raises: DataError (LABEL_*), PeerLost, PeerError.
        """
        n = _rows_of(columns, label, n_rows)
        if (label is None) == federation.is_label_party:
            what = "is missing at the label party" if label is None else "was given to a feature party"
            raise DataError(Problem("LABEL_PARTY", "label", what, "give it where the job says the label is"))
        stages = Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds
        fitted = await asyncio.to_thread(ColumnBins.fit, columns, self.params)
        binned = await asyncio.to_thread(fitted.code, columns, n)
        order, n_train = _validation_last(n, self.params)
        # Without rows to stop by the order is the table's own, and so are the codes.
        codes = binned.codes if n_train == n else np.ascontiguousarray(binned.codes[:, order])
        ordered = BinnedColumns(codes, binned.groups, binned.missing)
        if label is None:
            await self._fit_features(fitted, ordered, n_train, stages)
        else:
            await self._fit_label(fitted, ordered, label[order], order, n_train, stages)
        return self

    def validation_rows(self, n: int) -> Bool:
        """Which of n training rows decide when to stop instead of being learnt from: (n,), the same at all parties."""
        held = np.zeros(n, bool)
        order, n_train = _validation_last(n, self.params)
        held[order[n_train:]] = True
        return held

    async def predict(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        *,
        n_rows: int | None = None,
        stage: str = "gbdt/predict",
    ) -> F64 | None:
        """Probability of default of aligned rows, (n,), at the label party; None at the others.

        Raises: DataError (COLUMN_MISSING), PeerLost, PeerError.
        """
        part = self.part_
        binned = await asyncio.to_thread(part.columns.code, columns, _rows_of(columns, None, n_rows))
        if isinstance(part, FeaturePart):
            await federation.run(stage, FeatureScorer(part.label_party, binned, part.splits).steps())
            return None
        counts = tuple(part.splits_of(p) for p in range(1, len(part.parties)))
        scorer = LabelScorer(part.parties[1:], counts, binned, part.initial, part.trees, part.foreign)
        return probability(await federation.run(stage, scorer.steps()))

    async def _fit_features(self, fitted: ColumnBins, columns: BinnedColumns, n_train: int, stages: Stages) -> None:
        federation = stages.federation
        party = FeatureParty(
            federation.me,
            federation.label_party,
            federation.session(stages.name),
            columns,
            n_train,
            self.params,
            hide_nodes=self.hide_nodes,
            backend=BACKENDS[self.groupsum],
        )
        state = await FeatureTraining(party, stages).run()
        self.part_: LabelPart | FeaturePart = FeaturePart(federation.label_party, fitted, state.splits)

    async def _fit_label(
        self,
        fitted: ColumnBins,
        columns: BinnedColumns,
        label: U8,
        order: npt.NDArray[np.intp],
        n_train: int,
        stages: Stages,
    ) -> None:
        federation = stages.federation
        party = LabelParty(
            federation.me,
            federation.feature_parties,
            federation.session(stages.name),
            columns,
            label[:n_train],
            self.params,
            hide_nodes=self.hide_nodes,
            backend=BACKENDS[self.groupsum],
        )
        training = LabelTraining(party, label, stages)
        state = await training.run()
        features = state.features
        self.part_ = LabelPart(
            self.params,
            features.parties,
            fitted,
            state.initial,
            state.trees,
            state.foreign,
            tuple(features.first(p) for p in range(len(features.parties))),
        )
        self.train_probability_ = np.empty(label.size)
        self.train_probability_[order] = probability(training.scores)
        train, valid = [loss for loss, _ in training.losses], [loss for _, loss in training.losses if loss is not None]
        self.learning_: dict[str, list[float]] = {"tree": list(range(1, len(train) + 1)), "train_logloss": train}
        if valid:
            self.learning_["valid_logloss"] = valid


def _rows_of(columns: Mapping[str, Column], label: U8 | None, n_rows: int | None) -> int:
    sizes = {column.values.size for column in columns.values()} | ({label.size} if label is not None else set())
    sizes |= {n_rows} if n_rows is not None else set()
    if len(sizes) != 1 or 0 in sizes:
        what = "no rows" if sizes == {0} or not sizes else "columns of different lengths"
        raise DataError(Problem("ROWS", "table", what, "give columns of the same aligned rows"))
    return sizes.pop()


def _validation_last(n: int, params: TreeParams) -> tuple[npt.NDArray[np.intp], int]:
    """The same order of rows at all parties: those that are learnt from, then those that decide when to stop."""
    if not params.early_stopping_round:
        return np.arange(n), n
    draws = np.random.Philox(key=np.array([params.seed, 3], np.uint64)).random_raw(n)
    held = draws < np.uint64(int(VALIDATION_SHARE * 2.0**64))
    return np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)]), int((~held).sum())
