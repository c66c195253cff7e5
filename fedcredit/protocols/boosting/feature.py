"""The feature party's side of joint boosting: it lends its bins and answers for its own splits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fedcredit.credit.params import TreeParams
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U16, Assignment
from fedcredit.protocols.boosting.columns import BinnedColumns, pack_sides, split_sides
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import Backend, Grouping, Held, Holder, onehot, paillier, plain
from fedcredit.protocols.groupsum.shape import CHUNK_BYTES
from fedcredit.wire.boosting import (
    LEFT_OUT,
    MAX_SLOTS,
    FeatureBins,
    NodeSlots,
    Sides,
    SplitQueries,
    SumNodes,
    TreeEnd,
    TreeStart,
)

__all__ = ["FeatureParty", "FeatureState", "LentTree", "OwnSplit"]


@dataclass(frozen=True, slots=True)
class OwnSplit:
    """A split of the model that this party owns: rows with code <= `bin` go left, missing ones if `missing_left`."""

    tree: int
    feature: int
    bin: int
    missing_left: bool


@dataclass(frozen=True, slots=True)
class LentTree:
    """What is left of one tree at a feature party: its own splits in it. `more` says that another tree follows;
    where none does, the model keeps the first `keep` trees."""

    splits: tuple[OwnSplit, ...]
    next_round: int
    more: bool
    keep: int


@dataclass(frozen=True, slots=True)
class FeatureState:
    """Where a feature party stands between two trees. `splits` is its part of the model so far.

    `holder` lives for one session; all else follows from the trees absorbed.
    """

    holder: Holder | None = field(repr=False)
    next_round: int = 0
    trees: int = 0
    splits: tuple[OwnSplit, ...] = ()
    more: bool = True

    def absorb(self, tree: LentTree) -> FeatureState:
        """The state after one more tree, however that tree was come by."""
        splits = self.splits + tree.splits
        if not tree.more:
            splits = tuple(split for split in splits if split.tree < tree.keep)
        return replace(self, next_round=tree.next_round, trees=self.trees + 1, splits=splits, more=tree.more)


@dataclass(frozen=True, slots=True)
class FeatureParty:
    """Grows trees with the label party over this party's columns.

    `columns` hold the training rows first, then `columns.n_rows - n_train` rows that are only routed. A label party
    that asks for more trees, levels, nodes or splits than the job's `params` allow is refused: every answer shows
    something of each row.

    Reveals: to this party, the number of trees and of summed nodes, which of its splits the model uses and, unless
    `hide_nodes`, which training rows lie in each summed node; nothing of labels, scores or gradients.
    Assumes: semi-honest parties; what `groupsum` assumes.
    """

    me: PartyId
    label_party: PartyId
    session: bytes
    columns: BinnedColumns
    n_train: int
    params: TreeParams
    hide_nodes: bool = False
    backend: Backend = "onehot"
    insecure_plain: bool = False

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"boosting of {self.label_party} over {self.me}"

    def set_up(self, randomness: Randomness) -> Steps[FeatureState]:
        """Declare the columns' bins, then set up the group-by-sum over the training rows."""
        groups = np.array(self.columns.groups, np.uint16)
        yield from send(self.label_party, FeatureBins(groups, np.array(self.columns.missing, np.uint8)))
        if not self.columns.groups:
            return FeatureState(None)
        shape = Grouping(self.session, self.label_party, self.me, self.n_train, self.columns.groups)
        codes = np.ascontiguousarray(self.columns.codes[:, : self.n_train])
        holder: Holder
        if self.backend == "plain":
            holder = yield from plain.set_up_holder(shape, codes, insecure_plain=self.insecure_plain)
        elif self.backend == "paillier":
            holder = yield from paillier.set_up_holder(shape, codes, randomness)
        else:
            holder = yield from onehot.set_up_holder(shape, codes, randomness)
        return FeatureState(holder)

    def grow(self, state: FeatureState) -> Steps[LentTree]:
        """Follow the label party through one tree, for `state` to absorb."""
        start = yield from recv(self.label_party, TreeStart)
        features = tuple(int(f) for f in start.features)
        if start.tree != state.trees or start.tree >= self.params.num_trees:
            raise self._broke("began another tree than was due")
        if len(set(features)) != len(features) or any(f >= len(self.columns.groups) for f in features):
            raise self._broke("began a tree over columns that do not exist")
        asked: list[OwnSplit] = []
        held: Held | None = None
        number, level = state.next_round, 0
        while (order := (yield from recv(self.label_party, SumNodes))).n_nodes:
            # One of two siblings is summed, so a level has at most half as many nodes to sum as it has nodes.
            if level >= self.params.max_depth or order.n_nodes > max(1, 1 << level >> 1):
                raise self._broke("asked for more levels or nodes than a tree of this job has")
            if state.holder is not None and features:
                if self.hide_nodes:
                    yield from self._sum_hidden(state.holder, number, features, order.n_nodes)
                else:
                    slots = yield from self._slots(order.n_nodes)
                    held = yield from self._sum_shown(state.holder, number, features, order.n_nodes, slots, held)
            # Rounds are counted whether or not this party takes part, as the label party does.
            number += self.hide_nodes or not level
            level += 1
            asked += yield from self._answer(start.tree, features, len(asked))
        end = yield from recv(self.label_party, TreeEnd)
        if (end.kept >= len(asked)).any():
            raise self._broke("kept a split that it did not ask for")
        return LentTree(tuple(asked[k] for k in end.kept), number, bool(end.more), end.trees)

    def _slots(self, n_nodes: int) -> Steps[U16]:
        """The node of every training row, `LEFT_OUT` where it is not summed."""
        slots = np.empty(self.n_train, np.uint16)
        for first in range(0, self.n_train, MAX_SLOTS):
            got = yield from recv(self.label_party, NodeSlots)
            run = slots[first : first + MAX_SLOTS]
            if got.first != first or got.slots.shape != run.shape:
                raise self._broke("named the nodes of other rows than were due")
            run[:] = got.slots
        if (slots[slots != LEFT_OUT] >= n_nodes).any():
            raise self._broke("named a node that does not exist")
        return slots

    def _sum_shown(
        self, holder: Holder, number: int, features: tuple[int, ...], n_nodes: int, slots: U16, held: Held | None
    ) -> Steps[Held]:
        """The first level of a tree brings its values; the levels below sum them over again."""
        rows = np.flatnonzero(slots != LEFT_OUT).astype(np.uint32)
        at = Assignment(rows, slots[rows].astype(np.uint32), n_nodes)
        if held is None:
            held = yield from holder.take(number, features, 1, at)
            yield from holder.show(held, held.sums)
        else:
            yield from holder.show(held, holder.further(held, at))
        return held

    def _sum_hidden(self, holder: Holder, number: int, features: tuple[int, ...], n_nodes: int) -> Steps[None]:
        """Every level brings one value a node, zero for the rows outside it, over all rows."""
        held = yield from holder.take(number, features, n_nodes, Assignment.whole(self.n_train), keep=False)
        yield from holder.show(held, held.sums)

    def _answer(self, tree: int, features: tuple[int, ...], already: int) -> Steps[list[OwnSplit]]:
        queries = yield from recv(self.label_party, SplitQueries)
        splits = [
            OwnSplit(tree, int(f), int(b), bool(m))
            for f, b, m in zip(queries.features, queries.bins, queries.missing_left, strict=True)
        ]
        if any(s.feature not in features or s.bin >= self.columns.groups[s.feature] for s in splits):
            raise self._broke("asked for a split that does not exist, or of a column that the tree does not use")
        if already + len(splits) >= 1 << self.params.max_depth:
            raise self._broke("asked for more splits than a tree of this job has")
        yield from answer_splits(self.label_party, self.columns, splits)
        return splits

    def _broke(self, how: str) -> PeerError:
        return PeerError(self.label_party, self.step, how, "SHAPE")


def answer_splits(to: PartyId, columns: BinnedColumns, splits: list[OwnSplit]) -> Steps[None]:
    """Send the sides of all rows at `splits`, a chunk of splits at a time."""
    for run in split_sides(len(splits), columns.n_rows, CHUNK_BYTES):
        bits = pack_sides(columns.sides(s.feature, s.bin, s.missing_left) for s in splits[run])
        yield from send(to, Sides(run.start, bits))
