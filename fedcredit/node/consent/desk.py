"""The platform's desk for consents: calls of those who log in, and of members who want to know what holds.

Passwords and tokens come over this node's own channel alone: from its own commands and pages, and from the operators
that its configuration names. A bank's counter cannot log in for an enterprise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable

from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.governance.consent.bulletin import BULLETIN
from fedcredit.ids import PartyId
from fedcredit.node.consent.authority import ConsentAuthority
from fedcredit.node.consent.identity import Authenticator, Identity
from fedcredit.node.rpc import ControlClient, Method
from fedcredit.node.signing import SigningIdentity
from fedcredit.observe import logs
from fedcredit.wire.consent import (
    ChangeConsentKeys,
    ConsentBulletin,
    ConsentDocument,
    FollowConsents,
    GrantConsent,
    RegisterConsentKey,
    RevokeConsent,
    ShowConsents,
)
from fedcredit.wire.control import Accepted

__all__ = ["ConsentDesk"]

_log = logs.get("consent")

PUSH_S = 10.0
LOGINS_WAITING = 64

Connect = Callable[[PartyId], ControlClient]


class ConsentDesk:
    """The calls of `fedcredit.v1.Consent`. `members` gives the parties to tell, `connect` reaches them."""

    def __init__(
        self,
        authority: ConsentAuthority,
        authenticator: Authenticator,
        signing: SigningIdentity,
        members: Callable[[], Iterable[PartyId]],
        connect: Connect,
    ) -> None:
        self._authority, self._authenticator, self._signing = authority, authenticator, signing
        self._members, self._connect = members, connect
        self._news = asyncio.Condition()
        self._told = -1
        self._pushes: set[asyncio.Task[None]] = set()
        self._waiting = 0

    def methods(self, own: Container[PartyId], members: Container[PartyId]) -> list[Method]:
        """The calls, each with its callers: `own` for those who log in, and `members`."""
        return [
            Method("Grant", GrantConsent, own, handle=self._grant),
            Method("Revoke", RevokeConsent, own, handle=self._revoke),
            Method("Consents", ShowConsents, own, handle=self._show),
            Method("RegisterKey", RegisterConsentKey, own, handle=self._register),
            Method("Keys", ChangeConsentKeys, own, handle=self._keys),
            Method("Follow", FollowConsents, members, handle=self._follow),
        ]

    async def open(self) -> None:
        """After a start: see to the keys and the audit log, and tell everybody what holds."""
        await asyncio.to_thread(self._authority.open)
        await self._tell()

    async def stop(self) -> None:
        """Tell nobody any more."""
        for task in self._pushes:
            task.cancel()
        await asyncio.gather(*self._pushes, return_exceptions=True)

    async def _grant(self, caller: PartyId, request: GrantConsent) -> ConsentDocument:
        identity = await self._login(request.account, request.secret)
        return ConsentDocument(await asyncio.to_thread(self._authority.grant, identity, request))

    async def _revoke(self, caller: PartyId, request: RevokeConsent) -> ConsentDocument:
        identity = await self._login(request.account, request.secret) if request.account else None
        made = await asyncio.to_thread(self._authority.revoke, identity, request)
        await self._tell()
        return ConsentDocument(made)

    async def _show(self, caller: PartyId, request: ShowConsents) -> ConsentDocument:
        identity = await self._login(request.account, request.secret) if request.account else None
        return ConsentDocument(await asyncio.to_thread(self._authority.shown, identity, request))

    async def _register(self, caller: PartyId, request: RegisterConsentKey) -> ConsentDocument:
        identity = await self._login(request.account, request.secret)
        made = await asyncio.to_thread(self._authority.register, identity, request)
        await self._tell()
        return ConsentDocument(made)

    async def _keys(self, caller: PartyId, request: ChangeConsentKeys) -> ConsentDocument:
        made = await asyncio.to_thread(self._authority.change_keys, request)
        await self._tell()
        return ConsentDocument(made)

    async def _follow(self, caller: PartyId, request: FollowConsents) -> ConsentBulletin:
        try:
            async with asyncio.timeout(request.wait_ms / 1000), self._news:
                await self._news.wait_for(lambda: self._told > request.number)
        except TimeoutError:
            pass  # nothing has changed, and the caller hears that it still holds
        return await asyncio.to_thread(self._bulletin, request.number)

    async def _login(self, account: str, secret: str) -> Identity:
        if self._waiting >= LOGINS_WAITING:
            raise RefusedError(Problem("QUOTA", "login", "too many at once", "try again in a minute"))
        self._waiting += 1
        try:
            return await asyncio.to_thread(self._authenticator.login, account, secret)
        except FedcreditError as refused:
            _log.warning("login.refused", code=refused.code)
            raise
        finally:
            self._waiting -= 1

    def _bulletin(self, known: int) -> ConsentBulletin:
        head, body = self._authority.bulletin()
        data = head.to_bytes()
        signature = self._signing.sign(BULLETIN, data)
        return ConsentBulletin(data, signature, self._signing.certificate, b"" if head.number == known else body)

    async def _tell(self) -> None:
        """Wake who waits for news, and bring it to everybody else; a party that is away asks when it is back."""
        head, _ = await asyncio.to_thread(self._authority.bulletin)
        if head.number <= self._told:
            return
        async with self._news:
            self._told = head.number
            self._news.notify_all()
        bulletin = await asyncio.to_thread(self._bulletin, -1)
        for party in self._members():
            task = asyncio.create_task(self._push(party, bulletin), name=f"consents for {party}")
            self._pushes.add(task)
            task.add_done_callback(self._pushes.discard)

    async def _push(self, party: PartyId, bulletin: ConsentBulletin) -> None:
        try:
            await self._connect(party).call("Take", bulletin, Accepted, timeout_s=PUSH_S, attempts=1)
        except FedcreditError as error:
            _log.info("consents.unpushed", peer=party, code=error.code)
        except Exception as error:  # noqa: BLE001 - the party asks itself, within half a minute
            _log.error("consents.unpushed", peer=party, error=type(error).__name__)
