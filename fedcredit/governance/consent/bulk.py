"""Many consent tokens at once, e.g. those of all subjects that a bank wants scored, read natively.

One by one, a token takes Python a fifth of a millisecond. Here the data plane's reader takes them on all cores;
`tests/vectors/consent` and tests over damaged tokens hold it to the reader in Python, reason for reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.token import Envelope, header_kid
from fedcredit.kernels.desk import ConsentReader, Key, Told, ToldScope

__all__ = ["read_many"]

_WHY = {why.lower(): why for why in Why}
_NO_TOKEN = "."  # noqa: S105 - malformed, in place of what cannot be handed to native code as text


def read_many(tokens: Sequence[str], issuers: Issuers) -> list[Consent | Why]:
    """Of each token what `Envelope.read(token).claims_for(issuers)` gives: the consent, or why it is refused.

    Shapes: as many as `tokens`. On all cores; releases the GIL while signatures are checked.
    """
    try:
        reader = ConsentReader([_key(issuer) for issuer in _named(tokens, issuers)])
    except ValueError:
        # A key that is no point of the curve. Nobody can sign with it; which reason that has is told one by one.
        return [_read(token, issuers) for token in tokens]
    rows, scopes = reader.read_many([token if token.isascii() else _NO_TOKEN for token in tokens])
    shared = [_scope(scope) for scope in scopes]
    return [_WHY[row] if isinstance(row, str) else _consent(row, scopes, shared) for row in rows]


def _named(tokens: Sequence[str], issuers: Issuers) -> Iterator[Issuer]:
    """The issuers that tokens claim to be of: of ten thousand there may be, mostly one or two."""
    for header in {token.partition(".")[0] for token in tokens}:
        try:
            issuer = issuers.find(header_kid(header))
        except ValueError:
            continue  # malformed, as the reader will say
        if issuer is not None:
            yield issuer


def _key(issuer: Issuer) -> Key:
    return Key(issuer.public_key, issuer.name or None, issuer.subject or None)


def _read(token: str, issuers: Issuers) -> Consent | Why:
    try:
        return Envelope.read(token).claims_for(issuers)
    except ConsentRefused as refused:
        return refused.why


def _scope(told: ToldScope) -> Scope:
    _, _, _, requester, purpose, region, items, predicates, models, max_uses = told
    return Scope(
        requester=requester,
        purpose=purpose,
        region=region,
        items=items,
        predicates=predicates,
        models=models,
        max_uses=max_uses,
    )


def _consent(told: Told, scopes: Sequence[ToldScope], shared: Sequence[Scope]) -> Consent:
    place, subject, jti, issued_at, not_before, expires, by, disclosure = told
    issuer, providers, authority, *_ = scopes[place]
    return Consent(
        issuer=issuer,
        subject=subject,
        providers=providers,
        jti=jti,
        issued_at=issued_at,
        not_before=not_before,
        expires=expires,
        authority=authority,
        by=ConsentBy(by),
        disclosure=disclosure,
        scope=shared[place],
    )
