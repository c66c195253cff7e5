"""A list of enterprises of good standing for one institution: what it says, and its form on the way. Pure.

On its way it is two parts: a header in clear, which says from whom, to whom and of which model, and the list itself,
sealed. The header is bound into the seal, and the length of the list is rounded up, so that it tells little.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from fedcredit.errors import PeerError
from fedcredit.governance.consent import canonical
from fedcredit.governance.registry.documents import MAX_VERSION
from fedcredit.ids import PartyId

__all__ = ["MAX_LIST_BYTES", "ListHeader", "ListRule", "Listed", "Whitelist", "region_of", "split"]

MAX_LIST_BYTES: Final = 64 << 20

_FORMAT: Final = "fedcredit-whitelist/1"
_DOMAIN: Final = b"fedcredit v1 whitelist\0"
_MAX_HEADER: Final = 64 << 10
_LENGTH_BYTES: Final = 8
_GRAIN: Final = 4096
_NONCE_BYTES, _PUBLIC_BYTES = 32, 32
_LAST_SECOND: Final = 1 << 40
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_REGION: Final = re.compile(r"[0-9]{0,6}")
_MAX_TEXT: Final = 128
_MAX_ROWS: Final = 500_000
_STEP: Final = "whitelist"


def region_of(code: str) -> str:
    """The administrative division where an enterprise is registered: digits 3 to 8 of its code, GB 32100."""
    return code[2:8]


@dataclass(frozen=True, slots=True)
class ListRule:
    """Who is on the list: from this band on, 1 the worst; in divisions that begin so; of one of these industries, of
    which none means any. Raises: ValueError."""

    band: int
    region: str = ""
    industries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if type(self.band) is not int or not 1 <= self.band <= 256 or not _REGION.fullmatch(self.region):
            raise ValueError("rule")
        if not all(_is_text(one) and one for one in self.industries):
            raise ValueError("industry")

    def takes(self, code: str, band: int, industry: str) -> bool:
        """Whether an enterprise is one of them."""
        wanted = not self.industries or industry in self.industries
        return band >= self.band and region_of(code).startswith(self.region) and wanted


@dataclass(frozen=True, slots=True)
class Listed:
    """One enterprise. `industry`: as the sender's own table has it; empty where it has none."""

    subject: str = field(repr=False)
    industry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListHeader:
    """What the carrier sees. `words`: the sender's signed word on its keys; `key`: which of the recipient's it is for.

    `made` in seconds since 1970. Raises: ValueError where it does not hold together.
    """

    sender: PartyId
    recipient: PartyId
    model: str
    version: int
    made: int
    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    words: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not all(isinstance(n, str) and _NAME.fullmatch(n) for n in (self.sender, self.recipient, self.model)):
            raise ValueError("name")
        if type(self.version) is not int or not 1 <= self.version <= MAX_VERSION or self.sender == self.recipient:
            raise ValueError("version")
        if type(self.made) is not int or not 1 <= self.made <= _LAST_SECOND:
            raise ValueError("made")
        if len(self.key) != _PUBLIC_BYTES or len(self.nonce) != _NONCE_BYTES:
            raise ValueError("key")

    def to_bytes(self) -> bytes:
        """One line without its end, the same bytes for the same header."""
        return canonical.write(
            {
                "format": _FORMAT,
                "from": self.sender,
                "to": self.recipient,
                "model": self.model,
                "version": self.version,
                "made": self.made,
                "key": self.key.hex(),
                "nonce": self.nonce.hex(),
                "words": self.words.hex(),
            }
        )

    @property
    def context(self) -> bytes:
        """What the list is sealed in: this header and no other."""
        return sha256(_DOMAIN + self.to_bytes()).digest()

    @classmethod
    def parse(cls, data: bytes, culprit: PartyId) -> ListHeader:
        """The header that `to_bytes` wrote. Raises: PeerError (WHITELIST_INVALID)."""
        try:
            value = dict(canonical.read(data)) if len(data) <= _MAX_HEADER else {}
            found = cls(
                sender=PartyId(value["from"]),
                recipient=PartyId(value["to"]),
                model=value["model"],
                version=value["version"],
                made=value["made"],
                key=bytes.fromhex(value["key"]),
                nonce=bytes.fromhex(value["nonce"]),
                words=bytes.fromhex(value["words"]),
            )
            if found.to_bytes() != data:
                raise ValueError("form")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise _invalid(culprit) from None
        return found


@dataclass(frozen=True, slots=True)
class Whitelist:
    """The list as its recipient reads it. No score and no band of anybody is in it but that the rule holds."""

    rule: ListRule
    rows: tuple[Listed, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """What is sealed: the length, the list, and zeros up to a multiple of 4096 bytes."""
        rule = {"band": self.rule.band, "region": self.rule.region, "industries": list(self.rule.industries)}
        rows = [[row.subject, row.industry] for row in self.rows]
        data = json.dumps({"rule": rule, "rows": rows}, ensure_ascii=False, separators=(",", ":")).encode()
        whole = len(data).to_bytes(_LENGTH_BYTES, "big") + data
        return whole + bytes(-len(whole) % _GRAIN)

    @classmethod
    def parse(cls, content: bytes, sender: PartyId) -> Whitelist:
        """What `to_bytes` wrote. Raises: PeerError (WHITELIST_INVALID) naming the sender."""
        try:
            length = int.from_bytes(content[:_LENGTH_BYTES], "big")
            data, rest = content[_LENGTH_BYTES : _LENGTH_BYTES + length], content[_LENGTH_BYTES + length :]
            if len(data) != length or any(rest):
                raise ValueError("length")
            value: Any = json.loads(data)
            rule = ListRule(value["rule"]["band"], value["rule"]["region"], tuple(value["rule"]["industries"]))
            rows = tuple(_listed(value["rows"]))
            if len(rows) > _MAX_ROWS or len({row.subject for row in rows}) != len(rows):
                raise ValueError("rows")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise _invalid(sender) from None
        return cls(rule, rows)


def split(data: bytes, culprit: PartyId) -> tuple[ListHeader, bytes]:
    """Header and sealed list of a file. Raises: PeerError (WHITELIST_INVALID)."""
    line, found, sealed = data.partition(b"\n")
    if len(data) > MAX_LIST_BYTES or not found:
        raise _invalid(culprit)
    return ListHeader.parse(line, culprit), sealed


def _listed(rows: Any) -> Iterable[Listed]:
    for subject, industry in rows:
        if not _is_text(subject) or not subject or not _is_text(industry):
            raise ValueError("row")
        yield Listed(subject, industry)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and value.isprintable()


def _invalid(culprit: PartyId) -> PeerError:
    return PeerError(culprit, _STEP, "is no sealed list of this form", "WHITELIST_INVALID")
