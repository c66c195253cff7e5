"""Consents of a town's enterprises: behind a login at the platform, or thousands at once by the platform's own key."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives import hashes

from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.governance.consent.terms import Terms, disclosure_hash
from fedcredit.governance.consent.token import encode, fresh_jti
from fedcredit.node.consent.accounts import LocalAccounts
from fedcredit.node.consent.counter import ConsentCounter
from fedcredit.node.consent.issuing import load_key
from fedcredit.node.consent.wording import notice_of
from fedcredit.node.local import PLATFORM
from fedcredit.node.pki import load_certificate
from fedcredit.node.town.town import Town
from fedcredit.runtime.clock import SystemClock
from fedcredit.wire.consent import GrantConsent, RevokeConsent

__all__ = ["Representative", "signed_at_once"]

_SECONDS: Final = 86_400
_EARLY_S: Final = 5


@dataclass(frozen=True, slots=True)
class Representative:
    """Who speaks for enterprises at the platform, with an account there."""

    town: Town
    account: str
    _password: str = field(repr=False)

    @classmethod
    def with_account(cls, town: Town, account: str, subjects: Sequence[str]) -> Representative:
        """Somebody whose papers the platform has seen. Raises: UsageError (ACCOUNT)."""
        config, password = town.config(PLATFORM), secrets.token_urlsafe(24)
        accounts = LocalAccounts(config.path(config.consent.accounts), SystemClock())
        accounts.add(account, "enterprise", subjects, password)
        return cls(town, account, password)

    async def grant(self, terms: Terms) -> dict[str, Any]:
        """Agree to `terms` at the platform: token, receipt, name of the consent. Raises what it is refused with."""
        shown = disclosure_hash(notice_of(terms, ConsentBy.ENTERPRISE))
        asked = GrantConsent(self.account, self._password, secrets.token_hex(16), terms.to_bytes(), shown)
        async with ConsentCounter(self.town.config(PLATFORM)) as counter:
            return await counter.ask("Grant", asked)

    async def revoke(self, consent: str) -> None:
        """Take a consent back, by its name. Raises what it is refused with."""
        asked = RevokeConsent(self.account, self._password, consent, "", "")
        async with ConsentCounter(self.town.config(PLATFORM)) as counter:
            await counter.ask("Revoke", asked)


def signed_at_once(town: Town, subjects: Sequence[str], *, days: int = 1, **scope: Any) -> list[str]:
    """A consent of each enterprise to the bank, for all departments, as the platform's authority signs them.

    `scope`: fields of `Scope` besides requester and region; `models` or `predicates`, `purpose`, `max_uses`. No account
    logs in and the platform's own list does not have them: for benchmarks, which need more than logins give.
    """
    (path,) = (town.folder(PLATFORM) / "keys" / "consent").glob("*.key")
    key = load_key(path)
    issuer = Issuer(key.public_key().public_bytes_raw(), "authority", name=PLATFORM)
    certificate = load_certificate(town.folder(town.bank) / "keys" / "authority.crt")
    authority, now = certificate.fingerprint(hashes.SHA256()), int(time.time())
    allowed = Scope(requester=town.bank, region=town.services.region, **scope)
    return [
        encode(
            Consent(
                issuer=PLATFORM,
                subject=subject,
                providers=tuple(sorted(town.departments)),
                jti=fresh_jti(),
                issued_at=now,
                not_before=now - _EARLY_S,
                expires=now + days * _SECONDS,
                authority=authority,
                by=ConsentBy.ENTERPRISE,
                disclosure=bytes(32),
                scope=allowed,
            ),
            issuer.public_key,
            key.sign,
        )
        for subject in subjects
    ]
