"""What a consent says: who allows whom what about whom, for what, where, when, how often, after reading which text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.encoding import decode_text, encode_text
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.subjects import is_enterprise_code, is_person_number

__all__ = [
    "LEEWAY_S",
    "MAX_LIFETIME_S",
    "QUESTIONS_TYPE",
    "SCORES_TYPE",
    "TOKEN_TYPE",
    "Consent",
    "ConsentBy",
    "Scope",
    "are_models",
    "are_providers",
]

TOKEN_TYPE = "fedcredit-consent+jwt"  # noqa: S105 - a name
QUESTIONS_TYPE, SCORES_TYPE = "fedcredit-verification", "fedcredit-score"
"""The types of details: what a token allows is questions, or scores, and never both."""

MAX_LIFETIME_S = 366 * 86_400
LEEWAY_S = 60
"""How far clocks may be apart."""

MAX_PROVIDERS = 16
MAX_NAMES = 64
MAX_USES = 1_000_000
_MAX_TIME = 253_402_300_799  # the end of the year 9999

_PARTY = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MODEL = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HASH_BYTES, _JTI_BYTES = 32, 16

_CLAIMS = frozenset(
    ["iss", "sub", "aud", "jti", "iat", "nbf", "exp", "cnf", "consent_by", "disclosure", "authorization_details"],
)
_ASKED = {QUESTIONS_TYPE: ("items", "predicates"), SCORES_TYPE: ("models",)}
_DETAILS = {
    kind: frozenset(["type", "requester", "purpose", "region", "max_uses", *lists]) for kind, lists in _ASKED.items()
}
_CONFIRMATION = "x5t#S256"


class ConsentBy(StrEnum):
    """Whose word it is. An enterprise's representative cannot give a person's, nor the other way round."""

    ENTERPRISE = "enterprise"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What may be asked: the questions in `predicates`, and those that rest on nothing but `items`; or, in a scope
    without either, scores of the published `models`.

    Names stand in order, each once. Raises: ConsentRefused (CONSENT_CLAIM).
    """

    requester: str
    purpose: str
    region: str
    items: tuple[str, ...] = ()
    predicates: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    max_uses: int = 1

    def __post_init__(self) -> None:
        _claim(_is(self.requester, _PARTY) and _is(self.purpose, _NAME) and _is(self.region, _NAME))
        _claim(_names(self.items, _NAME, 0, MAX_NAMES) and _names(self.predicates, _NAME, 0, MAX_NAMES))
        _claim(self.models == () or are_models(self.models))
        _claim(bool(self.models) is not bool(self.items or self.predicates) and _number(self.max_uses, 1, MAX_USES))

    def to_details(self) -> dict[str, Any]:
        """As it stands in a token."""
        kind = SCORES_TYPE if self.models else QUESTIONS_TYPE
        asked = {name: list(getattr(self, name)) for name in _ASKED[kind]}
        of = {"requester": self.requester, "purpose": self.purpose, "region": self.region}
        return {"type": kind, **of, **asked, "max_uses": self.max_uses}

    @classmethod
    def from_details(cls, value: Any) -> Scope:
        """The scope that a token has. Raises: ConsentRefused (CONSENT_CLAIM)."""
        kind = _string(value.get("type") if isinstance(value, dict) else None)
        _claim(kind in _DETAILS)
        _keys(value, _DETAILS[kind])
        asked = {name: _list(value[name]) for name in _ASKED[kind]}
        return cls(
            requester=value["requester"],
            purpose=value["purpose"],
            region=value["region"],
            max_uses=value["max_uses"],
            **asked,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """All that a token says. A value of this type holds together; whether it holds now is `decision.decide`.

    `providers` stand in order, each once. `authority` is the SHA-256 of the DER of the requester's authority
    certificate, `disclosure` that of the text which was shown. Times are seconds since 1970.
    Raises: ConsentRefused (CONSENT_CLAIM, CONSENT_LIFETIME).
    """

    issuer: str
    subject: str
    providers: tuple[str, ...]
    jti: str
    issued_at: int
    not_before: int
    expires: int
    authority: bytes
    by: ConsentBy
    disclosure: bytes
    scope: Scope

    def __post_init__(self) -> None:
        _claim(_is(self.issuer, _PARTY))
        _claim(is_enterprise_code(self.subject) or (self.by is ConsentBy.PERSON and is_person_number(self.subject)))
        _claim(are_providers(self.providers))
        _claim(all(_number(time, 0, _MAX_TIME) for time in (self.issued_at, self.not_before, self.expires)))
        _claim(len(self.authority) == _HASH_BYTES == len(self.disclosure) and self.by in ConsentBy)
        _text(self.jti, _JTI_BYTES)
        if not self.not_before < self.expires <= self.not_before + MAX_LIFETIME_S:
            raise ConsentRefused(Why.LIFETIME)

    def to_payload(self) -> bytes:
        """The claims as they are signed."""
        return canonical.write(
            {
                "iss": self.issuer,
                "sub": self.subject,
                "aud": list(self.providers),
                "jti": self.jti,
                "iat": self.issued_at,
                "nbf": self.not_before,
                "exp": self.expires,
                "cnf": {_CONFIRMATION: encode_text(self.authority)},
                "consent_by": self.by.value,
                "disclosure": encode_text(self.disclosure),
                "authorization_details": [self.scope.to_details()],
            }
        )

    @classmethod
    def from_payload(cls, data: bytes) -> Consent:
        """The consent that `data` says. Raises: ConsentRefused (TOKEN_MALFORMED, CONSENT_CLAIM, CONSENT_LIFETIME)."""
        try:
            value = canonical.read(data)
        except canonical.NotCanonical:
            raise ConsentRefused(Why.MALFORMED) from None
        _keys(value, _CLAIMS)
        _keys(value["cnf"], {_CONFIRMATION})
        details = value["authorization_details"]
        _claim(isinstance(details, list) and len(details) == 1)
        by = value["consent_by"]
        _claim(isinstance(by, str) and by in list(ConsentBy))
        return cls(
            issuer=value["iss"],
            subject=_string(value["sub"]),
            providers=_list(value["aud"]),
            jti=value["jti"],
            issued_at=value["iat"],
            not_before=value["nbf"],
            expires=value["exp"],
            authority=_text(value["cnf"][_CONFIRMATION], _HASH_BYTES),
            by=ConsentBy(by),
            disclosure=_text(value["disclosure"], _HASH_BYTES),
            scope=Scope.from_details(details[0]),
        )


def are_providers(names: tuple[Any, ...]) -> bool:
    """Whether these can be the departments of a token: names of parties, in order, each once, not too many."""
    return _names(names, _PARTY, 1, MAX_PROVIDERS)


def are_models(names: tuple[Any, ...]) -> bool:
    """Whether these can be the models of a token: names of published models, in order, each once, 1 to 64."""
    return _names(names, _MODEL, 1, MAX_NAMES)


def _claim(holds: bool) -> None:
    if not holds:
        raise ConsentRefused(Why.CLAIM)


def _keys(value: Any, wanted: frozenset[str] | set[str]) -> None:
    _claim(isinstance(value, dict) and value.keys() == wanted)


def _is(value: Any, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _string(value: Any) -> str:
    _claim(isinstance(value, str))
    return str(value)


def _list(value: Any) -> tuple[Any, ...]:
    _claim(isinstance(value, list))
    return tuple(value)


def _names(values: Any, form: re.Pattern[str], least: int, most: int) -> bool:
    # Letters of a text would be names as well.
    if (
        not isinstance(values, tuple)
        or not least <= len(values) <= most
        or not all(_is(value, form) for value in values)
    ):
        return False
    return list(values) == sorted(set(values))


def _number(value: Any, least: int, most: int) -> bool:
    # A flag is an integer to Python and none to anybody else.
    return type(value) is int and least <= value <= most


def _text(value: Any, size: int) -> bytes:
    _claim(isinstance(value, str))
    try:
        return decode_text(value, size)
    except ValueError:
        raise ConsentRefused(Why.CLAIM) from None
