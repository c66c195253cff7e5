"""Scores of aligned rows under a model that stays split: the label party has the trees, each owner its splits.

P -> L   Sides        for every row, on which side of each of P's splits in the model it falls
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.trees import Tree
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting.columns import BinnedColumns
from fedcredit.protocols.boosting.feature import OwnSplit, answer_splits
from fedcredit.protocols.boosting.label import receive_sides
from fedcredit.protocols.effects import Steps

__all__ = ["FeatureScorer", "LabelScorer"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FeatureScorer:
    """Answers for its own splits of the model, and for no other cut of its columns.

    Reveals: nothing to this party. Assumes: semi-honest parties, an authenticated link.
    """

    label_party: PartyId
    columns: BinnedColumns
    splits: tuple[OwnSplit, ...]

    def steps(self) -> Steps[None]:
        """Send the sides of all rows."""
        yield from answer_splits(self.label_party, self.columns, list(self.splits))


@dataclass(frozen=True, slots=True)
class LabelScorer:
    """Adds up the leaves of every row. `n_splits[p]` is the number of splits that peer p owns in the model.

    Reveals: to this party, for every row on which side of each foreign split of the model it falls.
    Assumes: semi-honest parties, an authenticated link.
    """

    peers: tuple[PartyId, ...]
    n_splits: tuple[int, ...]
    columns: BinnedColumns
    initial: float
    trees: tuple[Tree, ...]
    foreign: tuple[I64, ...] = field(repr=False)

    def steps(self) -> Steps[F64]:
        """The raw score of every row: (n,)."""
        sides = []
        for peer, n_splits in zip(self.peers, self.n_splits, strict=True):
            sides.append((yield from receive_sides(peer, f"scoring with {peer}", n_splits, self.columns.n_rows)))
        score = np.full(self.columns.n_rows, self.initial)
        for tree, numbers in zip(self.trees, self.foreign, strict=True):
            left = np.empty((tree.n_splits, self.columns.n_rows), bool)
            for split, owner in enumerate(tree.owner):
                if owner:
                    left[split] = sides[owner - 1][numbers[split]]
                else:
                    cut = (int(tree.feature[split]), int(tree.bin[split]), bool(tree.missing_left[split]))
                    left[split] = self.columns.sides(*cut)
            score += tree.leaf_value[tree.leaf_of(left)]
        return score
