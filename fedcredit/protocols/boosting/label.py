"""The label party's side of joint boosting: it owns labels, scores and gradients, and grows the trees.

A tree, level by level (`credit.growth` keeps the books):

    values v = (gradient, hessian) of each row, packed into one ring element           round r of every group-by-sum
    L -> P  SumNodes, NodeSlots      how many nodes are summed, and which rows lie in which of them
    L -> P  Corrections, P -> L GroupSums                                               histograms of P's opaque bins
    L       best split of each node, over its own columns and everybody's histograms
    L -> P  SplitQueries, P -> L Sides                                                  routing at P's splits

Of two siblings the smaller one is summed; the other is the parent less it. With `hide_nodes` every level is a round of
its own, with one value a node that is zero outside it, so that P sums over all rows and learns of no node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binary import gradients, initial_score
from fedcredit.credit.growth import LevelPlan, PlannedSplit, TreeGrowth
from fedcredit.credit.params import TreeParams
from fedcredit.credit.quantise import GradientScale, pack, unpack
from fedcredit.credit.schedule import features_of_tree, rows_of_tree
from fedcredit.credit.trees import Tree
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8, U64, Assignment, bin_sums
from fedcredit.protocols.boosting.columns import BinnedColumns, FeatureMap, split_sides, unpack_sides
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import Asker, Backend, Grouping, Part, Shared, onehot, paillier, plain
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

__all__ = ["GrownTree", "LabelParty", "LabelState", "receive_sides"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
Leaves: TypeAlias = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class GrownTree:
    """One tree at the label party. `keep` ends the training: the model keeps so many trees.

    Shapes: leaf_of_row (n,) of all rows; foreign (S,) says for each split which number it has among its owner's
    splits of the whole model, -1 for own ones.
    """

    tree: Tree = field(repr=False)
    leaf_of_row: Leaves = field(repr=False)
    foreign: I64 = field(repr=False)
    next_round: int
    keep: int | None


@dataclass(frozen=True, slots=True)
class LabelState:
    """Where the label party stands between two trees.

    `scores` (n,) are raw scores of all rows, those that are only routed included; `foreign[t]` is that of tree t.
    `askers` live for one session; all else follows from the trees absorbed.
    """

    features: FeatureMap
    askers: Mapping[PartyId, Asker] = field(repr=False)
    initial: float
    scores: F64 = field(repr=False)
    trees: tuple[Tree, ...] = ()
    foreign: tuple[I64, ...] = field(repr=False, default=())
    next_round: int = 0
    finished: bool = False

    @classmethod
    def begin(cls, features: FeatureMap, askers: Mapping[PartyId, Asker], initial: float, n_rows: int) -> Self:
        """The state before the first tree."""
        return cls(features, askers, initial, np.full(n_rows, initial))

    def absorb(self, grown: GrownTree) -> Self:
        """The state after one more tree, however that tree was come by: scores are added up in the same order, so
        they are the same to the last bit. A tree without a split adds nothing and is no tree of the model."""
        if grown.tree.n_splits == 0:
            return replace(self, next_round=grown.next_round, finished=True)
        return replace(
            self,
            scores=self.scores + grown.tree.leaf_value[grown.leaf_of_row],
            trees=(*self.trees, grown.tree)[: grown.keep],
            foreign=(*self.foreign, grown.foreign)[: grown.keep],
            next_round=grown.next_round,
            finished=grown.keep is not None,
        )


@dataclass(frozen=True, slots=True)
class LabelParty:
    """Grows trees over its own columns and those of `peers`.

    `columns` (maybe none) and rows are as at the feature parties: `n_train` rows that are learnt from, then rows that
    are only routed. `labels` (n_train,) 0 or 1.

    Reveals: to this party, for each tree and peer, the sums of its own gradients over the peer's opaque bins in each
    node, and for every row on which side of each of the peer's splits it falls.
    Assumes: semi-honest parties; what `groupsum` assumes.
    """

    me: PartyId
    peers: tuple[PartyId, ...]
    session: bytes
    columns: BinnedColumns
    labels: U8 = field(repr=False)
    params: TreeParams
    hide_nodes: bool = False
    backend: Backend = "onehot"
    insecure_plain: bool = False

    @property
    def n_train(self) -> int:
        """Rows that are learnt from."""
        return self.labels.size

    def set_up(self, randomness: Randomness) -> Steps[LabelState]:
        """Learn the shape of every peer's columns, and set up a group-by-sum with each. Raises: PeerError."""
        groups, missing = [self.columns.groups], [self.columns.missing]
        for peer in self.peers:
            told = yield from recv(peer, FeatureBins)
            groups.append(tuple(int(b) for b in told.groups))
            missing.append(tuple(bool(m) for m in told.missing))
        features = FeatureMap((self.me, *self.peers), tuple(groups), tuple(missing))
        askers: dict[PartyId, Asker] = {}
        # One key for all peers: what one of them holds under it says nothing to another.
        own = paillier.OwnKey.fresh(randomness) if self.backend == "paillier" else None
        for peer, of_peer in zip(self.peers, groups[1:], strict=True):
            if not of_peer:
                continue
            shape = Grouping(self.session, self.me, peer, self.n_train, of_peer)
            if self.backend == "plain":
                askers[peer] = yield from plain.set_up_asker(shape, insecure_plain=self.insecure_plain)
            elif own is not None:
                askers[peer] = yield from paillier.set_up_asker(shape, own)
            else:
                fresh = randomness.fork(f"groupsum {peer}")
                # Rounds of several peers are open at once.
                memory = onehot.VECTOR_BYTES // len(self.peers)
                askers[peer] = yield from onehot.set_up_asker(shape, fresh, vector_bytes=memory)
        return LabelState.begin(features, MappingProxyType(askers), initial_score(self.labels), self.columns.n_rows)

    def grow(self, state: LabelState, *, stop: Callable[[F64], int | None]) -> Steps[GrownTree]:
        """Grow one tree, for `state` to absorb. `stop` looks at the scores with the new tree; to end the training it
        says how many trees the model keeps. A tree without a split ends it too."""
        number = len(state.trees)
        allowed = features_of_tree(state.features.n_bins.size, self.params, number)
        chosen = tuple(state.features.own(p, allowed) for p in range(len(state.features.parties)))
        for party, peer in enumerate(self.peers, start=1):
            yield from send(peer, TreeStart(number, np.array(chosen[party], np.uint32)))
        values, scale, in_bag = self._values(state.scores, number)
        G, H = unpack(values.sum(keepdims=True, dtype=np.uint64), scale)
        growth = TreeGrowth(
            totals=(float(G[0]), float(H[0])),
            n_rows=self.columns.n_rows,
            n_bins=state.features.n_bins,
            missing=state.features.has_missing,
            owner=state.features.owner,
            params=self.params,
            allowed=allowed,
            in_bag=in_bag,
        )
        level = _Level(self, state, chosen, values, scale)
        asked: dict[PartyId, list[PlannedSplit]] = {peer: [] for peer in self.peers}
        while (plan := growth.plan) is not None:
            planned = growth.absorb(*(yield from level.histograms(plan)))
            sides = yield from self._route(state.features, planned, asked)
            if planned:
                growth.split(sides)
        tree, leaf_of_row = growth.finish()
        keep = number if tree.n_splits == 0 else stop(state.scores + tree.leaf_value[leaf_of_row])
        foreign = yield from self._end(state, tree, asked, keep=keep)
        return GrownTree(tree, leaf_of_row, foreign, level.number, keep)

    def _values(self, scores: F64, tree: int) -> tuple[U64, GradientScale, Bool]:
        """The packed gradients of the training rows, zero outside the bag; and which of all rows are in it."""
        in_bag = rows_of_tree(self.n_train, self.params, tree)
        g, h = gradients(self.labels, scores[: self.n_train], scale_pos_weight=self.params.scale_pos_weight)
        summed = np.zeros(self.columns.n_rows, bool)
        summed[: self.n_train] = True if in_bag is None else in_bag
        bag = summed[: self.n_train]
        values, scale = pack(np.where(bag, g, 0.0), np.where(bag, h, 0.0))
        return values, scale, summed

    def _route(
        self, features: FeatureMap, planned: Sequence[PlannedSplit], asked: dict[PartyId, list[PlannedSplit]]
    ) -> Steps[list[Bool]]:
        """Which rows go left at each planned split: own ones at once, the others from their owners."""
        of_peer = {peer: [s for s in planned if s.owner == p] for p, peer in enumerate(self.peers, start=1)}
        for party, peer in enumerate(self.peers, start=1):
            first = features.first(party)
            queries = of_peer[peer]
            asked[peer] += queries
            yield from send(
                peer,
                SplitQueries(
                    np.array([s.feature - first for s in queries], np.uint32),
                    np.array([s.bin for s in queries], np.uint8),
                    np.array([s.missing_left for s in queries], np.uint8),
                ),
            )
        answers: dict[int, Bool] = {}
        for peer in self.peers:
            sides = yield from receive_sides(peer, f"boosting over {peer}", len(of_peer[peer]), self.columns.n_rows)
            answers |= {s.node: side for s, side in zip(of_peer[peer], sides, strict=True)}
        return [answers[s.node] if s.owner else self.columns.sides(s.feature, s.bin, s.missing_left) for s in planned]

    def _end(
        self, state: LabelState, tree: Tree, asked: Mapping[PartyId, list[PlannedSplit]], *, keep: int | None
    ) -> Steps[I64]:
        """Tell each peer which of its splits stay, and number them as it will."""
        numbers = np.full(tree.n_splits, -1, np.int64)
        for party, peer in enumerate(self.peers, start=1):
            order = {(s.feature, s.bin, s.missing_left, s.node): k for k, s in enumerate(asked[peer])}
            places = _places(tree, party, order)
            so_far = sum(int((t.owner == party).sum()) for t in state.trees)
            kept = sorted(places.values())
            for split, place in places.items():
                numbers[split] = so_far + kept.index(place)
            # SumNodes(0) ended the levels; the peer learns the fate of its splits in one message.
            yield from send(peer, SumNodes(0))
            yield from send(peer, TreeEnd(keep is None, keep or 0, np.array(kept, np.uint32)))
        return numbers


def _places(tree: Tree, party: int, order: Mapping[tuple[int, int, bool, int], int]) -> dict[int, int]:
    """For each split of `tree` that `party` owns, the number of the query that made it.

    One feature may split at one bin in two nodes of a tree: any of equal queries will do, each once.
    """
    free: dict[tuple[int, int, bool], list[int]] = {}
    for (feature, at_bin, missing_left, _), k in sorted(order.items(), key=lambda item: item[1]):
        free.setdefault((feature, at_bin, missing_left), []).append(k)
    return {
        int(split): free[int(tree.feature[split]), int(tree.bin[split]), bool(tree.missing_left[split])].pop(0)
        for split in np.flatnonzero(tree.owner == party)
    }


class _Level:
    """The histograms of one level after another of one tree, from all parties."""

    def __init__(
        self,
        party: LabelParty,
        state: LabelState,
        chosen: tuple[tuple[int, ...], ...],
        values: U64,
        scale: GradientScale,
    ) -> None:
        self.number = state.next_round
        self._party, self._state, self._chosen = party, state, chosen
        self._values, self._scale = values, scale
        self._shared: dict[PartyId, Shared] = {}

    def histograms(self, plan: LevelPlan) -> Steps[tuple[F64, F64]]:
        """Gradient and hessian sums of `plan.summed` over all features: two (nodes, F, B)."""
        party, features = self._party, self._state.features
        n_nodes = len(plan.summed)
        slots = plan.slot_of_row[: party.n_train]
        rows = np.flatnonzero(slots >= 0).astype(np.uint32)
        at = Assignment(rows, slots[rows].astype(np.uint32), n_nodes)
        packed = np.zeros((n_nodes, features.n_bins.size, int(features.n_bins.max(initial=2))), np.uint64)
        shown = np.where(slots < 0, LEFT_OUT, slots).astype(np.uint16)
        masked = self._masked(slots, n_nodes) if party.hide_nodes else None
        shares: dict[PartyId, tuple[Shared, Part]] = {}
        for number, peer in enumerate(party.peers, start=1):
            yield from send(peer, SumNodes(n_nodes))
            if not self._chosen[number]:
                continue
            if masked is None:
                for first in range(0, party.n_train, MAX_SLOTS):
                    yield from send(peer, NodeSlots(first, shown[first : first + MAX_SLOTS]))
                shares[peer] = yield from self._share_shown(peer, self._chosen[number], at)
            else:
                shares[peer] = yield from self._share_hidden(peer, self._chosen[number], masked)
        self.number += party.hide_nodes or not plan.depth
        own = bin_sums(party.columns.codes, party.columns.groups, self._chosen[0], at, self._values[rows, None])
        self._place(packed, 0, own[:, 0])
        for number, peer in enumerate(party.peers, start=1):
            if peer in shares:
                shared, share = shares[peer]
                sums = yield from self._state.askers[peer].learn(shared, share)
                self._place(packed, number, sums[0] if party.hide_nodes else sums[:, 0])
        return unpack(packed, self._scale)

    def _masked(self, slots: npt.NDArray[np.int32], n_nodes: int) -> U64:
        """One value a node for every training row, zero outside the node: (rows, nodes)."""
        return np.where(slots[:, None] == np.arange(n_nodes), self._values[:, None], np.uint64(0))

    def _share_hidden(self, peer: PartyId, chosen: tuple[int, ...], masked: U64) -> Steps[tuple[Shared, Part]]:
        everyone = Assignment.whole(self._party.n_train)
        shared = yield from self._state.askers[peer].share(self.number, chosen, masked, everyone, keep=False)
        return shared, shared.sums

    def _share_shown(self, peer: PartyId, chosen: tuple[int, ...], at: Assignment) -> Steps[tuple[Shared, Part]]:
        asker = self._state.askers[peer]
        if peer in self._shared:
            return self._shared[peer], asker.further(self._shared[peer], at)
        shared = yield from asker.share(self.number, chosen, self._values[at.rows, None], at)
        self._shared[peer] = shared
        return shared, shared.sums

    def _place(self, packed: U64, party: int, sums: U64) -> None:
        feature, at_bin = self._state.features.cells(party, self._chosen[party])
        packed[:, feature, at_bin] = sums


def receive_sides(peer: PartyId, step: str, n_splits: int, n_rows: int) -> Steps[Bool]:
    """The sides of all rows at `n_splits` splits of `peer`: (splits, rows). Raises: PeerError."""
    out = np.empty((n_splits, n_rows), bool)
    for run in split_sides(n_splits, n_rows, CHUNK_BYTES):
        got = yield from recv(peer, Sides)
        if got.first != run.start or got.bits.shape != (run.stop - run.start, -(-n_rows // 8)):
            raise PeerError(peer, step, "sent the sides of other splits or rows", "SHAPE")
        out[run] = unpack_sides(got.bits, n_rows)
    return out
