"""The `binning` kind of model in a job: bins, weight of evidence and information value of everybody's columns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fedcredit import report
from fedcredit.credit.bin_params import BinParams
from fedcredit.estimators import Binning
from fedcredit.estimators.bin_documents import bins_document, column_rows
from fedcredit.node.federations import federation_of
from fedcredit.node.figures import phases_of
from fedcredit.node.models import ModelContext, ModelResult

__all__ = ["BinningRunner"]


class BinningRunner:
    """Bins the columns of one party, over the rows that are not held out."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Cut, count, settle; each party keeps the bins of its own columns. Raises FedcreditError."""
        entry = context.entry
        params = BinParams.from_mapping(entry.params)
        federation = federation_of(context)
        binning = Binning(params, groupsum=context.groupsum.backend)
        n_rows = context.count(context.train)
        begun = time.perf_counter()
        await binning.fit(
            federation,
            context.train.columns,
            context.train.label,
            n_rows=n_rows,
            name=entry.name,
            run_stage=context.step,
            progress=lambda phase, done, total: context.progress(f"{entry.name}/{phase}", done, total),
        )
        seconds = time.perf_counter() - begun
        files = {"bins.json": bins_document(context.me, context.label_party, params, binning.columns_)}
        if not context.is_label_party:
            files["bins.html"] = _own_report(context, params, column_rows(context.me, params, binning.columns_))
            return ModelResult(files)
        label = context.train.label
        assert label is not None
        columns = column_rows(context.me, params, binning.columns_, binning.foreign_)
        phases = phases_of(context.meter, entry.name, binning.seconds_)
        figures = {
            "kind": "binning",
            "name": entry.name,
            "params": asdict(params),
            "groupsum": {"backend": context.groupsum.backend, "why": context.groupsum.why},
            "rows": n_rows,
            "bads": int((label > 0).sum()),
            "seconds": {"binning": seconds},
            "bytes": sum(row["bytes_sent"] + row["bytes_received"] for row in phases),
            "rounds": sum(row["rounds"] for row in phases),
            "phases": phases,
            "columns": columns,
        }
        return ModelResult(files, figures)


def _own_report(context: ModelContext, params: BinParams, columns: Sequence[dict[str, Any]]) -> bytes:
    """A feature party's own bins as a page, for its own people: nobody else gets it."""
    name = context.entry.name
    model = {"kind": "binning", "name": name, "params": asdict(params), "columns": columns}
    parties = [{"id": context.label_party, "role": "label"}, {"id": context.me, "role": "feature"}]
    page = {"part_of": context.me, "job": {"name": name, "parties": parties}, "models": [model]}
    return report.render(page).encode()
