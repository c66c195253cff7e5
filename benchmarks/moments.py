"""What correlations over two parties cost: both parties in one process, no network.

    python benchmarks/moments.py [--repeat N] > benchmarks/results/moments.json

Prints one JSON object a case: `seconds` of both parties one after the other, each on all cores; `processor` of all
cores together, for each party apart (with others at work it says more); medians over the repeats; `bytes` what goes
over the wire, both ways.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Generator
from typing import Any

import numpy as np
from alignment import describe

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.moments import MomentsFeature, MomentsLabel, MomentsShape
from fedcredit.transport.memory import run_network

BANK, TAX = PartyId("bank"), PartyId("tax")
CASES = ((30_000, 13, 10), (100_000, 40, 40))


def timed(steps: Steps[Any], spent: list[float]) -> Generator[Any, Any, Any]:
    """The same steps, their processor seconds added up in `spent`."""
    answer = None
    while True:
        before = time.process_time()
        try:
            effect = steps.send(answer)
        except StopIteration as end:
            spent[0] += time.process_time() - before
            return end.value
        spent[0] += time.process_time() - before
        answer = yield effect


def once(rows: int, own: int, theirs: int) -> tuple[float, float, float, int]:
    """Seconds, processor seconds of either party, bytes."""
    X = np.random.default_rng(0).normal(size=(rows, own + theirs))
    shape = MomentsShape(BANK, (TAX,), rows)
    spent = {BANK: [0.0], TAX: [0.0]}
    roles = {
        BANK: timed(MomentsLabel(shape, X[:, :own]).steps(SystemRandomness()), spent[BANK]),
        TAX: timed(MomentsFeature(shape, TAX, X[:, own:]).steps(SystemRandomness()), spent[TAX]),
    }
    begun = time.perf_counter()
    outcome = run_network(roles, insecure_in_process=True)
    seconds = time.perf_counter() - begun
    return seconds, spent[BANK][0], spent[TAX][0], sum(size for *_, size in outcome.traffic)


def main() -> int:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    for rows, own, theirs in CASES:
        seconds, label, peer, sizes = zip(*(once(rows, own, theirs) for _ in range(options.repeat)), strict=True)
        line = {
            "bench": "moments",
            "case": {"rows": rows, "columns": own, "peer_columns": theirs, "runs": len(seconds)},
            "seconds": round(statistics.median(seconds), 3),
            "fastest": round(min(seconds), 3),
            "processor": {"label": round(statistics.median(label), 3), "peer": round(statistics.median(peer), 3)},
            "bytes": sizes[-1],
            **describe(),
        }
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
