"""What the examples show is so."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.protobuf.message import DecodeError

from fedcredit.governance.audit import VERIFY_LOG, Entry, Event, Head, SignedHead, origin_of
from fedcredit.governance.leaves import Leaves
from fedcredit.governance.verification.proofs import ProofFile
from fedcredit.ids import PartyId
from fedcredit.node.signing import AUDIT_HEAD
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.wire.verification import Kind, Outcome, Proof, Question, VerifyReply, VerifyRequest
from fedcredit.wire.verified import Answer

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "examples" / "01_verification" / "check_answer.py"
REQUEST = VerifyRequest(Question("91320100MA1MTQ0X09", Kind("water_in_arrears")), "financing", "", bytes(16))


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("water") / "water"
    table = folder.parent / "table.csv"
    table.write_text("uscc,x\n")
    new = NewParty(
        PartyId("water"), "provider", "127.0.0.1", 1, (), table, "uscc", None, PartyId("platform"), None, False
    )
    found(folder, new)
    return folder


def answered(water: Path, size: int, at: int) -> ProofFile:
    """A signed answer that is entry `at` of a log of `size` entries."""
    key = load_pem_private_key((water / "keys" / "signing.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    answer = Answer("water", REQUEST.digest, Outcome.NO, 20577, 20574, 1, 1).encode()
    facts: dict[str, str | int] = {"answer": hashlib.sha256(answer).hexdigest(), "outcome": 2}
    now = datetime(2026, 5, 4, tzinfo=UTC)
    lines = [Entry(sequence=k, time=now, event=Event.VERIFIED, job="", facts=facts).encode() for k in range(size)]
    leaves = Leaves.of(b"".join(line + b"\n" for line in lines))
    head = Head(origin_of("water", VERIFY_LOG), size, leaves.tree().root)
    signed = SignedHead(head, key.sign(len(AUDIT_HEAD).to_bytes(2, "big") + AUDIT_HEAD + head.body()))
    proof = Proof(lines[at], at, leaves.inclusion(at), signed.encode())
    return ProofFile("water", REQUEST.encode(), VerifyReply(answer, proof).encode())


def checked(water: Path, proof: bytes) -> subprocess.CompletedProcess[str]:
    path = water / "answer.json"
    path.write_bytes(proof)
    command = [sys.executable, str(CHECK), str(path), str(water / "keys" / "signing.crt")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)


def test_a_signed_answer_is_checked_without_fedcredit(water: Path) -> None:
    found = checked(water, answered(water, 7, 6).encode())
    assert found.stdout == "water answered: OUTCOME_NO\n", found.stderr


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_answer", CHECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_in_a_tree_of_any_shape_and_nothing_else(water: Path) -> None:
    check_answer = example()
    certificate, path = str(water / "keys" / "signing.crt"), water / "answer.json"
    for size in range(1, 18):
        for at in range(size):
            kept = answered(water, size, at)
            path.write_bytes(kept.encode())
            assert "OUTCOME_NO" in check_answer.main(str(path), certificate)
    document, said, passed = json.loads(answered(water, 9, 4).encode()), "water answered: OUTCOME_NO", 0
    reply = base64.b64decode(document["reply"])
    for place in range(0, len(reply), 11):
        flipped = bytearray(reply)
        flipped[place] ^= 1
        document["reply"] = base64.b64encode(flipped).decode()
        path.write_text(json.dumps(document))
        # What it lets pass says the same: the name before the signature, say, is there twice.
        with contextlib.suppress(ValueError, KeyError, IndexError, TypeError, InvalidSignature, DecodeError):
            assert check_answer.main(str(path), certificate) == said
            passed += 1
    assert passed < len(reply) // 11 // 8
