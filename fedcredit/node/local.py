"""A whole consortium on this machine: every party and the platform a process of its own, mutual TLS between them.

    OUT/parties/NAME/     the node's folder: party.toml, store, audit log, and model/, that party's part only
    OUT/logs/NAME.log     what the node had to say
    OUT/...               the result, put there when the job has succeeded (`fedcredit.node.outcome`)

Keys are made for the run and are gone after it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from fedcredit.errors import FedcreditError, PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.operator import Operator, error_of_end
from fedcredit.node.outcome import prepare_folder, publish
from fedcredit.node.pki import Authority, load_credentials, write_keys
from fedcredit.node.processes import Children, read_failure
from fedcredit.runtime.config import JobFile
from fedcredit.runtime.policy_file import POLICY_FILE
from fedcredit.runtime.policy_template import open_policy
from fedcredit.runtime.toml import dump
from fedcredit.wire.control import JobEvent

__all__ = ["OPERATOR", "PLATFORM", "Consortium", "simulate"]

PLATFORM, OPERATOR = PartyId("platform"), PartyId("operator")

LOST_AFTER_S = 30.0
"""On one machine a peer is not away for long: it is there or its process has ended, which is noticed at once."""

Watch = Callable[[JobEvent], None]


async def simulate(job: JobFile, out: Path, watch: Watch | None = None) -> dict[str, Any]:
    """Run `job` with all its parties on this machine and leave the result in `out`; gives metrics.json's content.

    `watch` hears every event of every node. Raises: FedcreditError as the nearest cause, with the problems that the
    party itself wrote down, since on this machine they are all ours.
    """
    prepare_folder(out)
    async with Consortium(job, out) as consortium:
        name = await consortium.run(watch)
        await consortium.stop()
        return publish(job, name, out)


class Consortium:
    """The processes of a local run. Use as an asynchronous context manager; leaving it ends them all."""

    def __init__(self, job: JobFile, out: Path) -> None:
        self.job, self.out = job, out
        self.children = Children()
        self.operator: Operator | None = None
        self._stages: dict[PartyId, str] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def run(self, watch: Watch | None = None) -> str:
        """Submit the job and follow it to its end; its name. Raises FedcreditError when it did not succeed."""
        assert self.operator is not None, "the consortium has been entered"
        name = await self.operator.submit(self.job.shared())
        follow = asyncio.create_task(self._follow(name, watch))
        exited = asyncio.create_task(self.children.first_exit())
        try:
            await asyncio.wait((follow, exited), return_when=asyncio.FIRST_COMPLETED)
            if exited.done() and not follow.done():
                # Its peers notice by themselves; what they say of it is worth a moment, and never the whole story.
                await asyncio.wait((follow,), timeout=2)
                raise self.children.failure_of(exited.result(), self._stage_of(exited.result().party))
            end = follow.result()
        finally:
            follow.cancel()
            exited.cancel()
            await asyncio.gather(follow, exited, return_exceptions=True)
        if (error := error_of_end(end, self._stage_of(PartyId(end.culprit)))) is not None:
            raise self._in_full(name, error)
        return name

    async def stop(self) -> None:
        """End the processes, so that what they have written is complete."""
        await self.children.stop()

    def folder(self, party: PartyId) -> Path:
        """The node's folder of `party`."""
        return self.out / "parties" / party

    async def _start(self) -> None:
        authority = Authority.create()
        (self.out / "logs").mkdir(parents=True, exist_ok=True)
        started = []
        for party in self.job.parties:
            self._write_node(party, authority, self._party_file(party))
            started.append(await self.children.start(party, self.folder(party), self._log(party)))
        addresses = {child.party: await self.children.ready(child) for child in started}
        self._write_node(PLATFORM, authority, self._platform_file(addresses))
        platform = await self.children.start(PLATFORM, self.folder(PLATFORM), self._log(PLATFORM))
        keys = self.out / ".operator"
        write_keys(keys, OPERATOR, authority)
        credentials = load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem", me=OPERATOR)
        self.operator = Operator(OPERATOR, credentials, PLATFORM, await self.children.ready(platform))

    async def _leave(self) -> None:
        try:
            if self.operator is not None:
                await self.operator.close()
        finally:
            await self.children.stop()
            self._forget()

    def _forget(self) -> None:
        """Remove what is secret. Certificates stay: the signatures of the audit logs are checked with them."""
        keys = ("parties/*/keys/*.key", "parties/*/set.key", ".operator/*")
        for key in (path for pattern in keys for path in self.out.glob(pattern)):
            key.unlink(missing_ok=True)
        for filters in self.out.glob("parties/*/filters"):
            shutil.rmtree(filters, ignore_errors=True)  # their keys are in them
        shutil.rmtree(self.out / ".operator", ignore_errors=True)

    async def _follow(self, name: str, watch: Watch | None) -> JobEvent:
        assert self.operator is not None, "the consortium has been entered"
        end: JobEvent | None = None
        async for event in self.operator.watch(name):
            self._note(event)
            if watch is not None:
                watch(event)
            if event.kind == "waiting":
                # Nobody restarts a process of a local run, so there is nothing to wait for.
                culprit = PartyId(event.culprit)
                raise PeerLost(culprit, self._stage_of(culprit), f"out of reach for {event.done} s")
            end = event
        assert end is not None, "a watch ends with the platform's last word"
        return end

    def _note(self, event: JobEvent) -> None:
        if event.kind == "begun":
            self._stages[PartyId(event.party)] = event.stage

    def _stage_of(self, party: PartyId) -> str:
        return self._stages.get(party, "the job")

    def _in_full(self, name: str, error: FedcreditError) -> FedcreditError:
        """`error` with what its party wrote down; peers, and so the platform, were told the code alone."""
        written = (read_failure(self.folder(party) / "jobs" / name) for party in self.job.parties)
        found = [one for one in written if one is not None and one.code == error.code]
        return found[0] if found and not isinstance(error, PeerLost | PeerError) else error

    def _write_node(self, party: PartyId, authority: Authority, tables: dict[str, Any]) -> None:
        folder = self.folder(party)
        write_keys(folder / "keys", party, authority)
        (folder / "party.toml").write_text(dump(tables), encoding="utf-8")
        if party != PLATFORM:
            (folder / POLICY_FILE).write_text(open_policy(), encoding="utf-8")

    def _party_file(self, party: PartyId) -> dict[str, Any]:
        section = self.job.file_table(party)
        table = section.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return {
            "party": {"id": party, "kind": "institution" if section.label is not None else "provider"},
            "listen": {"host": "127.0.0.1", "port": 0},
            "identity": {"authorities": "keys/authorities.pem"},  # one authority made all the parties of this run
            "trust": {"platform": PLATFORM, "operators": [OPERATOR]},
            "limits": {"lost_after_s": LOST_AFTER_S},
            "table": table | {"table": str(self.job.table_path(party))},
        }

    def _platform_file(self, addresses: dict[PartyId, str]) -> dict[str, Any]:
        return {
            "party": {"id": PLATFORM, "kind": "platform"},
            "listen": {"host": "127.0.0.1", "port": 0},
            "identity": {"authorities": "keys/authorities.pem"},  # one authority made all the parties of this run
            "trust": {"platform": PLATFORM, "operators": [OPERATOR]},
            "limits": {"lost_after_s": LOST_AFTER_S},
            "peers": addresses,
        }

    def _log(self, party: PartyId) -> Path:
        return self.out / "logs" / f"{party}.log"
