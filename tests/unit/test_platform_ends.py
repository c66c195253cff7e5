"""The end of a job at the platform and a cancellation that comes in the same moment: one of them is the job's end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from fedcredit.errors import FedcreditError, PeerError
from fedcredit.ids import PartyId
from fedcredit.node.platform import PlatformNode
from fedcredit.node.rpc import ControlClient
from fedcredit.node.specification import canonical
from fedcredit.node.store import JobState, Store
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import LimitsSection
from fedcredit.wire.control import Accepted, CancelJob, JobSubmitted, SubmitJob, WatchJob

PLATFORM, BANK, TAX = PartyId("platform"), PartyId("bank"), PartyId("tax")
DEFINITION = {
    "job": {"name": "job", "purpose": "research"},
    "parties": [{"id": "bank", "role": "label"}, {"id": "tax", "role": "feature"}],
    "intersect": {},
    "split": None,
    "models": [],
}


class Party:
    """A party that refuses whatever it is asked."""

    async def call(self, method: str, *_: Any, **__: Any) -> Any:
        raise PeerError(TAX, method, "broke the protocol", "MESSAGE_INVALID")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.at(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.mark.anyio
async def test_a_cancellation_just_after_the_end_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    party = cast("ControlClient", Party())
    addresses = {BANK: "bank:1", TAX: "tax:1"}
    node = PlatformNode(
        PLATFORM, addresses, lambda _: party, store, SystemClock(), LimitsSection(), shut_down=asyncio.Event()
    )
    methods = {method.name: method for method in node.methods(())}

    async def call(name: str, request: Any) -> Any:
        handle = methods[name].handle
        assert handle is not None
        return await handle(PLATFORM, request)

    ended, told = asyncio.Event(), asyncio.Event()
    update, loop = store.platform.update, asyncio.get_running_loop()

    def slowly(job: str, state: JobState | None = None, **values: Any) -> None:
        update(job, state, **values)
        if state is JobState.FAILED:
            # The end is kept; the platform's own loop has not heard of it when the cancellation comes.
            loop.call_soon_threadsafe(ended.set)
            asyncio.run_coroutine_threadsafe(told.wait(), loop).result(timeout=30)

    monkeypatch.setattr(store.platform, "update", slowly)
    submitted: JobSubmitted = await call("Submit", SubmitJob(canonical(DEFINITION), "once"))
    async with asyncio.timeout(60):
        await ended.wait()
        cancelling = [asyncio.create_task(call("CancelAll", CancelJob(submitted.job, "CANCELLED"))) for _ in range(2)]
        assert await asyncio.gather(*cancelling) == [Accepted(), Accepted()]
        told.set()
        stream = methods["WatchAll"].stream
        assert stream is not None
        events = [event async for event in stream(PLATFORM, WatchJob(submitted.job, 0))]
    assert (events[-1].party, events[-1].stage, events[-1].code) == (PLATFORM, "failed", "MESSAGE_INVALID")
    kept = store.platform.job(submitted.job)
    assert kept is not None
    assert kept.state is JobState.FAILED
    assert await call("CancelAll", CancelJob(submitted.job, "CANCELLED")) == Accepted()
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        update(submitted.job, JobState.CANCELLED)
