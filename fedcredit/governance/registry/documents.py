"""What is signed about a published model: its publisher's offer, and each party's word on it. Together, a manifest.

An offer names a model of one job and the public facts that a score needs; it holds no point, threshold or coefficient
of anybody. A party's word names its own part by a keyed hash: the key stays with the party, so the hash binds it to
just this part and lets nobody try out parts that he makes up. Pure: nothing is read, and no signature checked, here.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fedcredit.errors import PeerError
from fedcredit.governance.consent import canonical
from fedcredit.ids import PartyId

__all__ = [
    "GRAIN",
    "KINDS",
    "MAX_OFFER_BYTES",
    "MAX_VERSION",
    "MAX_WORD_BYTES",
    "OFFER",
    "WORD",
    "CardFacts",
    "Manifest",
    "Offer",
    "TreeFacts",
    "Word",
    "keyed_hash",
    "rounded_out",
]

OFFER: Final = b"fedcredit/v1/model-offer"
"""The use of a publisher's signature over an offer."""

WORD: Final = b"fedcredit/v1/model-word"
"""The use of a party's signature over its word on a version."""

KINDS: Final = ("gbdt", "scorecard")
"""Kinds of models that a score can be had of, and so that can be published."""

MAX_OFFER_BYTES: Final = 4 << 10
MAX_WORD_BYTES: Final = 1 << 10
MAX_VERSION: Final = 1_000_000
MAX_PARTIES: Final = 16

GRAIN: Final = 32
"""Points. A party's least and most are told rounded out to whole multiples, so that they name no bin's points."""

_OFFER_FORMAT, _WORD_FORMAT, _MANIFEST_FORMAT = "fedcredit-offer/1", "fedcredit-word/1", "fedcredit-manifest/1"
_PART_DOMAIN = b"fedcredit/v1/model-part\0"
_HASH_BYTES: Final = 32
_MAX_TIME: Final = 253_402_300_799
_MAX_POINTS: Final = 1 << 40
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_JOB = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MODEL = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_PURPOSES: Final = ("financing", "research", "supervision")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What everybody may know of a scorecard: `base_score` points stand for `odds` good to one bad, and `pdo` points
    double the odds; how many reasons each party gives. Raises: ValueError."""

    base_score: float
    odds: float
    pdo: float
    n_reasons: int

    def __post_init__(self) -> None:
        scale = (self.base_score, self.odds, self.pdo)
        if not all(type(value) is float and math.isfinite(value) for value in scale) or self.odds <= 0:
            raise ValueError("scale")
        if type(self.n_reasons) is not int or not 1 <= self.n_reasons <= 64:
            raise ValueError("n_reasons")

    def to_json(self) -> dict[str, Any]:
        """Numbers with fractions as texts in their shortest form: canonical JSON has none."""
        scale = {name: repr(getattr(self, name)) for name in ("base_score", "odds", "pdo")}
        return scale | {"n_reasons": self.n_reasons}

    @classmethod
    def from_json(cls, value: Any) -> CardFacts:
        """The facts that `to_json` wrote. Raises: ValueError, TypeError, KeyError."""
        return cls(float(value["base_score"]), float(value["odds"]), float(value["pdo"]), value["n_reasons"])


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """What everybody may know of boosted trees: how many, and how many leaves they have together. Raises: ValueError"""

    trees: int
    leaves: int

    def __post_init__(self) -> None:
        if not all(type(value) is int for value in (self.trees, self.leaves)):
            raise ValueError("trees")
        if not 0 <= self.trees <= 1_000_000 or not self.trees <= self.leaves <= 1 << 32:
            raise ValueError("trees")

    def to_json(self) -> dict[str, Any]:
        """As it stands in an offer."""
        return {"trees": self.trees, "leaves": self.leaves}

    @classmethod
    def from_json(cls, value: Any) -> TreeFacts:
        """The facts that `to_json` wrote. Raises: ValueError, TypeError, KeyError."""
        return cls(value["trees"], value["leaves"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model of a job as its publisher would have it scored with. `specification`: the hash that all parties signed.

    `parties` are in the order of the job. Raises: ValueError where it does not hold together.
    """

    platform: PartyId
    publisher: PartyId
    name: str
    kind: str
    model: str
    job: str
    specification: bytes
    purpose: str
    parties: tuple[PartyId, ...]
    facts: CardFacts | TreeFacts

    def __post_init__(self) -> None:
        names = (self.platform, self.publisher, self.name, *self.parties)
        if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
            raise ValueError("name")
        if not _JOB.fullmatch(self.job) or not _MODEL.fullmatch(self.model) or self.purpose not in _PURPOSES:
            raise ValueError("job")
        if not 2 <= len(self.parties) <= MAX_PARTIES or len(set(self.parties)) != len(self.parties):
            raise ValueError("parties")
        if self.publisher not in self.parties or self.platform in self.parties:
            raise ValueError("parties")
        if self.kind not in KINDS or isinstance(self.facts, CardFacts) != (self.kind == "scorecard"):
            raise ValueError("kind")
        if len(self.specification) != _HASH_BYTES:
            raise ValueError("specification")

    def to_bytes(self) -> bytes:
        """What is signed: the same bytes for the same offer."""
        return canonical.write(
            {
                "format": _OFFER_FORMAT,
                "platform": self.platform,
                "publisher": self.publisher,
                "name": self.name,
                "kind": self.kind,
                "model": self.model,
                "job": self.job,
                "specification": self.specification.hex(),
                "purpose": self.purpose,
                "parties": list(self.parties),
                "facts": self.facts.to_json(),
            }
        )

    @property
    def digest(self) -> bytes:
        """Names this offer: 32 bytes."""
        return hashlib.sha256(self.to_bytes()).digest()

    @classmethod
    def parse(cls, data: bytes, culprit: PartyId) -> Offer:
        """The offer that `to_bytes` wrote. Raises: PeerError (OFFER_INVALID) naming who gave it."""
        try:
            value = dict(canonical.read(data)) if len(data) <= MAX_OFFER_BYTES else {}
            facts = CardFacts if value["kind"] == "scorecard" else TreeFacts
            found = cls(
                **{key: value[key] for key in ("platform", "publisher", "name", "kind", "model", "job", "purpose")},
                specification=bytes.fromhex(value["specification"]),
                parties=tuple(value["parties"]),
                facts=facts.from_json(value["facts"]),
            )
            if found.to_bytes() != data:
                raise ValueError("form")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            raise PeerError(culprit, "model offer", "is not an offer of a model", "OFFER_INVALID") from None
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A party's word on a version: its own part by `part`, a keyed hash, and so that it approves; None: it does not.

    `number` tells its words on this version apart: a later one takes the place of all before. `least` and `most` are
    what its part can add to a score, in points, rounded out to multiples of GRAIN; at a model of trees None.
    Units: `time` in seconds since 1970. Raises: ValueError where it does not hold together.
    """

    platform: PartyId
    party: PartyId
    name: str
    version: int
    offer: bytes
    number: int
    time: int
    part: bytes | None = None
    least: int | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        if not all(isinstance(n, str) and _NAME.fullmatch(n) for n in (self.platform, self.party, self.name)):
            raise ValueError("name")
        numbers = ((self.version, MAX_VERSION), (self.number, 1 << 31), (self.time, _MAX_TIME))
        if not all(type(value) is int and 1 <= value <= most for value, most in numbers):
            raise ValueError("number")
        if len(self.offer) != _HASH_BYTES or (self.part is not None and len(self.part) != _HASH_BYTES):
            raise ValueError("hash")
        if (self.least is None) != (self.most is None) or (self.part is None and self.least is not None):
            raise ValueError("range")
        if self.least is not None and self.most is not None:
            whole = all(type(v) is int and v % GRAIN == 0 and abs(v) <= _MAX_POINTS for v in (self.least, self.most))
            if not whole or self.least > self.most:
                raise ValueError("range")

    @property
    def approves(self) -> bool:
        """Whether the party lets its part be scored with."""
        return self.part is not None

    def to_bytes(self) -> bytes:
        """What is signed: the same bytes for the same word."""
        return canonical.write(
            {
                "format": _WORD_FORMAT,
                "platform": self.platform,
                "party": self.party,
                "name": self.name,
                "version": self.version,
                "offer": self.offer.hex(),
                "number": self.number,
                "time": self.time,
                "part": None if self.part is None else self.part.hex(),
                "least": self.least,
                "most": self.most,
            }
        )

    @classmethod
    def parse(cls, data: bytes, culprit: PartyId) -> Word:
        """The word that `to_bytes` wrote. Raises: PeerError (WORD_INVALID) naming who gave it."""
        try:
            value = dict(canonical.read(data)) if len(data) <= MAX_WORD_BYTES else {}
            found = cls(
                **{key: value[key] for key in ("platform", "party", "name", "version", "number", "time")},
                offer=bytes.fromhex(value["offer"]),
                part=None if value["part"] is None else bytes.fromhex(value["part"]),
                least=value["least"],
                most=value["most"],
            )
            if found.to_bytes() != data:
                raise ValueError("form")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise PeerError(culprit, "model word", "is not a word on a version", "WORD_INVALID") from None
        return found

    def check_for(self, offer: Offer, version: int, party: PartyId) -> None:
        """See that this is `party`'s word on just that version. Raises: PeerError (WORD_INVALID) naming the party."""
        due = (offer.platform, party, offer.name, version, offer.digest)
        ranged = offer.kind == "scorecard" and self.approves
        if (self.platform, self.party, self.name, self.version, self.offer) != due or party not in offer.parties:
            raise PeerError(party, "model word", "is on another version, or another party's", "WORD_INVALID")
        if (self.least is not None) != ranged:
            raise PeerError(party, "model word", "does not say what its part can add", "WORD_INVALID")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version: the offer, and the last word of each party that has given one."""

    version: int
    offer: Offer
    words: Mapping[PartyId, Word] = field(repr=False)

    @property
    def approved(self) -> tuple[PartyId, ...]:
        """The parties that let their part be scored with, in the order of the job."""
        return tuple(party for party in self.offer.parties if party in self.words and self.words[party].approves)

    @property
    def withdrawn(self) -> tuple[PartyId, ...]:
        """The parties that do not, and have said so."""
        return tuple(party for party in self.offer.parties if party in self.words and not self.words[party].approves)

    @property
    def missing(self) -> tuple[PartyId, ...]:
        """The parties that have said nothing yet."""
        return tuple(party for party in self.offer.parties if party not in self.words)

    @property
    def digest(self) -> bytes | None:
        """Names the version with every party's part: 32 bytes, the same at all; None until all approve."""
        parts = [(party, self.words[party].part) for party in self.approved]
        if len(parts) < len(self.offer.parties):
            return None
        hashes = [[party, part.hex()] for party, part in parts if part is not None]
        value = {"format": _MANIFEST_FORMAT, "version": self.version, "offer": self.offer.digest.hex(), "parts": hashes}
        return hashlib.sha256(canonical.write(value)).digest()

    @property
    def point_range(self) -> tuple[int, int] | None:
        """Between which totals every score of the card lies, a little wider than they do; None until all approve."""
        words = [self.words[party] for party in self.approved]
        if self.offer.kind != "scorecard" or len(words) < len(self.offer.parties):
            return None
        return sum(word.least or 0 for word in words), sum(word.most or 0 for word in words)


def keyed_hash(key: bytes, offer: bytes, party: PartyId, content: bytes) -> bytes:
    """What `party` says of its part, whose SHA-256 is `content`, under a key of 32 bytes that it keeps.

    `offer` is the offer's digest: the same part published under two names does not look the same.
    """
    return hmac.digest(key, _PART_DOMAIN + party.encode() + b"\0" + offer + content, "sha256")


def rounded_out(least: int, most: int) -> tuple[int, int]:
    """The smallest range of whole multiples of GRAIN that holds `least` to `most`."""
    return least // GRAIN * GRAIN, -(-most // GRAIN) * GRAIN
