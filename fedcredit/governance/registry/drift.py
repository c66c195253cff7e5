"""What a publisher says of a version's drift in a month, signed: the index, and how many scores it stands on. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fedcredit.errors import DataError, PeerError, Problem, RefusedError
from fedcredit.governance.consent import canonical
from fedcredit.governance.registry.documents import MAX_VERSION, Offer
from fedcredit.governance.registry.stability import Stability
from fedcredit.ids import PartyId

__all__ = ["DRIFT", "MAX_DRIFT_BYTES", "MILLIONTHS", "DriftWord", "check_month"]

DRIFT: Final = b"fedcredit/v1/model-drift"
"""The use of a publisher's signature over its word on a version's drift."""

MILLIONTHS: Final = 1_000_000
"""Canonical JSON has no fractions: an index is told in millionths."""

MAX_DRIFT_BYTES: Final = 1 << 10

_FORMAT: Final = "fedcredit-drift/1"
_MAX_INDEX: Final = 100 * MILLIONTHS
_MAX_TIME: Final = 253_402_300_799
_OFFER_BYTES: Final = 32
_EARLIEST_H, _LATEST_H = 12, 14
"""Hours by which a day begins elsewhere on earth before and after it does in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWord:
    """`party` says of `version`, whose offer has this digest: the stability index of its scores of a month.

    Units: `index` in millionths; `time` in seconds since 1970. Raises: ValueError where it does not hold together.
    """

    platform: PartyId
    party: PartyId
    name: str
    version: int
    offer: bytes = field(repr=False)
    month: str
    index: int
    scores: int
    time: int

    def __post_init__(self) -> None:
        texts = (self.platform, self.party, self.name, self.month)
        numbers = ((self.version, 1, MAX_VERSION), (self.index, 0, _MAX_INDEX), (self.time, 1, _MAX_TIME))
        if not all(type(value) is int and least <= value <= most for value, least, most in numbers):
            raise ValueError("number")
        if not all(isinstance(text, str) for text in texts) or len(self.offer) != _OFFER_BYTES:
            raise ValueError("name")
        if type(self.scores) is not int or self.scores > MILLIONTHS**2:
            raise ValueError("scores")
        try:
            self.stability()
        except DataError:
            raise ValueError("stability") from None

    def stability(self) -> Stability:
        """As it is kept."""
        return Stability(self.month, self.index / MILLIONTHS, self.scores)

    def to_bytes(self) -> bytes:
        """What is signed: the same bytes for the same word."""
        return canonical.write(
            {
                "format": _FORMAT,
                "platform": self.platform,
                "party": self.party,
                "name": self.name,
                "version": self.version,
                "offer": self.offer.hex(),
                "month": self.month,
                "index": self.index,
                "scores": self.scores,
                "time": self.time,
            }
        )

    @classmethod
    def parse(cls, data: bytes, culprit: PartyId) -> DriftWord:
        """The word that `to_bytes` wrote. Raises: PeerError (DRIFT_INVALID) naming who gave it."""
        try:
            value = dict(canonical.read(data)) if len(data) <= MAX_DRIFT_BYTES else {}
            names = ("platform", "party", "name", "version", "month", "index", "scores", "time")
            found = cls(**{key: value[key] for key in names}, offer=bytes.fromhex(value["offer"]))
            if found.to_bytes() != data:
                raise ValueError("form")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise PeerError(culprit, "model drift", "is not a word on a version's drift", "DRIFT_INVALID") from None
        return found

    def check_for(self, offer: Offer, platform: PartyId, party: PartyId) -> None:
        """See that it is `party`'s word, for `platform`, on a version of just that offer, which it has published.

        Raises: PeerError (DRIFT_INVALID); RefusedError (DRIFT_PUBLISHER).
        """
        if (self.platform, self.party, self.name, self.offer) != (platform, party, offer.name, offer.digest):
            raise PeerError(party, "model drift", "is another party's, or on another version", "DRIFT_INVALID")
        if offer.publisher != party:
            what = f"is {offer.publisher}'s to say: it has published the version, and has its scores"
            raise RefusedError(Problem("DRIFT_PUBLISHER", f"drift of {offer.name} {self.version}", what))


def check_month(month: str, published: datetime, now: datetime) -> None:
    """See that a month is one of the version's life, wherever the publisher is. Raises: RefusedError (DRIFT_MONTH)."""
    first = (published - timedelta(hours=_EARLIEST_H)).strftime("%Y-%m")
    last = (now + timedelta(hours=_LATEST_H)).strftime("%Y-%m")
    if not first <= month <= last:
        what = f"is none in which the version could be scored with: {first} to {last}"
        raise RefusedError(Problem("DRIFT_MONTH", f"month {month}", what))
