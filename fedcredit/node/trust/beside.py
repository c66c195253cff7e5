"""What stands beside a node's own services: its keeper of keys and pins, and at a platform the members' office."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from fedcredit.ids import PartyId
from fedcredit.node.recorder import Recorder
from fedcredit.node.rpc import ControlClient, ControlService, Method
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.trust.directory import Directory
from fedcredit.node.trust.keeper import TrustKeeper
from fedcredit.node.trust.keys import platform_address, trust_folder
from fedcredit.node.trust.office import Office
from fedcredit.node.trust.port import EnrolmentPort
from fedcredit.node.trust.record import TrustRecord
from fedcredit.node.trust.spool import Spool
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.grpc import GrpcTransport, Keyring, caller_of
from fedcredit.wire.enrol import FetchRequest, WithdrawRequest

__all__ = ["Beside"]

Learn = Callable[[PartyId, str], None]


class Beside:
    """Give `services` to the transport, and `start` once it listens; `stack` ends it all."""

    def __init__(self, config: PartyFile, keyring: Keyring, clock: Clock, stack: AsyncExitStack) -> None:
        self._config, self._keyring, self._clock, self._stack = config, keyring, clock, stack
        self._members: frozenset[PartyId] = frozenset()
        has_office = config.party.kind == "platform" and config.identity.authority is not None
        self._directory = ControlService("Directory", caller_of) if has_office else None
        self.services = [] if self._directory is None else [self._directory]

    def __contains__(self, party: object) -> bool:
        """Whether `party` is a member that may ask for the directory."""
        return party in self._members

    async def start(
        self,
        transport: GrpcTransport,
        store: Store,
        signing: SigningIdentity,
        learn: Learn,
        recorder: Recorder | None = None,
    ) -> None:
        """Begin. `learn` hears where members are, `recorder` what changes. Raises ConfigError."""
        config = self._config
        if (folder := trust_folder(config)) is not None:
            folder.create()
        record = None if folder is None or recorder is None else TrustRecord(config, folder, recorder)
        keeper = TrustKeeper(config, self._keyring, self._clock, learn, record)
        office = None
        if self._directory is not None and folder is not None:

            def changed(directory: Directory) -> None:
                self._members = frozenset(member.party for member in directory.members)
                keeper.believe(directory)

            office = Office(folder, store, signing, Spool(config.folder), self._clock, changed)
            await self._open(office)
        keeper.start(office=office, platform=self._way_to_platform(transport))
        self._stack.push_async_callback(keeper.stop)

    def bind(self, office: Office) -> None:
        """Answer members' questions for the directory."""
        assert self._directory is not None, "asked of a platform"
        self._directory.bind(
            [
                Method("Fetch", FetchRequest, self, handle=office.fetch),
                Method("Withdraw", WithdrawRequest, self, handle=office.withdraw),
            ]
        )

    async def _open(self, office: Office) -> None:
        await office.open()
        self.bind(office)
        if self._config.enrol.listen is not None:
            port = EnrolmentPort(office, self._keyring, self._config.enrol.listen)
            await port.start()
            self._stack.push_async_callback(port.stop)

    def _way_to_platform(self, transport: GrpcTransport) -> ControlClient | None:
        if self._config.party.kind == "platform" or trust_folder(self._config) is None:
            return None
        if (known := platform_address(self._config)) is None:
            return None
        platform, address = known
        return ControlClient(transport.connection(platform, address), "Directory", platform)
