"""The end of a job at the platform and a cancellation that comes in the same moment: one of them is the job's end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from fedcredit.errors import FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.platform import PlatformNode
from fedcredit.node.rpc import ControlClient
from fedcredit.node.store import JobState, Store
from fedcredit.node.store.faults import StoreFull
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import LimitsSection
from fedcredit.wire.control import Accepted, CancelJob, JobEvent, JobSubmitted, SubmitJob, WatchJob

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


class SilentParty:
    """A party that never answers, but for a cancellation; `asked` is set once it was asked anything."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def call(self, method: str, *_: Any, **__: Any) -> Any:
        if method == "Cancel":
            return Accepted()
        self.asked.set()
        return await asyncio.Event().wait()


class Platform:
    """A platform node whose parties all answer as `party` does, and its operator."""

    def __init__(self, store: Store, party: Any) -> None:
        client, addresses = cast("ControlClient", party), {BANK: "bank:1", TAX: "tax:1"}
        node = PlatformNode(
            PLATFORM, addresses, lambda _: client, store, SystemClock(), LimitsSection(), shut_down=asyncio.Event()
        )
        self._methods = {method.name: method for method in node.methods(())}

    async def call(self, name: str, request: Any) -> Any:
        """The answer to an operator."""
        handle = self._methods[name].handle
        assert handle is not None
        return await handle(PLATFORM, request)

    async def events(self, job: str) -> list[JobEvent]:
        """All that happens in a job until its end."""
        stream = self._methods["WatchAll"].stream
        assert stream is not None
        return [cast("JobEvent", event) async for event in stream(PLATFORM, WatchJob(job, 0))]


class FullDisk:
    """Has no room for the end of a job, so many times."""

    def __init__(self, store: Store, times: int) -> None:
        self._update, self.times, self.refused = store.platform.update, times, asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def update(self, job: str, state: JobState | None = None, **values: Any) -> None:
        """As the store's."""
        if state is not None and state.final and self.times:
            self.times -= 1
            self._loop.call_soon_threadsafe(self.refused.set)
            raise StoreFull(Problem("STORE_FULL", "store", "its disk is full"))
        self._update(job, state, **values)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.at(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.mark.anyio
async def test_a_cancellation_just_after_the_end_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Platform(store, Party())
    ended, told = asyncio.Event(), asyncio.Event()
    update, loop = store.platform.update, asyncio.get_running_loop()

    def slowly(job: str, state: JobState | None = None, **values: Any) -> None:
        update(job, state, **values)
        if state is JobState.FAILED:
            # The end is kept; the platform's own loop has not heard of it when the cancellation comes.
            loop.call_soon_threadsafe(ended.set)
            asyncio.run_coroutine_threadsafe(told.wait(), loop).result(timeout=30)

    monkeypatch.setattr(store.platform, "update", slowly)
    submitted: JobSubmitted = await platform.call("Submit", SubmitJob(canonical(DEFINITION), "once"))
    async with asyncio.timeout(60):
        await ended.wait()
        cancelling = [
            asyncio.create_task(platform.call("CancelAll", CancelJob(submitted.job, "CANCELLED"))) for _ in range(2)
        ]
        await asyncio.sleep(0)  # both have begun
        told.set()
        assert await asyncio.gather(*cancelling) == [Accepted(), Accepted()]
        events = await platform.events(submitted.job)
    assert (events[-1].party, events[-1].stage, events[-1].code) == (PLATFORM, "failed", "MESSAGE_INVALID")
    kept = store.platform.job(submitted.job)
    assert kept is not None
    assert kept.state is JobState.FAILED
    assert await platform.call("CancelAll", CancelJob(submitted.job, "CANCELLED")) == Accepted()
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        update(submitted.job, JobState.CANCELLED)


@pytest.mark.anyio
async def test_an_end_that_a_full_disk_refuses_is_written_as_soon_as_there_is_room(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, disk = Platform(store, Party()), FullDisk(store, 2)
    monkeypatch.setattr(store.platform, "update", disk.update)
    async with asyncio.timeout(60):
        submitted: JobSubmitted = await platform.call("Submit", SubmitJob(canonical(DEFINITION), "once"))
        await disk.refused.wait()
        # It has ended, whatever can be written: nobody can cancel it any more.
        await platform.call("CancelAll", CancelJob(submitted.job, "CANCELLED"))
        events = await platform.events(submitted.job)
    assert (events[-1].stage, events[-1].code, disk.times) == ("failed", "MESSAGE_INVALID", 0)
    kept = store.platform.job(submitted.job)
    assert kept is not None
    assert kept.state is JobState.FAILED


@pytest.mark.anyio
async def test_a_caller_that_hangs_up_does_not_leave_a_job_half_cancelled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = SilentParty()
    platform, disk = Platform(store, party), FullDisk(store, 1)
    monkeypatch.setattr(store.platform, "update", disk.update)
    async with asyncio.timeout(60):
        submitted: JobSubmitted = await platform.call("Submit", SubmitJob(canonical(DEFINITION), "once"))
        await party.asked.wait()
        cancelling = asyncio.create_task(platform.call("CancelAll", CancelJob(submitted.job, "CANCELLED")))
        await disk.refused.wait()
        cancelling.cancel()
        events = await platform.events(submitted.job)
    assert (events[-1].stage, events[-1].code, disk.times) == ("cancelled", "CANCELLED", 0)
