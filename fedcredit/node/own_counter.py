"""A command's side of a desk beside the jobs: the way to the running node of a folder, under that node's identity."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TypeVar

from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.node.own_node import ready_address
from fedcredit.node.rpc import ControlClient
from fedcredit.node.trust.keys import following_keyring
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.connections import Connection
from fedcredit.transport.limits import Limits
from fedcredit.wire.message import Message

__all__ = ["OwnCounter"]

M = TypeVar("M", bound=Message)


class OwnCounter:
    """The running node of a folder. Use as an asynchronous context manager."""

    def __init__(self, config: PartyFile) -> None:
        """Raises: ConfigError (NODE_DOWN) if it does not run."""
        self.config = config
        if (address := ready_address(config.folder)) is None:
            raise self._down("does not run")
        self._connection = Connection(config.me, address, following_keyring(config, SystemClock()), Limits())

    async def _call(self, service: str, method: str, request: Message, reply: type[M], *, timeout_s: float) -> M:
        """What it answers. Raises what it refuses with; ConfigError (NODE_DOWN)."""
        client = ControlClient(self._connection, service, self.config.me)
        try:
            return await client.call(method, request, reply, timeout_s=timeout_s)
        except FedcreditError as error:
            if error.code == "PEER_LOST":
                raise self._down("does not answer") from None
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    def _down(self, what: str) -> ConfigError:
        fix = f"fedcredit node up {self.config.folder}"
        return ConfigError(Problem("NODE_DOWN", f"node {self.config.me}", what, fix))
