"""`fedcredit audit`: logs are checked, proved and shown without their nodes, and every mutation ends in its code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.cli.main import main
from fedcredit.governance.audit import VERIFY_LOG, AuditBroken, Draft, Event, SignedHead, origin_of
from fedcredit.governance.audit_proof import MAX_PROOF_BYTES, ConsistencyProof, InclusionProof, decode_proof
from fedcredit.governance.merkle import ProofInvalid
from fedcredit.ids import PartyId
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.audit_places import find_one, read_head
from fedcredit.node.pki import Authority
from fedcredit.node.signing import AUDIT_HEAD
from fedcredit.runtime.clock import ManualClock

Run = Callable[..., tuple[int, str, str]]

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TAX, BANK = PartyId("tax"), PartyId("bank")
KEYS = {party: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number, party in enumerate((TAX, BANK))}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fedcredit audit ARGUMENTS` in this process: exit status, output, errors."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("FEDCREDIT_DEBUG", "")

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main(["audit", *map(str, arguments)])
        except SystemExit as left:
            status = int(left.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def opened(folder: Path, party: PartyId = TAX, log: str = "") -> AuditFile:
    def framed(body: bytes) -> bytes:
        return len(AUDIT_HEAD).to_bytes(2, "big") + AUDIT_HEAD + body

    key = KEYS[party]
    return AuditFile(
        folder,
        origin_of(party, log),
        sign=lambda body: key.sign(framed(body)),
        verify=lambda signature, body: key.public_key().verify(signature, framed(body)),
        clock=ManualClock(NOON),
    )


def add(folder: Path, n: int, party: PartyId = TAX, job: str = "sme-default", log: str = "") -> None:
    with opened(folder, party, log) as audit:
        audit.append_all([Draft(Event.STAGE_DONE, job, {"n": audit.head.size + i}) for i in range(n)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a run with two logs, `audit/tax` of 9 entries; `kept` is the head of tax after 4."""
    out = tmp_path_factory.mktemp("out")
    for party in (TAX, BANK):
        log = out / "audit" / party
        add(log, 4, party)
        (out / f"{party}.kept").write_bytes((log / "checkpoint").read_bytes())
        add(log, 5, party, job="another")
        certificate = Authority.create().certify_signer(party, KEYS[party].public_key())
        (log / "signing.crt").write_bytes(certificate)
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "out")


def test_help_teaches(run: Run) -> None:
    for command, word in (("verify", "--known"), ("prove", "RFC 9162"), ("show", "--job"), ("", "checkpoint")):
        status, said, _ = run(*([command] if command else []), "--help")
        assert status == 0
        assert word in said


def test_all_logs_of_a_run_are_checked(run: Run, out: Path) -> None:
    status, said, err = run("verify", out)
    assert (status, err) == (0, "")
    assert "tax: whole: 9 entries" in said
    assert "bank: whole: 9 entries" in said
    status, said, _ = run("verify", out / "audit" / "tax", "--known", out / "tax.kept", "--json")
    row = json.loads(said)
    assert (status, row["log"], row["entries"], row["continues"]) == (0, "tax", 9, 1)
    assert "continues the kept head" in run("verify", out, "--known", out / "tax.kept")[1]


def test_a_copy_of_a_nodes_folder_is_checked_without_its_keys(run: Run, out: Path, tmp_path: Path) -> None:
    node = tmp_path / "node"
    shutil.copytree(out / "audit" / "tax", node / "audit")
    (node / "party.toml").write_text('[party]\nid = "tax"\n')
    (node / "keys").mkdir()
    status, _, err = run("verify", node)
    assert (status, err[:7]) == (78, "CONFIG_")
    shutil.move(node / "audit" / "signing.crt", node / "keys" / "signing.crt")
    status, said, err = run("verify", node, "--known", out / "tax.kept")
    assert (status, err) == (0, "")
    assert "tax: whole: 9 entries, and continues the kept head" in said


def test_a_write_that_was_interrupted_is_said_and_is_no_fault(run: Run, out: Path) -> None:
    with (out / "audit" / "tax" / "entries.jsonl").open("ab") as file:
        file.write(b'{"event":"job')
    status, said, _ = run("verify", out / "audit" / "tax")
    assert status == 0
    assert "13 bytes after them are not signed" in said


def lines_of(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    file = folder / "entries.jsonl"
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))


def rolled_back(folder: Path) -> None:
    certificate = (folder / "signing.crt").read_bytes()
    shutil.rmtree(folder)
    add(folder, 3)
    (folder / "signing.crt").write_bytes(certificate)


def forked(folder: Path) -> None:
    certificate = (folder / "signing.crt").read_bytes()
    shutil.rmtree(folder)
    add(folder, 9, job="what never happened")
    (folder / "signing.crt").write_bytes(certificate)


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "flip": (lambda log: lines_of(log, lambda lines: [lines[0].replace(b'"n":0', b'"n":1'), *lines[1:]]), "TAMPERED"),
    "delete": (lambda log: lines_of(log, lambda lines: lines[:3] + lines[4:]), "TAMPERED"),
    "swap": (lambda log: lines_of(log, lambda lines: [lines[1], lines[0], *lines[2:]]), "TAMPERED"),
    "truncate": (lambda log: lines_of(log, lambda lines: lines[:-1]), "TAMPERED"),
    "no entry": (lambda log: lines_of(log, lambda lines: [b"{}\n", *lines[1:]]), "ENTRY"),
    "roll back": (rolled_back, "ROLLED_BACK"),
    "fork": (forked, "ROLLED_BACK"),
    "head gone": (lambda log: (log / "checkpoint").unlink(), "MISSING"),
    "head of another": (lambda log: shutil.copy(log.parent / "bank" / "checkpoint", log / "checkpoint"), "HEAD"),
    "key of another": (lambda log: shutil.copy(log.parent / "bank" / "signing.crt", log / "signing.crt"), "HEAD"),
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_every_mutation_is_found_and_named(run: Run, out: Path, kind: str) -> None:
    mutate, code = MUTATIONS[kind]
    log = out / "audit" / "tax"
    mutate(log)
    known = ["--known", out / "tax.kept"] if code == "ROLLED_BACK" else []
    status, said, err = run("verify", log, *known)
    assert status == (78 if code == "MISSING" else 65)
    assert said == ""
    assert err.startswith(f"AUDIT_{code}: ")


def test_an_entry_is_proved_to_who_has_neither_log_nor_node(run: Run, out: Path, tmp_path: Path) -> None:
    for number in range(9):
        proof = tmp_path / f"{number}.json"
        assert run("prove", out / "audit" / "tax", "--entry", number, "--out", proof)[0] == 0
        status, said, err = run("verify", proof, "--certificate", out / "audit" / "tax" / "signing.crt", "--json")
        assert (status, err) == (0, "")
        row = json.loads(said)
        assert (row["proves"], row["entries"], row["entry"]["facts"]) == ("inclusion", 9, {"n": number})
    status, said, err = run("verify", proof, "--certificate", out / "audit" / "bank" / "signing.crt")
    assert (status, said) == (65, "")
    assert err.startswith("AUDIT_HEAD: ")
    status, _, err = run("prove", out / "audit" / "tax", "--entry", 9)
    assert status == 65
    assert err.startswith("AUDIT_PROOF: ")


def test_growth_since_a_kept_head_is_proved(run: Run, out: Path, tmp_path: Path) -> None:
    status, said, err = run("prove", out / "audit" / "tax", "--since", out / "tax.kept")
    assert (status, err) == (0, "")
    (tmp_path / "proof.json").write_text(said)
    status, said, _ = run("verify", tmp_path / "proof.json", "--certificate", out / "audit" / "tax" / "signing.crt")
    assert status == 0
    assert "the log of 9 entries begins with the one of 4" in said
    forked(out / "audit" / "tax")
    status, _, err = run("prove", out / "audit" / "tax", "--since", out / "tax.kept")
    assert (status, err[:18]) == (65, "AUDIT_ROLLED_BACK:")


def test_entries_are_shown(run: Run, out: Path) -> None:
    status, said, err = run("show", out / "audit" / "tax", "--job", "another", "--last", 2)
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in said.splitlines()] == ["7", "8"]
    assert "2026-05-04 12:00:00.000+00:00  stage_done  another  n=8" in said
    said = run("show", out / "audit" / "tax", "--last", 0, "--event", "stage_done", "--json")[1]
    assert [json.loads(line)["sequence"] for line in said.splitlines()] == [*range(9)]
    lines_of(out / "audit" / "tax", lambda lines: lines[1:])
    assert run("show", out / "audit" / "tax")[:2] == (65, "")


def test_what_a_terminal_would_obey_is_not_printed(run: Run, out: Path) -> None:
    add(out / "audit" / "tax", 1, job="\x1b[2J[bold]x")
    said = run("show", out / "audit" / "tax", "--last", 1)[1]
    assert "\x1b[2J" not in said
    assert "?[2J[bold]x" in said


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["verify", "nowhere"], 78, "AUDIT_MISSING"),
        (["verify", "{out}/audit/tax/checkpoint"], 2, "USAGE"),
        (["verify", "{out}/tax.kept", "--certificate", "{out}/audit/tax/signing.crt"], 65, "AUDIT_PROOF"),
        (["verify", "{out}/audit/tax", "--certificate", "nowhere"], 78, "KEY_MISSING"),
        (["verify", "{out}/audit/tax", "--certificate", "{out}/tax.kept"], 78, "KEY_INVALID"),
        (["verify", "{out}/audit/tax", "--known", "{out}/bank.kept"], 2, "USAGE"),
        (["verify", "{out}/audit/tax", "--known", "{out}/audit/tax/entries.jsonl"], 65, "AUDIT_HEAD"),
        (["verify", "{out}/audit/tax", "--known", "nowhere"], 78, "AUDIT_UNAVAILABLE"),
        (["prove", "{out}/audit/tax"], 2, "USAGE"),
        (["prove", "{out}", "--entry", "1"], 78, "AUDIT_MISSING"),
        (["prove", "{out}/audit/tax", "--entry", "1", "--out", "{out}/tax.kept"], 78, "EXISTS"),
        (["show", "{out}/audit/tax", "--event", "job_forgotten"], 2, "USAGE"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_code(
    run: Run, out: Path, arguments: list[str], status: int, code: str
) -> None:
    found, said, err = run(*(argument.format(out=out) for argument in arguments))
    assert (found, said) == (status, "")
    assert err.startswith(f"{code}: ")


def proofs(out: Path) -> list[InclusionProof | ConsistencyProof]:
    log = find_one(out / "audit" / "tax")
    return [log.prove(6), log.prove_since(read_head(out / "tax.kept"))]


def test_proofs_are_read_as_they_are_written(out: Path) -> None:
    for proof in proofs(out):
        data = proof.encode()
        assert decode_proof(data) == proof
        for changed in (data[:-1], b" " + data, data.replace(b' 1"', b' 2"'), data + b" " * MAX_PROOF_BYTES, b"[]"):
            with pytest.raises(AuditBroken) as caught:
                decode_proof(changed)
            assert caught.value.code == "AUDIT_PROOF"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_every_flipped_bit_of_a_proof_is_found(whole: Path, data: st.DataObject) -> None:
    verify = find_one(whole / "audit" / "tax").verify
    proof = data.draw(st.sampled_from(proofs(whole)))
    proof.check(verify)
    changed = bytearray(proof.encode())
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises((AuditBroken, ProofInvalid)):
        decode_proof(bytes(changed)).check(verify)


def test_a_proof_of_two_logs_proves_nothing(out: Path) -> None:
    own, other = (SignedHead.decode((out / f"{party}.kept").read_bytes()) for party in (TAX, BANK))
    with pytest.raises(AuditBroken, match="different logs"):
        ConsistencyProof(other, own, ()).check(lambda _signature, _body: None)


def test_two_logs_of_one_party_have_two_names(run: Run, tmp_path: Path) -> None:
    node = tmp_path / "tax"
    (node / "keys").mkdir(parents=True)
    (node / "party.toml").write_text("a copy without its tables and keys\n")
    certificate = node / "keys" / "signing.crt"
    certificate.write_bytes(Authority.create().certify_signer(TAX, KEYS[TAX].public_key()))
    add(node / "audit", 3)
    add(node / "verify" / "audit", 5, log=VERIFY_LOG)
    status, out, _ = run("verify", node, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, [(row["log"], row["entries"]) for row in rows]) == (0, [("tax", 3), ("tax/verify", 5)])
    assert find_one(node).log == ""
    proof = find_one(node / "verify" / "audit", certificate).prove(4)
    (tmp_path / "proof.json").write_bytes(proof.encode())
    status, out, _ = run("verify", tmp_path / "proof.json", "--certificate", certificate)
    assert (status, out.startswith("tax/verify: entry 4")) == (0, True)
    # One is no head of the other, however much longer it is.
    status, _, errors = run(
        "verify", node / "verify" / "audit", "--certificate", certificate, "--known", node / "audit" / "checkpoint"
    )
    assert (status, "whose log is not here" in errors) == (2, True)
    shutil.copyfile(node / "verify" / "audit" / "checkpoint", node / "audit" / "checkpoint")
    status, _, errors = run("verify", node)
    assert (status, "AUDIT_HEAD" in errors) == (65, True)
