"""A consent in words, for people who hold a token and want to know what it says."""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.governance.consent.claims import Consent, ConsentBy
from fedcredit.governance.consent.encoding import encode_text
from fedcredit.governance.consent.issuers import BY_ENTERPRISE
from fedcredit.governance.consent.terms import Wording
from fedcredit.governance.consent.token import moment, revocation_id

__all__ = ["explained"]


def explained(consent: Consent, kid: str, now: int, wording: Wording) -> Iterator[tuple[str, str]]:
    """Name and text of everything that `consent` says; `kid` is the key that it claims to be signed with."""
    scope = consent.scope
    own = consent.issuer == BY_ENTERPRISE
    yield "subject", consent.subject
    yield "whose word", "the enterprise's" if consent.by is ConsentBy.ENTERPRISE else "a natural person's own"
    yield "issued by", f"{'the subject itself' if own else consent.issuer}, key {kid}"
    yield "institution", f"{scope.requester}, under the authority with SHA-256 {consent.authority.hex()}"
    yield "departments", ", ".join(consent.providers)
    yield "purpose", scope.purpose
    yield "region", f"{scope.region} ({wording.region})"
    for name in scope.predicates:
        yield "may ask", f"{name}: {wording.predicates.get(name, 'not known here')}"
    for name in scope.items:
        yield "may ask", f"anything that rests on {name} alone: {wording.items.get(name, 'not known here')}"
    for name in scope.models:
        yield "may score", f"by the published model {name}, encrypted: the institution reads the total alone"
    yield "uses", f"{scope.max_uses} at each department"
    yield "holds", f"{_time(consent.not_before)} to {_time(consent.expires)} ({_state(consent, now)})"
    yield "issued at", _time(consent.issued_at)
    yield "text shown", f"SHA-256 {encode_text(consent.disclosure)}"
    yield "name", consent.jti
    yield "name in logs", revocation_id(consent.jti)


def _time(seconds: int) -> str:
    return f"{moment(seconds):%F %T} UTC"


def _state(consent: Consent, now: int) -> str:
    if now < consent.not_before:
        return "not yet"
    return "now" if now < consent.expires else "no more"
