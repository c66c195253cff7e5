"""The platform's enrolment: lets parties in with their tokens, keeps the members, signs the directory.

The store has the tokens and the members; the directory is made from them and signed anew at every change, with the
next number. A crash between any two steps is mended by the same request sent again, or by the next start.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.trust.directory import DIRECTORY, REVOKED, Directory, MemberRecord
from fedcredit.node.trust.folder import TrustFolder
from fedcredit.node.trust.request import check_request, check_withdrawal
from fedcredit.node.trust.spool import NewToken, Revoke, Spool
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.wire.enrol import EnrolReply, EnrolRequest, FetchRequest, WithdrawRequest

__all__ = ["Office"]

_log = logs.get("trust")

Changed = Callable[[Directory], None]


class Office:
    """The members of one platform. `changed` hears of every new directory, on the event loop."""

    def __init__(
        self, folder: TrustFolder, store: Store, signing: SigningIdentity, spool: Spool, clock: Clock, changed: Changed
    ) -> None:
        self._folder, self._store, self._signing = folder, store, signing
        self._spool, self._clock, self._changed = spool, clock, changed
        self._lock, self._news = asyncio.Lock(), asyncio.Condition()
        self._directory = folder.directory(signing.me) or Directory(signing.me, 0, ())

    async def open(self) -> None:
        """Bring the directory in line with the store, and take what commands have left."""
        async with self._lock:
            await asyncio.to_thread(self._publish)
        self._changed(self._directory)
        await self.look()

    async def look(self) -> None:
        """Take what commands have left since. Call it about once a second."""
        async with self._lock:
            if await asyncio.to_thread(self._take):
                await self._tell()

    async def enrol(self, request: EnrolRequest) -> EnrolReply:
        """Let a party in. The same request again gets the same members' answer.

        Raises: ConfigError (REQUEST_REFUSED), RefusedError (TOKEN_REFUSED).
        """
        async with self._lock:
            await asyncio.to_thread(self._take)
            record = check_request(request, self._clock)
            await asyncio.to_thread(self._let_in, request, record)
            await self._tell()
        return self._reply()

    async def fetch(self, caller: PartyId, request: FetchRequest) -> EnrolReply:
        """The directory, once it is newer than the caller's; an empty reply if it is not within the time."""
        try:
            async with asyncio.timeout(request.wait_ms / 1000), self._news:
                await self._news.wait_for(lambda: self._directory.serial > request.serial)
        except TimeoutError:
            if self._directory.serial <= request.serial:
                return EnrolReply(b"", b"", b"")
        return self._reply()

    async def withdraw(self, caller: PartyId, request: WithdrawRequest) -> EnrolReply:
        """A member's earlier certificates count no more. Raises FedcreditError (REQUEST_REFUSED)."""
        async with self._lock:
            record = self._directory.member(caller)
            check_withdrawal(request, caller, record.authority)
            moment = datetime.fromtimestamp(request.not_before, UTC)
            if record.not_before is None or moment > record.not_before:
                await asyncio.to_thread(self._put, replace(record, not_before=moment))
                _log.warning("certificate.withdrawn", peer=caller)
                await asyncio.to_thread(self._publish)
                await self._tell()
        return self._reply()

    def _let_in(self, request: EnrolRequest, record: MemberRecord) -> None:
        digest = hashlib.sha256(request.encode()).digest()
        token = self._store.tokens.use(hashlib.sha256(request.secret).digest(), digest)
        failpoints.hit("enrol.token.used", record.party)
        if (token.party, token.kind) != (record.party, record.kind):
            raise RefusedError(Problem("TOKEN_REFUSED", "enrolment token", f"is of {token.party}, a {token.kind}"))
        row = self._store.members.of(record.party)
        if row is not None and row.state == REVOKED and (token.used or "") < row.updated:
            # The request of before the revocation, sent again: it takes a new token to come back.
            raise RefusedError(
                Problem("TOKEN_REFUSED", "enrolment token", f"of {record.party}, which was revoked since")
            )
        kept = None if row is None else MemberRecord.parse(row.record)
        if kept is None or replace(kept, state=record.state, not_before=None) != record or kept.state == REVOKED:
            self._put(record)
            _log.warning("member.joined", peer=record.party, kind=record.kind, address=record.address)
        failpoints.hit("enrol.member.kept", record.party)
        self._publish()

    def _take(self) -> int:
        count = self._spool.take(self._do)
        if count:
            self._publish()
        return count

    def _do(self, order: NewToken | Revoke) -> None:
        if isinstance(order, NewToken):
            # It may be there: taken before, by a process that ended before it had removed the file.
            self._store.tokens.add(order.hash, order.party, order.kind, order.expires)
            return
        for member in self._members():
            if member.party == order.party and member.state != REVOKED:
                self._put(replace(member, state=REVOKED))
                _log.warning("member.revoked", peer=order.party)

    def _put(self, record: MemberRecord) -> None:
        data = canonical(record.to_json())
        self._store.members.put(record.party, record.kind, data, record.state, f"{record.authority.serial_number:x}")

    def _members(self) -> list[MemberRecord]:
        return [MemberRecord.parse(member.record) for member in self._store.members.all()]

    def _publish(self) -> None:
        """Sign a directory of the members as the store has them, if it differs from the last one."""
        members = tuple(self._members())
        if members == self._directory.members:
            return
        # Time, so that a platform restored from an older copy does not begin below what parties have seen.
        serial = max(self._directory.serial + 1, int(self._clock.now().timestamp()))
        made = Directory.of(self._signing.me, serial, members)
        data = made.to_bytes()
        reply = EnrolReply(data, self._signing.sign(DIRECTORY, data), self._signing.certificate)
        for member in members:
            if self._folder.pins().get(member.party) != member.authority:
                self._folder.pin(member.party, member.authority)  # whoever issued the token has decided so
        self._folder.keep(reply, self._signing.me, pin_new=False)
        failpoints.hit("enrol.directory.signed", str(made.serial))
        self._directory = made

    async def _tell(self) -> None:
        self._changed(self._directory)
        async with self._news:
            self._news.notify_all()

    def _reply(self) -> EnrolReply:
        data = self._directory.to_bytes()
        return EnrolReply(data, self._signing.sign(DIRECTORY, data), self._signing.certificate)
