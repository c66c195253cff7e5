"""An authority for consents with a store, an audit log and members of its own, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.governance.audit import Entry
from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.governance.consent.claims import ConsentBy
from fedcredit.governance.consent.decision import Premises, Use
from fedcredit.governance.consent.terms import Terms, disclosure_hash
from fedcredit.ids import PartyId
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.consent.authority import ConsentAuthority
from fedcredit.node.consent.identity import Identity
from fedcredit.node.consent.issuing import IssuingKeys
from fedcredit.node.consent.wording import notice_of
from fedcredit.node.pki import Authority
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Store
from fedcredit.node.trust.directory import Directory, MemberRecord
from fedcredit.runtime.clock import ManualClock
from fedcredit.wire.consent import GrantConsent

__all__ = ["ENTERPRISE", "OTHER", "PERSON", "PROPRIETOR", "REPRESENTATIVE", "SELF", "TERMS", "ConsentOffice", "office"]

PLATFORM = PartyId("platform")
ENTERPRISE, OTHER, PROPRIETOR = "91320100MA1MK00057", "91370800MA3C00008B", "92320104MA1P000063"
PERSON = "11010519491231002X"
REPRESENTATIVE = Identity("ann", ConsentBy.ENTERPRISE, frozenset({ENTERPRISE}))
SELF = Identity("li", ConsentBy.PERSON, frozenset({PERSON, PROPRIETOR}))

TERMS = Terms(
    subject=ENTERPRISE,
    requester="bank",
    providers=("housing_fund", "tax"),
    purpose="financing",
    region="nanjing",
    predicates=("hf_continuous_k",),
    max_uses=3,
)


class ConsentOffice:
    """`authority` as of now; `again` is the process that comes after it."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.url = url or f"sqlite:///{folder / 'store.sqlite'}"
        self.folder, self.clock = folder, ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
        kinds = {"bank": "institution", "insurer": "institution", "housing_fund": "provider", "tax": "provider"}
        self.members = {
            name: MemberRecord(PartyId(name), kind, Authority.of_party(PartyId(name)).certificate, "127.0.0.1:1")
            for name, kind in kinds.items()
        }
        self.signing_key = Ed25519PrivateKey.generate()
        self._open()

    def _open(self) -> None:
        self.store = Store.open(self.url, self.clock)
        key = self.signing_key
        audit = AuditFile(
            self.folder / "audit",
            PLATFORM,
            sign=key.sign,
            verify=lambda signature, body: key.public_key().verify(signature, body),
            clock=self.clock,
            known=None,
        )
        self.audit = audit
        self.keys = IssuingKeys(self.folder / "keys", PLATFORM, self.store, self.now)
        self.authority = ConsentAuthority(
            self.keys,
            self.store,
            Recorder(audit, self.store),
            lambda: Directory.of(PLATFORM, 1, self.members.values()),
            self.now,
        )

    def close(self) -> None:
        """End the process."""
        self.audit.close()
        self.store.close()

    def again(self) -> None:
        """End the process and start it anew."""
        self.close()
        self._open()
        self.authority.open()

    def now(self) -> int:
        """The time of day."""
        return int(self.clock.now().timestamp())

    def grant(
        self, identity: Identity = REPRESENTATIVE, terms: Terms = TERMS, request: str = "one", **changed: Any
    ) -> dict[str, Any]:
        """What the authority gives for these terms."""
        terms = replace(terms, **changed)
        digest = disclosure_hash(notice_of(terms, identity.kind))
        message = GrantConsent(identity.account, "", request, terms.to_bytes(), digest)
        return dict(json.loads(self.authority.grant(identity, message)))

    def bulletin(self) -> Bulletin:
        """What every node is told now."""
        return Bulletin.join(*self.authority.bulletin())

    def premises(self, provider: str = "tax") -> Premises:
        """What a provider decides on that has heard the bulletin just now."""
        found = self.bulletin()
        return Premises(provider, "nanjing", found.issuers(), frozenset(found.body.revoked), found.head.time)

    def use(self, requester: str = "bank", **changed: Any) -> Use:
        """A question that the terms cover."""
        authority = self.members[requester].authority.fingerprint(hashes.SHA256())
        asked = Use(
            requester=requester,
            authority=authority,
            subject=ENTERPRISE,
            predicate="hf_continuous_k",
            items=frozenset({"housing_fund_contribution"}),
            purpose="financing",
            now=self.now(),
        )
        return replace(asked, **changed)

    def entries(self) -> list[Entry]:
        """The audit log."""
        lines = (self.folder / "audit" / "entries.jsonl").read_bytes().splitlines()
        return [Entry.decode(line) for line in lines]


@contextmanager
def office(folder: Path, url: str = "") -> Iterator[ConsentOffice]:
    """An authority that has started, with its store at `url` or in its folder."""
    made = ConsentOffice(folder, url)
    made.authority.open()
    try:
        yield made
    finally:
        made.close()
