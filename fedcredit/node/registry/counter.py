"""A command's side: the way to the desk for models of the node of a folder, the platform's or a party's."""

from __future__ import annotations

from typing import Any

from fedcredit.errors import ConfigError, Problem, UsageError
from fedcredit.node.own_counter import OwnCounter
from fedcredit.node.registry.answers import read_answer
from fedcredit.node.trust.keys import platform_address, trust_folder
from fedcredit.runtime.config import PartyFile
from fedcredit.wire.message import Message
from fedcredit.wire.registry import CHANGES, DriftOrder, ModelChange, ModelDocument, ModelOrder, ShowModels

__all__ = ["ModelCounter"]

CALL_TIMEOUT_S = 100.0


class ModelCounter(OwnCounter):
    """The running node of a folder. Use as an asynchronous context manager."""

    def __init__(self, config: PartyFile) -> None:
        """Raises: ConfigError (NODE_DOWN) if it does not run, (NODE_KIND) if it belongs to no platform."""
        self.is_platform = config.party.kind == "platform"
        if trust_folder(config) is None or (not self.is_platform and platform_address(config) is None):
            what, fix = "belongs to no platform that has members", "join one: fedcredit party enrol"
            raise ConfigError(Problem("NODE_KIND", str(config.folder), what, fix))
        super().__init__(config)

    async def order(self, order: ModelOrder) -> dict[str, Any]:
        """Have an order carried out. Raises what it is refused with; UsageError where it is for another node."""
        if not self.is_platform:
            return await self._ask("Models", "Order", order)
        if order.order not in CHANGES:
            what, fix = f"is the platform's; {order.order} is for a party", "give --node DIR of a party of the model"
            raise UsageError(Problem("USAGE", str(self.config.folder), what, fix))
        change = ModelChange(order.order, order.name, order.version, order.by)
        return await self._ask("Registry", "Change", change)

    async def drift(self, order: DriftOrder) -> dict[str, Any]:
        """Tell the platform of a version's drift. Raises what it is refused with; UsageError at a platform."""
        if self.is_platform:
            what, fix = "is the platform's; drift is told by who has published", "give --node DIR of that party"
            raise UsageError(Problem("USAGE", str(self.config.folder), what, fix))
        return await self._ask("Models", "Drift", order)

    async def shown(self, name: str = "", version: int = 0) -> dict[str, Any]:
        """A version with all that is known of it; without one, a list. Raises what it is refused with."""
        service, method = ("Registry", "Models") if self.is_platform else ("Models", "Shown")
        return await self._ask(service, method, ShowModels(name, version))

    async def _ask(self, service: str, method: str, request: Message) -> dict[str, Any]:
        reply = await self._call(service, method, request, ModelDocument, timeout_s=CALL_TIMEOUT_S)
        return read_answer(self.config.me, reply.document)
