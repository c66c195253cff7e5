"""Whether multiplying and hashing take a time that depends on what is secret, as dudect looks for it.

    python benchmarks/constant_time.py [--samples N] > benchmarks/results/constant_time.json

Two classes of secrets, one fixed and of an extreme form, the other random, in random order; each call works on 64
points. A secret is copied to where all secrets go before the clock starts, so that none is nearer than another.
Prints one JSON object a case: `t`, Welch's statistic for the means of both classes being one, over the calls that were
not among the slowest tenth (those were interrupted), and `samples`. Beyond 4.5 in either direction a dependence is as
good as certain; below it none was seen, which is no proof.

Source: O. Reparaz, J. Balasch, I. Verbauwhede: Dude, is my code constant time?, DATE 2017.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from alignment import describe

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels import group

POINTS = 64
RANDOM_SECRETS = 256
BOUND = 4.5

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]


def statistic(first: F64, second: F64) -> float:
    """Welch's t."""
    spread = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return float((first.mean() - second.mean()) / math.sqrt(spread))


def cases() -> Iterator[tuple[str, U8, Callable[[U8], object]]]:
    """A name, secrets of which number 0 is the fixed one, and what to call with one of them."""
    source = insecure_seeded(5)
    points = group.hash_to_group(source.array(POINTS, 16))
    keys = source.scalars(RANDOM_SECRETS + 1)
    # Twice one: its half has no digit but the last.
    keys[0] = np.frombuffer((2).to_bytes(32, "little"), np.uint8)
    items = source.array((RANDOM_SECRETS + 1) * POINTS, 16).reshape(RANDOM_SECRETS + 1, POINTS, 16)
    items[0] = 0
    key = keys[1].tobytes()
    yield "multiply, scalar", keys, lambda secret: group.multiply_times(points, secret.tobytes(), 1)
    yield "multiply, scalar, portable", keys, lambda s: group.multiply_times(points, s.tobytes(), 1, portable=True)
    yield "blind, items", items, lambda secret: group.oprf_blind(secret, key)


def measure(secrets: U8, case: Callable[[U8], object], samples: int) -> tuple[float, int]:
    """The statistic, and over how many calls."""
    rng = np.random.default_rng(6)
    chosen = np.where(rng.random(samples) < 0.5, 0, rng.integers(1, len(secrets), samples))
    times = np.empty(samples)
    here = np.empty_like(secrets[0])
    for i, number in enumerate(chosen.tolist()):
        here[:] = secrets[number]
        start = time.perf_counter_ns()
        case(here)
        times[i] = time.perf_counter_ns() - start
    kept = times <= np.quantile(times, 0.9)
    return statistic(times[kept & (chosen == 0)], times[kept & (chosen != 0)]), int(kept.sum())


def main() -> None:
    """Measure every case and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    arguments = parser.parse_args()
    for name, secrets, case in cases():
        conditions = describe()
        t, samples = measure(secrets, case, arguments.samples)
        line = {"bench": "constant_time", "case": name, "t": round(t, 2), "bound": BOUND, "samples": samples}
        print(json.dumps(line | conditions), flush=True)


if __name__ == "__main__":
    main()
