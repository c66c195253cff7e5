"""The platform's permits: it looks at consents that it issued, makes their subjects' elements, and signs for them.

It takes consents of its own authority alone. One that a subject signed with its own key would tell the platform what it
does not know: that this subject consented, and to whom.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Container
from typing import Final

from cryptography.hazmat.primitives import hashes

from fedcredit.errors import Problem, RefusedError, UsageError
from fedcredit.governance.audit import Event
from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.decision import Allowed, Premises, Use, judge
from fedcredit.governance.consent.issuers import Issuers
from fedcredit.governance.consent.refusal import ConsentRefused
from fedcredit.governance.consent.token import Envelope
from fedcredit.governance.predicates.model import Compiled
from fedcredit.governance.verification.permits import PERMIT_S, Permit, elements_digest, signed_bytes
from fedcredit.ids import PartyId
from fedcredit.node.consent.issuing import IssuingKeys
from fedcredit.node.membership.driving import answered
from fedcredit.node.recorder import Recorder
from fedcredit.node.rpc import Method
from fedcredit.node.trust.directory import ACTIVE, Directory
from fedcredit.protocols.membership import MembershipPermitter, elements_of
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import shipped_predicates
from fedcredit.wire.membership import PermitGiven, PermitWanted
from fedcredit.wire.message import Message

__all__ = ["PermitOffice"]

WAITING_PER_MEMBER: Final = 2
"""Calls of one member at a time: each takes a thread for a second where it brings a thousand consents."""


class PermitOffice:
    """The calls of `fedcredit.v1.Permits`. `bulletin` and `directory` give what holds now."""

    def __init__(
        self,
        me: PartyId,
        keys: IssuingKeys,
        bulletin: Callable[[], Bulletin],
        directory: Callable[[], Directory],
        recorder: Recorder,
        now: Callable[[], int],
    ) -> None:
        self._me, self._keys, self._recorder = me, keys, recorder
        self._bulletin, self._directory, self._now = bulletin, directory, now
        self._calls: Counter[PartyId] = Counter()

    def methods(self, members: Container[PartyId]) -> list[Method]:
        """The calls, for `members`."""
        return [Method("Permit", PermitWanted, members, handle=self._answer)]

    async def _answer(self, caller: PartyId, request: PermitWanted) -> Message:
        if self._calls[caller] >= WAITING_PER_MEMBER:
            what = f"asks for more than {WAITING_PER_MEMBER} permits at once"
            raise RefusedError(Problem("QUOTA", str(caller), what, "wait for an answer"))
        self._calls[caller] += 1
        try:
            steps = MembershipPermitter(self._me, caller).steps(lambda wanted: self.permit(caller, wanted))
            return await asyncio.to_thread(answered, steps, request)
        finally:
            self._calls[caller] -= 1

    def permit(self, caller: PartyId, wanted: PermitWanted) -> PermitGiven:
        """Which of the consents hold for the question, and a permit for the elements of their subjects.

        Raises: RefusedError (CONSENT_MEMBER), UsageError (PREDICATE_UNKNOWN), PeerError (ID_DUPLICATE,
        MESSAGE_INVALID), ConfigError (AUDIT_UNAVAILABLE, CONSENT_KEY).
        """
        authority, question = self._authority(caller, wanted.provider), _question(wanted)
        found = self._taken(wanted, caller, authority, question)
        taken = bytes(consent is not None for consent in found)
        subjects = [consent.subject for consent in found if consent is not None]
        if not subjects:
            return PermitGiven(taken, b"", "", b"")
        elements, now = elements_of(wanted, caller, subjects).tobytes(), self._now()
        issuer, key = self._keys.signer()
        permit = Permit(
            requester=caller,
            provider=wanted.provider,
            region=wanted.region,
            purpose=wanted.purpose,
            predicate=wanted.predicate,
            item=question.program.item,
            key=wanted.key,
            count=len(subjects),
            elements=elements_digest(elements),
            issued_at=now,
            expires=now + PERMIT_S,
            nonce=secrets.token_bytes(16),
        ).to_bytes()
        self._recorder.record(
            Event.MEMBERSHIP_PERMITTED,
            "",
            requester=caller,
            provider=wanted.provider,
            item=question.program.item,
            purpose=wanted.purpose,
            permitted=len(subjects),
            asked=len(taken),
            permit=hashlib.sha256(permit).hexdigest(),
        )
        return PermitGiven(taken, permit, issuer.kid, key.sign(signed_bytes(permit)))

    def _taken(
        self, wanted: PermitWanted, caller: PartyId, authority: bytes, question: Compiled
    ) -> list[Consent | None]:
        bulletin = self._bulletin()
        own = Issuers(issuer for issuer in bulletin.issuers() if issuer.kind == "authority")
        premises = Premises(wanted.provider, wanted.region, own, frozenset(bulletin.body.revoked), bulletin.head.time)
        needed = question.permission(shipped_catalogs()[wanted.region])
        personal = "person" in needed.share | needed.release
        now, items = self._now(), frozenset(question.program.items)

        def holds(token: str) -> Consent | None:
            try:
                consent = Envelope.read(token).claims_for(own)
            except ConsentRefused:
                return None
            use = Use(
                requester=caller,
                authority=authority,
                subject=consent.subject,
                predicate=wanted.predicate,
                items=items,
                purpose=wanted.purpose,
                now=now,
                person=personal,
            )
            return consent if isinstance(judge(consent, use, premises), Allowed) else None

        return [holds(token) for token in wanted.tokens()]

    def _authority(self, caller: PartyId, provider: str) -> bytes:
        """The hash of the caller's authority, after seeing that both are members of the right kind."""
        members = {str(member.party): member for member in self._directory().members if member.state == ACTIVE}
        for name, kind in ((str(caller), "institution"), (provider, "provider")):
            if name not in members or members[name].kind != kind:
                raise RefusedError(Problem("CONSENT_MEMBER", name[:40], f"is no {kind} of this platform"))
        return members[caller].authority.fingerprint(hashes.SHA256())


def _question(wanted: PermitWanted) -> Compiled:
    compiled = shipped_predicates().get(wanted.predicate)
    regions = () if compiled is None else tuple(terms.id for terms in compiled.predicate.regions)
    if compiled is None or wanted.region not in regions or wanted.region not in shipped_catalogs():
        raise UsageError(Problem("PREDICATE_UNKNOWN", "question", "is not asked in that region", "ask another"))
    return compiled
