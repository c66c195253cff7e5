"""Consents of all kinds, and the authority that signs them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from fedcredit.governance.consent.claims import MAX_LIFETIME_S, Consent, ConsentBy, Scope
from fedcredit.governance.consent.encoding import encode_text
from fedcredit.governance.consent.issuers import Issuer, Issuers

__all__ = ["ENTERPRISE", "ISSUER", "ISSUERS", "KEY", "PERSON", "PROPRIETOR", "consents"]

ENTERPRISE, PROPRIETOR, PERSON = "91320100MA1MK00057", "92320104MA1P000063", "11010519491231002X"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ISSUER = Issuer(KEY.public_key().public_bytes_raw(), "authority", name="platform")
ISSUERS = Issuers([ISSUER])

names = st.from_regex(r"[a-z][a-z0-9_]{0,11}", fullmatch=True)
sorted_names = st.lists(names, max_size=6, unique=True).map(lambda found: tuple(sorted(found)))
sorted_models = st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,11}", fullmatch=True), max_size=4, unique=True).map(
    lambda found: tuple(sorted(found))
)


@st.composite
def consents(draw: st.DrawFn) -> Consent:
    """A consent to questions or to scores, of the authority that `ISSUER` is."""
    by = draw(st.sampled_from(list(ConsentBy)))
    subject = draw(st.sampled_from([ENTERPRISE, PROPRIETOR] + ([PERSON] if by is ConsentBy.PERSON else [])))
    predicates, items, models = draw(sorted_names), draw(sorted_names), draw(sorted_models)
    if draw(st.booleans()):
        predicates, items = (), ()
        models = models or ("a",)
    else:
        predicates, models = predicates or (() if items else ("a",)), ()
    begins = draw(st.integers(0, 1 << 34))
    return Consent(
        issuer="platform",
        subject=subject,
        providers=draw(sorted_names.filter(bool)),
        jti=encode_text(draw(st.binary(min_size=16, max_size=16))),
        issued_at=draw(st.integers(0, 1 << 34)),
        not_before=begins,
        expires=begins + draw(st.integers(1, MAX_LIFETIME_S)),
        authority=draw(st.binary(min_size=32, max_size=32)),
        by=by,
        disclosure=draw(st.binary(min_size=32, max_size=32)),
        scope=Scope(
            requester=draw(names),
            purpose=draw(names),
            region=draw(names),
            items=items,
            predicates=predicates,
            models=models,
            max_uses=draw(st.integers(1, 1_000_000)),
        ),
    )
