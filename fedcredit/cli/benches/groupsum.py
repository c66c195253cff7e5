"""`fedcredit bench groupsum`: the group-by-sum kernels of both sides, and its bytes, in one process.

What a round costs each side without a network: `setup` and `round` (the first level of a tree, with its corrections)
and `level` (half of the rows again, as a later level). Settings: features, bins, values, backend (onehot, paillier).
Under Paillier what the asker decrypts is its own figure, `opened`, and the holder's part of an opening is `shown`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.jobs import median
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import Problem, UsageError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import Assignment
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import Grouping, onehot, paillier
from fedcredit.transport.memory import run_network

__all__ = ["run"]

CASES = tuple({"rows": n, "features": f, "bins": b} for n in (30_000, 150_000) for f in (5, 10) for b in (8, 32))
ASKER, HOLDER = PartyId("asker"), PartyId("holder")


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    backend = options.settings.get("backend", "onehot")
    if backend not in ("onehot", "paillier"):
        raise UsageError(Problem("USAGE", f"--set backend={backend}", "no such backend", "onehot or paillier"))
    given = {name: int(options.number(name, 0)) for name in options.settings if name != "backend"}
    cases = [{"rows": n, "features": 10, "bins": 32} for n in options.rows] or list(CASES)
    for case in cases:
        found = _measure({"values": 1} | case | given, options.repeat, backend)
        yield found | {"case": found["case"] | {"backend": backend}}


def _measure(case: dict[str, int], repeat: int, backend: str) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    n, features = case["rows"], case["features"]
    shape = Grouping(rng.bytes(32), ASKER, HOLDER, n, (case["bins"],) * features)
    codes = rng.integers(0, case["bins"], (features, n), dtype=np.uint8)
    values = rng.integers(0, 2**64, (n, case["values"]), dtype=np.uint64)
    half = Assignment(
        np.sort(rng.choice(n, n // 2, replace=False)).astype(np.uint32), rng.integers(0, 4, n // 2, dtype=np.uint32), 4
    )
    spent: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    for _ in range(repeat):
        roles = {
            ASKER: _ask(shape, values, half, spent, backend),
            HOLDER: _hold(shape, codes, case["values"], half, spent, backend),
        }
        outcome = run_network(roles, insecure_in_process=True)
        kinds = sorted({name for *_, name, _ in outcome.traffic} - {"TransferKey", "TransferChoices", "SeedSums"})
        sizes = {kind: sum(size for *_, name, size in outcome.traffic if name == kind) for kind in kinds}
    return {
        "case": case,
        "seconds": {what: median(times) for what, times in spent.items()},
        "ns_per_row_feature": {
            what: round(1e9 * median(times) / (n * features) * (2 if "level" in what else 1), 1)
            for what, times in spent.items()
        },
        "bytes": sizes,
        "round_trips": {"setup": 2 if backend == "onehot" else 1, "round": 1, "level": 1},
    }


def _asking(shape: Grouping, backend: str) -> Steps[Any]:
    if backend == "onehot":
        return (yield from onehot.set_up_asker(shape, SystemRandomness()))
    return (yield from paillier.set_up_asker(shape, paillier.OwnKey.fresh(SystemRandomness())))


def _holding(shape: Grouping, codes: Any, backend: str) -> Steps[Any]:
    set_up = onehot.set_up_holder if backend == "onehot" else paillier.set_up_holder
    return (yield from set_up(shape, codes, SystemRandomness()))


def _ask(shape: Grouping, values: Any, half: Assignment, spent: dict[str, list[float]], backend: str) -> Steps[None]:
    asker = yield from _timed(_asking(shape, backend), "setup_asker", spent)
    everything = tuple(range(len(shape.groups)))
    at = Assignment.whole(shape.n_rows)
    shared = yield from _timed(asker.share(0, everything, values, at), "round_asker", spent)
    yield from _timed(asker.learn(shared, shared.sums), "opened_asker", spent)
    begun = time.perf_counter()
    share = asker.further(shared, half)
    spent.setdefault("level_asker", []).append(time.perf_counter() - begun)
    yield from asker.learn(shared, share)


def _hold(
    shape: Grouping, codes: Any, n_values: int, half: Assignment, spent: dict[str, list[float]], backend: str
) -> Steps[None]:
    holder = yield from _timed(_holding(shape, codes, backend), "setup_holder", spent)
    everything = tuple(range(len(shape.groups)))
    at = Assignment.whole(shape.n_rows)
    held = yield from _timed(holder.take(0, everything, n_values, at), "round_holder", spent)
    yield from _timed(holder.show(held, held.sums), "shown_holder", spent)
    begun = time.perf_counter()
    share = holder.further(held, half)
    spent.setdefault("level_holder", []).append(time.perf_counter() - begun)
    yield from holder.show(held, share)


def _timed(steps: Steps[Any], name: str, spent: dict[str, list[float]]) -> Steps[Any]:
    """Run `steps`, counting only the time inside them, not what happens between their effects."""
    total, reply = 0.0, None
    while True:
        begun = time.perf_counter()
        try:
            effect = steps.send(reply)
        except StopIteration as stop:
            spent.setdefault(name, []).append(total + time.perf_counter() - begun)
            return stop.value
        total += time.perf_counter() - begun
        reply = yield effect
