"""What a group-by-sum sends, to the byte: the formulas of `docs/protocols/groupsum.md`.

Data is exact; what protobuf adds to a message is bounded here, what the frame adds is the transport's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import Assignment
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import Grouping, onehot
from fedcredit.transport.memory import run_network

BANK, TAX = PartyId("bank"), PartyId("tax")
MESSAGE_OVERHEAD = 24
"""Bytes at most that protobuf adds to the data of one message: field numbers, lengths, dtype, shape."""

CHUNK_BYTES = 1 << 20

Sizes = tuple[int, tuple[int, ...], int, int, int]


def depth(groups: int) -> int:
    return int(np.ceil(np.log2(groups)))


def expected(sizes: Sizes) -> dict[str, tuple[str, int]]:
    """Of each message type: who sends it, and how many bytes of data in all."""
    n, groups, values, m, nodes = sizes
    depths = [depth(b) for b in groups]
    return {
        "TransferKey": (TAX, 32),
        "TransferChoices": (BANK, 128 * 2 * 32),
        "SeedSums": (TAX, 128 * 2 * 16),
        "ChoiceCorrections": (TAX, sum(512 * -(-n * d // 128) for d in depths)),
        "LevelSums": (BANK, sum(16 * n * (d - 1) for d in depths)),
        "Corrections": (BANK, 8 * values * len(groups) * m),
        # The first assignment, and then another with one node.
        "GroupSums": (TAX, 8 * values * sum(groups) * (nodes + 1)),
    }


def asker(shape: Grouping, values: Any, at: Assignment, later: Assignment) -> Steps[None]:
    side = yield from onehot.set_up_asker(shape, insecure_seeded(1))
    shared = yield from side.share(0, tuple(range(len(shape.groups))), values, at)
    yield from side.learn(shared, shared.sums)
    yield from side.learn(shared, side.further(shared, later))


def holder(shape: Grouping, codes: Any, n_values: int, at: Assignment, later: Assignment) -> Steps[None]:
    side = yield from onehot.set_up_holder(shape, codes, insecure_seeded(2))
    held = yield from side.take(0, tuple(range(len(shape.groups))), n_values, at)
    yield from side.show(held, held.sums)
    yield from side.show(held, side.further(held, later))


def traffic(sizes: Sizes) -> list[tuple[PartyId, PartyId, str, int]]:
    n, groups, n_values, m, nodes = sizes
    rng = np.random.default_rng(1)
    codes = np.stack([rng.integers(0, b, n, dtype=np.uint8) for b in groups])
    values = rng.integers(0, 2**64, (m, n_values), dtype=np.uint64)
    rows = np.sort(rng.choice(n, m, replace=False)).astype(np.uint32)
    at = Assignment(rows, rng.integers(0, nodes, m, dtype=np.uint32), nodes)
    later = Assignment(rows[: m // 2], np.zeros(m // 2, np.uint32), 1)
    shape = Grouping(b"s" * 32, BANK, TAX, n, groups)
    roles = {BANK: asker(shape, values, at, later), TAX: holder(shape, codes, n_values, at, later)}
    return run_network(roles, insecure_in_process=True).traffic


CASES: list[Sizes] = [
    (1, (2,), 1, 1, 1),
    (127, (2, 3), 2, 100, 3),
    (1000, (32,), 1, 1000, 1),
    (1000, (5, 33, 256), 3, 700, 4),
    (30_000, (32, 32), 8, 20_000, 8),
]


@pytest.mark.parametrize("sizes", CASES, ids=str)
def test_traffic_is_the_documented_formula(sizes: Sizes) -> None:
    sent, messages = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for source, _, kind, size in traffic(sizes):
        sent[kind, source] += size
        messages[kind, source] += 1
        assert size <= CHUNK_BYTES + MESSAGE_OVERHEAD
    wanted = expected(sizes)
    assert set(sent) == {(kind, sender) for kind, (sender, _) in wanted.items()}
    for kind, (sender, data) in wanted.items():
        assert 0 <= sent[kind, sender] - data <= MESSAGE_OVERHEAD * messages[kind, sender], kind
        # Small messages would pay the overhead more often than the page says.
        assert messages[kind, sender] <= 2 * len(sizes[1]) + data // (CHUNK_BYTES // 16), kind


def test_a_row_and_feature_of_32_groups_costs_84_bytes_once_and_8_a_round() -> None:
    """The figure that plans are made with: 4 d + 16 (d - 1) for d = 5 levels, and one ring element."""
    n = 128 * 100
    sent = Counter[str]()
    for _, _, kind, size in traffic((n, (32,), 1, n, 1)):
        sent[kind] += size
    setup, round_ = sent["ChoiceCorrections"] + sent["LevelSums"], sent["Corrections"]
    assert setup == pytest.approx(84 * n, rel=0.001)
    assert round_ == pytest.approx(8 * n, rel=0.001)
