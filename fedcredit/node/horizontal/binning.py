"""The `binning` kind of model over members that have the same columns: bins of the rows of all of them."""

from __future__ import annotations

import time
from dataclasses import asdict

from fedcredit.credit.bin_params import BinParams
from fedcredit.estimators.bin_documents import bins_document, column_rows
from fedcredit.estimators.horizontal_binning import HorizontalBinning
from fedcredit.node.federations import federation_of
from fedcredit.node.horizontal.judging import cost_of, labels_of
from fedcredit.node.horizontal.summing import sums_of
from fedcredit.node.models import ModelContext, ModelResult

__all__ = ["HorizontalBinningRunner"]


class HorizontalBinningRunner:
    """Bins the columns that all members have; all end with the same bins."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Cut, count, settle. Raises FedcreditError."""
        name, params = context.entry.name, BinParams.from_mapping(context.entry.params)
        federation = federation_of(context)
        sums = await sums_of(context, federation)
        binning = HorizontalBinning(params)
        begun = time.perf_counter()
        await binning.fit(
            federation,
            context.train.columns,
            labels_of(context.train),
            sums=sums,
            name=name,
            run_stage=context.step,
            progress=lambda phase, done, total: context.progress(f"{name}/{phase}", done, total),
        )
        leader = federation.label_party
        figures = {
            "kind": "binning",
            "split": "horizontal",
            "name": name,
            "params": asdict(params),
            "rows": binning.total_.rows,
            "bads": binning.total_.bads,
            "seconds": {"binning": time.perf_counter() - begun},
            "columns": column_rows(leader, params, binning.columns_),
        }
        if binning.noise_ is not None:
            figures["noise"] = binning.noise_
        files = {"bins.json": bins_document(leader, leader, params, binning.columns_)}
        return ModelResult(files, figures | cost_of(context, binning.seconds_))
