"""What stands beside a node's services for models: the registry's desk at a platform, at a party its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container
from contextlib import AsyncExitStack

from fedcredit.ids import PartyId
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.registry.desk import RegistryDesk
from fedcredit.node.registry.held import HeldModels
from fedcredit.node.registry.own import OwnModels
from fedcredit.node.registry.recording import ModelRecord
from fedcredit.node.rpc import ControlClient, ControlService
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.trust.keys import platform_address, trust_folder
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import POLICY_FILE
from fedcredit.transport.grpc import GrpcTransport, caller_of

__all__ = ["ModelsBeside"]


class ModelsBeside:
    """Give `services` to the transport, then start the one that fits; `stack` ends it.

    Parties of one authority, as in a run on one machine, have no directory, keep no log at the platform, and publish
    nothing.
    """

    def __init__(self, config: PartyFile, clock: Clock, stack: AsyncExitStack) -> None:
        self._config, self._clock, self._stack = config, clock, stack
        name = "Registry" if config.party.kind == "platform" else "Models"
        joined = config.party.kind == "platform" or platform_address(config) is not None
        has_members = trust_folder(config) is not None and joined
        self._service = ControlService(name, caller_of) if has_members else None
        self.services = [] if self._service is None else [self._service]

    def start_registry(
        self,
        store: Store,
        signing: SigningIdentity,
        recorder: Recorder | None,
        operators: tuple[PartyId, ...],
        members: Container[PartyId],
    ) -> None:
        """At a platform: answer `members` and `operators`. Raises: ConfigError (AUDIT_UNAVAILABLE, STORE_*)."""
        if self._service is None or recorder is None:
            return
        policy = PolicySource(self._config.folder, recorder)
        if (self._config.folder / POLICY_FILE).exists():
            policy.look()
        own = frozenset({self._config.me, *operators})
        desk = RegistryDesk(signing, store, ModelRecord(store, recorder), policy, self._clock, own)
        desk.recover()
        self._service.bind(desk.methods(members))

    async def start_party(
        self,
        transport: GrpcTransport,
        store: Store,
        signing: SigningIdentity,
        recorder: Recorder,
        policy: PolicySource,
    ) -> HeldModels | None:
        """At a party: answer its own people, and know what the platform says. None where there is no platform."""
        if self._service is None or (known := platform_address(self._config)) is None:
            return None
        platform, address = known
        folder, record = self._config.folder, ModelRecord(store, recorder)
        await asyncio.to_thread(record.catch_up)
        held = HeldModels(folder, platform, signing, store, record)
        await asyncio.to_thread(held.load)
        client = ControlClient(transport.connection(platform, address), "Registry", platform)
        self._service.bind(OwnModels(folder, signing, store, record, policy, held, client).methods())
        task = asyncio.create_task(held.follow(client), name="models")

        async def stop() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(stop)
        return held
