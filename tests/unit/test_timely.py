"""A call that carries the time and took long says nothing about the clocks."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fedcredit.errors import FedcreditError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.rpc import ControlClient
from fedcredit.node.timely import PROMPT_S, timely_call
from fedcredit.wire.control import Accepted, ProposeJob

pytestmark = pytest.mark.anyio


class Peer:
    """Answers a call with `code`, or well, after `seconds` by a clock of its own."""

    peer = PartyId("tax")

    def __init__(self, seconds: float, code: str = "") -> None:
        self.now, self._seconds, self._code = 0.0, seconds, code

    async def call(self, *_: Any, **__: Any) -> Accepted:
        self.now += self._seconds
        if self._code:
            raise RefusedError(Problem(self._code, "platform", "seems wrong"))
        return Accepted()


async def propose(peer: Peer) -> Accepted:
    client = cast(ControlClient, peer)
    request = ProposeJob(b"{}", b"{}", 0)
    return await timely_call(client, "Propose", request, Accepted, timeout_s=9, now=lambda: peer.now)


@pytest.mark.parametrize(
    ("seconds", "code", "expected"),
    [
        (PROMPT_S, "CLOCK_SKEW", RefusedError),
        (PROMPT_S + 0.1, "CLOCK_SKEW", PeerLost),
        (PROMPT_S + 0.1, "POLICY_REFUSED", RefusedError),
    ],
)
async def test_only_a_prompt_answer_says_that_clocks_are_apart(
    seconds: float, code: str, expected: type[FedcreditError]
) -> None:
    with pytest.raises(FedcreditError) as found:
        await propose(Peer(seconds, code))
    assert type(found.value) is expected


async def test_a_late_answer_is_an_answer() -> None:
    assert await propose(Peer(60.0)) == Accepted()
