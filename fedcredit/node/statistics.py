"""The `statistics` kind of model in a job: tables over all rows in common, of cells that are large enough."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.estimators import Statistics
from fedcredit.estimators.statistics_documents import statistics_document, table_csv, table_figures
from fedcredit.node.federations import federation_of
from fedcredit.node.figures import phases_of
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.tables import Column

__all__ = ["StatisticsRunner"]


class StatisticsRunner:
    """Makes the tables at one party, over the rows to train on and those held out: nothing is trained."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Count and sum; the asker keeps the tables, the others what they lent. Raises FedcreditError."""
        entry, asker = context.entry, context.label_party
        params = StatisticsParams.from_mapping(entry.params)
        backend = context.groupsum.backend
        assert backend != "rlwe", "no specification names it for statistics"
        statistics = Statistics(params, groupsum=backend)
        label = None
        if context.train.label is not None and context.test.label is not None:
            label = np.concatenate([context.train.label, context.test.label])
        begun = time.perf_counter()
        await statistics.fit(
            federation_of(context),
            _all_rows(context, params),
            label,
            n_rows=context.aligned,
            name=entry.name,
            run_stage=context.step,
            progress=lambda phase, done, total: context.progress(f"{entry.name}/{phase}", done, total),
        )
        seconds = time.perf_counter() - begun
        tables, lent = statistics.tables_, statistics.lent_
        files = {"statistics.json": statistics_document(context.me, asker, params, tables, lent)}
        files |= {f"{t.params.name}.csv": table_csv(t, asker) for t in tables if t.refused is None}
        if not context.is_label_party:
            return ModelResult(files)
        phases = phases_of(context.meter, entry.name, statistics.seconds_)
        figures: dict[str, Any] = {
            "kind": "statistics",
            "name": entry.name,
            "params": {name: getattr(params, name) for name in ("min_cell", "quantiles", "decimals", "share")},
            "groupsum": {"backend": context.groupsum.backend, "why": context.groupsum.why},
            "rows": context.aligned,
            "seconds": seconds,
            "bytes": sum(row["bytes_sent"] + row["bytes_received"] for row in phases),
            "rounds": sum(row["rounds"] for row in phases),
            "phases": phases,
            "tables": [table_figures(table, asker) for table in tables],
        }
        return ModelResult(files, figures)


def _all_rows(context: ModelContext, params: StatisticsParams) -> dict[str, Column]:
    """This party's columns that the tables name, over all rows in common; all parties have them in the same order."""
    named = {c.column for table in params.table for c in (*table.by, *table.sum) if c.party == context.me}
    found = {}
    for name, column in context.train.columns.items():
        if name in named:
            values = np.concatenate([column.values, context.test.columns[name].values])
            found[name] = Column(name, column.kind, values, column.levels, column.special, column.splits)
    return found
