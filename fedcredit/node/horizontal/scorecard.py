"""The `scorecard` kind of model over members that have the same columns: one card, whole at each of them."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators import HeldOut
from fedcredit.estimators.horizontal_scorecard import HorizontalScorecard
from fedcredit.node.federations import federation_of
from fedcredit.node.horizontal.card_figures import horizontal_card_figures
from fedcredit.node.horizontal.judging import cost_of, labels_of
from fedcredit.node.horizontal.summing import sums_of
from fedcredit.node.jobs.premises import pretty
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.node.scorecard_figures import seconds_of_card

__all__ = ["HorizontalScorecardRunner"]


class HorizontalScorecardRunner:
    """Makes a scorecard at one member; all end with the same."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Bin, select, fit, put into points, tally. Raises FedcreditError."""
        name, params = context.entry.name, ScorecardParams.from_mapping(context.entry.params)
        federation = federation_of(context)
        sums = await sums_of(context, federation)
        card, label = HorizontalScorecard(params), labels_of(context.test)
        begun = time.perf_counter()
        await card.fit(
            federation,
            context.train.columns,
            labels_of(context.train),
            sums=sums,
            held_out=HeldOut(context.test.columns, label.size, label),
            name=name,
            run_stage=context.step,
            progress=lambda phase, done, total: context.progress(f"{name}/{phase}", done, total),
        )
        seconds = time.perf_counter() - begun
        shown = partial(
            horizontal_card_figures,
            card,
            params,
            name=name,
            members=federation.members,
            purpose=context.purpose,
            leakage=context.leakage,
            labels=label,
        )
        figures = await asyncio.to_thread(shown)
        cost = {"seconds": seconds, "parts": seconds_of_card(card.seconds_, card.outcome_.fit.gradients)}
        files = {"scorecard.json": card.part_.to_bytes(), "own.json": pretty(figures.pop("own"))}
        return ModelResult(files, figures | cost | cost_of(context, card.seconds_))
