"""F25: one peer floods a node with streams, metadata, calls and pings; the others hardly notice.

The flood comes from this machine, which has other work too, so the node's answers under a flood of its own are compared
with its answers while the same flood goes to somebody else.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from e2e.conftest import ROOT
from faults.desk import Desk, desk_in
from faults.flood import BEGUN
from faults.town import BANK, REGISTRY, TAX, Town

from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM
from fedcredit.wire.control import HealthReply, HealthRequest

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

N = 200
REFUSED = {
    "streams": {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE", "OK"},
    "metadata": {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"},
    "calls": {"RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "UNAVAILABLE", "DEADLINE_EXCEEDED"},
}


@asynccontextmanager
async def flooded(town: Town, victim: PartyId, kind: str) -> AsyncIterator[dict[str, int]]:
    """Registry floods `victim`; at the end: how its calls ended."""
    ends: dict[str, int] = {}
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, "tests/faults/flood.py", town.nodes[REGISTRY].folder / "keys", REGISTRY),
        *(town.addresses[victim], victim, kind),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert flood.stdin is not None
    assert flood.stdout is not None
    try:
        assert await flood.stdout.readline() == b"flooding\n"
        await asyncio.sleep(1)
        yield ends
        flood.stdin.close()
        ends.update(json.loads(await asyncio.wait_for(flood.stdout.readline(), 60)))
    finally:
        if flood.returncode is None:
            flood.kill()
        await flood.wait()


async def answers(desk: Desk) -> list[float]:
    """How long the bank takes to answer the platform, in order."""
    client = desk.client(PLATFORM, BANK)
    await client.call("Health", HealthRequest(), HealthReply, timeout_s=30)
    spent = []
    for _ in range(N):
        begun = time.perf_counter()
        await client.call("Health", HealthRequest(), HealthReply, timeout_s=30)
        spent.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
    return sorted(spent)


def memory(town: Town) -> float:
    pid = next(pid for pid, party in town.pids().items() if party == BANK)
    return psutil.Process(pid).memory_info().rss / 2**20


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_flood_by_one_peer_hardly_delays_the_others(
    town: Town, oracle: dict[str, bytes], kind: str, record_property: Any
) -> None:
    async with desk_in(town) as desk:
        async with flooded(town, TAX, kind):
            elsewhere = await answers(desk)
        before = memory(town)
        async with flooded(town, BANK, kind) as ends:
            here = await answers(desk)
        grown = memory(town) - before
    medians = statistics.median(here), statistics.median(elsewhere)
    worst = here[int(0.98 * N)], elsewhere[int(0.98 * N)]
    figures = {"median": medians, "p98": worst, "ends": ends, "grown_mib": grown}
    record_property("flood", figures)
    assert ends.pop(BEGUN) > 50, "a flood"
    assert set(ends) <= REFUSED[kind]
    # Twice, and a little for what shares the machine.
    assert medians[0] <= 2 * medians[1] + 0.01, figures
    assert worst[0] <= 2 * worst[1] + 0.05, figures
    assert grown < 128, figures
    job = await town.submit()
    assert (await town.end(job)).stage == "succeeded"
    assert town.result(job) == oracle
