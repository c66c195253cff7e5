"""A permit: the platform's word that just these blinded elements are of subjects who consented, for one question, once.

The authority signs it with the key that it signs consents with, so that who gives up that key gives up its permits.
Whoever has a table evaluates no element without one: the elements alone say nothing of whose they are. Pure: values
in, a decision out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from fedcredit.errors import Problem, RefusedError
from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.claims import LEEWAY_S
from fedcredit.governance.consent.decision import MAX_LIST_AGE_S
from fedcredit.governance.consent.issuers import Issuers
from fedcredit.ids import PartyId

__all__ = [
    "MEMBERSHIP_REFUSED",
    "PERMIT_S",
    "PERMIT_USE",
    "Believed",
    "Permit",
    "PermitRefused",
    "Presented",
    "WhyNot",
    "believe",
    "check_permit",
    "elements_digest",
    "signed_bytes",
]

PERMIT_USE: Final = b"fedcredit/v1/membership-permit\n"
"""Before what is signed. No consent's or receipt's signature begins so."""

PERMIT_S: Final = 300
"""How long a permit holds."""

MOST_ELEMENTS: Final = 1 << 16
MEMBERSHIP_REFUSED: Final = "MEMBERSHIP_REFUSED"

_FORMAT = "fedcredit-membership-permit/1"
_MAX_TIME = 253_402_300_799
_HEX = {"key": 16, "elements": 32, "nonce": 16}


class WhyNot(StrEnum):
    """Why nothing is evaluated: for the log of who refuses; a peer is told `MEMBERSHIP_REFUSED` and no more."""

    OFF = "private_off"
    RULE = "private_rule"
    COMPLETE = "private_complete"
    NO_TABLE = "private_no_table"
    MALFORMED = "permit_malformed"
    STALE = "permit_stale"
    ISSUER = "permit_issuer"
    SIGNATURE = "permit_signature"
    REQUESTER = "permit_requester"
    PROVIDER = "permit_provider"
    REGION = "permit_region"
    QUESTION = "permit_question"
    KEY = "permit_key"
    COUNT = "permit_count"
    ELEMENTS = "permit_elements"
    TIME = "permit_time"
    REPLAYED = "permit_replayed"
    SPENT = "private_spent"


class PermitRefused(RefusedError):
    """Nothing is evaluated. `why` is for this side's log."""

    default_code = MEMBERSHIP_REFUSED

    def __init__(self, why: WhyNot) -> None:
        what, fix = "is refused, and no more is said of why", "ask the provider's people: their log has the reason"
        super().__init__(Problem(MEMBERSHIP_REFUSED, "private verification", what, fix))
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What the platform permits. `elements` is the SHA-256 of all elements one after the other, of which there are
    `count`, `key` names the filter whose function they are for.

    Units: times in seconds since 1970. Raises: ValueError where it does not hold together.
    """

    requester: str
    provider: str
    region: str
    purpose: str
    predicate: str
    item: str
    key: bytes
    count: int
    elements: bytes
    issued_at: int
    expires: int
    nonce: bytes

    def __post_init__(self) -> None:
        numbers = (self.count, self.issued_at, self.expires)
        if not all(type(number) is int and 0 <= number <= _MAX_TIME for number in numbers):
            raise ValueError("number")
        if not 1 <= self.count <= MOST_ELEMENTS or not self.issued_at < self.expires <= self.issued_at + PERMIT_S:
            raise ValueError("range")
        if any(len(getattr(self, name)) != size for name, size in _HEX.items()):
            raise ValueError("size")
        texts = (self.requester, self.provider, self.region, self.purpose, self.predicate, self.item)
        if not all(isinstance(text, str) and 1 <= len(text) <= 64 for text in texts):
            raise ValueError("text")

    def to_bytes(self) -> bytes:
        """Its one form."""
        found: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return canonical.write({"format": _FORMAT, **found, **{name: found[name].hex() for name in _HEX}})

    @classmethod
    def parse(cls, data: bytes) -> Permit:
        """The permit that `to_bytes` wrote. Raises: PermitRefused (MALFORMED)."""
        try:
            value = dict(canonical.read(data))
            if value.pop("format") != _FORMAT:
                raise ValueError("format")
            found = cls(**{**value, **{name: bytes.fromhex(value[name]) for name in _HEX}})
            if found.to_bytes() != data:
                raise ValueError("form")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise PermitRefused(WhyNot.MALFORMED) from None
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """What a provider knows of the authority: whose word it takes, and as of when it heard it."""

    platform: PartyId
    issuers: Issuers
    heard_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A call at `provider`, whose certificate says that it is `requester`'s, and what it is served under."""

    requester: PartyId
    provider: PartyId
    region: str
    item: str
    key: bytes
    count: int
    elements: bytes
    now: int


def signed_bytes(permit: bytes) -> bytes:
    """What the authority's signature is over."""
    return PERMIT_USE + permit


def elements_digest(elements: bytes) -> bytes:
    """What a permit says of the encodings of all its elements, one after the other."""
    return hashlib.sha256(elements).digest()


def believe(data: bytes, kid: str, signature: bytes, believed: Believed, now: int) -> Permit:
    """The permit in `data`, on the word of the authority's own key. Raises: PermitRefused.

    A list of keys that is too old is none: a key that was given up could still be on it.
    """
    if now - believed.heard_at > MAX_LIST_AGE_S:
        raise PermitRefused(WhyNot.STALE)
    issuer = believed.issuers.find(kid)
    if issuer is None or issuer.kind != "authority" or issuer.name != believed.platform:
        raise PermitRefused(WhyNot.ISSUER)
    if not issuer.verified(signature, signed_bytes(data)):
        raise PermitRefused(WhyNot.SIGNATURE)
    return Permit.parse(data)


def check_permit(permit: Permit, presented: Presented) -> None:
    """See that `permit` is for this call. That it was not used before is the caller's to see. Raises: PermitRefused."""
    wrong = (
        (permit.requester != presented.requester, WhyNot.REQUESTER),
        (permit.provider != presented.provider, WhyNot.PROVIDER),
        (permit.region != presented.region, WhyNot.REGION),
        (permit.item != presented.item, WhyNot.QUESTION),
        (permit.key != presented.key, WhyNot.KEY),
        (permit.count != presented.count, WhyNot.COUNT),
        (permit.elements != presented.elements, WhyNot.ELEMENTS),
        (permit.issued_at > presented.now + LEEWAY_S, WhyNot.TIME),
        (permit.expires <= presented.now - LEEWAY_S, WhyNot.TIME),
    )
    for broken, why in wrong:
        if broken:
            raise PermitRefused(why)
