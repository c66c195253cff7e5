"""Calls of the scoring service: keys for keys, then the messages of `wire.score` of a request, one call a provider."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fedcredit.kernels import digest
from fedcredit.wire._gen import scoring_pb2 as pb
from fedcredit.wire.frame import MAX_BODY_BYTES
from fedcredit.wire.message import Message, MessageInvalid, blob, count, message_type, text

__all__ = [
    "MAX_CALL_ROWS",
    "MAX_TOKEN_BYTES",
    "ScoreCall",
    "ScoreMeeting",
    "ScoreMet",
    "ScoreReply",
    "pack",
    "reply_digest",
    "unpack",
]

MAX_CALL_ROWS: Final = 4096
"""Subjects of one call. Their consents, a KiB each, are most of it."""

MAX_TOKEN_BYTES: Final = 4096
_MAX_NAME: Final = 64
_MAX_VERSION: Final = 1_000_000
_MAX_WORDS: Final = 256 << 10
_MAX_WORD: Final = 16 << 10
_MAX_LENT: Final = 7 << 20
"""A key for vectors, half a MiB, and a map of as many conditions as a model of 16,384 slots has."""
_MAX_CERTIFICATE: Final = 3072
_MAX_MESSAGES: Final = 64
_DIGEST_BYTES: Final = 32
_HEAD: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True, repr=False)
class ScoreMeeting(Message, tag=0x1E0, proto=pb.ScoreMeeting):
    """A bank means to have scores. Reveals: to the provider, of which version, and what for; the keys of the bank and
    of the other providers, which are public; of trees what `TreesMap` says; for bands, what each party of the version
    has signed of its part, the least and the most of it among that.

    Assumes: mutual TLS; that each word is believed with its party's signature alone.
    """

    model: str = text(_MAX_NAME)
    version: int = count(_MAX_VERSION, 1)
    purpose: str = text(_MAX_NAME)
    words: bytes = blob(2, _MAX_WORDS)
    lent: bytes = blob(0, _MAX_LENT)


@dataclass(frozen=True, slots=True, repr=False)
class ScoreMet(Message, tag=0x1E1, proto=pb.ScoreMet):
    """What the provider goes by. Reveals: to the bank, its key for masks, and that it lets its part be scored with.

    Assumes: mutual TLS, a caller that the provider's policy admits to the model.
    """

    word: bytes = blob(2, _MAX_WORD)
    manifest: bytes = blob(32)
    kind: str = text(_MAX_NAME)
    role: str = text(_MAX_NAME)
    max_rows: int = count(MAX_CALL_ROWS, 1)
    min_providers: int = count(64, 1)


@dataclass(frozen=True, slots=True, repr=False)
class ScoreCall(Message, tag=0x1E2, proto=pb.ScoreCall):
    """One request of scores, whole. Reveals: to the provider, what the messages in it say, and the subjects' consents.

    Assumes: mutual TLS.
    """

    model: str = text(_MAX_NAME)
    version: int = count(_MAX_VERSION, 1)
    messages: bytes = blob(1, MAX_BODY_BYTES)
    consents: bytes = blob(0, MAX_BODY_BYTES)

    def tokens(self) -> list[str]:
        """The consents, in the order of the subjects; what is no text becomes no token."""
        return [line.decode("ascii", "replace") for line in self.consents.split(b"\n")]


@dataclass(frozen=True, slots=True, repr=False)
class ScoreReply(Message, tag=0x1E3, proto=pb.ScoreReply):
    """A provider's messages of the request, signed. Reveals: to the bank, what they say. Assumes: mutual TLS."""

    messages: bytes = blob(1, MAX_BODY_BYTES)
    signature: bytes = blob(64)
    certificate: bytes = blob(1, _MAX_CERTIFICATE)


def reply_digest(messages: bytes) -> bytes:
    """32 bytes that stand for a reply's messages: what is signed. Ed25519 reads what it signs twice, and slowly."""
    return digest.derive("fedcredit v1 score reply", messages, _DIGEST_BYTES)


def pack(messages: Sequence[Message]) -> bytes:
    """Several messages as one text: of each its tag, its length, its body."""
    bodies = [(message.tag, message.encode()) for message in messages]
    return b"".join(_HEAD.pack(tag, len(body)) + body for tag, body in bodies)


def unpack(data: bytes, kinds: frozenset[type[Message]]) -> list[Message]:
    """The messages that `pack` put together, if all are of `kinds`. Raises: MessageInvalid."""
    found: list[Message] = []
    place = 0
    while place < len(data):
        if len(data) - place < _HEAD.size or len(found) == _MAX_MESSAGES:
            raise MessageInvalid("messages", f"cut off, or more than {_MAX_MESSAGES}")
        tag, size = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        kind = message_type(tag)
        if kind not in kinds:
            raise MessageInvalid("messages", f"a {kind.__name__}, which is not due")
        if size > len(data) - place:
            raise MessageInvalid("messages", "cut off")
        found.append(kind.decode(data[place : place + size]))
        place += size
    return found
