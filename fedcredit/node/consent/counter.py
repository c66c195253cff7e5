"""A command's side: the way to the platform's desk for consents, from the platform's own folder."""

from __future__ import annotations

from typing import Any

from fedcredit.errors import Problem, UsageError
from fedcredit.node.documents import document_of
from fedcredit.node.own_counter import OwnCounter
from fedcredit.runtime.config import PartyFile
from fedcredit.wire.consent import ConsentDocument
from fedcredit.wire.message import Message

__all__ = ["ConsentCounter"]

CALL_TIMEOUT_S = 60.0


class ConsentCounter(OwnCounter):
    """The running platform of a folder. Use as an asynchronous context manager."""

    def __init__(self, config: PartyFile) -> None:
        """Raises: UsageError if the folder is no platform's, ConfigError (NODE_DOWN) if it does not run."""
        if config.party.kind != "platform":
            what, fix = "is no platform's folder", "consents are given at the platform: --node DIR"
            raise UsageError(Problem("USAGE", str(config.folder), what, fix))
        super().__init__(config)

    async def ask(self, method: str, request: Message) -> dict[str, Any]:
        """The desk's answer. Raises what it refuses with, ConfigError (NODE_DOWN)."""
        reply = await self._call("Consent", method, request, ConsentDocument, timeout_s=CALL_TIMEOUT_S)
        return document_of(self.config.me, reply.document, dict, "consents")
