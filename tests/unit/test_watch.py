"""An operator's watch of a job: it outlives a line that says nothing any more, and names a platform that is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from fedcredit.errors import PeerLost
from fedcredit.ids import PartyId
from fedcredit.node import operator
from fedcredit.node.operator import Operator
from fedcredit.wire.control import JobEvent, JobReport, WatchJob

pytestmark = pytest.mark.anyio
PLATFORM = PartyId("platform")


def event(seq: int, stage: str) -> JobEvent:
    return JobEvent(seq, PLATFORM, "job", "state", stage, 0, 0, "", 0, "", b"", 0)


class Client:
    """Tells what happens on one line after another; a line without an end goes silent, until the deadline."""

    def __init__(self, *lines: list[JobEvent], there: bool = True) -> None:
        self._lines, self._there = list(lines), there
        self.asked: list[int] = []

    async def stream(self, method: str, request: WatchJob, *_: Any, timeout_s: float) -> AsyncIterator[JobEvent]:
        self.asked.append(request.after)
        for told in self._lines.pop(0):
            yield told
        raise PeerLost(PLATFORM, method, "did not answer in time")

    async def call(self, method: str, *_: Any, **__: Any) -> JobReport:
        if not self._there:
            raise PeerLost(PLATFORM, method, "cannot be reached")
        return JobReport(b"[]")


def watching(client: Client) -> Operator:
    made = object.__new__(Operator)
    made._platform, made._client = PLATFORM, cast(Any, client)
    return made


async def test_a_line_that_is_silent_is_asked_again_from_the_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "ASK_AGAIN_S", 0.0)
    client = Client([event(3, "running")], [], [event(5, "succeeded")])
    seen = [told.seq async for told in watching(client).watch("job")]
    assert seen == [3, 5]
    assert client.asked == [0, 3, 3]


@pytest.mark.parametrize("again_s", [0.0, 60.0])
async def test_a_platform_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch, again_s: float) -> None:
    monkeypatch.setattr(operator, "ASK_AGAIN_S", again_s)
    with pytest.raises(PeerLost):
        _ = [told async for told in watching(Client([event(3, "running")], there=again_s > 0)).watch("job")]
