"""The way from a command to the node of a folder on this machine, and with its identity to its platform.

The folder holds the node's key, and the node answers whoever shows it: to read the key is to operate the node.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from fedcredit.errors import ConfigError, FedcreditError, PeerLost, Problem
from fedcredit.ids import PartyId
from fedcredit.node.documents import document_of
from fedcredit.node.operator import Operator
from fedcredit.node.rpc import ControlClient
from fedcredit.node.serve.health import ask_health
from fedcredit.node.trust.keys import following_keyring, platform_address
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile, load_party
from fedcredit.transport.connections import Connection
from fedcredit.transport.limits import Limits
from fedcredit.wire.control import Accepted, ApproveJob, CancelJob, JobReport, ListJobs, ShowJob
from fedcredit.wire.message import Message

__all__ = ["NODE_VARIABLE", "OwnNode", "node_of", "ready_address"]

M = TypeVar("M", bound=Message)

NODE_VARIABLE = "FEDCREDIT_NODE"
CALL_TIMEOUT_S = 20.0
LIST_LIMIT = 200


def node_of(folder: Path | None) -> PartyFile:
    """The node that a command is about: of `folder`, else of $FEDCREDIT_NODE, else of the current folder.

    Raises: ConfigError (NODE_UNKNOWN) when there is none; what is wrong with its party.toml.
    """
    named = folder or (Path(variable) if (variable := os.environ.get(NODE_VARIABLE)) else None)
    if named is None and not Path("party.toml").exists():
        what, fix = "no node was named, and there is no party.toml here", f"give --node DIR, or set {NODE_VARIABLE}"
        raise ConfigError(Problem("NODE_UNKNOWN", str(Path.cwd()), what, fix))
    return load_party(named or Path())


def ready_address(folder: Path) -> str | None:
    """Where the running node of `folder` answers its own people; None if it does not say so."""
    try:
        ready = json.loads((folder / "ready.json").read_bytes())
        return str(ready.get("local") or ready["address"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


class OwnNode:
    """The running node of a folder. Use as an asynchronous context manager.

    At a platform, jobs are those of all parties; at a party, its own part of them.
    """

    def __init__(self, config: PartyFile) -> None:
        self.config, self.me = config, config.me
        self.is_platform = config.party.kind == "platform"
        self._keyring = following_keyring(config, SystemClock())
        self._connection: Connection | None = None
        self._platform: Operator | None = None

    async def jobs(self) -> list[dict[str, Any]]:
        """A line about each job, newest first."""
        return document_of(self.me, await self._document("List", ListJobs(LIST_LIMIT)), list)

    async def job(self, job: str) -> dict[str, Any]:
        """What the node knows of a job. Raises RefusedError (JOB_UNKNOWN)."""
        return document_of(self.me, await self._document("Show", ShowJob(job)), dict)

    async def approve(self, job: str, by: str, *, refuse: bool = False, reason: str = "") -> None:
        """Let a pending job in, or turn it down."""
        await self._call("Approve", ApproveJob(job, by[:128], refuse, reason[:200]), Accepted)

    async def cancel(self, job: str) -> None:
        """Stop the job, at a party its own part of it, which ends it for all."""
        method = "CancelAll" if self.is_platform else "CancelOwn"
        await self._call(method, CancelJob(job, "CANCELLED"), Accepted)

    async def health(self) -> tuple[bool, tuple[str, ...]]:
        """Whether the node takes work, and the codes of what keeps it from that. Raises ConfigError (NODE_DOWN)."""
        try:
            return await ask_health(self._way())
        except PeerLost:
            raise self._down("does not answer") from None

    def platform(self) -> Operator:
        """The way to this party's platform. Raises ConfigError (PEER_UNKNOWN)."""
        if self._platform is None:
            platform = PartyId(self.config.trust.platform)
            known = platform_address(self.config)
            if known is None:
                fix = f'add {platform} = "HOST:PORT" to [peers] of party.toml'
                raise ConfigError(Problem("PEER_UNKNOWN", f"platform {platform}", "no address is known", fix))
            self._platform = Operator(self.me, self._keyring, *known)
        return self._platform

    def check_running(self) -> None:
        """Raises ConfigError (NODE_DOWN) unless the node says that it runs."""
        self._address()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()
        if self._platform is not None:
            await self._platform.close()

    async def _document(self, method: str, request: Message) -> bytes:
        return (await self._call(method, request, JobReport)).document

    async def _call(self, method: str, request: Message, reply: type[M]) -> M:
        client = ControlClient(self._way(), "Platform" if self.is_platform else "Party", self.me)
        try:
            return await client.call(method, request, reply, timeout_s=CALL_TIMEOUT_S)
        except FedcreditError as error:
            if error.code == "PEER_LOST":
                raise self._down("does not answer") from None
            raise

    def _way(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self.me, self._address(), self._keyring, Limits())
        return self._connection

    def _address(self) -> str:
        if (address := ready_address(self.config.folder)) is None:
            raise self._down("does not run")
        return address

    def _down(self, what: str) -> ConfigError:
        folder = self.config.folder
        return ConfigError(Problem("NODE_DOWN", f"node {self.me}", what, f"fedcredit node up {folder}"))
