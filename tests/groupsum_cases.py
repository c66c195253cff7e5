"""A group-by-sum played in one process, by any backend, with sums in the clear to compare it with."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedcredit.crypto.paillier import PrivateKey
from fedcredit.crypto.paillier_checks import insecure_profile
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import Assignment
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import Grouping, onehot, paillier, plain
from fedcredit.transport.memory import Outcome, run_network

__all__ = [
    "BACKENDS",
    "BANK",
    "MEMORY",
    "SHORT",
    "SHORT_KEY",
    "TAX",
    "asker",
    "asking",
    "case",
    "holder",
    "holding",
    "in_the_clear",
    "play",
    "shape",
]

BANK, TAX = PartyId("bank"), PartyId("tax")


MEMORY = {"onehot": 1 << 29, "onehot without memory": 0}

BACKENDS = ["plain", *MEMORY, "paillier"]

SHORT = insecure_profile(512)
# In a plaintext three words of 64 bits have room, so that rows take several ciphertexts and sums share one.
SHORT_KEY = PrivateKey.from_primes(
    0xE02FDAA1AD864C44E049548E8A0A8C9632EA6928F6236BF2504B74BA4A0FE75D,
    0xC45DAB24E9813F745813987B92C1FC2DEF72C85372789150808E32C1AFEC042D,
    SHORT,
)


def shape(n_rows: int, groups: tuple[int, ...]) -> Grouping:
    return Grouping(b"s" * 32, BANK, TAX, n_rows, groups)


def asking(grouping: Grouping, backend: str) -> Steps[Any]:
    if backend == "plain":
        return (yield from plain.set_up_asker(grouping, insecure_plain=True))
    if backend == "paillier":
        return (yield from paillier.set_up_asker(grouping, paillier.OwnKey.of(SHORT_KEY, insecure_seeded(1))))
    return (yield from onehot.set_up_asker(grouping, insecure_seeded(1), vector_bytes=MEMORY[backend]))


def holding(grouping: Grouping, codes: Any, backend: str) -> Steps[Any]:
    if backend == "plain":
        return (yield from plain.set_up_holder(grouping, codes, insecure_plain=True))
    if backend == "paillier":
        return (yield from paillier.set_up_holder(grouping, codes, insecure_seeded(2), profile=SHORT))
    return (yield from onehot.set_up_holder(grouping, codes, insecure_seeded(2), vector_bytes=MEMORY[backend]))


def asker(grouping: Grouping, values: Any, at: Assignment, later: Assignment, backend: str) -> Steps[Any]:
    features = tuple(range(len(grouping.groups)))
    side = yield from asking(grouping, backend)
    shared = yield from side.share(0, features, values, at)
    first = yield from side.learn(shared, shared.sums)
    second = yield from side.learn(shared, side.further(shared, later))
    other = yield from side.share(1, features[:1], values[:, :1], at, keep=False)
    third = yield from side.learn(other, other.sums)
    return first, second, third


def holder(
    grouping: Grouping, codes: Any, n_values: int, at: Assignment, later: Assignment, backend: str
) -> Steps[Any]:
    features = tuple(range(len(grouping.groups)))
    side = yield from holding(grouping, codes, backend)
    held = yield from side.take(0, features, n_values, at)
    yield from side.show(held, held.sums)
    yield from side.show(held, side.further(held, later))
    other = yield from side.take(1, features[:1], 1, at, keep=False)
    yield from side.show(other, other.sums)


def case(seed: int, n_rows: int, groups: tuple[int, ...], n_values: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, b, n_rows, dtype=np.uint8) for b in groups])
    values = rng.integers(0, 2**64, (n_rows, n_values), dtype=np.uint64)
    rows = rng.permutation(n_rows).astype(np.uint32)
    at = Assignment(rows, rng.integers(0, 3, n_rows, dtype=np.uint32), 3)
    some = rng.choice(n_rows, max(1, n_rows // 2), replace=False).astype(np.uint32)
    later = Assignment(some, rng.integers(0, 2, len(some), dtype=np.uint32), 2)
    return codes, values, at, later


def in_the_clear(codes: Any, groups: tuple[int, ...], values: Any, at: Assignment) -> Any:
    """values[i] belongs to at.rows[i]; the sums as a plain loop over groups."""
    out = np.zeros((at.n_nodes, values.shape[1], sum(groups)), np.uint64)
    for node in range(at.n_nodes):
        start = 0
        for f, b in enumerate(groups):
            for g in range(b):
                chosen = (codes[f, at.rows] == g) & (at.nodes == node)
                out[node, :, start + g] = values[chosen].sum(axis=0, dtype=np.uint64)
            start += b
    return out


def play(
    seed: int, n_rows: int, groups: tuple[int, ...], n_values: int, backend: str, **how: Any
) -> tuple[Outcome, tuple[Any, ...]]:
    codes, values, at, later = case(seed, n_rows, groups, n_values)
    grouping = shape(n_rows, groups)
    roles = {
        BANK: asker(grouping, values, at, later, backend),
        TAX: holder(grouping, codes, n_values, at, later, backend),
    }
    return run_network(roles, insecure_in_process=True, **how), (codes, values, at, later)
