"""`fedcredit bench vole`: both sides of a vector oblivious linear evaluation, and its bytes, in one process.

`seconds` is the time inside each side's steps, `processor` the processor time of all threads meanwhile, which says more
on a machine that is busy: `setup` the base transfers, `take` the elements. `bytes` goes over the wire, both ways.
`rss_mib` holds both parties. Rows are elements, so a run of n identifiers takes about 1.25 n.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.jobs import median
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.kernels import gf128
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.vole import Correlation, set_up_receiver, set_up_sender
from fedcredit.transport.memory import run_network

__all__ = ["run"]

ELEMENTS = (130_000, 1_300_000, 13_000_000)
SENDER, RECEIVER = PartyId("sender"), PartyId("receiver")
Spent = dict[str, list[tuple[float, float]]]


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a number of elements."""
    for count in options.rows or ELEMENTS:
        spent: Spent = {}
        sizes = [_once(count, spent) for _ in range(options.repeat)]
        yield {
            "case": {"rows": count},
            "seconds": {what: median([wall for wall, _ in times]) for what, times in spent.items()},
            "processor": {what: median([cpu for _, cpu in times]) for what, times in spent.items()},
            "bytes": sizes[-1],
            "round_trips": 2,
        }


def _once(count: int, spent: Spent) -> int:
    """Both sides' times into `spent`; returns the bytes sent."""
    shape = Correlation(SystemRandomness().bytes(32), SENDER, RECEIVER)
    roles = {SENDER: _send(shape, count, spent), RECEIVER: _receive(shape, count, spent)}
    outcome = run_network(roles, insecure_in_process=True)
    (delta, b), (a, c) = outcome.results[SENDER], outcome.results[RECEIVER]
    gf128.scale_add(a, delta, b)
    if not np.array_equal(b, c):
        raise FedcreditError("bench vole: the relation does not hold")
    return sum(size for *_, size in outcome.traffic)


def _send(shape: Correlation, count: int, spent: Spent) -> Steps[tuple[bytes, Any]]:
    side = yield from _timed(set_up_sender(shape, SystemRandomness()), "setup_sender", spent)
    b = yield from _timed(side.take(count), "take_sender", spent)
    return side.delta, b


def _receive(shape: Correlation, count: int, spent: Spent) -> Steps[Any]:
    side = yield from _timed(set_up_receiver(shape, SystemRandomness()), "setup_receiver", spent)
    return (yield from _timed(side.take(count), "take_receiver", spent))


def _timed(steps: Steps[Any], name: str, spent: Spent) -> Steps[Any]:
    """Run `steps`, counting only the time inside them, not what happens between their effects."""
    wall = cpu = 0.0
    reply = None
    while True:
        begun, processor = time.perf_counter(), time.process_time()
        try:
            effect = steps.send(reply)
        except StopIteration as stop:
            spent.setdefault(name, []).append(
                (wall + time.perf_counter() - begun, cpu + time.process_time() - processor)
            )
            return stop.value
        wall, cpu = wall + time.perf_counter() - begun, cpu + time.process_time() - processor
        reply = yield effect
