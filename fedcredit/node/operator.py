"""An operator's side: submit a job to a platform and follow it to its end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.documents import document_of
from fedcredit.node.events import ENDS
from fedcredit.node.rpc import ControlClient, backoff, remote_error
from fedcredit.transport.grpc import Credentials, GrpcTransport, Keyring
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    JobEvent,
    JobReport,
    JobSubmitted,
    ListJobs,
    ShowJob,
    SubmitJob,
    WatchJob,
)
from fedcredit.wire.usage import LoanOutcomes, UsageReport

__all__ = ["Operator", "error_of_end"]

CALL_TIMEOUT_S = 60.0
ASK_AGAIN_S = 30.0
"""A watch that lasts longer is begun anew from the last event seen, over the newest connection: nobody waits longer on
one that has died without a word."""


class Operator:
    """Talks to one platform, which knows `me` by its certificate. Use `close` at the end."""

    def __init__(self, me: PartyId, credentials: Credentials | Keyring, platform: PartyId, address: str) -> None:
        self._platform = platform
        self._transport = GrpcTransport(me, credentials, peers={platform: address})
        self._client = ControlClient(self._transport.connection(platform), "Platform", platform)
        self._usage = ControlClient(self._transport.connection(platform), "Usage", platform)

    async def submit(self, definition: dict[str, Any], request: str = "") -> str:
        """Hand in a job, `JobFile.shared()`; gives its name.

        The same `request`, a name of the caller's own making, is one job however often it is handed in; so whoever had
        no answer asks again with it.
        """
        submission = SubmitJob(canonical(definition), request or secrets.token_hex(16))
        return (await self._client.call("Submit", submission, JobSubmitted, timeout_s=CALL_TIMEOUT_S)).job

    async def watch(self, job: str, after: int = 0, *, patience_s: float = 0.0) -> AsyncIterator[JobEvent]:
        """What happens in the job at the platform and all parties, up to and with its end.

        A platform that is away for less than `patience_s` is asked again, from the last event seen.
        Raises: PeerLost when it is away for longer.
        """
        loop, pauses = asyncio.get_running_loop(), backoff()
        seen, heard = after, loop.time()
        while True:
            lost = PeerLost(self._platform, "watch", "stopped reporting")
            request, begun = WatchJob(job, seen), loop.time()
            try:
                stream = self._client.stream("WatchAll", request, JobEvent, timeout_s=ASK_AGAIN_S)
                async with contextlib.aclosing(stream) as events:
                    async for event in events:
                        seen, heard, pauses = event.seq, loop.time(), backoff()
                        yield event
                        if event.kind == "state" and event.party == self._platform and event.stage in ENDS:
                            return
            except PeerLost as error:
                lost = error
            if loop.time() - begun >= ASK_AGAIN_S:
                if await self._is_there():
                    heard = loop.time()
                    continue
                heard += ASK_AGAIN_S  # it was silent for so long, not away
            if loop.time() - heard > patience_s:
                raise lost
            await asyncio.sleep(next(pauses))

    async def _is_there(self) -> bool:
        try:
            await self._client.call("List", ListJobs(1), JobReport, timeout_s=ASK_AGAIN_S, attempts=1)
        except FedcreditError:
            return False
        return True

    async def job(self, job: str, *, timeout_s: float = CALL_TIMEOUT_S) -> dict[str, Any]:
        """How a job stands at all its parties, as the platform knows it. Raises RefusedError (JOB_UNKNOWN)."""
        report = await self._client.call("Show", ShowJob(job), JobReport, timeout_s=timeout_s, attempts=1)
        return document_of(self._platform, report.document, dict)

    async def cancel(self, job: str) -> None:
        """Stop the job at all parties."""
        await self._client.call("CancelAll", CancelJob(job, "CANCELLED"), Accepted, timeout_s=CALL_TIMEOUT_S)

    async def report(self, report: UsageReport | LoanOutcomes) -> None:
        """Report to the platform how data were used, or how loans stand. Again: no effect."""
        method = "SendReport" if isinstance(report, UsageReport) else "SendOutcomes"
        await self._usage.call(method, report, Accepted, timeout_s=CALL_TIMEOUT_S)

    async def close(self) -> None:
        """Hang up."""
        await self._transport.close()


def error_of_end(event: JobEvent, step: str = "the job") -> FedcreditError | None:
    """The error that a job's last event stands for, at `step`; None when it succeeded."""
    if event.stage == "succeeded":
        return None
    return remote_error(PartyId(event.party), step, event.code or "INTERNAL", event.exit_status, event.culprit)
