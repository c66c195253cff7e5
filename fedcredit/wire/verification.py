"""Messages of authorised verification: `docs/protocols/verify.md`. A bank asks, a provider answers yes, no or unknown.

Unlike messages of jobs these are called for one at a time, so they have no tag. Every message has exactly one
encoding, and `decode` takes no other: what is hashed or signed reads the same everywhere.

Assumes: of every message, mutual TLS 1.3 under the caller's own authority.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self, TypeAlias, TypeVar

from google.protobuf.message import Message as Proto

from fedcredit.wire._gen import verify_pb2 as pb
from fedcredit.wire.message import MessageInvalid, read_proto

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_CHECKS",
    "MAX_KINDS",
    "MAX_REQUEST_BYTES",
    "NONCE_BYTES",
    "Argument",
    "Kind",
    "Outcome",
    "Proof",
    "Question",
    "Value",
    "VerifyReply",
    "VerifyRequest",
    "arguments_of",
    "bounded",
    "read_exactly",
    "write",
]

Value: TypeAlias = float | str | tuple[str, ...]

NONCE_BYTES: Final = 16
HASH_BYTES: Final = 32
MAX_REQUEST_BYTES: Final = 32 << 10
"""Of one question with its consent."""
MAX_BATCH_BYTES: Final = 8 << 20
MAX_CHECKS: Final = 1 << 16
MAX_KINDS: Final = 256
MAX_CONSENT: Final = 4096
MAX_NAME: Final = 64
MAX_SUBJECT: Final = 256
MAX_TEXT: Final = 1024
MAX_TEXTS: Final = 64
MAX_ARGUMENTS: Final = 16
MAX_ANSWER_BYTES: Final = 256
MAX_ENTRY: Final = 16 << 10
MAX_HEAD: Final = 512
MAX_PATH: Final = 64

P = TypeVar("P", bound=Proto)


class Outcome(IntEnum):
    """What an answer says; the same numbers stand in the log's facts. `REFUSED` occurs within a batch only."""

    YES = 1
    NO = 2
    UNKNOWN = 3
    REFUSED = 4


@dataclass(frozen=True, slots=True)
class Argument:
    """A value for one parameter of a predicate: a finite number, a text, or texts.

    Reveals: to the provider, which threshold is asked for or which value the bank holds. Assumes: see the module.
    """

    name: str
    value: Value = field(repr=False)

    def __post_init__(self) -> None:
        bounded("Argument.name", self.name, MAX_NAME, 1)
        match self.value:
            case float():
                if not math.isfinite(self.value):
                    raise MessageInvalid("Argument.number", "not a finite number")
            case str():
                bounded("Argument.text", self.value, MAX_TEXT)
            case tuple():
                if len(self.value) > MAX_TEXTS:
                    raise MessageInvalid("Argument.texts", f"more than {MAX_TEXTS}")
                for text in self.value:
                    bounded("Argument.texts", text, MAX_TEXT)
            case _:
                raise MessageInvalid("Argument.value", "neither a number, a text nor texts")

    def to_proto(self) -> pb.Argument:
        """For who holds it."""
        match self.value:
            case float():
                return pb.Argument(name=self.name, number=self.value)
            case str():
                return pb.Argument(name=self.name, text=self.value)
            case _:
                return pb.Argument(name=self.name, texts=pb.Texts(values=self.value))

    @classmethod
    def of_proto(cls, body: pb.Argument) -> Self:
        """Raises MessageInvalid."""
        match body.WhichOneof("value"):
            case "number":
                return cls(body.name, body.number)
            case "text":
                return cls(body.name, body.text)
            case "texts":
                return cls(body.name, tuple(body.texts.values))
            case _:
                raise MessageInvalid("Argument.value", "is missing")


@dataclass(frozen=True, slots=True)
class Kind:
    """A question without its subject: a predicate and its arguments, in the order of their names.

    Reveals: to the provider, what is asked. Assumes: see the module.
    """

    predicate: str
    arguments: tuple[Argument, ...] = ()

    def __post_init__(self) -> None:
        bounded("Question.predicate", self.predicate, MAX_NAME, 1)
        names = [argument.name for argument in self.arguments]
        # By code points as everywhere in Python, which is also the order of the names' bytes in UTF-8.
        if len(names) > MAX_ARGUMENTS or names != sorted(set(names)):
            raise MessageInvalid("Question.arguments", f"not up to {MAX_ARGUMENTS} in the order of their names")


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a predicate holds of a subject, named by its identifier and, for some tables, by its name as well.

    Reveals: to the provider, the subject and what is asked. Assumes: see the module.
    """

    subject: str = field(repr=False)
    kind: Kind
    subject_name: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        bounded("Question.subject", self.subject, MAX_SUBJECT, 1)
        bounded("Question.subject_name", self.subject_name, MAX_SUBJECT)


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """A question with the purpose, the consent to it (a token; empty where none is needed) and fresh random bytes.

    Reveals: to the provider, the subject, what is asked and what for, and the consent. Assumes: see the module.
    """

    question: Question
    purpose: str
    consent: str = field(repr=False)
    nonce: bytes = field(repr=False)

    def __post_init__(self) -> None:
        bounded("VerifyRequest.purpose", self.purpose, MAX_NAME, 1)
        bounded("VerifyRequest.consent", self.consent, MAX_CONSENT)
        bounded("VerifyRequest.nonce", self.nonce, NONCE_BYTES, NONCE_BYTES)

    def encode(self) -> bytes:
        """The bytes that an answer's `request` is the hash of. Raises MessageInvalid above MAX_REQUEST_BYTES."""
        asked = pb.Question(
            subject=self.question.subject,
            predicate=self.question.kind.predicate,
            arguments=[argument.to_proto() for argument in self.question.kind.arguments],
            subject_name=self.question.subject_name,
        )
        body = pb.VerifyRequest(question=asked, purpose=self.purpose, consent=self.consent, nonce=self.nonce)
        return bounded("VerifyRequest", write(body), MAX_REQUEST_BYTES)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoding: what the answer says it is the answer to."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The request in `data`, exactly as `encode` writes it. Raises MessageInvalid."""
        body = read_exactly(pb.VerifyRequest(), data, MAX_REQUEST_BYTES)
        if not body.HasField("question"):
            raise MessageInvalid("VerifyRequest.question", "is missing")
        asked = body.question
        arguments = arguments_of(asked.arguments)
        question = Question(asked.subject, Kind(asked.predicate, arguments), asked.subject_name)
        return cls(question, body.purpose, body.consent, body.nonce)


@dataclass(frozen=True, slots=True)
class Proof:
    """That an answer is in the provider's log: the entry's line, its number, the path to the root, the signed head.

    Reveals: to the bank, the entry about its own question, how many questions the provider was asked by all, and
    hashes of neighbouring entries. Assumes: SHA-256 is collision resistant, Ed25519 unforgeable.
    """

    entry: bytes = field(repr=False)
    sequence: int
    path: tuple[bytes, ...] = field(repr=False)
    head: bytes = field(repr=False)

    def __post_init__(self) -> None:
        bounded("Proof.entry", self.entry, MAX_ENTRY, 2)
        bounded("Proof.head", self.head, MAX_HEAD, 1)
        if type(self.sequence) is not int or not 0 <= self.sequence < 2**63:
            raise MessageInvalid("Proof.sequence", "not the number of an entry")
        if len(self.path) > MAX_PATH or any(len(node) != HASH_BYTES for node in self.path):
            raise MessageInvalid("Proof.path", "not a path of hashes")

    def to_proto(self) -> pb.Proof:
        """For who holds it."""
        return pb.Proof(entry=self.entry, sequence=self.sequence, path=self.path, head=self.head)

    @classmethod
    def of_proto(cls, body: pb.Proof) -> Self:
        """Raises MessageInvalid."""
        return cls(body.entry, body.sequence, tuple(body.path), body.head)


@dataclass(frozen=True, slots=True)
class VerifyReply:
    """An answer's bytes (`verified.Answer`), which the log's entry has the hash of, and the proof of that.

    Reveals: to the bank, one of three outcomes. Assumes: see `Proof`.
    """

    answer: bytes = field(repr=False)
    proof: Proof

    def __post_init__(self) -> None:
        bounded("VerifyReply.answer", self.answer, MAX_ANSWER_BYTES, 1)

    def encode(self) -> bytes:
        """The reply's bytes."""
        return write(pb.VerifyReply(answer=self.answer, proof=self.proof.to_proto()))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The reply in `data`; nothing of it is proven yet. Raises MessageInvalid."""
        body = read_exactly(pb.VerifyReply(), data, MAX_REQUEST_BYTES)
        return cls(body.answer, Proof.of_proto(body.proof))


B = TypeVar("B", str, bytes)


def bounded(where: str, value: B, high: int, low: int = 0) -> B:
    """`value`, if it is `low` to `high` bytes long, a text in UTF-8. Raises MessageInvalid."""
    if not isinstance(value, str | bytes):
        raise MessageInvalid(where, "neither text nor bytes")
    try:
        size = len(value.encode() if isinstance(value, str) else value)
    except UnicodeEncodeError:
        raise MessageInvalid(where, "not UTF-8") from None
    if not low <= size <= high:
        raise MessageInvalid(where, f"not {low} to {high} bytes")
    return value


def write(body: Proto) -> bytes:
    """The one encoding of `body`."""
    return body.SerializeToString(deterministic=True)


def read_exactly(body: P, data: bytes, high: int) -> P:
    """`body` with what is in `data`, if it is its one encoding and no longer than `high`. Raises MessageInvalid."""
    where = type(body).__name__
    bounded(where, data, high)
    read_proto(body, data, where)
    body.DiscardUnknownFields()
    if write(body) != data:
        raise MessageInvalid(where, "not in its one encoding")
    return body


def arguments_of(bodies: Iterable[pb.Argument]) -> tuple[Argument, ...]:
    """Raises MessageInvalid."""
    return tuple(map(Argument.of_proto, bodies))
