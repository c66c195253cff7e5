"""Keeps a running node's keys fresh and its pins up to date: looks at its files, follows the platform's directory."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

from fedcredit.errors import FedcreditError, PeerError, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.node.rpc import ControlClient
from fedcredit.node.trust.directory import REVOKED, Directory
from fedcredit.node.trust.folder import TrustFolder
from fedcredit.node.trust.keys import trust_folder
from fedcredit.node.trust.office import Office
from fedcredit.node.trust.record import TrustRecord
from fedcredit.node.trust.renewal import Renewal
from fedcredit.node.trust.request import withdrawal
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.grpc import Keyring
from fedcredit.wire.enrol import EnrolReply, FetchRequest

__all__ = ["TrustKeeper"]

_log = logs.get("trust")

LOOK_S = 1.0
WAIT_S = 25.0
RETRY_S = 5.0

Learn = Callable[[PartyId, str], None]


class TrustKeeper:
    """Runs beside a node. `learn` hears where members are; `platform` reaches the platform, if this is not it."""

    def __init__(
        self, config: PartyFile, keyring: Keyring, clock: Clock, learn: Learn, record: TrustRecord | None = None
    ) -> None:
        """`record` notes every change in the audit log."""
        self._record = record
        self._config, self._keyring, self._clock, self._learn = config, keyring, clock, learn
        self._folder = trust_folder(config)
        self._renewal = Renewal(config, keyring, clock)
        self._stamp = self._folder.stamp() if self._folder is not None else ()
        self._tasks: list[asyncio.Task[None]] = []
        self._office: Office | None = None

    def start(self, *, office: Office | None = None, platform: ControlClient | None = None) -> None:
        """Begin to look: at files always, at what commands leave for `office`, at the directory of `platform`."""
        self._office = office
        self._tasks = [asyncio.create_task(self._look(), name="keys and pins")]
        if platform is not None and self._folder is not None:
            self._tasks.append(asyncio.create_task(self._follow(self._folder, platform), name="directory"))
            self._tasks.append(asyncio.create_task(self._withdraw(self._folder, platform), name="withdrawal"))

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def believe(self, directory: Directory | None = None) -> None:
        """Read the pins anew and act on them at once; tell where the members of `directory` are."""
        if self._folder is None:
            return
        self._stamp = self._folder.stamp()
        trust = self._folder.trust()
        self._keyring.replace(trust=trust)
        for member in directory.members if directory is not None else ():
            if member.party != self._config.me and trust.refusal(member.party) is None:
                self._learn(member.party, self._config.peers.get(member.party, member.address))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for look in (self._renewal.look, self._look_at_pins):
                await _safely(look)
            await self._look_for_changes()
            if self._office is not None:
                try:
                    await self._office.look()
                except Exception as error:  # noqa: BLE001 - it is tried again in a second
                    _log.error("office.failed", **_code(error))

    async def _look_for_changes(self) -> None:
        if self._record is not None:
            try:
                await asyncio.to_thread(self._record.look)
            except Exception as error:  # noqa: BLE001 - what is believed does not wait for the log
                _log.error("trust.unrecorded", **_code(error))

    def _look_at_pins(self) -> None:
        if self._folder is not None and self._folder.stamp() != self._stamp:
            joined = self._folder.joined()
            self.believe(None if joined is None else self._folder.directory(joined.platform))

    async def _follow(self, folder: TrustFolder, platform: ControlClient) -> None:
        serial: int | None = None
        while True:
            try:
                if serial is None:
                    if (known := folder.directory(platform.peer)) is not None:
                        self.believe(known)
                    serial = 0 if known is None else known.serial
                request = FetchRequest(serial, int(WAIT_S * 1000))
                reply = await platform.call("Fetch", request, EnrolReply, timeout_s=WAIT_S + 10, attempts=1)
                if reply.directory:
                    serial = self._take(folder, platform.peer, reply)
                    continue
                await asyncio.sleep(0.1)
            except FedcreditError as error:
                tell = _log.error if isinstance(error, PeerError | RefusedError) else _log.info
                tell("directory.missed", peer=platform.peer, code=error.code)
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311
            except Exception as error:  # noqa: BLE001 - a node that stopped to listen would not hear of a revocation
                _log.error("directory.missed", peer=platform.peer, error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    def _take(self, folder: TrustFolder, platform: PartyId, reply: EnrolReply) -> int:
        notes = folder.keep(reply, platform, pin_new=self._config.trust.new_members == "directory")
        for code, party in notes:
            _log.warning("trust.undecided", code=code, peer=party)  # `fedcredit party trust` shows the fingerprints
        found = folder.verify(reply, platform)
        self.believe(found)
        if any(member.party == self._config.me and member.state == REVOKED for member in found.members):
            _log.error("member.revoked", code="PEER_REVOKED", peer=self._config.me)
        return found.serial

    async def _withdraw(self, folder: TrustFolder, platform: ControlClient) -> None:
        """Tell the platform that our earlier certificates count no more, whenever `party revoke` says so."""
        identity, told = self._config.identity, None
        if identity.authority is None or identity.authority_key is None:
            return
        while True:
            await asyncio.sleep(LOOK_S)
            if (moment := folder.withdrawn()) is None or moment == told:
                continue
            try:
                authority = Authority.load(
                    self._config.path(identity.authority), self._config.path(identity.authority_key)
                )
                request = withdrawal(authority, self._config.me, moment)
                await platform.call("Withdraw", request, EnrolReply, timeout_s=30)
                told = moment
            except Exception as error:  # noqa: BLE001 - whatever it is, the platform has to be told
                _log.warning("withdrawal.untold", peer=platform.peer, **_code(error))


async def _safely(look: Callable[[], None]) -> None:
    try:
        look()
    except Exception as error:  # noqa: BLE001 - whatever it is, the node goes on with what it believes, and looks again
        _log.error("trust.failed", **_code(error))


def _code(error: Exception) -> dict[str, str]:
    return {"code": error.code} if isinstance(error, FedcreditError) else {"error": type(error).__name__}
