"""What a tree of joint boosting sends: the formulas of `docs/protocols/boosting.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fedcredit.credit.params import TreeParams
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting import BinnedColumns, FeatureParty, LabelParty
from fedcredit.protocols.effects import Steps
from fedcredit.transport.memory import run_network
from fedcredit.wire.boosting import SplitQueries, SumNodes
from fedcredit.wire.message import message_type

BANK, TAX = PartyId("bank"), PartyId("tax")
MESSAGE_OVERHEAD = 24
"""Bytes at most that protobuf adds to one array: field numbers, length, dtype, shape."""

GROUPS = (8, 5, 16)
N_TRAIN, N_ROUTED = 1200, 300


@dataclass(slots=True)
class Seen:
    """What the messages of one training said, and how large they were."""

    levels: int = 0
    nodes: int = 0
    queries: int = 0
    largest_level: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    kinds: list[tuple[PartyId, str]] = field(default_factory=list)

    def take(self, _: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if isinstance(message, SumNodes) and message.n_nodes:
            self.levels += 1
            self.nodes += message.n_nodes
            self.largest_level = max(self.largest_level, message.n_nodes)
        if isinstance(message, SplitQueries):
            self.queries += message.features.size
        return tag, body

    def turns(self) -> int:
        """How often the link turned around: two make a round trip."""
        senders = [sender for sender, _ in self.kinds]
        return sum(a != b for a, b in pairwise(senders))


def train(params: TreeParams, *, hide_nodes: bool) -> Seen:
    n = N_TRAIN + N_ROUTED
    rng = np.random.default_rng(3)
    codes = np.stack([rng.integers(0, b, n, dtype=np.uint8) for b in GROUPS])
    y = (rng.random(n) < 0.1 + 0.6 * (codes[0] > 3) * (codes[2] > 6)).astype(np.uint8)[:N_TRAIN]
    none, session = BinnedColumns(np.empty((0, n), np.uint8), (), ()), b"m" * 32
    columns = BinnedColumns(codes, GROUPS, (False,) * len(GROUPS))
    label = LabelParty(BANK, (TAX,), session, none, y, params, hide_nodes=hide_nodes)
    feature = FeatureParty(TAX, BANK, session, columns, N_TRAIN, params, hide_nodes=hide_nodes)
    seen = Seen()
    roles = {BANK: one_tree_of_label(label), TAX: one_tree_of_feature(feature)}
    outcome = run_network(roles, insecure_in_process=True, tamper=seen.take)
    of_tree = tree_only(outcome.traffic)
    for sender, _, kind, size in of_tree:
        seen.sent[kind] += size
        seen.messages[kind] += 1
        seen.kinds.append((sender, kind))
    return seen


def one_tree_of_label(party: LabelParty) -> Steps[None]:
    state = yield from party.set_up(insecure_seeded(1))
    yield from party.grow(state, stop=lambda _: 1)


def one_tree_of_feature(party: FeatureParty) -> Steps[None]:
    state = yield from party.set_up(insecure_seeded(2))
    yield from party.grow(state)


def tree_only(traffic: list[tuple[PartyId, PartyId, str, int]]) -> Iterator[tuple[PartyId, PartyId, str, int]]:
    start = next(i for i, row in enumerate(traffic) if row[2] == "TreeStart")
    return iter(traffic[start:])


@pytest.mark.parametrize("hide_nodes", [False, True], ids=["shown", "hidden"])
@pytest.mark.parametrize("bagging", [1.0, 0.5])
def test_traffic_of_a_tree_is_the_documented_formula(hide_nodes: bool, bagging: float) -> None:
    sampled: dict[str, Any] = {} if bagging == 1.0 else {"bagging_fraction": bagging, "bagging_freq": 1}
    seen = train(TreeParams(num_trees=1, max_depth=4, min_data_in_leaf=10, **sampled), hide_nodes=hide_nodes)
    assert seen.levels == 4
    assert seen.queries > 4
    in_bag = seen.sent["Corrections"] / (8 * len(GROUPS))
    data = {
        "NodeSlots": 0 if hide_nodes else 2 * N_TRAIN * seen.levels,
        "Corrections": 8 * len(GROUPS) * N_TRAIN * (seen.nodes if hide_nodes else bagging),
        "GroupSums": 8 * sum(GROUPS) * seen.nodes,
        "SplitQueries": 6 * seen.queries,
        "Sides": seen.queries * -(-(N_TRAIN + N_ROUTED) // 8),
    }
    arrays = {kind: 3 if kind == "SplitQueries" else 1 for kind in data}
    for kind, wanted in data.items():
        if kind == "Corrections" and bagging < 1 and not hide_nodes:
            # The bag is drawn row by row, so its size is only about that share.
            assert in_bag == pytest.approx(bagging * N_TRAIN, rel=0.1)
            continue
        assert 0 <= seen.sent[kind] - wanted <= MESSAGE_OVERHEAD * arrays[kind] * seen.messages[kind], kind
    for kind in ("TreeStart", "SumNodes", "TreeEnd"):
        assert seen.sent[kind] < 100, kind
    assert seen.largest_level <= 1 << (seen.levels - 2)


@pytest.mark.parametrize("hide_nodes", [False, True], ids=["shown", "hidden"])
def test_a_level_is_two_round_trips(hide_nodes: bool) -> None:
    seen = train(TreeParams(num_trees=1, max_depth=3, min_data_in_leaf=10), hide_nodes=hide_nodes)
    # There and back for sums, there and back for sides; the end of the tree is one more way there.
    assert seen.levels == 3
    assert seen.turns() == 4 * seen.levels
