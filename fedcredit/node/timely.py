"""Calls that carry the platform's clock, which a party compares with its own before it takes anything else in.

A call may stand for a minute in a machine that has other work. What it then brings is an old time, not a wrong clock.
Only who sent it knows which: it took long. Such an answer is none; the call is made again, with the time as it is then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.node.rpc import ControlClient
from fedcredit.wire.message import Message

__all__ = ["CLOCK_SKEW", "PROMPT_S", "timely_call"]

CLOCK_SKEW = "CLOCK_SKEW"
PROMPT_S = 1.0
"""An answer within this says how far the clocks are apart, give or take as much."""

M = TypeVar("M", bound=Message)


async def timely_call(
    client: ControlClient,
    method: str,
    request: Message,
    reply: type[M],
    *,
    timeout_s: float,
    now: Callable[[], float] = time.monotonic,
) -> M:
    """The reply to `request`, which was made just now and may tell the time.

    Raises: as `ControlClient.call`; PeerLost, to ask again, when the clocks seemed apart to a party whose answer took
    longer than `PROMPT_S`.
    """
    begun = now()
    try:
        return await client.call(method, request, reply, timeout_s=timeout_s)
    except FedcreditError as error:
        if error.code == CLOCK_SKEW and (seconds := now() - begun) > PROMPT_S:
            slow = f"took {seconds:.0f} s to compare its clock with ours, which says nothing about the clocks"
            raise PeerLost(client.peer, method, slow) from None
        raise
