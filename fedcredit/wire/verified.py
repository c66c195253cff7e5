"""What a provider signs: answers, one or many, and the requests and replies of batches. See `wire.verification`.

Assumes: of every message, mutual TLS 1.3 under the caller's own authority.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fedcredit.wire._gen import verify_pb2 as pb
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.verification import (
    HASH_BYTES,
    MAX_ANSWER_BYTES,
    MAX_BATCH_BYTES,
    MAX_CHECKS,
    MAX_CONSENT,
    MAX_KINDS,
    MAX_NAME,
    MAX_SUBJECT,
    NONCE_BYTES,
    Kind,
    Outcome,
    Proof,
    arguments_of,
    bounded,
    read_exactly,
    write,
)

__all__ = ["Answer", "BatchAnswer", "Check", "VerifyBatchReply", "VerifyBatchRequest"]

_WORD: Final = 1 << 32
_ANSWERED: Final = (Outcome.YES, Outcome.NO, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Answer:
    """What `provider` says to one request, on which day, of a record of which day (0: none), by which versions.

    Days are counted from 1970-01-01, in the provider's time zone. All answers of a provider are equally long.
    Reveals: to the bank, the outcome and the record's date. Assumes: see the module.
    Units: days.
    """

    provider: str
    request: bytes = field(repr=False)
    outcome: Outcome = field(repr=False)
    evaluated_on: int
    recorded_on: int = field(repr=False)
    catalog_version: int
    predicates_version: int

    def __post_init__(self) -> None:
        _provider(self.provider, self.request)
        if self.outcome not in _ANSWERED:
            raise MessageInvalid("Answer.outcome", "none that an answer can have")
        _words("Answer", self.evaluated_on, self.recorded_on, self.catalog_version, self.predicates_version)

    def encode(self) -> bytes:
        """The bytes whose SHA-256 is in the log."""
        return write(
            pb.Answer(
                provider=self.provider,
                request=self.request,
                outcome=pb.Outcome.Name(self.outcome),
                evaluated_on=self.evaluated_on,
                recorded_on=self.recorded_on,
                catalog_version=self.catalog_version,
                predicates_version=self.predicates_version,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The answer in `data`, exactly as `encode` writes it. Raises MessageInvalid."""
        body = read_exactly(pb.Answer(), data, MAX_ANSWER_BYTES)
        for name in ("evaluated_on", "recorded_on", "catalog_version", "predicates_version"):
            if not body.HasField(name):
                raise MessageInvalid(f"Answer.{name}", "is missing")
        return cls(
            body.provider,
            body.request,
            _outcome(body.outcome),
            body.evaluated_on,
            body.recorded_on,
            body.catalog_version,
            body.predicates_version,
        )


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a batch: a subject, and the numbers of its kind and its consent in the request's lists.

    Reveals: to the provider, the subject. Assumes: see the module.
    """

    subject: str = field(repr=False)
    kind: int
    consent: int

    def __post_init__(self) -> None:
        bounded("Check.subject", self.subject, MAX_SUBJECT, 1)


@dataclass(frozen=True, slots=True)
class VerifyBatchRequest:
    """Many checks for one purpose. Where no consent is needed, a check names an empty one.

    Reveals: to the provider, all subjects, what is asked of each, and the consents. Assumes: see the module.
    """

    consents: tuple[str, ...] = field(repr=False)
    purpose: str
    nonce: bytes = field(repr=False)
    checks: tuple[Check, ...] = field(repr=False)
    kinds: tuple[Kind, ...]

    def __post_init__(self) -> None:
        bounded("VerifyBatchRequest.purpose", self.purpose, MAX_NAME, 1)
        bounded("VerifyBatchRequest.nonce", self.nonce, NONCE_BYTES, NONCE_BYTES)
        for consent in self.consents:
            bounded("VerifyBatchRequest.consents", consent, MAX_CONSENT)
        if not (0 < len(self.checks) <= MAX_CHECKS and 0 < len(self.kinds) <= MAX_KINDS):
            raise MessageInvalid("VerifyBatchRequest", f"not 1 to {MAX_CHECKS} checks of 1 to {MAX_KINDS} kinds")
        if len(self.consents) > MAX_CHECKS:
            raise MessageInvalid("VerifyBatchRequest.consents", f"more than {MAX_CHECKS}")
        for check in self.checks:
            if not (0 <= check.kind < len(self.kinds) and 0 <= check.consent < len(self.consents)):
                raise MessageInvalid("VerifyBatchRequest.checks", "a check of a kind or consent that is not there")

    def encode(self) -> bytes:
        """The bytes that the answers' `request` is the hash of. Raises MessageInvalid above MAX_BATCH_BYTES."""
        body = pb.VerifyBatchRequest(
            consents=self.consents,
            purpose=self.purpose,
            nonce=self.nonce,
            checks=[pb.Check(subject=c.subject, kind=c.kind, consent=c.consent) for c in self.checks],
            kinds=[pb.Kind(predicate=k.predicate, arguments=[a.to_proto() for a in k.arguments]) for k in self.kinds],
        )
        return bounded("VerifyBatchRequest", write(body), MAX_BATCH_BYTES)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoding: what the answers say they are the answers to."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The request in `data`, exactly as `encode` writes it. Raises MessageInvalid."""
        body = read_exactly(pb.VerifyBatchRequest(), data, MAX_BATCH_BYTES)
        return cls(
            tuple(body.consents),
            body.purpose,
            body.nonce,
            tuple(Check(c.subject, c.kind, c.consent) for c in body.checks),
            tuple(Kind(k.predicate, arguments_of(k.arguments)) for k in body.kinds),
        )


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What `provider` says to a batch: of every check, in their order, an outcome and its record's day (0: none).

    Reveals: to the bank, the outcomes and the records' dates. Assumes: see the module.
    Shapes: n checks; `outcomes` (n,) uint8 of Outcome, `recorded_on` (n,) uint32. Units: days.
    """

    provider: str
    request: bytes = field(repr=False)
    outcomes: npt.NDArray[np.uint8] = field(repr=False)
    recorded_on: npt.NDArray[np.uint32] = field(repr=False)
    evaluated_on: int
    catalog_version: int
    predicates_version: int

    def __post_init__(self) -> None:
        _provider(self.provider, self.request)
        _words("BatchAnswer", self.evaluated_on, self.catalog_version, self.predicates_version)
        n = len(self.outcomes)
        if not 0 < n <= MAX_CHECKS or self.recorded_on.shape != (n,) or self.outcomes.shape != (n,):
            raise MessageInvalid("BatchAnswer.outcomes", "not an outcome and a day for each check")
        if self.outcomes.dtype != np.uint8 or self.recorded_on.dtype != np.dtype("<u4"):
            raise MessageInvalid("BatchAnswer.outcomes", "not bytes and words")
        if self.outcomes.min() < Outcome.YES or self.outcomes.max() > Outcome.REFUSED:
            raise MessageInvalid("BatchAnswer.outcomes", "holds none that a check can have")

    def encode(self) -> bytes:
        """The bytes whose SHA-256 is in the log."""
        return write(
            pb.BatchAnswer(
                provider=self.provider,
                request=self.request,
                outcomes=self.outcomes.tobytes(),
                recorded_on=self.recorded_on.tobytes(),
                evaluated_on=self.evaluated_on,
                catalog_version=self.catalog_version,
                predicates_version=self.predicates_version,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The answers in `data`, exactly as `encode` writes them. Raises MessageInvalid."""
        body = read_exactly(pb.BatchAnswer(), data, MAX_BATCH_BYTES)
        for name in ("evaluated_on", "catalog_version", "predicates_version"):
            if not body.HasField(name):
                raise MessageInvalid(f"BatchAnswer.{name}", "is missing")
        if len(body.recorded_on) % 4:
            raise MessageInvalid("BatchAnswer.recorded_on", "not words")
        return cls(
            body.provider,
            body.request,
            np.frombuffer(body.outcomes, np.uint8),
            np.frombuffer(body.recorded_on, "<u4"),
            body.evaluated_on,
            body.catalog_version,
            body.predicates_version,
        )


@dataclass(frozen=True, slots=True)
class VerifyBatchReply:
    """The bytes of a `BatchAnswer`, which the log's entry has the hash of, and the proof of that.

    Reveals: to the bank, an outcome for each check. Assumes: see `Proof`.
    """

    answers: bytes = field(repr=False)
    proof: Proof

    def __post_init__(self) -> None:
        bounded("VerifyBatchReply.answers", self.answers, MAX_BATCH_BYTES, 1)

    def encode(self) -> bytes:
        """The reply's bytes."""
        return write(pb.VerifyBatchReply(answers=self.answers, proof=self.proof.to_proto()))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The reply in `data`; nothing of it is proven yet. Raises MessageInvalid."""
        body = read_exactly(pb.VerifyBatchReply(), data, MAX_BATCH_BYTES)
        return cls(body.answers, Proof.of_proto(body.proof))


def _provider(provider: str, request: bytes) -> None:
    bounded("Answer.provider", provider, MAX_NAME, 1)
    bounded("Answer.request", request, HASH_BYTES, HASH_BYTES)


def _words(where: str, *numbers: int) -> None:
    if any(type(number) is not int or not 0 <= number < _WORD for number in numbers):
        raise MessageInvalid(where, "a day or a version is no number of 32 bits")


def _outcome(number: int) -> Outcome:
    try:
        return Outcome(number)
    except ValueError:
        raise MessageInvalid("Answer.outcome", "none that an answer can have") from None
