"""The authority for consents, at the platform: grants, revocations, keys, and the bulletin of what holds.

Each change is in the store first, then in the audit log, then acknowledged. A crash in between is made up for: the
same call again has the same answer, and what the log lacks is entered at the next start. Called from threads.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives import hashes

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError, UsageError
from fedcredit.governance.audit import Event, Fact
from fedcredit.governance.consent.bulletin import BulletinBody, BulletinHead
from fedcredit.governance.consent.claims import LEEWAY_S, Consent
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.receipt import make_receipt
from fedcredit.governance.consent.terms import DAY_S, Terms, disclosure_hash
from fedcredit.governance.consent.token import Envelope, fresh_jti, issue, moment, revocation_id
from fedcredit.governance.registry.documents import Offer
from fedcredit.node.consent.identity import Identity
from fedcredit.node.consent.issuing import FAR, IssuingKeys
from fedcredit.node.consent.wording import check_terms, notice_of
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import ConsentRow, KeyRow, RevocationRow, Store
from fedcredit.node.trust.directory import ACTIVE, Directory, MemberRecord
from fedcredit.wire.consent import ChangeConsentKeys, GrantConsent, RegisterConsentKey, RevokeConsent, ShowConsents

__all__ = ["KEY_PROOF", "ConsentAuthority", "key_proof"]

KEY_PROOF = b"fedcredit/v1/consent-key\n"
"""Before what the holder of a key signs to show that it has it."""

MOST_LISTED = 200
_MADE_ANEW_S = 5
"""Of members that ask for the bulletin at the same time, all get one that was put together once."""

MOST_SUBJECT_KEYS = 10_000
"""Keys that subjects hold: all of them travel to every node."""


class ConsentAuthority:
    """What is granted, revoked and believed. `directory` gives the members as they are now."""

    def __init__(
        self,
        keys: IssuingKeys,
        store: Store,
        recorder: Recorder,
        directory: Callable[[], Directory],
        now: Callable[[], int],
    ) -> None:
        self._keys, self._store, self._recorder = keys, store, recorder
        self._directory, self._now = directory, now
        self._lock = threading.Lock()
        self._made: tuple[BulletinHead, bytes] | None = None

    def open(self) -> None:
        """After a start: make the first key if there is none, and enter what a crash kept from the audit log."""
        self._keys.open()
        granted, revoked = self._store.consents.unrecorded()
        for consent in granted:
            self._record_grant(consent)
        for revocation in revoked:
            self._record_revocation(revocation)
        self._record_keys()

    def grant(self, identity: Identity, request: GrantConsent) -> bytes:
        """The token for a request, the same for the same request.

        Raises: UsageError (CONSENT_TERMS, CONSENT_REQUEST), RefusedError (CONSENT_REPRESENTATIVE, CONSENT_PERSON,
        CONSENT_ENTERPRISE, CONSENT_DISCLOSURE, CONSENT_MEMBER, CONFLICT).
        """
        if not request.request:
            raise UsageError(Problem("CONSENT_REQUEST", "request", "has no name", "give it one of its own"))
        digest = hashlib.sha256(request.disclosure + request.terms).digest()
        with self._lock:
            row = self._store.consents.asked(identity.account, request.request, digest)
            if row is None:
                row = self._store.consents.keep(self._make(identity, request, digest))
            self._record_grant(row)
        failpoints.hit("consent.grant.recorded")
        return _written(self._told(row, whole=True))

    def revoke(self, identity: Identity | None, request: RevokeConsent) -> bytes:
        """Take a consent back for good; without an identity, by order of the platform itself.

        Raises: UsageError (CONSENT_UNKNOWN), RefusedError (as `grant`).
        """
        with self._lock:
            consent = self._meant(request)
            if identity is not None:
                identity.check_speaks_for(consent.subject)
            # Longer than the token holds, so that it is on the list as long as anybody could believe it.
            made = RevocationRow(
                revocation_id(consent.jti),
                self._now(),
                consent.expires + 2 * LEEWAY_S,
                consent.subject if identity is not None else "platform",
                request.reason,
                recorded=False,
            )
            self._made = None
            row = self._store.consents.revoke(made)
            self._record_revocation(row)
        failpoints.hit("consent.revocation.recorded")
        return _written({"consent": consent.jti, "revoked": moment(row.revoked).isoformat()})

    def shown(self, identity: Identity | None, request: ShowConsents) -> bytes:
        """The consents of who asks, or one of them with its token and receipt; to the platform itself, all.

        Raises: UsageError (CONSENT_UNKNOWN).
        """
        consents = self._store.consents
        if not request.consent:
            own = None if identity is None else consents.of_subjects(identity.subjects, MOST_LISTED)
            rows = consents.newest(MOST_LISTED) if own is None else own
            return _written({"consents": [self._told(row) for row in rows]})
        row = consents.of(request.consent)
        if row is None or (identity is not None and row.subject not in identity.subjects):
            raise _unknown()
        # The token is its subject's; the platform's own people see what it says.
        return _written(self._told(row, whole=True, token=identity is not None))

    def register(self, identity: Identity, request: RegisterConsentKey) -> bytes:
        """Let a subject issue consents with a key of its own. Raises: RefusedError (CONSENT_KEY, ... as `grant`)."""
        identity.check_speaks_for(request.subject)
        issuer = Issuer(request.public_key, "enterprise", subject=request.subject)
        proven = key_proof(self._directory().platform, request.subject, request.public_key)
        if not issuer.verified(request.proof, proven):
            raise RefusedError(Problem("CONSENT_KEY", "key", "whoever registers it does not show that it has it"))
        with self._lock:
            held = [row for row in self._store.consent_keys.all() if row.subject and row.ends > self._now()]
            if len(held) >= MOST_SUBJECT_KEYS and issuer.kid not in [row.kid for row in held]:
                raise RefusedError(Problem("QUOTA", "key", f"{MOST_SUBJECT_KEYS} are registered already"))
            row = KeyRow(
                issuer.kid, issuer.kind, request.subject, request.public_key, self._now(), FAR, FAR, recorded=False
            )
            self._made = None
            found = self._store.consent_keys.add(row)
            if found.ends <= self._now():
                raise RefusedError(Problem("CONSENT_KEY", "key", "was retired", "make a new one"))
            self._record_keys()
        return _written({"kid": issuer.kid, "subject": request.subject})

    def change_keys(self, request: ChangeConsentKeys) -> bytes:
        """All keys, after making the next one or giving one up. Raises: UsageError (CONSENT_KEY)."""
        with self._lock:
            self._made = None
            if request.retire:
                self._keys.retire(request.retire)
            if request.rotate:
                self._keys.rotate()
            self._record_keys()
            signer, _ = self._keys.signer()
            rows = self._store.consent_keys.all()
        now = self._now()
        return _written(
            {
                "keys": [
                    {
                        "kid": row.kid,
                        "kind": row.kind,
                        "subject": row.subject,
                        "signs": row.kid == signer.kid,
                        "signs_from": row.signs_from,
                        "believed": row.ends > now,
                        "ends": 0 if row.ends >= FAR else row.ends,
                    }
                    for row in rows
                ]
            }
        )

    def bulletin(self) -> tuple[BulletinHead, bytes]:
        """What holds now, with its number."""
        with self._lock:
            now = self._now()
            if self._made is None or not self._made[0].time <= now < self._made[0].time + _MADE_ANEW_S:
                self._made = self._bulletin(now)
            head, body = self._made
            return replace(head, time=now), body

    def _bulletin(self, now: int) -> tuple[BulletinHead, bytes]:
        platform = self._directory().platform
        issuers = [
            Issuer(row.public_key, "enterprise", subject=row.subject)
            if row.subject
            else Issuer(row.public_key, "authority", name=platform)
            for row in self._store.consent_keys.all()
            if row.ends > now
        ]
        body = BulletinBody.of(issuers, (row.id for row in self._store.consents.revocations(now))).to_bytes()
        digest = hashlib.sha256(body).digest()
        # Time, so that a platform restored from an older copy does not begin below what nodes have seen.
        return BulletinHead(platform, self._store.consent_keys.number(digest, now), now, digest), body

    def _make(self, identity: Identity, request: GrantConsent, digest: bytes) -> ConsentRow:
        terms = Terms.parse(request.terms)
        identity.check_speaks_for(terms.subject)
        check_terms(terms, identity.kind)
        notice = notice_of(terms, identity.kind)
        if disclosure_hash(notice) != request.disclosure:
            what, fix = "is not the one that these terms have here", "show the text of this platform's version"
            raise RefusedError(Problem("CONSENT_DISCLOSURE", "text that was shown", what, fix))
        requester, now = self._members(terms), self._now()
        self._check_models(terms)
        begins = terms.starts or now
        issuer, key = self._keys.signer()
        consent = Consent(
            issuer=issuer.party,
            subject=terms.subject,
            providers=terms.providers,
            jti=fresh_jti(),
            issued_at=now,
            not_before=begins,
            expires=begins + terms.days * DAY_S,
            authority=requester.authority.fingerprint(hashes.SHA256()),
            by=identity.kind,
            disclosure=request.disclosure,
            scope=terms.scope(),
        )
        return ConsentRow(
            consent.jti,
            identity.account,
            request.request,
            digest,
            issue(consent, issuer, key.sign),
            consent.subject,
            notice,
            terms.language,
            now,
            consent.expires,
            recorded=False,
        )

    def _members(self, terms: Terms) -> MemberRecord:
        """The requester, after seeing that all are members of the right kind. Raises: RefusedError (CONSENT_MEMBER)."""
        members = {str(member.party): member for member in self._directory().members if member.state == ACTIVE}
        # Who has published a model has its scores, and may be let pass word of them on.
        passes = {offer.publisher for name in terms.models for offer in self._offers(name)}
        wanted = [(terms.requester, {"institution"})]
        wanted += [(name, {"provider", "institution"} if name in passes else {"provider"}) for name in terms.providers]
        for name, kinds in wanted:
            if name not in members or members[name].kind not in kinds:
                raise RefusedError(Problem("CONSENT_MEMBER", name, f"is no {max(kinds)} of this platform"))
        return members[terms.requester]

    def _offers(self, model: str) -> list[Offer]:
        return [version.manifest.offer for version in self._store.models.all(model, live=True)]

    def _check_models(self, terms: Terms) -> None:
        """See that each model is published, and the requester one of its parties, or its publisher a provider: one that
        passes on to the requester what comes of it. Raises: UsageError (CONSENT_TERMS).

        A model of others is none, so that nobody learns of it by asking.
        """
        problems = []
        institutions = {member.party for member in self._directory().members if member.kind == "institution"}
        passing = institutions & set(terms.providers)
        for name in terms.models:
            offers = self._offers(name)
            if not any(terms.requester in offer.parties or offer.publisher in passing for offer in offers):
                what, fix = "is no published model of that institution", "ask it for the name"
                problems.append(Problem("CONSENT_TERMS", f"terms: model {name}", what, fix))
        if problems:
            raise UsageError(problems)

    def _meant(self, request: RevokeConsent) -> Consent:
        if request.token:
            # One that a subject issued itself was never here; a key that has ended may have signed it.
            keys = self._store.consent_keys.all()
            own = Issuers(Issuer(row.public_key, "enterprise", subject=row.subject) for row in keys if row.subject)
            envelope = Envelope.read(request.token)
            if own.find(envelope.kid) is not None:
                return envelope.claims_for(own)
            row = self._store.consents.of(envelope.claims().jti)
            if row is None or row.token != request.token:
                raise _unknown()
            return envelope.claims()
        row = self._store.consents.of(request.consent)
        if row is None:
            raise _unknown()
        return Envelope.read(row.token).claims()

    def _told(self, row: ConsentRow, *, whole: bool = False, token: bool = True) -> dict[str, Any]:
        consent = Envelope.read(row.token).claims()
        revoked = self._store.consents.revocation(revocation_id(row.jti))
        found: dict[str, Any] = {
            "consent": row.jti,
            "requester": consent.scope.requester,
            "providers": list(consent.providers),
            "purpose": consent.scope.purpose,
            "models": list(consent.scope.models),
            "granted": moment(row.granted).isoformat(),
            "expires": moment(row.expires).isoformat(),
            "revoked": "" if revoked is None else moment(revoked.revoked).isoformat(),
        }
        if whole and token:
            issuer, key = self._keys.signer()
            receipt = make_receipt(
                consent, notice=row.notice, language=row.language, public_key=issuer.public_key, sign=key.sign
            )
            found |= {"token": row.token, "receipt": receipt.decode()}
        if whole:
            found |= {"payload": json.loads(consent.to_payload())}
        return found

    def _record_grant(self, row: ConsentRow) -> None:
        if row.recorded:
            return
        envelope = Envelope.read(row.token)
        consent = envelope.claims()
        facts: dict[str, Fact] = {
            "consent": revocation_id(row.jti),
            "token": hashlib.sha256(row.token.encode()).hexdigest(),
            "key": envelope.kid,
            "by": consent.by.value,
            "what": "scores" if consent.scope.models else "questions",
            "requester": consent.scope.requester,
            "purpose": consent.scope.purpose,
            "uses": consent.scope.max_uses,
        }
        self._recorder.record(Event.CONSENT_GRANTED, "", **facts)
        self._store.consents.recorded(consent=row.jti)

    def _record_revocation(self, row: RevocationRow) -> None:
        if not row.recorded:
            who = "platform" if row.by == "platform" else "subject"
            self._recorder.record(Event.CONSENT_REVOKED, "", consent=row.id, by=who)
            self._store.consents.recorded(revocation=row.id)

    def _record_keys(self) -> None:
        for row in self._store.consent_keys.all():
            if not row.recorded:
                facts: dict[str, Fact] = {
                    "what": "consent_key",
                    "key": row.kid,
                    "kind": row.kind,
                    "ends": min(row.ends, FAR),
                }
                self._recorder.record(Event.TRUST_CHANGED, "", **facts)
                self._store.consent_keys.recorded(row.kid)


def key_proof(platform: str, subject: str, public_key: bytes) -> bytes:
    """What the holder of a key signs, to register it for `subject` at `platform`."""
    return KEY_PROOF + f"{platform}\n{subject}\n{public_key.hex()}\n".encode()


def _written(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _unknown() -> UsageError:
    return UsageError(Problem("CONSENT_UNKNOWN", "consent", "is not known here", "see `fedcredit consent list`"))
