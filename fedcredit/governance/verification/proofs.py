"""A signed answer, checked from beginning to end without anybody's help: that this provider, and nobody else, answered
this request so, and has it in its log.

The provider does not sign an answer by itself: it signs the head of its log, one signature for all answers that came at
the same time. An answer is proven by its hash in an entry, the entry by its path to the head's root, the head by the
provider's signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fedcredit.errors import PeerError
from fedcredit.governance.audit import VERIFY_LOG, AuditBroken, Entry, Event, SignedHead, origin_of
from fedcredit.governance.audit_proof import InclusionProof
from fedcredit.governance.merkle import ProofInvalid
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.verification import Proof, VerifyReply, VerifyRequest
from fedcredit.wire.verified import Answer, BatchAnswer, VerifyBatchReply, VerifyBatchRequest

__all__ = ["MAX_PROOF_BYTES", "SCHEMA", "ProofFile", "check_answer", "check_batch", "read_proof"]

SCHEMA = "fedcredit-verify-proof/1"
MAX_PROOF_BYTES = 32 << 20

Verify: TypeAlias = Callable[[bytes, bytes], object]
"""Called with signature and body; raises on a bad signature."""


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A request and its reply, kept together: what it takes to show an answer to somebody else."""

    provider: str
    request: bytes = field(repr=False)
    reply: bytes = field(repr=False)
    batch: bool = False

    def encode(self) -> bytes:
        """As a line of JSON. It names the subject and holds the consent: keep it as you keep these."""
        document = {
            "schema": SCHEMA,
            "provider": self.provider,
            "batch": self.batch,
            "request": base64.b64encode(self.request).decode(),
            "reply": base64.b64encode(self.reply).decode(),
        }
        return json.dumps(document).encode() + b"\n"

    def check(self, verify: Verify) -> Answer | BatchAnswer:
        """The answer, proven. Raises: PeerError (ANSWER_*, AUDIT_*, PROOF_INVALID) naming the provider."""
        if self.batch:
            return check_batch(self.provider, self.request, self.reply, verify)
        return check_answer(self.provider, self.request, self.reply, verify)


def read_proof(data: bytes) -> ProofFile:
    """What `ProofFile.encode` wrote; nothing is proven yet. Raises: PeerError (ANSWER_MALFORMED)."""
    try:
        if len(data) > MAX_PROOF_BYTES:
            raise ValueError("size")
        raw: Any = json.loads(data)
        if raw.keys() != {"schema", "provider", "batch", "request", "reply"} or raw["schema"] != SCHEMA:
            raise ValueError("keys")
        if type(raw["batch"]) is not bool or not isinstance(raw["provider"], str):
            raise ValueError("types")
        request = base64.b64decode(raw["request"], validate=True)
        return ProofFile(raw["provider"], request, base64.b64decode(raw["reply"], validate=True), raw["batch"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
        raise _broken("proof", "ANSWER_MALFORMED", "is no file of a signed answer") from None


def check_answer(provider: str, request: bytes, reply: bytes, verify: Verify) -> Answer:
    """The provider's answer to exactly these bytes of a request. Raises: as `ProofFile.check`."""
    try:
        VerifyRequest.decode(request)
        found = VerifyReply.decode(reply)
        answer = Answer.decode(found.answer)
    except MessageInvalid as invalid:
        raise _broken(provider, "ANSWER_MALFORMED", f"{invalid.problems[0].where} is not well formed") from None
    _check_names(provider, answer.provider, request, answer.request)
    entry = _proven(provider, found.proof, verify)
    digest = hashlib.sha256(found.answer).hexdigest()
    said: dict[str, str | int] = {"answer": digest, "outcome": int(answer.outcome)}
    _check_entry(provider, entry, Event.VERIFIED, said)
    return answer


def check_batch(provider: str, request: bytes, reply: bytes, verify: Verify) -> BatchAnswer:
    """The provider's answers to exactly these bytes of a batch. Raises: as `ProofFile.check`."""
    try:
        asked = VerifyBatchRequest.decode(request)
        found = VerifyBatchReply.decode(reply)
        answers = BatchAnswer.decode(found.answers)
    except MessageInvalid as invalid:
        raise _broken(provider, "ANSWER_MALFORMED", f"{invalid.problems[0].where} is not well formed") from None
    _check_names(provider, answers.provider, request, answers.request)
    if len(answers.outcomes) != len(asked.checks):
        raise _broken(provider, "ANSWER_MISMATCH", "answered another number of checks")
    entry = _proven(provider, found.proof, verify)
    _check_entry(provider, entry, Event.VERIFY_BATCH, {"answer": hashlib.sha256(found.answers).hexdigest()})
    return answers


def _check_names(provider: str, named: str, request: bytes, answered: bytes) -> None:
    if named != provider:
        raise _broken(provider, "ANSWER_MISMATCH", "answered in another's name")
    if answered != hashlib.sha256(request).digest():
        raise _broken(provider, "ANSWER_MISMATCH", "answered another request")


def _proven(provider: str, proof: Proof, verify: Verify) -> Entry:
    try:
        signed = SignedHead.decode(proof.head)
        if signed.head.origin != origin_of(provider, VERIFY_LOG):
            raise AuditBroken("AUDIT_HEAD", f"head of {provider}", "is the head of another log")
        inclusion = InclusionProof(proof.entry, proof.sequence, signed, proof.path)
        inclusion.check(verify)
        return inclusion.entry
    except (AuditBroken, ProofInvalid) as error:
        raise _broken(provider, error.code, error.problems[0].what) from None


def _check_entry(provider: str, entry: Entry, event: Event, said: Mapping[str, str | int]) -> None:
    if entry.event is not event or any(entry.facts.get(name) != value for name, value in said.items()):
        raise _broken(provider, "ANSWER_MISMATCH", "has another answer in its log")


def _broken(provider: str, code: str, what: str) -> PeerError:
    return PeerError(provider, "verify", what, code)
