"""What members agree on under masks is what they agree on without."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from horizontal.plain_sums import federations, together
from scorecard_cases import numbers

from fedcredit.estimators.federation import Federation
from fedcredit.estimators.horizontal_columns import Summing, agreed_cuts
from fedcredit.estimators.horizontal_evaluation import MemberScores, evaluate_members
from fedcredit.estimators.horizontal_logistic import HorizontalLogisticRegression
from fedcredit.estimators.horizontal_statistics import correlations, describe_columns
from fedcredit.estimators.sums import Sums

N = 900


def test_edges_models_and_figures_are_the_same_under_masks() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(N, 3)) * [1.0, 1e5, 1e-3]
    y = (rng.random(N) < 1 / (1 + np.exp(1 - X[:, 0]))).astype(np.uint8)

    async def work(federation: Federation, sums: Summing, k: int) -> Any:
        columns = {name: numbers(name, X[k::3, j]) for j, name in enumerate("abc")}
        model = HorizontalLogisticRegression()
        await model.fit(federation, columns, y[k::3], sums=sums)
        scores = MemberScores(y[k::3], model.predict_proba(columns, y[k::3].size))
        judged = await evaluate_members(sums, scores, scores)
        cuts, described = await agreed_cuts(sums, columns, max_bin=8), await describe_columns(sums, columns)
        return cuts, model.part_, judged.figures, described.freeze(), (await correlations(sums, columns)).tolist()

    async def masked(federation: Federation, k: int) -> Any:
        return await work(federation, await Sums.begin(federation, "sums"), k)

    async def everybody() -> list[Any]:
        return await asyncio.gather(*(masked(federation, k) for k, federation in enumerate(federations(3))))

    found = asyncio.run(everybody())
    assert found[0] == found[1] == found[2]
    plain = together(3, lambda sums, k: work(sums.federation, sums, k))[0]
    assert found[0][0] == plain[0]
    assert found[0][3] == plain[3]
    masks, none = ([column.coefficient for column in of[1].columns] for of in (found[0], plain))
    assert masks == pytest.approx(none, rel=1e-12)
    assert abs(found[0][2]["auc"] - plain[2]["auc"]) < 1e-9
