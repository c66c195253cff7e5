"""What stands beside a node's services for consents: the authority's desk at a platform, at a party what it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container
from contextlib import AsyncExitStack

from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.ids import PartyId
from fedcredit.node.consent.authority import ConsentAuthority
from fedcredit.node.consent.desk import ConsentDesk
from fedcredit.node.consent.held import HeldConsents
from fedcredit.node.consent.identity import authenticator_of
from fedcredit.node.consent.issuing import IssuingKeys
from fedcredit.node.membership.office import PermitOffice
from fedcredit.node.recorder import Recorder
from fedcredit.node.rpc import ControlClient, ControlService
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.trust.directory import ACTIVE, Directory
from fedcredit.node.trust.keys import platform_address, trust_folder
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.grpc import GrpcTransport, caller_of

__all__ = ["ConsentsBeside"]

KEYS = "keys/consent"
"""The authority's private keys, in the platform's folder."""


class ConsentsBeside:
    """Give `services` to the transport, then start the one that fits; `stack` ends it.

    Parties of one authority, as in a run on one machine, have no directory and so no consents.
    """

    def __init__(self, config: PartyFile, clock: Clock, stack: AsyncExitStack) -> None:
        self._config, self._clock, self._stack = config, clock, stack
        has_members, is_platform = trust_folder(config) is not None, config.party.kind == "platform"
        name = "Consent" if is_platform else "ConsentHolder"
        self._service = ControlService(name, caller_of) if has_members else None
        self._permits = ControlService("Permits", caller_of) if has_members and is_platform else None
        self.services = [service for service in (self._service, self._permits) if service is not None]

    async def start_authority(
        self,
        transport: GrpcTransport,
        store: Store,
        signing: SigningIdentity,
        recorder: Recorder | None,
        operators: tuple[PartyId, ...],
        members: Container[PartyId],
    ) -> None:
        """At a platform: take consents from `operators` and the platform itself, tell `members` what holds.

        Raises: ConfigError (AUTHENTICATOR, CONSENT_KEY, KEY_MISSING).
        """
        config, folder = self._config, trust_folder(self._config)
        if self._service is None or folder is None or recorder is None:
            return
        me = config.me

        def directory() -> Directory:
            return folder.directory(me) or Directory(me, 0, ())

        def active() -> list[PartyId]:
            return [member.party for member in directory().members if member.state == ACTIVE]

        def now() -> int:
            return int(self._clock.now().timestamp())

        def connect(party: PartyId) -> ControlClient:
            return ControlClient(transport.connection(party), "ConsentHolder", party)

        def bulletin() -> Bulletin:
            return Bulletin.join(*authority.bulletin())

        keys = IssuingKeys(config.path(KEYS), me, store, now)
        authority = ConsentAuthority(keys, store, recorder, directory, now)
        desk = ConsentDesk(authority, authenticator_of(config, self._clock), signing, active, connect)
        await desk.open()
        self._service.bind(desk.methods(frozenset({me, *operators}), members))
        if self._permits is not None:
            self._permits.bind(PermitOffice(me, keys, bulletin, directory, recorder, now).methods(members))
        self._stack.push_async_callback(desk.stop)

    async def start_holder(self, transport: GrpcTransport, signing: SigningIdentity) -> HeldConsents | None:
        """At a party: know what the platform says. None where there is no platform to say it."""
        if self._service is None or (known := platform_address(self._config)) is None:
            return None
        platform, address = known
        held = HeldConsents(self._config.folder, platform, signing)
        await asyncio.to_thread(held.load)
        self._service.bind(held.methods())
        client = ControlClient(transport.connection(platform, address), "Consent", platform)
        task = asyncio.create_task(held.follow(client), name="consents")

        async def stop() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(stop)
        return held
