"""Signed answers: what proves one, and everything that does not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.errors import PeerError
from fedcredit.governance.audit import VERIFY_LOG, Entry, Event, Head, SignedHead, origin_of
from fedcredit.governance.leaves import Leaves
from fedcredit.governance.verification.proofs import ProofFile, read_proof
from fedcredit.wire.verification import Kind, Outcome, Proof, Question, VerifyReply, VerifyRequest
from fedcredit.wire.verified import Answer

CODE = "91320100MA1MTQ0X09"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOW = datetime(2026, 5, 4, tzinfo=UTC)
REQUEST = VerifyRequest(Question(CODE, Kind("water_in_arrears")), "financing", "", bytes(16))
ANSWER = Answer("water", REQUEST.digest, Outcome.NO, 20577, 20574, 1, 1)


def verify(signature: bytes, body: bytes) -> None:
    KEY.public_key().verify(signature, body)


def reply(
    answer: Answer = ANSWER, *, origin: str = "water", event: Event = Event.VERIFIED, said: int = 2
) -> VerifyReply:
    """The reply of a provider whose log has five entries, of which the fourth is over `answer`."""
    digest = hashlib.sha256(answer.encode()).hexdigest()
    lines = [Entry(sequence=k, time=NOW, event=Event.VERIFY_REFUSED, job="").encode() for k in range(5)]
    facts: dict[str, str | int] = {"answer": digest, "outcome": said}
    lines[3] = Entry(sequence=3, time=NOW, event=event, job="", facts=facts).encode()
    leaves = Leaves.of(b"".join(line + b"\n" for line in lines))
    head = Head(origin_of(origin, VERIFY_LOG), 5, leaves.tree().root)
    signed = SignedHead(head, KEY.sign(head.body()))
    return VerifyReply(answer.encode(), Proof(lines[3], 3, leaves.inclusion(3), signed.encode()))


def proof(found: VerifyReply, request: VerifyRequest = REQUEST) -> ProofFile:
    return ProofFile("water", request.encode(), found.encode())


def test_an_answer_is_proven_and_its_file_says_the_same(tmp_path: Path) -> None:
    kept = proof(reply())
    assert kept.check(verify) == ANSWER
    assert read_proof(kept.encode()) == kept
    assert read_proof(kept.encode()).check(verify) == ANSWER


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda: proof(reply(), replace(REQUEST, nonce=bytes(15) + b"x")), "ANSWER_MISMATCH"),
        (lambda: proof(reply(replace(ANSWER, provider="gas"))), "ANSWER_MISMATCH"),
        (lambda: proof(reply(said=1)), "ANSWER_MISMATCH"),
        (lambda: proof(reply(event=Event.VERIFY_REFUSED)), "ANSWER_MISMATCH"),
        (lambda: proof(replace(reply(), answer=replace(ANSWER, outcome=Outcome.YES).encode())), "ANSWER_MISMATCH"),
        (lambda: proof(reply(origin="gas")), "AUDIT_HEAD"),
        (lambda: proof(_with_proof(lambda found: replace(found, sequence=2))), "AUDIT_PROOF"),
        (lambda: proof(_with_proof(lambda found: replace(found, path=found.path[:-1]))), "AUDIT_PROOF"),
        (
            lambda: proof(_with_proof(lambda found: replace(found, head=found.head.replace(b"5", b"6", 1)))),
            "AUDIT_HEAD",
        ),
        (lambda: ProofFile("water", REQUEST.encode() + b"\0", reply().encode()), "ANSWER_MALFORMED"),
        (lambda: ProofFile("water", REQUEST.encode(), b"\xff"), "ANSWER_MALFORMED"),
        (lambda: ProofFile("water", REQUEST.encode(), reply().encode(), batch=True), "ANSWER_MALFORMED"),
    ],
)
def test_whatever_was_changed_is_found(change: Callable[[], ProofFile], code: str) -> None:
    with pytest.raises(PeerError) as refused:
        change().check(verify)
    assert (refused.value.code, refused.value.culprit) == (code, "water")
    assert CODE not in str(refused.value)


def test_every_bit_of_a_reply_counts() -> None:
    data = reply().encode()
    for place in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        with pytest.raises(PeerError):
            ProofFile("water", REQUEST.encode(), bytes(flipped)).check(verify)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"schema": 1}', b"[" * 50_000])
def test_a_file_that_holds_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match="ANSWER_MALFORMED"):
        read_proof(data)


def _with_proof(change: Callable[[Proof], Proof]) -> VerifyReply:
    found = reply()
    return replace(found, proof=change(found.proof))
