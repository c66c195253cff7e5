"""The messages of private verification; `docs/protocols/private_verify.md` has them in a table.

Shapes: n elements of one call; points (n, 32) uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedcredit.wire._gen import membership_pb2 as pb
from fedcredit.wire.intersect import (
    CHUNK_BYTES,
    FILTER_KEY_BYTES,
    MAX_ROWS,
    FilterOffer,
    FilterPiece,
    FilterProgress,
)
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count, message_type, text

__all__ = [
    "MAX_CONSENTS",
    "MAX_ELEMENTS",
    "MAX_PERMIT_BYTES",
    "EvaluateMembers",
    "EvaluatedMembers",
    "FilterPart",
    "FilterTerms",
    "FilterWanted",
    "PermitGiven",
    "PermitWanted",
    "TermsWanted",
]

MAX_ELEMENTS: Final = 1 << 16
"""Blinded elements under one permit."""

MAX_CONSENTS: Final = 1024
"""Consents that the platform looks at in one call."""

MAX_PERMIT_BYTES: Final = 2048

MAX_NAME = 64
POINT_BYTES = 32
SCALAR_BYTES = 32
MAX_TOKEN_BYTES = 4096
MAX_VERSION = 1 << 40
_PART_ROOM = 256

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, repr=False)
class TermsWanted(Message, tag=0x1A0, proto=pb.TermsWanted):
    """May this bank ask privately? Reveals: to the provider, which question it has in mind. Assumes: mutual TLS."""

    predicate: str = text(MAX_NAME)
    purpose: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class FilterTerms(Message, tag=0x1A1, proto=pb.FilterTerms):
    """It may. Reveals: the provider's region, and how many subjects the table has, rounded up. Assumes: mutual TLS."""

    region: str = text(MAX_NAME)
    entries: int = count(MAX_ROWS, 1)


@dataclass(frozen=True, slots=True, repr=False)
class FilterWanted(Message, tag=0x1A2, proto=pb.FilterWanted):
    """`FilterHeld` as a call, for one question.

    Reveals: to the provider, which question is meant and which filter the bank holds. Assumes: mutual TLS.
    """

    predicate: str = text(MAX_NAME)
    purpose: str = text(MAX_NAME)
    key: bytes = blob(FILTER_KEY_BYTES)
    version: int = count(MAX_VERSION)
    digest: bytes = blob(32)


_PARTS: tuple[type[Message], ...] = (FilterProgress, FilterOffer, FilterPiece)


@dataclass(frozen=True, slots=True, repr=False)
class FilterPart(Message, tag=0x1A3, proto=pb.FilterPart):
    """One of the messages that bring a filter, in a stream.

    Reveals: to the bank, what the message in it says it does: about how many subjects the table has, and how many went
    and came. Assumes: mutual TLS.
    """

    kind: int = count(1 << 16)
    body: bytes = blob(0, CHUNK_BYTES + _PART_ROOM)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.kind not in {part.tag for part in _PARTS}:
            raise MessageInvalid("FilterPart.kind", "no part of a filter")

    @classmethod
    def of(cls, message: Message) -> FilterPart:
        """The part that holds `message`."""
        return cls(message.tag, message.encode())

    def message(self) -> Message:
        """The message in it. Raises: MessageInvalid."""
        return message_type(self.kind).decode(self.body)


@dataclass(frozen=True, slots=True, repr=False)
class PermitWanted(Message, tag=0x1A4, proto=pb.PermitWanted):
    """A bank's consents, and the blind with which it hides their subjects from the provider.

    Reveals: to the platform, which of the consents that it issued are used now, at which provider, for which question.
    Whoever knows the blind can tell the subjects behind the elements, so the provider must not.
    Assumes: mutual TLS; a platform that does not pass the blind on.
    """

    provider: str = text(MAX_NAME)
    region: str = text(MAX_NAME)
    predicate: str = text(MAX_NAME)
    purpose: str = text(MAX_NAME)
    key: bytes = blob(FILTER_KEY_BYTES)
    blind: bytes = blob(SCALAR_BYTES)
    consents: bytes = blob(1, MAX_CONSENTS * (MAX_TOKEN_BYTES + 1))

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.consents.count(b"\n") >= MAX_CONSENTS:
            raise MessageInvalid("PermitWanted.consents", f"more than {MAX_CONSENTS}")

    def tokens(self) -> list[str]:
        """The consents; what is no text becomes no token."""
        return [line.decode("ascii", "replace") for line in self.consents.split(b"\n")]


@dataclass(frozen=True, slots=True, repr=False)
class PermitGiven(Message, tag=0x1A5, proto=pb.PermitGiven):
    """Which consents hold, and leave to have the elements of just their subjects evaluated, once.

    Reveals: to the bank, which of its consents the platform would take, which a question at the provider tells too.
    Assumes: mutual TLS; the authority's Ed25519 key.
    """

    taken: bytes = blob(1, MAX_CONSENTS)
    permit: bytes = blob(0, MAX_PERMIT_BYTES)
    kid: str = text(MAX_NAME)
    signature: bytes = blob(0, 64)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.taken.strip(b"\x00\x01") or (1 in self.taken) is not bool(self.permit):
            raise MessageInvalid("PermitGiven.taken", "not zeros and ones, or not what the permit says")


@dataclass(frozen=True, slots=True, repr=False)
class EvaluateMembers(Message, tag=0x1A6, proto=pb.EvaluateMembers):
    """Blinded elements with the platform's permit for them.

    Reveals: to the provider, their number, and the question that they are for; nothing of whom they are.
    Assumes: decisional Diffie-Hellman, a random oracle, a fresh blind, a platform that keeps it to itself.
    """

    permit: bytes = blob(1, MAX_PERMIT_BYTES)
    kid: str = text(MAX_NAME)
    signature: bytes = blob(64)
    points: U8 = array(np.uint8, 2, MAX_ELEMENTS * POINT_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _check_points("EvaluateMembers.points", self.points)


@dataclass(frozen=True, slots=True, repr=False)
class EvaluatedMembers(Message, tag=0x1A7, proto=pb.EvaluatedMembers):
    """The elements under the provider's key, in their order.

    Reveals: to the bank, with the filter, which of these subjects are in the table.
    Assumes: one-more gap Diffie-Hellman (RFC 9497, section 7); a semi-honest provider, which uses its filter's key.
    """

    points: U8 = array(np.uint8, 2, MAX_ELEMENTS * POINT_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _check_points("EvaluatedMembers.points", self.points)


def _check_points(where: str, points: U8) -> None:
    if points.shape[1] != POINT_BYTES or not len(points):
        raise MessageInvalid(where, f"not rows of {POINT_BYTES} bytes, one at least", "ARRAY_INVALID")
