"""The end of a node's process, within ten seconds of SIGTERM whatever still computes.

First the node is not ready any more and takes no new work, then its jobs stop at what they have kept, then what peers
are owed is delivered, then it hangs up. A kernel that computes for a stopped job does not hold the process: what was
acknowledged is on the disk already, so there is nothing to wait for.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fedcredit import failpoints
from fedcredit.node.rpc import ControlService
from fedcredit.node.serve.health import Health
from fedcredit.observe import logs
from fedcredit.transport.grpc import GrpcTransport

__all__ = ["DRAIN_S", "Running", "drain", "leave_within"]

DRAIN_S = 2.0
"""What peers have to take of what was sent to them before the process ends."""

STOP_S = 5.0
"""What jobs have to write where they stopped."""

SETTLE_S = 1.0
"""What was begun for callers that hung up has to come to its end."""

END_S = 9.0
"""From the signal on; then the process ends where it is, with `CUT_SHORT`."""

LEFTOVER_S = 0.5
"""How long threads may run on after all else is done."""

CUT_SHORT = 75
"""EX_TEMPFAIL: stopped, but not in good order. The next start finds what was acknowledged."""

_log = logs.get("node")


@dataclass(frozen=True, slots=True)
class Running:
    """A node that serves: its port, its calls, its health, and how its work is stopped."""

    transport: GrpcTransport
    control: ControlService
    health: Health
    stop: Callable[[], Awaitable[None]]
    figures: int = 0
    """The port of its figures; 0 if it serves none."""
    questions: int = 0
    """The port where it is asked about single subjects; 0 if it answers none."""


async def drain(running: Running) -> None:
    """Stop in good order, in about eight seconds at most. Then close the store and the audit log."""
    began = time.monotonic()
    leave_within(END_S, CUT_SHORT)
    await running.health.refuse("DRAINING")
    running.control.drain()
    _log.info("node.draining")
    failpoints.hit("node.drain.begun")
    try:
        async with asyncio.timeout(STOP_S):
            await running.stop()
    except TimeoutError:
        _log.warning("node.jobs_cut_short")
    failpoints.hit("node.drain.jobs_stopped")
    await running.transport.close()
    await running.control.settle(SETTLE_S)
    await running.health.stop()
    _log.info("node.stopped", seconds=round(time.monotonic() - began, 3))


def leave_within(seconds: float, status: int = 0) -> None:
    """End the process with `status` after `seconds`, unless it has ended by then."""
    timer = threading.Timer(seconds, _leave, (status,))
    timer.daemon = True
    timer.start()


def _leave(status: int) -> None:
    _log.warning("node.left_at_once", status=status)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
