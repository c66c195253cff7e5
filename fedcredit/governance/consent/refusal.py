"""Why a consent does not hold: stable codes for the log of whoever refuses. Outside, all refusals are one."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from fedcredit.errors import Problem, RefusedError

__all__ = ["CONSENT_DENIED", "ConsentRefused", "Why"]

CONSENT_DENIED = "CONSENT_DENIED"
"""All that a caller is told where a reason would tell of the subject."""


class Why(StrEnum):
    """The codes, in the order in which they are looked at: the first that holds is the one that is said."""

    MISSING = "CONSENT_MISSING"
    MALFORMED = "TOKEN_MALFORMED"
    ISSUER = "CONSENT_ISSUER"
    SIGNATURE = "CONSENT_SIGNATURE"
    CLAIM = "CONSENT_CLAIM"
    LIFETIME = "CONSENT_LIFETIME"
    STALE = "CONSENT_STALE"
    REVOKED = "CONSENT_REVOKED"
    NOT_YET = "CONSENT_NOT_YET"
    EXPIRED = "CONSENT_EXPIRED"
    AUDIENCE = "CONSENT_AUDIENCE"
    BINDING = "CONSENT_BINDING"
    REQUESTER = "CONSENT_REQUESTER"
    REGION = "CONSENT_REGION"
    PURPOSE = "CONSENT_PURPOSE"
    SUBJECT = "CONSENT_SUBJECT"
    PERSON = "CONSENT_PERSON"
    ENTERPRISE = "CONSENT_ENTERPRISE"
    SCOPE = "CONSENT_SCOPE"
    USED_UP = "CONSENT_USED_UP"

    @property
    def words(self) -> tuple[str, str]:
        """What is wrong, and what to do about it."""
        return _WORDS[self]


_WORDS = MappingProxyType(
    {
        Why.MISSING: ("no consent came with what is asked", "ask the subject for its consent"),
        Why.MALFORMED: ("is not a consent token in its one form", "hand on the token exactly as it was issued"),
        Why.ISSUER: ("is of no issuer that is believed here for this subject", "have it issued by the authority"),
        Why.SIGNATURE: ("the signature is not over these bytes", "hand on the token exactly as it was issued"),
        Why.CLAIM: ("a claim is missing, unknown, or of another form", "have it issued anew"),
        Why.LIFETIME: ("it ends before it begins, or later than 366 days after", "have it issued for a year at most"),
        Why.STALE: ("the list of revocations is too old", "see to it that the list arrives from the platform"),
        Why.REVOKED: ("was revoked", "ask the subject for a new consent, or leave it"),
        Why.NOT_YET: ("does not hold yet", "wait until it begins"),
        Why.EXPIRED: ("has ended", "ask the subject for a new consent"),
        Why.AUDIENCE: ("is not for this provider", "ask a provider that it names"),
        Why.BINDING: ("is bound to another authority's certificate than the caller's", "only its holder can use it"),
        Why.REQUESTER: ("was given to another institution", "ask the subject for a consent of its own"),
        Why.REGION: ("is for another region", "ask in the region that it names"),
        Why.PURPOSE: ("is for another purpose", "ask for the purpose that it names"),
        Why.SUBJECT: ("is another subject's", "send the consent of the subject that is asked about"),
        Why.PERSON: ("takes the natural person's own consent", "ask the person, apart from the enterprise"),
        Why.ENTERPRISE: ("takes the enterprise's consent, not a person's", "ask the enterprise"),
        Why.SCOPE: ("does not cover this question or score", "ask for what it lists"),
        Why.USED_UP: ("has been used as often as was agreed", "ask the subject for a new consent"),
    }
)


class ConsentRefused(RefusedError):
    """A consent does not hold. `why` is for this side's log; a peer is told `CONSENT_DENIED` at most."""

    default_code = CONSENT_DENIED

    def __init__(self, why: Why, where: str = "consent", what: str = "") -> None:
        words, fix = why.words
        super().__init__(Problem(why, where, f"{words}: {what}" if what else words, fix))
        self.why = why
