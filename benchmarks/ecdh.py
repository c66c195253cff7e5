"""How close mode `ecdh` of the intersection comes to the multiplications it is made of.

    python benchmarks/ecdh.py [--rows N ...] [--repeat N] > benchmarks/results/ecdh.json

Two parties with as many rows each, half of them shared, both learn, in one process without a network: what a party
spends beyond that in a real job is reading, sending and checking, which the other benchmarks have. Prints one JSON
object a size: `seconds` and `cpu_seconds` of a party (half of what both take), and in microseconds of processor time

- `multiplication_us`: one point times a scalar, alone. Twenty multiplications between one decoding and one encoding,
  less one, over 19;
- `portable_us`: the same by curve25519-dalek, one point at a time, in its best form for this processor;
- `check_us`, `hash_us`, `blind_us`, `multiply_us`, `finalize_us`, `evaluate_us`: decoding; hash-to-group with encoding;
  the OPRF's steps, bytes to bytes;

and as shares of a party's processor time `multiplication_share`, the two multiplications an item alone,
`multiply_share`, the same from bytes to bytes, as every party has to do them, and `oprf_share`, the steps of the OPRF.
`portable_ratio` says how many times as long two multiplications an item would have taken by themselves with
curve25519-dalek. All cores work; seeds are fixed; medians of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from alignment import codes, describe

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import party_id
from fedcredit.kernels import group
from fedcredit.protocols.intersect import IntersectHolder, IntersectReceiver
from fedcredit.transport.memory import run_network

Ids: TypeAlias = npt.NDArray[np.bytes_]

SSID = bytes(range(32))
BANK, TAX = party_id("bank"), party_id("tax")
TIMES = 20
PIECES_OF = 100_000
"""Items that the single steps are measured with, at most."""
MICRO = 1_000_000


def intersect(ids: Ids, n: int) -> None:
    """Both parties of one run, the first and the last `n` of `ids`."""
    receiver = IntersectReceiver(
        me=BANK, holders=(TAX,), ssid=SSID, ids=ids[:n], randomness=insecure_seeded(1), mode="ecdh"
    )
    holder = IntersectHolder(
        me=TAX, receiver=BANK, others=(), ssid=SSID, ids=ids[-n:], randomness=insecure_seeded(2), mode="ecdh"
    )
    outcome = run_network({BANK: receiver.steps(), TAX: holder.steps()}, insecure_in_process=True)
    if len(outcome.results[BANK].rows) != 2 * n - len(ids):
        raise AssertionError("another number of common rows")


def measured(case: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Median seconds and seconds of processor time."""
    seconds, cpu = [], []
    for turn in range(repeat + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        case()
        if turn:  # the first one warms up
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
    return statistics.median(seconds), statistics.median(cpu)


def pieces(n: int, repeat: int) -> dict[str, float]:
    """Microseconds of processor time an item."""
    source = insecure_seeded(3)
    items, key = source.array(n, 16), source.scalar()
    points = group.oprf_blind(items, key)
    some = points[: min(n, 10_000)]

    def cost(case: Callable[[], object], rows: int = n) -> float:
        return measured(case, repeat)[1] / rows * MICRO

    def alone(portable: bool) -> float:
        many, one = (
            cost(lambda times=times: group.multiply_times(some, key, times, portable=portable), len(some))
            for times in (TIMES, 1)
        )
        return (many - one) / (TIMES - 1)

    return {
        "multiplication_us": alone(portable=False),
        "portable_us": alone(portable=True),
        "check_us": cost(lambda: group.check_points(points)),
        "hash_us": cost(lambda: group.hash_to_group(items)),
        "multiply_us": cost(lambda: group.multiply(points, key)),
        "blind_us": cost(lambda: group.oprf_blind(items, key)),
        "evaluate_us": cost(lambda: group.oprf_evaluate(items, key, width=32)),
        "finalize_us": cost(lambda: group.oprf_finalize(items, points, key, width=32)),
    }


def line(n: int, repeat: int) -> dict[str, object]:
    """One size."""
    conditions = describe()
    ids = codes(n + n // 2)
    seconds, cpu = (both / 2 for both in measured(lambda: intersect(ids, n), repeat))
    costs = pieces(min(n, PIECES_OF), repeat)
    item = cpu / n * MICRO
    steps = sum(costs[step] for step in ("blind_us", "multiply_us", "finalize_us", "evaluate_us")) / 2
    return {
        "bench": "ecdh",
        "rows": n,
        "seconds": round(seconds, 4),
        "cpu_seconds": round(cpu, 4),
        **{name: round(value, 2) for name, value in costs.items()},
        "multiplication_share": round(2 * costs["multiplication_us"] / item, 3),
        "multiply_share": round(2 * costs["multiply_us"] / item, 3),
        "oprf_share": round(steps / item, 3),
        "portable_ratio": round(2 * costs["portable_us"] / item, 3),
        "threads": os.cpu_count(),
        **conditions,
    }


def main() -> None:
    """Measure every size and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    for n in arguments.rows:
        print(json.dumps(line(n, arguments.repeat)), flush=True)


if __name__ == "__main__":
    main()
