"""How two models order rows of the same member, over all members: a comparison that no member's own bad rate is in.

Where each member scores its rows with a model of its own, scores of two members differ by what each knows of its bad
rate, and so the best model of all would look worse than many small ones. Pairs of a good and a bad row of one member
say what the rows of others are worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.metrics import rank_curve
from fedcredit.estimators.horizontal_columns import Summing
from fedcredit.runtime.state import StageState

__all__ = ["PairsWithin", "own_figures", "pairs_within", "within_figures"]

F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PairsWithin(StageState):
    """Over all members, how many pairs of a good and a bad row the same member holds out, and twice how many of them
    are in the right order by the joint model, and by that member's own; a tie counts once.
    """

    schema = "horizontal-pairs-within/1"
    pairs: int
    ordered: int
    ordered_alone: int


async def pairs_within(sums: Summing, labels: U8, scores: F64, alone: F64, *, label: str) -> PairsWithin:
    """Count them. Shapes: labels, 1 = bad; scores, alone (n,), higher for bad rows; n may be 0.

    Reveals: to all members, these three numbers. Raises: PeerLost, PeerError.
    """
    own = np.zeros(3, np.int64)
    if 0 < np.count_nonzero(labels) < labels.size:
        curves = [rank_curve(labels, of) for of in (scores, alone)]
        own[0] = curves[0].bad[-1] * curves[0].good[-1]
        own[1:] = [np.diff(c.good, prepend=0) @ (c.bad + np.r_[0, c.bad[:-1]]) for c in curves]
    return PairsWithin(*(await sums.integers(label, own, bound=1 << 62)).tolist())


def within_figures(found: PairsWithin | None) -> dict[str, Any] | None:
    """`auc` and `auc_alone` over pairs of the same member, and how many pairs; None without any."""
    if found is None or not found.pairs:
        return None
    twice = 2.0 * found.pairs
    return {"auc": found.ordered / twice, "auc_alone": found.ordered_alone / twice, "pairs": found.pairs}


def own_figures(labels: U8, scores: F64, alone: F64) -> dict[str, Any]:
    """On a member's own rows held out, what the joint model gives, and its own: for its own people.

    Shapes: as `pairs_within`. Without good or bad rows, `auc` and `ks` are None.
    """
    found: dict[str, Any] = {"rows": labels.size, "bads": int(np.count_nonzero(labels))}
    both = 0 < found["bads"] < labels.size
    for suffix, of in (("", scores), ("_alone", alone)):
        curve = rank_curve(labels, of) if both else None
        auc, ks = (None, None) if curve is None else (curve.auc, curve.ks)
        found |= {f"auc{suffix}": auc, f"ks{suffix}": ks}
    return found
