"""The `statistics` kind of model over members that have the same columns: tables, and every column in figures."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.estimators.horizontal_statistics import ColumnFigures, HorizontalStatistics, describe_columns
from fedcredit.estimators.statistics_documents import statistics_document, table_csv, table_figures
from fedcredit.node.federations import federation_of
from fedcredit.node.horizontal.judging import cost_of
from fedcredit.node.horizontal.summing import sums_of
from fedcredit.node.jobs.premises import pretty
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.tables import Column

__all__ = ["HorizontalStatisticsRunner"]


class HorizontalStatisticsRunner:
    """Makes the tables at one member, over the rows to train on and those held out; all members have them."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Count, sum and describe. Raises FedcreditError."""
        name, federation = context.entry.name, federation_of(context)
        params = StatisticsParams.from_mapping(context.entry.params)
        sums = await sums_of(context, federation)
        columns, label = _all_rows(context)
        statistics = HorizontalStatistics(params)
        begun = time.perf_counter()
        await statistics.fit(
            federation,
            columns,
            label,
            sums=sums,
            name=name,
            run_stage=context.step,
            progress=lambda phase, done, total: context.progress(f"{name}/{phase}", done, total),
        )

        async def describe() -> ColumnFigures:
            return await describe_columns(sums, columns, min_rows=params.min_cell)

        described = await context.step(f"{name}/describe", ColumnFigures, describe)
        leader, tables = federation.label_party, statistics.tables_
        files = {
            "statistics.json": statistics_document(context.me, leader, params, tables, ()),
            "columns.json": pretty(_described(described)),
        }
        files |= {f"{t.params.name}.csv": table_csv(t, leader) for t in tables if t.refused is None}
        figures: dict[str, Any] = {
            "kind": "statistics",
            "split": "horizontal",
            "name": name,
            "params": {key: getattr(params, key) for key in ("min_cell", "quantiles", "decimals", "share")},
            "rows": context.aligned,
            "seconds": time.perf_counter() - begun,
            "tables": [table_figures(table, leader) for table in tables],
            "described": _described(described),
        }
        return ModelResult(files, figures | cost_of(context, statistics.seconds_))


def _all_rows(context: ModelContext) -> tuple[dict[str, Column], np.ndarray[Any, np.dtype[np.uint8]] | None]:
    """This member's columns and label over its rows to train on and held out: nothing is trained."""
    train, test = context.train, context.test
    columns = {
        key: Column(
            key,
            column.kind,
            np.concatenate([column.values, test.columns[key].values]),
            column.levels,
            column.special,
            column.splits,
        )
        for key, column in train.columns.items()
    }
    if train.label is None or test.label is None:
        return columns, None
    return columns, np.concatenate([train.label, test.label])


def _described(of: ColumnFigures) -> list[dict[str, Any]]:
    """A row for each numeric column, ready for JSON; what no row says is None."""
    return [
        {
            "column": name,
            "rows": int(of.rows[f]),
            "missing": int(of.missing[f]),
            "mean": _known(of.mean[f]),
            "std": _known(of.std[f]),
            "quantiles": [
                {"share": share, "value": _known(value)}
                for share, value in zip(of.shares, of.quantiles[f], strict=True)
            ],
        }
        for f, name in enumerate(of.names)
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
