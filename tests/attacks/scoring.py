"""Row 5: the columns of another party, from what scoring shows (path restriction, arXiv 2010.10152).

The adversary is the label party, which scores rows with trees that stay split. Each split of a column that is answered
for a row says on which side of one of its bounds the row is; all of them together leave an interval of bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks.measures import Finding, above_median, auc
from attacks.nodes import BANK, Trees
from attacks.views import View

from fedcredit.credit.params import TreeParams
from fedcredit.protocols.boosting.columns import unpack_sides
from fedcredit.wire.boosting import Sides, SplitQueries

__all__ = ["bins_from_sides"]


def intervals(view: View, column: int, n: int, bins: int) -> tuple[Any, Any]:
    """The lowest and highest bin that each row of a column can be in: two (n,)."""
    low, high = np.zeros(n, np.int64), np.full(n, bins - 1)
    asked = [m for _, m in view.sent if isinstance(m, SplitQueries) and m.features.size]
    cuts = [(int(f), int(b)) for m in asked for f, b in zip(m.features, m.bins, strict=True)]
    sides = np.concatenate([unpack_sides(m.bits, n) for m in view.of(Sides)])
    for (feature, cut), left in zip(cuts, sides, strict=True):
        if feature == column:
            high = np.where(left, np.minimum(high, cut), high)
            low = np.where(left, low, np.maximum(low, cut + 1))
    return low, high


def bins_from_sides(n: int, trees: int, *, hide_nodes: bool, seed: int = 0) -> list[Finding]:
    """How many bins of a column that the model uses are found exactly, and how well rows are put in order by it."""
    params = TreeParams(num_trees=trees, max_depth=4, learning_rate=0.2)
    case = Trees(n, (True, False), params=params, hide_nodes=hide_nodes, bins=16, seed=seed)
    view: View = case.view[BANK]
    low, high = intervals(view, 0, n, case.bins)
    code, middle = case.theirs[0].astype(np.int64), (low + high) / 2
    mode = f"gbdt, hide_nodes = {str(hide_nodes).lower()}, {trees} trees"
    who, attack = "label party", "path restriction"
    half = above_median(code)
    # What the label party has without the run: its labels, of which the column says something.
    guess = auc(half, case.y)
    exact = float((np.floor(middle) == code).mean())
    return [
        Finding(5, "bins", who, mode, attack, "exact bin", n, 1 / case.bins, exact),
        Finding(5, "bins", who, mode, attack, "AUC", n, guess, auc(half, middle), auc(half, code)),
    ]
