"""The `scorecard` kind of model in a job: binned, selected, fitted, put into points, judged by rows held out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fedcredit import report
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators import CardPart, HeldOut, Scorecard
from fedcredit.node.federations import federation_of
from fedcredit.node.figures import phases_of
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.node.scorecard_figures import label_figures, own_figures, seconds_of_card

__all__ = ["ScorecardRunner"]


class ScorecardRunner:
    """Makes a scorecard at one party."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Fit and tally; each party keeps its own points. Raises FedcreditError."""
        entry = context.entry
        params = ScorecardParams.from_mapping(entry.params)
        card = Scorecard(params, groupsum=context.groupsum.backend)
        n_rows, n_test = context.count(context.train), context.count(context.test)
        begun = time.perf_counter()
        await card.fit(
            federation_of(context),
            context.train.columns,
            context.train.label,
            n_rows=n_rows,
            held_out=HeldOut(context.test.columns, n_test, context.test.label),
            name=entry.name,
            run_stage=context.step,
            progress=lambda phase, done, total: context.progress(f"{entry.name}/{phase}", done, total),
        )
        seconds = time.perf_counter() - begun
        files = {"scorecard.json": card.part_.to_bytes()}
        if not context.is_label_party:
            own = await asyncio.to_thread(own_figures, context, card, params)
            files["scorecard.html"] = _own_report(context, own)
            return ModelResult(files)
        for part in card.outcome_.parts:
            files[f"scorecard.{CardPart.from_bytes(part).party}.json"] = part
        phases = phases_of(context.meter, entry.name, card.seconds_)
        cost = {
            "groupsum": {"backend": context.groupsum.backend, "why": context.groupsum.why},
            "seconds": seconds,
            "parts": seconds_of_card(card.seconds_, card.outcome_.fit.gradients),
            "bytes": sum(row["bytes_sent"] + row["bytes_received"] for row in phases),
            "rounds": sum(row["rounds"] for row in phases),
            "phases": phases,
        }
        figures = await asyncio.to_thread(label_figures, context, card, params)
        return ModelResult(files, figures | cost)


def _own_report(context: ModelContext, model: dict[str, Any]) -> bytes:
    """A feature party's own columns of the card as a page, for its own people: nobody else gets it."""
    parties = [{"id": context.label_party, "role": "label"}, {"id": context.me, "role": "feature"}]
    page = {"part_of": context.me, "job": {"name": context.entry.name, "parties": parties}, "models": [model]}
    return report.render(page).encode()
