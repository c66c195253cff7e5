"""Who may issue consents: keys of the authority, and keys that an enterprise holds itself, each for its one subject.

Signatures are checked as `verify_strict` of ed25519-dalek does, so that Python and Rust never disagree: beside
RFC 8032's check, keys and commitments of small order are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedcredit.errors import ConfigError, Problem
from fedcredit.governance.consent.encoding import decode_text, encode_text
from fedcredit.governance.consent.subjects import is_enterprise_code, is_person_number, is_sole_proprietor
from fedcredit.ids import party_id

__all__ = ["BY_ENTERPRISE", "Issuer", "Issuers", "kid_of"]

Kind = Literal["authority", "enterprise"]

BY_ENTERPRISE = "enterprise"
"""What stands as issuer in a token that a subject signed itself; no party is called so."""

_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_MAX_ISSUERS = 1_000_000
# The y coordinates of the points whose order divides 8, in both encodings where there are two.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def kid_of(public_key: bytes) -> str:
    """A key's name in tokens: the first 16 bytes of its SHA-256, in hexadecimal."""
    return hashlib.sha256(public_key).digest()[:16].hex()


@dataclass(frozen=True, slots=True)
class Issuer:
    """A key that consents may be signed with.

    `name` is the authority's party. `subject` is whom an enterprise-held key may speak for, and nobody else.
    Raises: ConfigError (CONSENT_KEY) where that does not hold together.
    """

    public_key: bytes
    kind: Kind
    name: str = ""
    subject: str = ""
    kid: str = field(init=False)

    def __post_init__(self) -> None:
        if len(self.public_key) != _KEY_BYTES or _of_small_order(self.public_key):
            raise _bad("is not the public part of an Ed25519 key")
        if self.kind == "authority":
            if self.subject or party_id(self.name) == BY_ENTERPRISE:
                raise _bad("a key of an authority names the authority alone")
        elif self.kind != "enterprise" or self.name:
            raise _bad("is neither an authority's nor an enterprise's")
        elif not is_enterprise_code(self.subject) and not is_person_number(self.subject):
            raise _bad("names no subject that it is for")
        object.__setattr__(self, "kid", kid_of(self.public_key))

    @property
    def party(self) -> str:
        """What a token of this key names as its issuer."""
        return self.name if self.kind == "authority" else BY_ENTERPRISE

    def speaks_for(self, subject: str, by: str) -> bool:
        """Whether it may sign a consent of `subject` given as `by`: an enterprise's key gives no person's."""
        if self.kind == "authority":
            return True
        personal = is_sole_proprietor(subject) or is_person_number(subject)
        return subject == self.subject and (personal or by != "person")

    def verified(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is this key's over `data`."""
        if len(signature) != _SIGNATURE_BYTES or _of_small_order(signature[:_KEY_BYTES]):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_json(self) -> dict[str, str]:
        """As it stands in lists of keys and in what the data plane is handed."""
        of = {"name": self.name} if self.kind == "authority" else {"subject": self.subject}
        return {"kid": self.kid, "kind": self.kind, "public_key": encode_text(self.public_key), **of}

    @classmethod
    def from_json(cls, value: Any) -> Issuer:
        """The issuer that `to_json` wrote. Raises: ConfigError (CONSENT_KEY)."""
        try:
            found = cls(
                decode_text(value["public_key"], _KEY_BYTES),
                value["kind"],
                name=value.get("name", ""),
                subject=value.get("subject", ""),
            )
            same = found.to_json() == value
        except (TypeError, KeyError, AttributeError, ValueError):
            raise _bad("cannot be read") from None
        if not same:
            raise _bad("cannot be read")
        return found


class Issuers:
    """The keys that are believed, by name of key."""

    def __init__(self, issuers: Iterable[Issuer] = ()) -> None:
        self._by_kid = {issuer.kid: issuer for issuer in issuers}
        if len(self._by_kid) > _MAX_ISSUERS:
            raise _bad(f"there are more than {_MAX_ISSUERS}")

    def __iter__(self) -> Iterator[Issuer]:
        return iter(self._by_kid.values())

    def __len__(self) -> int:
        return len(self._by_kid)

    def find(self, kid: str) -> Issuer | None:
        """The key of that name; None if there is none. A name is looked up, never followed."""
        return self._by_kid.get(kid)


def _of_small_order(point: bytes) -> bool:
    return point[:-1] + bytes([point[-1] & 0x7F]) in _SMALL_ORDER


def _bad(what: str) -> ConfigError:
    return ConfigError(Problem("CONSENT_KEY", "issuer's key", what, "see docs/consent.md"))
