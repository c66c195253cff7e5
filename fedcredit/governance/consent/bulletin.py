"""What the authority tells every node: which keys may issue consents, and which consents were revoked. Numbered, dated.

A small head names the bulletin's number, its time and the hash of its body; the head is signed anew whenever somebody
asks, so that its time is fresh, and the body travels only when it has changed. A node takes no bulletin with a smaller
number than that of the one it has: nobody can bring a revoked consent back by an older one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fedcredit.errors import ConfigError, PeerError
from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.ids import PartyId

__all__ = ["BULLETIN", "MAX_BODY_BYTES", "MAX_HEAD_BYTES", "Bulletin", "BulletinBody", "BulletinHead", "invalid"]

BULLETIN = b"fedcredit/v1/consent-bulletin"
"""The use of a signature over a bulletin's head."""

MAX_HEAD_BYTES = 1 << 10
MAX_BODY_BYTES = 4 << 20
_FORMAT = "fedcredit-consent-bulletin/1"
_ID_BYTES = 16
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class BulletinBody:
    """Keys and revocations. `revoked` are the names of `revocation_id`, each once and in order."""

    issuers: tuple[Issuer, ...] = field(repr=False)
    revoked: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, issuers: Iterable[Issuer], revoked: Iterable[str]) -> BulletinBody:
        """A body of these, in order."""
        return cls(tuple(sorted(issuers, key=lambda issuer: issuer.kid)), tuple(sorted(set(revoked))))

    def to_bytes(self) -> bytes:
        """What the head's hash is over."""
        value = {"issuers": [issuer.to_json() for issuer in self.issuers], "revoked": "".join(self.revoked)}
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes) -> BulletinBody:
        """The body that `to_bytes` wrote. Raises: ValueError."""
        if len(data) > MAX_BODY_BYTES:
            raise ValueError("size")
        try:
            value = json.loads(data)
            text = value["revoked"]
            if not isinstance(text, str) or len(text) % (2 * _ID_BYTES) or not _HEX.issuperset(text):
                raise ValueError("revoked")
            revoked = [text[at : at + 2 * _ID_BYTES] for at in range(0, len(text), 2 * _ID_BYTES)]
            found = cls.of(map(Issuer.from_json, value["issuers"]), revoked)
        except (TypeError, KeyError, AttributeError, RecursionError, ConfigError):
            raise ValueError("form") from None
        if found.to_bytes() != data:
            raise ValueError("form")
        return found


@dataclass(frozen=True, slots=True)
class BulletinHead:
    """Which bulletin it is. `time`: seconds since 1970, when its authority said that it holds."""

    platform: PartyId
    number: int
    time: int
    digest: bytes

    def to_bytes(self) -> bytes:
        """What is signed."""
        value = {
            "format": _FORMAT,
            "platform": self.platform,
            "number": self.number,
            "time": self.time,
            "body": self.digest.hex(),
        }
        return canonical.write(value)

    @classmethod
    def parse(cls, data: bytes, platform: PartyId) -> BulletinHead:
        """The head of a bulletin of `platform`. Raises: PeerError (BULLETIN_INVALID) naming it."""
        try:
            value: Any = canonical.read(data) if len(data) <= MAX_HEAD_BYTES else None
            found = cls(platform, value["number"], value["time"], bytes.fromhex(value["body"]))
            numbers = all(type(number) is int and number >= 0 for number in (found.number, found.time))
            if not numbers or len(found.digest) != hashlib.sha256().digest_size or found.to_bytes() != data:
                raise ValueError("form")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise invalid(platform, "is not a bulletin of this platform") from None
        return found


@dataclass(frozen=True, slots=True)
class Bulletin:
    """A head with the body it names."""

    head: BulletinHead
    body: BulletinBody = field(repr=False)

    @classmethod
    def join(cls, head: BulletinHead, data: bytes) -> Bulletin:
        """The bulletin of `head` and the bytes of its body. Raises: PeerError (BULLETIN_INVALID)."""
        if hashlib.sha256(data).digest() != head.digest:
            raise invalid(head.platform, "has another body than its head names")
        try:
            body = BulletinBody.parse(data)
        except ValueError:
            raise invalid(head.platform, "has a body that cannot be read") from None
        if any(issuer.kind == "authority" and issuer.name != head.platform for issuer in body.issuers):
            raise invalid(head.platform, "names keys of another authority")
        return cls(head, body)

    def issuers(self) -> Issuers:
        """The keys that it names."""
        return Issuers(self.body.issuers)

    def follows(self, last: BulletinHead) -> bool:
        """Whether it says more than `last`, if only that it still holds.

        Raises: PeerError (BULLETIN_ROLLBACK, BULLETIN_INVALID).
        """
        head = self.head
        if head.number < last.number:
            what = f"number {head.number} is older than {last.number}, which was seen before"
            raise PeerError(head.platform, "consents", what, "BULLETIN_ROLLBACK")
        if head.number == last.number and head.digest != last.digest:
            raise invalid(head.platform, f"has two bodies under number {head.number}")
        # Of two with one number that overtook each other on their way, the later one counts.
        return head.number > last.number or head.time > last.time


def invalid(platform: PartyId, what: str) -> PeerError:
    """The error of a bulletin that is not believed."""
    return PeerError(platform, "consents", what, "BULLETIN_INVALID")
