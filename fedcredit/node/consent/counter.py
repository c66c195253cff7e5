"""A command's side: the way to the platform's desk for consents, from the platform's own folder."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from fedcredit.errors import ConfigError, FedcreditError, Problem, UsageError
from fedcredit.node.documents import document_of
from fedcredit.node.own_node import ready_address
from fedcredit.node.rpc import ControlClient
from fedcredit.node.trust.keys import following_keyring
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.connections import Connection
from fedcredit.transport.limits import Limits
from fedcredit.wire.consent import ConsentDocument
from fedcredit.wire.message import Message

__all__ = ["ConsentCounter"]

CALL_TIMEOUT_S = 60.0


class ConsentCounter:
    """The running platform of a folder. Use as an asynchronous context manager."""

    def __init__(self, config: PartyFile) -> None:
        """Raises: UsageError if the folder is no platform's, ConfigError (NODE_DOWN) if it does not run."""
        if config.party.kind != "platform":
            what, fix = "is no platform's folder", "consents are given at the platform: --node DIR"
            raise UsageError(Problem("USAGE", str(config.folder), what, fix))
        self.config, self._address = config, ready_address(config.folder)
        if self._address is None:
            raise self._down("does not run")
        self._connection = Connection(config.me, self._address, following_keyring(config, SystemClock()), Limits())

    async def ask(self, method: str, request: Message) -> dict[str, Any]:
        """The desk's answer. Raises what it refuses with, ConfigError (NODE_DOWN)."""
        client = ControlClient(self._connection, "Consent", self.config.me)
        try:
            reply = await client.call(method, request, ConsentDocument, timeout_s=CALL_TIMEOUT_S)
        except FedcreditError as error:
            if error.code == "PEER_LOST":
                raise self._down("does not answer") from None
            raise
        return document_of(self.config.me, reply.document, dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    def _down(self, what: str) -> ConfigError:
        return ConfigError(
            Problem("NODE_DOWN", f"node {self.config.me}", what, f"fedcredit node up {self.config.folder}")
        )
