"""Models of a town: trained by its job, published by the bank, approved by all, and one version that counts."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fedcredit.errors import PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM
from fedcredit.node.registry.counter import ModelCounter
from fedcredit.node.town.town import LOOK_S, PATIENCE_S, Town
from fedcredit.wire.registry import ModelOrder

__all__ = ["WHO", "activate", "order", "publish", "served"]

WHO: Final = "town"
"""The user in whose name it is done."""


async def publish(town: Town, job: str, model: str, name: str) -> int:
    """Publish a model of a job under `name`; its version, which all have approved. Raises what it is refused with."""
    made = await order(town, town.bank, ModelOrder("publish", name, 0, job, model, WHO))
    version = int(made["version"])
    for party in town.job.parties:
        await order(town, party, ModelOrder("approve", name, version, "", "", WHO))
    return version


async def activate(town: Town, name: str, version: int) -> None:
    """Let a version count, and wait until all serve their parts of it. Raises what it is refused with."""
    await order(town, PLATFORM, ModelOrder("activate", name, version, "", "", WHO))
    await asyncio.gather(*(served(town, party, name, version) for party in town.job.parties))


async def order(town: Town, party: PartyId, wanted: ModelOrder) -> dict[str, Any]:
    """What a node answers to an order. One that has not found its platform yet is asked again. Raises: TimeoutError."""
    async with asyncio.timeout(PATIENCE_S), ModelCounter(town.config(party)) as counter:
        while True:
            try:
                return await counter.order(wanted)
            except PeerLost:
                await asyncio.sleep(LOOK_S)


async def served(town: Town, party: PartyId, name: str, version: int, role: str = "champion") -> dict[str, Any]:
    """Wait until a party serves its part in that role, empty for none; what it says of it. Raises: TimeoutError."""
    async with asyncio.timeout(PATIENCE_S), ModelCounter(town.config(party)) as counter:
        while True:
            own: Any = (await counter.shown(name, version)).get("own")
            # A node that has not found its platform says what it has of all versions.
            if isinstance(own, dict) and own["served"] == role:
                return own
            await asyncio.sleep(LOOK_S)
