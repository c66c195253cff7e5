"""The `scorecard` kind of model over the labels of several banks and the columns of departments."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators import CardPart, HeldOut
from fedcredit.estimators.mixed_scorecard import MixedScorecard
from fedcredit.estimators.sums import Sums
from fedcredit.node.federations import federation_of
from fedcredit.node.horizontal.judging import cost_of
from fedcredit.node.horizontal.summing import sums_of
from fedcredit.node.mixed.figures import mixed_figures
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.node.scorecard_figures import seconds_of_card

__all__ = ["MixedScorecardRunner"]


class MixedScorecardRunner:
    """Makes one scorecard at a bank or a department."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Fit and tally; departments keep their own points, all banks have the banks' part. Raises FedcreditError."""
        name, params = context.entry.name, ScorecardParams.from_mapping(context.entry.params)
        federation, bank = federation_of(context), context.me in context.members
        sums: Sums | None = None
        if bank:
            among_banks = replace(federation, feature_parties=context.members[1:])
            sums = await sums_of(context, among_banks, all_needed=True)
        card = MixedScorecard(params)
        begun = time.perf_counter()
        await card.fit(
            federation,
            context.train.columns,
            context.train.label,
            banks=context.members,
            rows=None if bank else context.banks,
            sums=sums,
            held_out=HeldOut(context.test.columns, context.count(context.test), context.test.label),
            name=name,
            run_stage=context.step,
            progress=lambda phase, done, total: context.progress(f"{name}/{phase}", done, total),
        )
        files = {"scorecard.json": card.part_.to_bytes()}
        if not context.is_label_party:
            return ModelResult(files)
        for part in card.outcome_.parts:
            files[f"scorecard.{CardPart.from_bytes(part).party}.json"] = part
        cost = {
            "seconds": time.perf_counter() - begun,
            "parts": seconds_of_card(card.seconds_, card.outcome_.fit.gradients),
        }
        figures = await asyncio.to_thread(mixed_figures, context, card, params)
        return ModelResult(files, figures | cost | cost_of(context, card.seconds_))
