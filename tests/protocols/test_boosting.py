"""Joint boosting: equal to the centralised model to the last bit, with and without cryptography, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.credit.centralised import train_centralised
from fedcredit.credit.params import TreeParams
from fedcredit.credit.trees import Ensemble
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting import (
    BinnedColumns,
    FeatureParty,
    FeatureScorer,
    FeatureState,
    LabelParty,
    LabelScorer,
    LabelState,
)
from fedcredit.protocols.effects import Steps
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.boosting import FeatureBins, NodeSlots, Sides, SplitQueries, SumNodes, TreeEnd, TreeStart
from fedcredit.wire.message import message_type

BANK, TAX, WATER = PartyId("bank"), PartyId("tax"), PartyId("water")


class Case:
    """Columns of three parties over the same rows, some only routed, with labels that depend on all of them."""

    def __init__(self, seed: int = 0, n: int = 600, n_train: int = 500, own: int = 2, theirs: tuple[int, ...] = (3, 2)):
        rng = np.random.default_rng(seed)
        self.counts = (own, *theirs)
        total = sum(self.counts)
        self.groups = tuple(int(b) for b in rng.integers(2, 12, total))
        self.missing = tuple(bool(m) for m in rng.integers(0, 2, total))
        self.codes = np.stack([rng.integers(0, b, n, dtype=np.uint8) for b in self.groups]).reshape(total, n)
        signal = sum((self.codes[f] / self.groups[f] - 0.5) * (1 + f % 3) for f in range(total))
        self.y = (rng.random(n) < 1 / (1 + np.exp(1.5 - 2 * signal))).astype(np.uint8)
        self.n, self.n_train = n, n_train
        self.peers = (TAX, WATER)[: len(theirs)]

    def columns(self, party: int) -> BinnedColumns:
        at = slice(sum(self.counts[:party]), sum(self.counts[: party + 1]))
        return BinnedColumns(np.ascontiguousarray(self.codes[at]), self.groups[at], self.missing[at])

    def roles(self, params: TreeParams, **how: Any) -> dict[PartyId, Steps[Any]]:
        session = b"m" * 32
        label = LabelParty(
            BANK, self.peers, session, self.columns(0), self.y[: self.n_train], params, insecure_plain=True, **how
        )
        features = {
            peer: FeatureParty(peer, BANK, session, self.columns(p), self.n_train, params, insecure_plain=True, **how)
            for p, peer in enumerate(self.peers, start=1)
        }
        return {BANK: train_label(label, params), **{peer: train_feature(party) for peer, party in features.items()}}

    def centralised(self, params: TreeParams) -> Ensemble:
        return train_centralised(
            np.ascontiguousarray(self.codes[:, : self.n_train].T),
            np.array(self.groups),
            np.array(self.missing),
            self.y[: self.n_train],
            params,
            quantised=True,
        )


def train_label(party: LabelParty, params: TreeParams) -> Steps[LabelState]:
    state = yield from party.set_up(insecure_seeded(1))
    while not state.finished:
        keep = params.num_trees if len(state.trees) + 1 == params.num_trees else None
        state = state.absorb((yield from party.grow(state, stop=lambda _, keep=keep: keep)))
    return state


def train_feature(party: FeatureParty) -> Steps[FeatureState]:
    state = yield from party.set_up(insecure_seeded(2, party.me))
    while state.more:
        state = state.absorb((yield from party.grow(state)))
    return state


def play(case: Case, params: TreeParams, **how: Any) -> Outcome:
    network = {k: how.pop(k) for k in ("pick", "tamper") if k in how}
    return run_network(case.roles(params, **how), insecure_in_process=True, **network)


def assert_same_trees(state: LabelState, model: Ensemble) -> None:
    assert len(state.trees) == len(model.trees)
    assert state.initial == model.initial
    for mine, theirs in zip(state.trees, model.trees, strict=True):
        for name in ("feature", "bin", "missing_left", "left", "right", "gain", "leaf_value"):
            assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "regularised": {"lambda_l2": 2.0, "lambda_l1": 0.1, "min_gain_to_split": 0.2},
    "best-first": {"max_depth": 4, "num_leaves": 7},
    "sampled": {"feature_fraction": 0.6, "bagging_fraction": 0.7, "bagging_freq": 1, "seed": 5},
    "deep": {"max_depth": 6, "min_data_in_leaf": 5, "num_trees": 2},
    "weighted": {"scale_pos_weight": 3.0},
}


@pytest.mark.parametrize("hide_nodes", [False, True], ids=["shown", "hidden"])
@pytest.mark.parametrize("backend", ["plain", "onehot"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_trees_are_those_of_the_pooled_table(variant: str, backend: str, hide_nodes: bool) -> None:
    params = TreeParams(**({"num_trees": 3, "max_depth": 3, "learning_rate": 0.3} | VARIANTS[variant]))
    case = Case(seed=len(variant))
    outcome = play(case, params, backend=backend, hide_nodes=hide_nodes)
    state: LabelState = outcome.results[BANK]
    model = case.centralised(params)
    assert_same_trees(state, model)
    assert np.array_equal(state.scores, model.raw_score(np.ascontiguousarray(case.codes.T)))
    for p, peer in enumerate(case.peers, start=1):
        mine: FeatureState = outcome.results[peer]
        assert len(mine.splits) == sum(int((tree.owner == p).sum()) for tree in state.trees)
        assert mine.next_round == state.next_round


@pytest.mark.parametrize("hide_nodes", [False, True], ids=["shown", "hidden"])
def test_trees_under_paillier_are_the_same(hide_nodes: bool) -> None:
    """With keys of the full length: two feature parties, nodes of one level and of the next."""
    params = TreeParams(num_trees=2, max_depth=3, learning_rate=0.3)
    case = Case(seed=8)
    outcome = play(case, params, backend="paillier", hide_nodes=hide_nodes)
    assert_same_trees(outcome.results[BANK], case.centralised(params))
    keys = [size for *_, kind, size in outcome.traffic if kind == "PaillierKey"]
    assert len(keys) == len(case.peers)
    assert all(384 <= size < 400 for size in keys)
    assert "Corrections" not in {kind for *_, kind, _ in outcome.traffic}


@pytest.mark.parametrize("theirs", [(3,), (3, 0), (0,)])
@pytest.mark.parametrize("own", [0, 2])
def test_a_party_may_have_no_usable_columns(own: int, theirs: tuple[int, ...]) -> None:
    if own + sum(theirs) == 0:
        return
    params = TreeParams(num_trees=2, max_depth=2)
    case = Case(own=own, theirs=theirs)
    assert_same_trees(play(case, params).results[BANK], case.centralised(params))


def test_the_split_model_scores_new_rows_as_the_pooled_one() -> None:
    params = TreeParams(num_trees=4, max_depth=3, num_leaves=6)
    case, fresh = Case(seed=1), Case(seed=1, n=777, n_train=500)
    outcome = play(case, params)
    state: LabelState = outcome.results[BANK]
    # The case of another size has other rows but the same bins: what scoring sees for the first time.
    assert fresh.groups == case.groups
    counts = tuple(sum(int((t.owner == p).sum()) for t in state.trees) for p in (1, 2))
    roles: dict[PartyId, Steps[Any]] = {
        BANK: LabelScorer(case.peers, counts, fresh.columns(0), state.initial, state.trees, state.foreign).steps()
    }
    for p, peer in enumerate(case.peers, start=1):
        roles[peer] = FeatureScorer(BANK, fresh.columns(p), outcome.results[peer].splits).steps()
    scores = run_network(roles, insecure_in_process=True).results[BANK]
    assert np.array_equal(scores, case.centralised(params).raw_score(np.ascontiguousarray(fresh.codes.T)))


@pytest.mark.parametrize("hide_nodes", [False, True])
def test_small_chunks_give_the_same_model(monkeypatch: pytest.MonkeyPatch, hide_nodes: bool) -> None:
    """What a million rows need: every bulk message in many pieces."""
    params = TreeParams(num_trees=2, max_depth=3)
    wanted = Case(seed=2).centralised(params)
    for module in ("label", "feature"):
        monkeypatch.setattr(f"fedcredit.protocols.boosting.{module}.MAX_SLOTS", 64)
        monkeypatch.setattr(f"fedcredit.protocols.boosting.{module}.CHUNK_BYTES", 100)
    monkeypatch.setattr("fedcredit.protocols.groupsum.opening.CHUNK_BYTES", 256)
    monkeypatch.setattr("fedcredit.protocols.groupsum.vectors.BLOCK_ROWS", 100)
    monkeypatch.setattr("fedcredit.protocols.groupsum.shape.CHUNK_BYTES", 512)
    outcome = play(Case(seed=2), params, hide_nodes=hide_nodes)
    assert_same_trees(outcome.results[BANK], wanted)
    names = [name for *_, name, _ in outcome.traffic]
    assert all(names.count(kind) > 8 for kind in ("Corrections", "GroupSums", "ChoiceCorrections", "Sides"))
    assert hide_nodes or names.count("NodeSlots") > 20


@settings(max_examples=10, deadline=None)
@given(data=st.data(), hide_nodes=st.booleans())
def test_any_order_of_delivery_gives_the_same_model_and_messages(data: st.DataObject, hide_nodes: bool) -> None:
    case, params = Case(n=80, n_train=70), TreeParams(num_trees=2, max_depth=2, min_data_in_leaf=5)
    straight = play(case, params, hide_nodes=hide_nodes)
    shuffled = play(case, params, hide_nodes=hide_nodes, pick=lambda links: data.draw(st.sampled_from(links)))
    assert np.array_equal(straight.results[BANK].scores, shuffled.results[BANK].scores)
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


def test_with_hidden_nodes_the_traffic_to_a_feature_party_does_not_name_rows() -> None:
    """Two sets of labels that grow trees of one shape give the same messages but for which splits are asked."""
    params = TreeParams(num_trees=1, max_depth=1)
    one, two = Case(seed=3), Case(seed=3)
    two.y = two.y[::-1].copy()
    a, b = (play(case, params, hide_nodes=True).traffic for case in (one, two))

    def sums(traffic: list[tuple[PartyId, PartyId, str, int]]) -> list[tuple[PartyId, PartyId, str, int]]:
        return [row for row in traffic if row[2] in ("SumNodes", "Corrections", "GroupSums", "LevelSums")]

    assert sums(a) == sums(b)
    assert all(size < 20 for *_, name, size in a if name == "SumNodes")


def replace_first(kind: type[Any], make: Callable[[Any], Any]) -> Callable[[Any, int, bytes], tuple[int, bytes]]:
    done: list[bool] = []

    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if not isinstance(message, kind) or done:
            return tag, body
        done.append(True)
        other = make(message)
        return other.tag, other.encode()

    return tamper


U8, U16, U32 = np.uint8, np.uint16, np.uint32
BAD: dict[str, tuple[type[Any], Callable[[Any], Any], PartyId]] = {
    "wrong tree": (TreeStart, lambda m: TreeStart(9, m.features), BANK),
    "no such column": (TreeStart, lambda m: TreeStart(m.tree, np.array([77], U32)), BANK),
    "rows missing": (NodeSlots, lambda m: NodeSlots(m.first, m.slots[:-1].copy()), BANK),
    "no such node": (NodeSlots, lambda m: NodeSlots(m.first, m.slots + np.uint16(9)), BANK),
    "no such bin": (SplitQueries, lambda m: SplitQueries(np.zeros(1, U32), np.full(1, 99, U8), np.zeros(1, U8)), BANK),
    "too many splits": (SplitQueries, lambda m: SplitQueries(*(np.zeros(9, t) for t in (U32, U8, U8))), BANK),
    "too many nodes": (SumNodes, lambda m: SumNodes(2), BANK),
    "a column twice": (TreeStart, lambda m: TreeStart(m.tree, np.zeros(2, U32)), BANK),
    "kept too much": (TreeEnd, lambda m: TreeEnd(m.more, m.trees, np.array([500], U32)), BANK),
    "sides of other rows": (Sides, lambda m: Sides(m.first, m.bits[:, :-1].copy()), TAX),
    "sides of other splits": (Sides, lambda m: Sides(m.first + 1, m.bits), TAX),
    "wrong type": (TreeStart, lambda m: TreeEnd(True, 0, np.empty(0, U32)), BANK),
}


@pytest.mark.parametrize("case", BAD)
def test_a_peer_that_breaks_the_protocol_is_named(case: str) -> None:
    kind, make, culprit = BAD[case]
    params = TreeParams(num_trees=1, max_depth=2, feature_fraction=1.0)
    # One own column that says nothing, so that the first split is a peer's.
    setup = Case(own=0, theirs=(3,))
    with pytest.raises(PeerError) as caught:
        play(setup, params, backend="plain", tamper=replace_first(kind, make))
    assert caught.value.culprit == culprit
    assert caught.value.code in ("SHAPE", "UNEXPECTED_MESSAGE")


def test_a_split_of_a_column_that_the_tree_does_not_use_is_refused() -> None:
    used: list[int] = []

    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if isinstance(message, TreeStart):
            used.extend(message.features.tolist())
        if isinstance(message, SplitQueries):
            (other,) = set(range(3)) - set(used)
            return tag, SplitQueries(np.full(1, other, U32), np.zeros(1, U8), np.zeros(1, U8)).encode()
        return tag, body

    with pytest.raises(PeerError) as caught:
        play(Case(own=0, theirs=(3,)), TreeParams(num_trees=1, feature_fraction=0.5), backend="plain", tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (BANK, "SHAPE")


@pytest.mark.parametrize("groups", [0, 1, 257])
def test_columns_of_impossible_width_are_refused_on_arrival(groups: int) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != FeatureBins.tag:
            return tag, body
        forged = FeatureBins.proto.FromString(body)
        forged.groups.data = np.full(len(forged.groups.data) // 2, groups, "<u2").tobytes()
        return tag, forged.SerializeToString()

    with pytest.raises(PeerError) as caught:
        play(Case(), TreeParams(num_trees=1), backend="plain", tamper=tamper)
    assert caught.value.code == "ARRAY_INVALID"
