"""`fedcredit node fsck` on logs: of jobs and of answers, what peers signed of them, and what was signed of peers'."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from head_nodes import BANK, NOW, TAX, Node, forged, identity, show, shown
from raw_store import run

from fedcredit.cli.main import main
from fedcredit.errors import RefusedError
from fedcredit.governance.audit import HEAD_SLOT_BYTES, VERIFY_LOG, Draft, Event
from fedcredit.governance.witness import WitnessedHeads
from fedcredit.node.audit_checks import CHECKS
from fedcredit.node.audit_places import read_witnessed
from fedcredit.node.fsck import check_audit, check_heads
from fedcredit.node.signing import AUDIT_WITNESS
from fedcredit.node.store import Store
from fedcredit.runtime.clock import ManualClock

ORIGIN = f"{TAX}/{VERIFY_LOG}"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def pair(url: str, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Tax, with answers in batches, whose heads the bank has signed; both in one store."""
    store = Store.open(url, ManualClock(NOW))
    tax, bank = Node(TAX, tmp_path / "tax", store), Node(BANK, tmp_path / "bank", store)
    tax.add(3)
    at = 0
    for number in range(4):
        records = bytes([number]) * (80 * number)
        with (tax.place(VERIFY_LOG) / CHECKS).open("ab") as file:
            file.write(records)
        facts = {"checks_at": at, "checks_bytes": len(records), "checks_hash": hashlib.sha256(records).hexdigest()}
        tax.logs[VERIFY_LOG].append_all([Draft(Event.VERIFY_BATCH, "", facts), Draft(Event.VERIFIED, "", {})])
        at += len(records)
    for log in ("", VERIFY_LOG):
        show(tax, bank, log)
    yield tax, bank
    for node in (tax, bank):
        node.close()
    store.close()


def wrong(tax: Node, log: str = VERIFY_LOG) -> list[str]:
    origin = ORIGIN if log else TAX
    return [problem.code for problem in check_audit(tax.store, tax.place(log), origin, lambda: tax.logs_verify)[1]]


def test_both_logs_their_witnesses_and_the_heads_of_peers_are_looked_at(pair: tuple[Node, Node]) -> None:
    tax, bank = pair
    assert check_audit(tax.store, tax.place(), TAX, lambda: tax.logs_verify) == (3, [])
    assert check_audit(tax.store, tax.place(VERIFY_LOG), ORIGIN, lambda: tax.logs_verify) == (8, [])
    assert check_heads(bank.store) == (2, [])
    # What follows the last batch was never acknowledged.
    with (tax.place(VERIFY_LOG) / CHECKS).open("ab") as file:
        file.write(bytes(80))
    assert wrong(tax) == []


def test_a_head_that_is_written_in_place_is_shown_and_looked_at_like_any_other(pair: tuple[Node, Node]) -> None:
    tax, bank = pair
    place = tax.place(VERIFY_LOG) / "checkpoint"
    older = place.read_bytes()
    tax.add(2, VERIFY_LOG)
    # As the service of answers writes it: two places, the newer over the older.
    place.write_bytes(place.read_bytes().ljust(HEAD_SLOT_BYTES, b"\0") + older.ljust(HEAD_SLOT_BYTES, b"\0"))
    show(tax, bank, VERIFY_LOG)
    found = read_witnessed(tax.place(VERIFY_LOG)).of(BANK)
    assert found is not None
    assert found.signed.head.size == 10
    assert wrong(tax) == []


def cut(data: bytes) -> bytes:
    return data[:-1]


def other(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


def moved(data: bytes) -> bytes:
    return data[80:] + data[:80]


@pytest.mark.parametrize("change", [cut, other, moved, lambda _data: b""])
def test_checks_of_batches_that_were_changed_are_found(
    pair: tuple[Node, Node], change: Callable[[bytes], bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tax, _ = pair
    path = tax.place(VERIFY_LOG) / CHECKS
    path.write_bytes(change(path.read_bytes()))
    assert wrong(tax) == ["AUDIT_TAMPERED"]
    certificate = tmp_path / "tax.crt"
    certificate.write_bytes(x509.load_der_x509_certificate(tax.signing.certificate).public_bytes(Encoding.PEM))
    assert main(["audit", "verify", str(tax.place(VERIFY_LOG)), "--certificate", str(certificate)]) == 65
    assert "AUDIT_TAMPERED" in capsys.readouterr().err
    path.unlink()
    assert wrong(tax) == ["AUDIT_TAMPERED"]


def test_what_witnesses_signed_has_to_be_of_this_log(pair: tuple[Node, Node]) -> None:
    tax, _ = pair
    path = tax.place() / "witnessed"
    kept = path.read_bytes()
    (tax.place(VERIFY_LOG) / "witnessed").write_bytes(kept)
    assert wrong(tax) == ["AUDIT_WITNESS"]
    line = identity(BANK).sign(AUDIT_WITNESS, b"")
    path.write_bytes(WitnessedHeads().signed_by(BANK, forged(9), line).encode())
    assert wrong(tax, "") == ["AUDIT_ROLLED_BACK"]
    signed = read_witnessed(tax.place()).heads[0].signed
    path.write_bytes(WitnessedHeads().signed_by(BANK, type(signed)(signed.head, bytes(64)), line).encode())
    assert wrong(tax, "") == ["AUDIT_HEAD"]
    path.write_bytes(kept[:-2])
    assert wrong(tax, "") == ["AUDIT_WITNESS"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("UPDATE witnessed_heads SET root = zeroblob(32) WHERE origin = 'tax'", "STATE_INVALID"),
        ("UPDATE witnessed_heads SET size = size - 1 WHERE origin = 'tax'", "STATE_INVALID"),
        ("UPDATE witnessed_heads SET signed = x'00' WHERE origin = 'tax'", "AUDIT_HEAD"),
        ("UPDATE witnessed_heads SET certificate = x'00' WHERE origin = 'tax'", "STORE_INCONSISTENT"),
    ],
)
def test_heads_of_peers_that_were_changed_are_found(pair: tuple[Node, Node], url: str, damage: str, code: str) -> None:
    _, bank = pair
    run(url, damage)
    assert [problem.code for problem in check_heads(bank.store)[1]] == [code]


def test_evidence_is_looked_at_too(pair: tuple[Node, Node], url: str) -> None:
    _, bank = pair
    with pytest.raises(RefusedError):
        bank.see(TAX, shown(forged(3)))
    assert check_heads(bank.store) == (2, [])
    run(url, "UPDATE head_forks SET kept_certificate = x'3000'")
    assert [problem.code for problem in check_heads(bank.store)[1]] == ["STORE_INCONSISTENT"]
    assert json.loads(json.dumps(bank.entries()))[0]["how"] == "two_roots"
