"""A consortium whose nodes can be killed and started again, each at its own address, with failpoints where wanted."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from free_ports import free_port

from fedcredit import failpoints
from fedcredit.errors import PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.events import ENDS
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.runtime.config import load_job
from fedcredit.wire.control import JobEvent

__all__ = ["Town", "town"]

PATIENCE_S = 240.0


class Town(Consortium):
    """`crash` starts a node so that it will die somewhere, `restart` starts it as it was."""

    limits: Mapping[str, float] = {"lost_after_s": 20.0, "peer_timeout_s": 120.0}

    async def end(self, party: PartyId, number: signal.Signals = signal.SIGKILL) -> int:
        """End a node's process; its exit status."""
        child = self.children[party]
        if child.status is None:
            os.kill(child.process.pid, number)
        return await asyncio.wait_for(child.process.wait(), PATIENCE_S)

    async def start(self, party: PartyId, plan: str = "") -> None:
        """Start a node that has ended, with the failpoints of `plan`."""
        if plan:
            os.environ |= {failpoints.ALLOW: "1", failpoints.PLAN: plan}
        try:
            child = await self.children.start(party, self.folder(party), self._log(party))
        finally:
            os.environ.pop(failpoints.PLAN, None)
            os.environ.pop(failpoints.ALLOW, None)
        await self.children.ready(child)

    async def restore(self) -> None:
        """Start every node that has ended, without failpoints."""
        for party in (*self.job.parties, PLATFORM):
            if self.children[party].status is not None:
                await self.start(party)

    async def crash(self, party: PartyId, plan: str) -> None:
        """Start a node anew so that it will die by `plan`."""
        await self.end(party)
        await self.start(party, plan)

    async def died(self, party: PartyId) -> None:
        """Wait until a node has killed itself."""
        assert await asyncio.wait_for(self.children[party].process.wait(), PATIENCE_S) == -signal.SIGKILL

    async def submit(self) -> str:
        """Hand in the town's job; its name. A platform that is away is asked again, with the same request."""
        assert self.operator is not None
        request = secrets.token_hex(16)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await self.operator.submit(self.job.shared(), request)
                except PeerLost:
                    await asyncio.sleep(0.5)

    async def events(self, job: str, after: int = 0) -> AsyncIterator[JobEvent]:
        """What happens, also while the platform is away for a while."""
        assert self.operator is not None
        async with asyncio.timeout(PATIENCE_S + 60):
            async for event in self.operator.watch(job, after, patience_s=PATIENCE_S):
                yield event

    async def until(self, job: str, party: PartyId | None, kind: str, stage: str = "") -> JobEvent:
        """The first event of that kind."""
        async for event in self.events(job):
            if event.kind == kind and party in (None, event.party) and stage in ("", event.stage):
                return event
        raise AssertionError(f"the job ended without {kind} {stage} of {party}")

    async def outcome(self, job: str) -> list[JobEvent]:
        """All events of the job up to its end."""
        return [event async for event in self.events(job)]

    def models(self, job: str) -> dict[str, bytes]:
        """Every party's part of the models, by path."""
        found = {}
        for party in self.job.parties:
            result = self.folder(party) / "jobs" / job / "result"
            for path in sorted(result.rglob("model/**/*")):
                if path.is_file():
                    found[f"{party}/{path.relative_to(result)}"] = path.read_bytes()
        return found

    def metrics(self, job: str) -> dict[str, Any]:
        """The label party's figures."""
        result = self.folder(self.job.receiver) / "jobs" / job / "result"
        found: dict[str, Any] = json.loads((result / "metrics.json").read_text())
        return found

    def _party_file(self, party: PartyId) -> dict[str, Any]:
        return super()._party_file(party) | self._sections()

    def _platform_file(self, addresses: dict[PartyId, str]) -> dict[str, Any]:
        return super()._platform_file(addresses) | self._sections()

    def _sections(self) -> dict[str, Any]:
        # A port that the node finds again when it is started again.
        return {"limits": dict(self.limits), "listen": {"host": "127.0.0.1", "port": free_port()}}


@asynccontextmanager
async def town(job: Path, out: Path, **limits: float) -> AsyncIterator[Town]:
    """A town that is up."""
    made = Town(load_job(job), out)
    made.limits = {**Town.limits, **limits}
    async with made:
        yield made


def final(event: JobEvent) -> bool:
    """Whether it is the job's end."""
    return event.kind == "state" and event.stage in ENDS and event.party == PLATFORM
