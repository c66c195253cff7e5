"""Messages of verification have one encoding, and everything else is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fuzz.verification import HASH, KINDS, NONCE, PROOF, SAMPLES

from fedcredit.wire._gen import verify_pb2 as pb
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.verification import Argument, Kind, Outcome, Proof, Question, VerifyRequest
from fedcredit.wire.verified import Answer, Check, VerifyBatchRequest

REQUEST = VerifyRequest(Question("91320100MA1A2B3C4D", KINDS[0]), "financing", "a.b.c", NONCE)


def test_every_message_reads_back() -> None:
    assert len({type(sample) for sample in SAMPLES}) == 6
    for sample in SAMPLES:
        again = type(sample).decode(sample.encode())
        assert again.encode() == sample.encode()


def test_every_message_says_what_it_reveals() -> None:
    for kind in {type(sample) for sample in SAMPLES} | {Question, Kind, Argument, Check, Proof}:
        assert "Reveals:" in (kind.__doc__ or "")
        assert "Assumes:" in (kind.__doc__ or "")


def test_answers_are_equally_long_whatever_they_say() -> None:
    says = [Answer("tax", HASH, outcome, 20_000, day, 1, 1).encode() for outcome in (1, 2, 3) for day in (0, 19_999)]
    assert len({len(answer) for answer in says}) == 1


GOOD = pb.VerifyRequest.FromString(REQUEST.encode())


def changed(change: Callable[[pb.VerifyRequest], object]) -> bytes:
    body = pb.VerifyRequest()
    body.CopyFrom(GOOD)
    change(body)
    return body.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        REQUEST.encode() + b"\x00",
        REQUEST.encode() + b"\x2a\x01x",
        REQUEST.encode() + REQUEST.encode(),
        REQUEST.encode().replace(b"\x12\x09financing", b"\x12\x89\x00financing"),
        changed(lambda body: body.ClearField("question")),
        changed(lambda body: setattr(body, "nonce", NONCE[:15])),
        changed(lambda body: setattr(body, "purpose", "")),
        changed(lambda body: setattr(body, "consent", "x" * 4097)),
        changed(lambda body: setattr(body.question, "subject", "")),
        changed(lambda body: setattr(body.question, "subject", "x" * 257)),
        changed(lambda body: setattr(body.question.arguments[0], "number", float("nan"))),
        changed(lambda body: body.question.arguments[0].ClearField("number")),
        changed(lambda body: body.question.arguments.add(name="a", number=1.0)),
        changed(lambda body: body.question.arguments.add(name="k", number=1.0)),
        changed(lambda body: [body.question.arguments.add(name=f"l{i:02}", number=1.0) for i in range(16)]),
        changed(lambda body: body.question.arguments[0].texts.values.extend(["x"] * 65)),
    ],
)
def test_a_bad_request_is_refused(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        VerifyRequest.decode(data)


def test_a_check_names_a_kind_and_a_consent_that_are_there() -> None:
    for check in (Check("x", 2, 0), Check("x", 0, 1), Check("x", -1, 0)):
        with pytest.raises(MessageInvalid):
            VerifyBatchRequest(("",), "financing", NONCE, (check,), KINDS)


def test_an_answer_is_no_refusal() -> None:
    with pytest.raises(MessageInvalid):
        Answer("tax", HASH, Outcome.REFUSED, 1, 1, 1, 1)


def test_a_path_is_made_of_hashes() -> None:
    with pytest.raises(MessageInvalid):
        Proof(PROOF.entry, 1, (b"short",), PROOF.head)
