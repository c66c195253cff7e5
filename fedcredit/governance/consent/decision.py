"""Whether a consent allows one question, or one score, now. Pure: a decision and its reason from values alone.

The order of the checks is that of `Why`, so that every node that refuses writes down the same reason. The native data
plane decides questions the same way; `tests/vectors/consent` holds the two together.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from fedcredit.governance.consent.claims import LEEWAY_S, Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuers
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.subjects import is_sole_proprietor
from fedcredit.governance.consent.token import Envelope, revocation_id

__all__ = ["MAX_LIST_AGE_S", "Allowed", "Premises", "Refused", "Use", "decide", "judge", "lapsed"]

MAX_LIST_AGE_S = 300
"""A list of revocations that is older says nothing any more: everything that takes a consent is refused."""


@dataclass(frozen=True, slots=True)
class Premises:
    """What the node that decides knows: who it is, whom it believes, what was revoked and as of when."""

    provider: str
    region: str
    issuers: Issuers
    revoked: Container[str] = frozenset()
    revocations_at: int = 0
    max_age_s: int = MAX_LIST_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One question, or one score of `model`, which has neither predicate nor items.

    `authority` is the SHA-256 of the authority certificate that vouches for the caller. `items` are all that the answer
    rests on; `person` says that this is a natural person's. `uses` is how often the consent was used before.
    """

    requester: str
    authority: bytes
    subject: str
    predicate: str
    items: frozenset[str]
    purpose: str
    now: int
    uses: int = 0
    person: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The use may be made on the word of `consent`."""

    consent: Consent
    reason: str = "the consent covers it"


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not. `why` and `reason` are for the log of the node that decides."""

    why: Why
    reason: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", self.why.words[0])


def decide(token: str, use: Use, premises: Premises) -> Allowed | Refused:
    """Whether `token` allows `use` at a node with these premises."""
    try:
        consent = Envelope.read(token).claims_for(premises.issuers)
    except ConsentRefused as refused:
        return Refused(refused.why)
    return judge(consent, use, premises)


def judge(consent: Consent, use: Use, premises: Premises) -> Allowed | Refused:
    """As `decide`, of a token that was read before, on the word of one of the premises' issuers."""
    return lapsed(consent, use.now, premises) or _covers(consent, use, premises) or Allowed(consent)


def lapsed(consent: Consent, now: int, premises: Premises) -> Refused | None:
    """Why such a token holds for no question at all at `now`; None if it does hold, for what it covers."""
    if now - premises.revocations_at > premises.max_age_s:
        return Refused(Why.STALE)
    if revocation_id(consent.jti) in premises.revoked:
        return Refused(Why.REVOKED)
    if max(consent.not_before, consent.issued_at) > now + LEEWAY_S:
        return Refused(Why.NOT_YET)
    if consent.expires <= now - LEEWAY_S:
        return Refused(Why.EXPIRED)
    if premises.provider not in consent.providers:
        return Refused(Why.AUDIENCE)
    return None


def _covers(consent: Consent, use: Use, premises: Premises) -> Refused | None:
    scope = consent.scope
    if consent.authority != use.authority:
        return Refused(Why.BINDING)
    for asked, given, why in (
        (use.requester, scope.requester, Why.REQUESTER),
        (premises.region, scope.region, Why.REGION),
        (use.purpose, scope.purpose, Why.PURPOSE),
        (use.subject, consent.subject, Why.SUBJECT),
    ):
        if asked != given:
            return Refused(why)
    needed = ConsentBy.PERSON if use.person or is_sole_proprietor(use.subject) else ConsentBy.ENTERPRISE
    if consent.by is not needed:
        return Refused(Why.PERSON if needed is ConsentBy.PERSON else Why.ENTERPRISE)
    if not (_covers_score(scope, use) if use.model else _covers_question(scope, use)):
        return Refused(Why.SCOPE)
    if use.uses >= scope.max_uses:
        return Refused(Why.USED_UP)
    return None


def _covers_question(scope: Scope, use: Use) -> bool:
    return use.predicate in scope.predicates or bool(use.items and use.items <= set(scope.items))


def _covers_score(scope: Scope, use: Use) -> bool:
    # What asks for both at once is neither.
    return use.model in scope.models and not use.predicate and not use.items
