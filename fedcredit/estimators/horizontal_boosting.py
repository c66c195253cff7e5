"""Gradient boosting over members that have the same columns of different subjects: LightGBM itself, its sums masked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.gradient_boosting import GradientBoosting
from fedcredit.estimators.horizontal_boosting_records import AgreedColumns, BoostedModel
from fedcredit.estimators.horizontal_columns import agreed_cuts
from fedcredit.estimators.horizontal_trees import HorizontalTraining
from fedcredit.estimators.lightgbm_check import check_engine
from fedcredit.estimators.lightgbm_engine import CodedRows
from fedcredit.estimators.lightgbm_model import feature_name, model_text
from fedcredit.estimators.sums import Sums
from fedcredit.estimators.training import Stages
from fedcredit.protocols.collectives import Agreement
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column

__all__ = ["HorizontalGradientBoosting", "code_rows"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]

MAX_ROWS = (1 << 31) - 1
"""Of all members: LightGBM counts rows in 32 bits."""
ZERO_BELOW = float(np.float32(1e-35))
"""LightGBM's `kZeroThreshold`: a smaller number is zero to it when it predicts, so it is here, too."""


class HorizontalGradientBoosting:
    """Gradient boosted trees over the rows of several members, as LightGBM would grow them on all rows in one place.

    Parameters are LightGBM's, by LightGBM's names (`credit.params.TreeParams`); rows are not sampled, so bagging is
    refused. `min_data_in_leaf` goes by counts that LightGBM estimates from hessians, as it does whenever several
    machines train; set it to 1 and `min_sum_hessian_in_leaf` to what a leaf should have for the same trees as on pooled
    rows. Columns are taken in the order of their names; levels of a categorical one in their order, as numbers.

    LightGBM takes all cores, or what `OMP_NUM_THREADS` says; see `lightgbm_engine` for why nothing else may say it.

    Learned, after `fit`, the same at all members: `model_`, an ordinary LightGBM model file as text; `edges_`, of the
    bins of each column; `rows_`, how many rows all members have; `learning_`, the losses over all rows tree by tree.
    `seconds_`: of each stage run here and now.

    Reveals: `docs/protocols/collectives.md`. Assumes: semi-honest members, three at least.
    """

    def __init__(self, params: TreeParams | None = None, **names: Any) -> None:
        if params is not None and names:
            what = "give TreeParams or parameters by name, not both"
            raise ConfigError(Problem("CONFIG_CONFLICT", "HorizontalGradientBoosting", what))
        self.params = TreeParams.from_mapping(names) if params is None else params
        if self.params.bagging_freq:
            what = "rows are not sampled where members have different ones"
            raise ConfigError(Problem("CONFIG_VALUE", "bagging_freq", what, "leave bagging out"))

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8,
        *,
        sums: Sums,
        name: str = "gbdt",
        run_stage: StageRunner = run_at_once,
        edges: Mapping[str, tuple[float, ...]] | None = None,
    ) -> Self:
        """Train with the other members; each calls it with the same parameters on its own rows.

        `edges` of bins may be agreed on beforehand, the same at all members; else they follow from summed counts.
        `run_stage` may keep the record of each stage and thaw it in a later start of the job, which then goes on from
        there to the same model, byte for byte; all members must thaw the same stages.

        Shapes: columns of n rows each; label (n,) 0 or 1.
        Raises: DataError (ROWS, LABEL_*, COLUMN_*), ConfigError (ENGINE_VERSION), PeerLost, PeerError (SETTINGS_DIFFER,
        MODEL_DIFFERS), FedcreditError (ENGINE_*).
        """
        version = await asyncio.to_thread(check_engine)
        columns = {key: columns[key] for key in sorted(columns)}
        held = _check(columns, label, self.params)
        stages = Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds

        async def agree() -> AgreedColumns:
            settings = self._settings(columns, edges, version)
            await self._same(sums, stages.channel("settings"), settings, "SETTINGS_DIFFER")
            return await self._agree(columns, label, held, sums, f"{name}.setup", edges)

        agreed = await stages.run("setup", AgreedColumns, agree)
        self.edges_ = agreed.cuts(list(columns))
        self.levels_ = {key: column.levels for key, column in columns.items() if column.kind == "categorical"}
        self.rows_ = agreed.rows + agreed.held_rows
        counts = tuple(len(of) for of in self.edges_.values())
        order = np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)])
        codes = (await asyncio.to_thread(code_rows, columns, self.edges_))[order]
        rows, n_train = CodedRows(codes, label[order], counts), int((~held).sum())
        training = HorizontalTraining(rows, n_train, agreed, self.params, sums, stages)
        trees = await training.run()
        self.learning_ = training.learning

        async def compare() -> BoostedModel:
            text = model_text(trees, self.edges_, self.params)
            await self._same(sums, stages.channel("model"), text.encode(), "MODEL_DIFFERS")
            return BoostedModel(text)

        self.model_ = (await stages.run("model", BoostedModel, compare)).text
        return self

    def predict(self, columns: Mapping[str, Column]) -> F64:
        """Probability of default of this member's own rows, (n,). Raises: DataError (COLUMN_MISSING, COLUMN_LEVELS)."""
        import lightgbm

        _check_known(columns, self.edges_, self.levels_)
        table = np.column_stack([columns[name].values for name in self.edges_])
        booster = lightgbm.Booster(model_str=self.model_)
        return np.asarray(booster.predict(table), np.float64)

    async def _agree(
        self,
        columns: Mapping[str, Column],
        label: U8,
        held: Bool,
        sums: Sums,
        stage: str,
        edges: Mapping[str, tuple[float, ...]] | None,
    ) -> AgreedColumns:
        counts = np.array([(~held).sum(), held.sum(), label[~held].sum()], np.int64)
        rows, held_rows, bad = (await sums.integers(f"{stage}.rows", counts, bound=1 << 40)).tolist()
        if rows + held_rows > MAX_ROWS:
            raise DataError(Problem("ROWS_TOO_MANY", "tables", f"more than {MAX_ROWS} rows at all members together"))
        if bad in (0, rows):
            fix = "a model needs good and bad rows"
            raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only at all members together", fix))
        if self.params.early_stopping_round and not held_rows:
            what = "too few rows to keep any aside to decide when to stop"
            raise DataError(Problem("ROWS_TOO_FEW", "tables", what, "set early_stopping_round = 0"))
        if edges is None:
            cuts = await agreed_cuts(
                sums,
                columns,
                max_bin=self.params.max_bin,
                min_rows=self.params.min_data_in_bin,
                special={},  # LightGBM knows of no codes: they are numbers to it
                label=f"{stage}.cuts",
            )
        else:
            cuts = {name: tuple(edges[name]) for name in columns}
        return AgreedColumns.of(cuts, rows, held_rows)

    async def _same(self, sums: Sums, stage: str, content: bytes, code: str) -> None:
        agreement = Agreement(sums.me, sums.members, stage, hashlib.sha256(content).digest(), code)
        others = [member for member in sums.members if member != sums.me]
        await sums.federation.run(stage, agreement.steps(), peers=others)

    def _settings(
        self, columns: Mapping[str, Column], edges: Mapping[str, tuple[float, ...]] | None, version: str
    ) -> bytes:
        """What all members must have alike before they begin. Raises: DataError (COLUMN_EDGES)."""
        if edges is not None:
            _check_edges(columns, edges)
        shapes = [(name, column.kind, column.levels) for name, column in columns.items()]
        given = None if edges is None else [[float(edge).hex() for edge in edges[name]] for name in columns]
        return json.dumps([version, asdict(self.params), shapes, given], sort_keys=True).encode()


def code_rows(columns: Mapping[str, Column], edges: Mapping[str, tuple[float, ...]]) -> F32:
    """Bin numbers as LightGBM is fed them: how many edges lie below a value; NaN where missing.

    Shapes: columns of n rows each; returns (n, F).
    """
    n = next(iter(columns.values())).values.size
    codes = np.empty((n, len(edges)), np.float32)
    for f, (name, cuts) in enumerate(edges.items()):
        values = columns[name].values
        values = np.where(np.abs(values) <= ZERO_BELOW, 0.0, values)
        codes[:, f] = np.searchsorted(np.array(cuts), values, side="left")
        codes[np.isnan(values), f] = np.nan
    return codes


def _check(columns: Mapping[str, Column], label: U8, params: TreeParams) -> Bool:
    """Which rows decide when to stop. Raises: DataError."""
    if not columns:
        raise DataError(Problem("ROWS", "table", "no columns", "name at least one that all members have"))
    names = [feature_name(name) for name in columns]
    if twice := {name for name in names if names.count(name) > 1}:
        what = "two columns have this name once blanks are underscores, as LightGBM writes them"
        raise DataError([Problem("COLUMN_NAME", name, what, "rename one") for name in sorted(twice)])
    if {column.values.size for column in columns.values()} != {label.size} or not label.size:
        what = "columns and label of different lengths, or no rows"
        raise DataError(Problem("ROWS", "table", what, "give columns and label of the same rows"))
    if (label > 1).any():
        raise DataError(Problem("LABEL_VALUE", "label", "has values other than 0 and 1"))
    held = np.zeros(label.size, bool)
    if params.early_stopping_round:
        held = GradientBoosting(params).validation_rows(label.size)
    if held.all():
        what = "no rows are left to learn from"
        raise DataError(Problem("ROWS_TOO_FEW", "table", what, "have more rows, or set early_stopping_round = 0"))
    return held


def _check_edges(columns: Mapping[str, Column], edges: Mapping[str, tuple[float, ...]]) -> None:
    if absent := [name for name in columns if name not in edges]:
        raise DataError([Problem("COLUMN_EDGES", name, "no edges of bins are given for it") for name in absent])
    for name in columns:
        of = np.array(edges[name], np.float64)
        if not np.isfinite(of).all() or (np.diff(of) <= 0).any() or of.size > 255:
            what = "edges of bins are not up to 255 finite numbers, each above the one before"
            raise DataError(Problem("COLUMN_EDGES", name, what))


def _check_known(
    columns: Mapping[str, Column], edges: Mapping[str, Any], levels: Mapping[str, tuple[str, ...]]
) -> None:
    what = "the model has a column that the table lacks"
    problems = [Problem("COLUMN_MISSING", name, what) for name in edges if name not in columns]
    what, fix = "has other levels than the model was trained with", "declare levels in the party's file"
    problems += [
        Problem("COLUMN_LEVELS", name, what, fix)
        for name, known in levels.items()
        if name in columns and columns[name].levels != known
    ]
    if problems:
        raise DataError(problems)
