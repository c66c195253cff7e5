"""Messages of verification: a bank's questions, which hostile callers send, and answers, which a provider may forge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, Self

import numpy as np
from fuzz import mutate
from fuzz.engine import Target

from fedcredit.kernels.serving import reads
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.verification import Argument, Kind, Outcome, Proof, Question, VerifyReply, VerifyRequest
from fedcredit.wire.verified import Answer, BatchAnswer, Check, VerifyBatchReply, VerifyBatchRequest

__all__ = ["SAMPLES", "verification"]


class _Message(Protocol):
    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> Self: ...


KINDS = (
    Kind("continuous", (Argument("k", 6.0),)),
    Kind("match", (Argument("held", "Harbour Foods"), Argument("years", ("2024", "2025")))),
)
NONCE, HASH = bytes(range(16)), bytes(range(32))
PROOF = Proof(b'{"event":"verified"}', 7, (HASH, HASH), "tax\n8\nAA==\n\n\N{EM DASH} tax AA==\n".encode())
SAMPLES: tuple[_Message, ...] = (
    VerifyRequest(Question("91320100MA1A2B3C4D", KINDS[0]), "financing", "a.b.c", NONCE),
    VerifyRequest(Question("91320100MA1A2B3C4D", KINDS[1], "Harbour"), "financing", "", NONCE),
    VerifyReply(Answer("tax", HASH, Outcome.YES, 20_000, 0, 1, 1).encode(), PROOF),
    Answer("tax", HASH, Outcome.UNKNOWN, 20_000, 19_990, 1, 1),
    VerifyBatchRequest(("a.b.c", ""), "financing", NONCE, (Check("x", 0, 1), Check("y", 1, 0)), KINDS),
    BatchAnswer("tax", HASH, np.array([1, 4], np.uint8), np.array([19_990, 0], "<u4"), 20_000, 1, 1),
    VerifyBatchReply(b"answers", PROOF),
)
"""Valid messages, of every kind at least one."""


def verification() -> Iterator[Target]:
    """A target for each kind of message."""
    for kind in dict.fromkeys(map(type, SAMPLES)):
        seeds = tuple(sample.encode() for sample in SAMPLES if type(sample) is kind)
        yield Target(f"verification.{kind.__name__}", seeds, _exactly(kind), mutate.protobuf)


def _exactly(kind: type[_Message]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> None:
        # What is hashed must read the same everywhere.
        if kind.decode(data).encode() != data:
            raise AssertionError("two encodings of one message")

    def decode_twice(data: bytes) -> None:
        served = reads(data, batch=kind is VerifyBatchRequest)
        try:
            decode(data)
        except MessageInvalid:
            if served:
                raise AssertionError("the server takes what is no request") from None
            raise
        if not served:
            raise AssertionError("the server refuses a request")

    return decode_twice if kind in (VerifyRequest, VerifyBatchRequest) else decode
