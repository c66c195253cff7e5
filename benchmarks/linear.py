"""What one full-batch iteration of the joint logistic regression costs: both parties in one process, no network.

    python benchmarks/linear.py [--repeat N] > benchmarks/results/linear.json
    python benchmarks/linear.py --encryption paillier --repeat 1 --rows 30000 >> benchmarks/results/linear.json

An iteration is one gradient at all parties: partial scores, shared residuals, sums, dot products. Prints one JSON
object a case: `seconds` and `processor` (of all cores together; with others at work it says more) are medians over the
iterations after the first, `bytes` what goes over the wire in one, both ways.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from alignment import describe

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.ids import PartyId
from fedcredit.protocols.linear import Encryption, LinearLabel, LinearPartner, LinearShape
from fedcredit.transport.memory import run_network
from fedcredit.wire.linear import Products

BANK, TAX = PartyId("bank"), PartyId("tax")
CASES = ((30_000, 13, 10), (100_000, 30, 300))


class Enough(Exception):
    """As many iterations as were asked for."""


def iterations(
    rows: int, own: int, theirs: int, repeat: int, encryption: Encryption
) -> Iterator[tuple[float, float, int]]:
    """Seconds, processor seconds and bytes of each iteration after the first."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, own + theirs))
    b = rng.normal(size=own + theirs) / np.sqrt(own + theirs)
    y = (rng.random(rows) < 1 / (1 + np.exp(1 - X @ b))).astype(np.uint8)
    shape = LinearShape(BANK, (TAX,), rows, inference=own + theirs <= 40, encryption=encryption)
    marks: list[tuple[float, float, int]] = []
    sent = [0]

    def watch(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        sent[0] += len(body)
        if tag == Products.tag:
            marks.append((time.perf_counter(), time.process_time(), sent[0]))
            if len(marks) == repeat + 1:
                raise Enough
        return tag, body

    roles = {
        BANK: LinearLabel(shape, X[:, :own], y).steps(SystemRandomness()),
        TAX: LinearPartner(shape, X[:, own:]).steps(SystemRandomness()),
    }
    with contextlib.suppress(Enough):
        run_network(roles, insecure_in_process=True, tamper=watch)
    for before, after in pairwise(marks):
        yield after[0] - before[0], after[1] - before[1], after[2] - before[2]


def main() -> int:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--encryption", choices=("rlwe", "paillier"), default="rlwe")
    parser.add_argument("--rows", type=int, help="one case of so many rows and 13 + 10 columns")
    options = parser.parse_args()
    for rows, own, theirs in ((options.rows, 13, 10),) if options.rows else CASES:
        measured = iterations(rows, own, theirs, options.repeat, options.encryption)
        seconds, processor, sizes = zip(*measured, strict=True)
        print(
            json.dumps(
                {
                    "bench": "linear",
                    "case": {"rows": rows, "columns": own, "peer_columns": theirs, "iterations": len(seconds)}
                    | {"encryption": options.encryption},
                    "seconds": round(statistics.median(seconds), 3),
                    "fastest": round(min(seconds), 3),
                    "processor": round(statistics.median(processor), 3),
                    "bytes": sizes[-1],
                    **describe(),
                }
            ),
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
