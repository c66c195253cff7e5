"""What linearly homomorphic encryption on ring-LWE costs, as joint logistic regression uses it.

    python benchmarks/rlwe.py [--rows N ...] [--columns N] [--repeat N] > benchmarks/results/rlwe.json

Prints one JSON object a number of rows. Seconds are medians of the repeats, `cpu` processor time of all cores added up
and `seconds` what passed (with others at work only `cpu` means something); seeds are fixed, keys are fresh.

- `key`: making a key; `read_key`: its public part at the other party;
- `encrypt_slots`: 40 vectors of a number a row; `read_slots`: checking them at the other party; `slot_products`: one
  sum of their products with 40 vectors of its own, masked and made fresh; `decrypt_slots`: at the owner again;
- `encrypt_coefficients`: one vector; `inner_products`: with each of the columns; `decrypt_inner`: at the owner again;
- `curve` and `gradient`: the sums of the second and of the third group, both parties together;
- `bytes`: of the key, and of what goes there and back for both. `rss_mib`: the most memory that the process had, both
  parties' arrays in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from alignment import describe

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import SystemRandomness

VECTORS = 40
Result = TypeVar("Result")


class Clock:
    """Medians of what steps take, by name."""

    def __init__(self, repeat: int) -> None:
        self._repeat = repeat
        self.cpu: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def measure(self, name: str, step: Callable[[], Result]) -> Result:
        """Take the step so often; what it gave the last time."""
        taken = []
        for _ in range(self._repeat):
            cpu, start = time.process_time(), time.perf_counter()
            result = step()
            taken.append((time.process_time() - cpu, time.perf_counter() - start))
        self.cpu[name], self.seconds[name] = (statistics.median(column) for column in zip(*taken, strict=True))
        return result

    def total(self, name: str, *steps: str) -> None:
        """The sum of steps, as another one."""
        for figures in (self.cpu, self.seconds):
            figures[name] = sum(figures[step] for step in steps)


def line(rows: int, columns: int, repeat: int) -> dict[str, object]:
    """One number of rows."""
    conditions = describe()
    clock, source, rng = Clock(repeat), SystemRandomness(), np.random.default_rng(1)
    half = rlwe.PLAIN_MODULUS // 2
    secret = clock.measure("key", lambda: rlwe.SecretKey.generate(source))
    sent_key = secret.public.to_bytes()
    public = clock.measure("read_key", lambda: rlwe.PublicKey.from_bytes(sent_key))

    own, others = (rng.integers(-half, half, (VECTORS, rows)) for _ in range(2))
    masks = rlwe.masks(source, 1, rows)
    there = clock.measure("encrypt_slots", lambda: secret.encrypt_slots(own, source)).to_bytes()
    sizes = {"key": sent_key.size, "slots_there": there.size}
    c = clock.measure(
        "read_slots", lambda: rlwe.Ciphertexts.slots_from_bytes(there, public, vectors=VECTORS, rows=rows)
    )
    answer = clock.measure("slot_products", lambda: public.slot_products(c, others[None], masks, source))
    sizes["slots_back"] = answer.to_bytes().size
    found = clock.measure("decrypt_slots", lambda: secret.decrypt_slots(answer))
    few = slice(0, 100)
    expected = (own[:, few].astype(object) * others[:, few]).sum(axis=0) + masks[0, few]
    if ((found[0, few] - expected) % rlwe.PLAIN_MODULUS).any():
        raise AssertionError("other sums of products")

    vector, table = rng.integers(-half, half, (1, rows)), rng.integers(-(2**20), 2**20, (columns, rows))
    masks = rlwe.masks(source, columns)
    one = clock.measure("encrypt_coefficients", lambda: secret.encrypt_coefficients(vector, source))
    sizes["inner_there"] = one.to_bytes().size
    inner = clock.measure("inner_products", lambda: public.inner_products(one, table, masks, source))
    sizes["inner_back"] = inner.to_bytes().size
    totals = clock.measure("decrypt_inner", lambda: secret.decrypt_inner(inner))
    expected_one = sum(int(x) * int(y) for x, y in zip(vector[0], table[0], strict=True)) + int(masks[0])
    if (int(totals[0]) - expected_one) % rlwe.PLAIN_MODULUS:
        raise AssertionError("another inner product")

    clock.total("curve", "encrypt_slots", "read_slots", "slot_products", "decrypt_slots")
    clock.total("gradient", "encrypt_coefficients", "inner_products", "decrypt_inner")
    case: dict[str, object] = {"bench": "rlwe", "rows": rows, "vectors": VECTORS, "columns": columns, "repeat": repeat}
    figures = {
        name: {step: float(f"{value:.4g}") for step, value in of.items()}
        for name, of in (("cpu", clock.cpu), ("seconds", clock.seconds))
    }
    rss = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return case | figures | {"bytes": sizes, "rss_mib": rss, "threads": os.cpu_count()} | conditions


def main() -> None:
    """Measure every number of rows and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 100_000])
    parser.add_argument("--columns", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    for rows in arguments.rows:
        print(json.dumps(line(rows, arguments.columns, arguments.repeat)), flush=True)


if __name__ == "__main__":
    main()
