"""Growing one tree level by level, without saying where histograms or routing come from.

    growth = TreeGrowth(...)
    while (plan := growth.plan) is not None:
        G, H = ...                      # histograms of plan.summed, by plan.slot_of_row
        sides = [... for split in growth.absorb(G, H)]
        growth.split(sides)             # which rows go left at each of these splits
    tree, leaf_of_row = growth.finish()

LightGBM grows best-first: of all leaves it splits the one with the largest gain until `num_leaves` are reached. The
gain of a node does not depend on the order, so whole levels are searched at once, and best-first is replayed over what
is known. The tree that results is LightGBM's.

A node whose descendants are still unknown is left alone for good once the replay over the known nodes does not reach
it within the budget of `num_leaves - 1` splits. That is safe: all ancestors of a known node are known, so unknown nodes
change nothing in the order of the known ones; they can only take from the budget. Likewise the children of the node
that takes the last of the budget need no search.

Source: LightGBM 4.7, src/treelearner/serial_tree_learner.cpp (`Train`, `BeforeFindBestSplit`, `FindBestSplits`).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.params import TreeParams
from fedcredit.credit.splits import Splits, find_best_splits, leaf_value
from fedcredit.credit.trees import Tree

__all__ = ["LevelPlan", "PlannedSplit", "TreeGrowth"]

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """What must be summed before the next level can be split.

    `nodes` are the nodes to be searched; of two siblings only the smaller one is in `summed`, the other is its parent
    less its sibling. `slot_of_row` (n,) is the place of the row's node in `summed`, -1 for rows to be left out.
    """

    depth: int
    nodes: tuple[int, ...]
    summed: tuple[int, ...]
    slot_of_row: I32 = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlannedSplit:
    """A split to be made: the owner is to say which rows of `node` have code <= `bin` (or miss, if `missing_left`)."""

    node: int
    owner: int
    feature: int
    bin: int
    missing_left: bool


@dataclass(slots=True)
class _Node:
    """A node grown so far. Its best split is known once `feature` is set (-1: none); its children once it is made."""

    depth: int
    rows: int
    g: float
    h: float
    usable: Bool
    gain: float = -np.inf
    feature: int | None = None
    bin: int = 0
    missing_left: bool = False
    left_sums: tuple[float, float] = (0.0, 0.0)
    right_sums: tuple[float, float] = (0.0, 0.0)
    children: tuple[int, int] | None = None


class TreeGrowth:
    """The bookkeeping of one tree while it grows. Deterministic; holds the histograms of one level."""

    def __init__(
        self,
        *,
        totals: tuple[float, float],
        n_rows: int,
        n_bins: I64,
        missing: Bool,
        owner: I32,
        params: TreeParams,
        allowed: Bool | None = None,
        in_bag: Bool | None = None,
    ) -> None:
        """Shapes: n_bins, missing, owner, allowed (F,); in_bag (n_rows,).

        `totals`: gradient and hessian over the rows in the bag. `owner`: who holds each feature, a number of the
        caller's. Rows outside the bag are routed, so that their score can be updated, but not summed or counted.
        """
        F = n_bins.size
        if missing.shape != (F,) or owner.shape != (F,):
            raise ValueError("TreeGrowth: n_bins, missing and owner must describe the same features")
        self.params = params
        self.node_of_row: I32 = np.zeros(n_rows, np.int32)
        self._n_bins, self._missing, self._owner = n_bins, missing, owner
        self._in_bag = in_bag
        rows = n_rows if in_bag is None else int(np.count_nonzero(in_bag))
        usable = np.ones(F, bool) if allowed is None else allowed.copy()
        self._nodes = [_Node(0, rows, float(totals[0]), float(totals[1]), usable)]
        self._histograms: dict[int, tuple[F64, F64]] = {}
        self._planned: list[PlannedSplit] = []
        self._families: list[tuple[int, int, int]] = []
        searched = rows >= 2 * params.min_data_in_leaf and bool(usable.any())
        self.plan: LevelPlan | None = self._plan(0, [0], [0]) if searched else None

    def absorb(self, G: F64, H: F64) -> list[PlannedSplit]:
        """Take the histograms of `plan.summed`, and say which nodes of this level are to be split, and how.

        Shapes: G, H (len(plan.summed), F, B). Features that are not allowed in this tree are ignored.
        """
        plan = self.plan
        if plan is None or self._planned:
            raise ValueError("absorb: no level is waiting for histograms")
        if G.shape != H.shape or G.shape[:2] != (len(plan.summed), self._n_bins.size):
            raise ValueError(f"absorb: got {G.shape} and {H.shape} for {len(plan.summed)} nodes")
        self._histograms = self._complete(plan, G, H)
        nodes = [self._nodes[i] for i in plan.nodes]
        splits = find_best_splits(
            np.stack([self._histograms[i][0] for i in plan.nodes]),
            np.stack([self._histograms[i][1] for i in plan.nodes]),
            np.array([node.rows for node in nodes]),
            self._n_bins,
            self._missing,
            np.stack([node.usable for node in nodes]),
            self.params,
            totals=(np.array([node.g for node in nodes]), np.array([node.h for node in nodes])),
        )
        for k, node in enumerate(nodes):
            _record(node, splits, k)
        chosen = set(self._best_first()[0])
        self._planned = [self._planned_split(i) for i in plan.nodes if i in chosen]
        if not self._planned:
            self._close()
        return list(self._planned)

    def split(self, sides: Sequence[Bool]) -> None:
        """Make the splits that `absorb` planned.

        Shapes: one (n_rows,) array a split, true where the row goes left; only the rows of its node are looked at.
        """
        if len(sides) != len(self._planned) or any(side.shape != self.node_of_row.shape for side in sides):
            raise ValueError(f"split: {len(self._planned)} sides of {self.node_of_row.size} rows are needed")
        if self.plan is None:
            return
        children: list[tuple[int, int, int]] = []
        moved = self.node_of_row.copy()
        for planned, side in zip(self._planned, sides, strict=True):
            rows = np.flatnonzero(self.node_of_row == planned.node)
            left = len(self._nodes)
            moved[rows] = np.where(side[rows], left, left + 1)
            parent = self._nodes[planned.node]
            parent.children = (left, left + 1)
            for sums in (parent.left_sums, parent.right_sums):
                self._nodes.append(_Node(parent.depth + 1, 0, *sums, parent.usable))
            children.append((planned.node, left, left + 1))
        self.node_of_row = moved
        counted = moved if self._in_bag is None else moved[self._in_bag]
        counts = np.bincount(counted, minlength=len(self._nodes))
        for _, *both in children:
            for i in both:
                self._nodes[i].rows = int(counts[i])
        self._planned = []
        self._plan_children(self.plan.depth + 1, children)

    def finish(self) -> tuple[Tree, I32]:
        """The tree, with leaf values times `learning_rate`, and the leaf of every row.

        Shapes: the leaves are (n_rows,), rows outside the bag included.
        """
        if self.plan is not None:
            raise ValueError("finish: the tree is still growing")
        order, leaves = self._best_first()
        number = {node: ~leaf for node, leaf in leaves.items()} | {node: s for s, node in enumerate(order)}
        made = [self._nodes[i] for i in order]
        features = np.array([node.feature for node in made], np.int32)
        pairs = [node.children for node in made if node.children is not None]
        assert len(pairs) == len(made), "every split in the tree has been routed"
        by_leaf = sorted(leaves, key=leaves.__getitem__)
        values = [leaf_value(self._nodes[i].g, self._nodes[i].h, self.params) for i in by_leaf]
        tree = Tree(
            owner=self._owner[features],
            feature=features,
            bin=np.array([node.bin for node in made], np.int32),
            missing_left=np.array([node.missing_left for node in made], bool),
            left=np.array([number[left] for left, _ in pairs], np.int32),
            right=np.array([number[right] for _, right in pairs], np.int32),
            # LightGBM reports the gain over the unsplit node, before the minimum is taken off.
            gain=np.array([node.gain for node in made], np.float64) + self.params.min_gain_to_split,
            leaf_value=np.array(values, np.float64) * self.params.learning_rate,
        )
        return tree, self._leaf_of_node(leaves)[self.node_of_row]

    def _plan(self, depth: int, nodes: Sequence[int], summed: Sequence[int]) -> LevelPlan:
        slot_of_node = np.full(len(self._nodes), -1, np.int32)
        slot_of_node[list(summed)] = np.arange(len(summed))
        slots = slot_of_node[self.node_of_row]
        if self._in_bag is not None:
            slots[~self._in_bag] = -1
        return LevelPlan(depth, tuple(nodes), tuple(summed), slots)

    def _plan_children(self, depth: int, families: list[tuple[int, int, int]]) -> None:
        """Which of the new nodes can be split at all, and which of them have to be summed."""
        budget = self.params.max_leaves - 1
        rank = {node: k for k, node in enumerate(self._best_first()[0])}
        enough = 2 * self.params.min_data_in_leaf
        self._families = [
            (parent, left, right)
            for parent, left, right in families
            if rank.get(parent, budget) < budget - 1
            and max(self._nodes[left].rows, self._nodes[right].rows) >= enough
            and self._nodes[parent].usable.any()
        ]
        if depth >= self.params.max_depth or not self._families:
            self._close()
            return
        nodes = [child for _, left, right in self._families for child in (left, right)]
        self.plan = self._plan(depth, nodes, [self._smaller(left, right) for _, left, right in self._families])

    def _smaller(self, left: int, right: int) -> int:
        return left if self._nodes[left].rows < self._nodes[right].rows else right

    def _complete(self, plan: LevelPlan, G: F64, H: F64) -> dict[int, tuple[F64, F64]]:
        """Histograms of all nodes of the level: those summed, and their siblings by subtraction."""
        found = {node: (G[k], H[k]) for k, node in enumerate(plan.summed)}
        if plan.depth > 0:
            for parent, left, right in self._families:
                small = self._smaller(left, right)
                g, h = self._histograms[parent]
                found[left + right - small] = (g - found[small][0], h - found[small][1])
        return found

    def _planned_split(self, i: int) -> PlannedSplit:
        node = self._nodes[i]
        assert node.feature is not None, "only searched nodes are chosen"
        return PlannedSplit(i, int(self._owner[node.feature]), node.feature, node.bin, node.missing_left)

    def _close(self) -> None:
        self.plan, self._histograms, self._families = None, {}, []

    def _best_first(self) -> tuple[list[int], dict[int, int]]:
        """LightGBM's growth over the nodes known so far: the splits in their order, and the number of each leaf.

        A left child takes over its parent's leaf number, a right child gets the next one. Of equal gains the lower
        feature wins, then the lower leaf number (`SplitInfo::operator>`, `ArrayArgs::ArgMax`).
        """
        order: list[int] = []
        leaves = {0: 0}
        heap: list[tuple[float, int, int, int]] = []

        def offer(i: int) -> None:
            node = self._nodes[i]
            if node.feature is not None and node.gain > 0:
                heapq.heappush(heap, (-node.gain, node.feature, leaves[i], i))

        offer(0)
        while heap and len(order) < self.params.max_leaves - 1:
            i = heapq.heappop(heap)[3]
            order.append(i)
            children = self._nodes[i].children
            if children is not None:
                number = leaves.pop(i)
                leaves[children[0]], leaves[children[1]] = number, len(order)
                offer(children[0])
                offer(children[1])
        return order, leaves

    def _leaf_of_node(self, leaves: dict[int, int]) -> I32:
        """The leaf each node lies in; nodes above the leaves, where no row is, get -1."""
        found = np.full(len(self._nodes), -1, np.int32)
        for i, leaf in leaves.items():
            below = [i]
            while below:
                j = below.pop()
                found[j] = leaf
                below.extend(self._nodes[j].children or ())
        return found


def _record(node: _Node, splits: Splits, k: int) -> None:
    node.feature = int(splits.feature[k])
    node.gain = float(splits.gain[k])
    node.bin = int(splits.bin[k])
    node.missing_left = bool(splits.missing_left[k])
    node.left_sums = (float(splits.left_g[k]), float(splits.left_h[k]))
    node.right_sums = (float(splits.right_g[k]), float(splits.right_h[k]))
    node.usable = splits.splittable[k].copy()
