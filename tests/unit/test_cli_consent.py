"""`fedcredit consent` without a node: keys, tokens that a subject signs itself, words, and what is asked of whom."""

from __future__ import annotations

import io
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives import hashes

from fedcredit.cli.consent_issue import PASSWORD_VARIABLE, Login
from fedcredit.cli.main import app, main
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.receipt import check_receipt
from fedcredit.governance.consent.token import Envelope
from fedcredit.ids import PartyId
from fedcredit.node.consent.issuing import load_key
from fedcredit.node.pki import Authority

Run = Callable[..., tuple[int, str, str]]
ENTERPRISE, PROPRIETOR = "91320100MA1MK00057", "92320104MA1P000063"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FEDCREDIT_DEBUG", "")

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:
            status = int(left.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def bank(tmp_path: Path) -> Authority:
    made = Authority.of_party(PartyId("bank"))
    (tmp_path / "bank.crt").write_bytes(made.pem)
    return made


def own(tmp_path: Path, *more: object, subject: str = ENTERPRISE) -> list[object]:
    about = ["--subject", subject, "--requester", "bank", "--provider", "tax", "--provider", "housing_fund"]
    return [
        *("consent", "issue", *about, "--region", "nanjing", "--predicate", "hf_continuous_k"),
        *("--key", tmp_path / "own.key", "--authority", tmp_path / "bank.crt", *more),
    ]


def test_a_subject_signs_a_token_with_its_own_key(run: Run, tmp_path: Path, bank: Authority) -> None:
    status, said, _ = run("consent", "key", "new", tmp_path / "own.key")
    assert status == 0
    assert stat.S_IMODE((tmp_path / "own.key").stat().st_mode) == 0o600
    status, out, shown = run(*own(tmp_path, "--yes", "--receipt", tmp_path / "receipt.json"))
    assert status == 0
    assert "信用信息核验授权书" in shown
    public = load_key(tmp_path / "own.key").public_key().public_bytes_raw()
    issuer = Issuer(public, "enterprise", subject=ENTERPRISE)
    assert issuer.kid in said
    consent = Envelope.read(out.strip()).claims_for(Issuers([issuer]))
    assert consent.authority == bank.certificate.fingerprint(hashes.SHA256())
    assert consent.providers == ("housing_fund", "tax")
    assert check_receipt((tmp_path / "receipt.json").read_bytes(), Issuers([issuer]))["record_id"]
    # A token is for whoever issued it: a file of its own, which nothing overwrites.
    again = own(tmp_path, "--yes", "--out", tmp_path / "token")
    assert run(*again)[0] == 0
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    status, _, said = run(*again)
    assert (status, "EXISTS" in said) == (78, True)
    status, _, said = run("consent", "key", "new", tmp_path / "own.key")
    assert (status, "EXISTS" in said) == (78, True)


def test_nobody_agrees_by_pressing_enter(
    run: Run, tmp_path: Path, bank: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("consent", "key", "new", tmp_path / "own.key")
    for typed, status, made in (("\n", 77, False), ("n\n", 77, False), ("y\n", 0, True)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        found, out, _ = run(*own(tmp_path))
        assert (found, bool(out.strip())) == (status, made)


def test_a_token_in_words(run: Run, tmp_path: Path, bank: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    run("consent", "key", "new", tmp_path / "own.key")
    token = run(*own(tmp_path, "--yes", "--uses", "7", subject=PROPRIETOR))[1].strip()
    (tmp_path / "token").write_text(token + "\n")
    texts = []
    for given in (token, tmp_path / "token", "-"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(token + "\n"))
        status, out, _ = run("consent", "show", given)
        assert status == 0
        texts.append(out)
    assert len(set(texts)) == 1
    for said in (PROPRIETOR, "natural person's own", "the subject itself", "7 at each", "financing", "(now)", "南京"):
        assert said in texts[0]


def scores(tmp_path: Path, *more: object) -> list[object]:
    about = ["--subject", ENTERPRISE, "--requester", "bank", "--provider", "tax", "--region", "nanjing"]
    return ["consent", "issue", *about, "--key", tmp_path / "own.key", "--authority", tmp_path / "bank.crt", *more]


def test_a_token_for_scores(run: Run, tmp_path: Path, bank: Authority) -> None:
    run("consent", "key", "new", tmp_path / "own.key")
    models = ("--model", "trees", "--model", "sme-default", "--model", "trees")
    status, out, shown = run(*scores(tmp_path, *models, "--uses", "4", "--language", "en", "--yes"))
    assert status == 0
    assert "- sme-default\n- trees\n" in shown
    assert "encrypted credit scores" in shown
    assert Envelope.read(out.strip()).claims().scope.models == ("sme-default", "trees")
    status, words, _ = run("consent", "show", out.strip())
    assert status == 0
    assert "by the published model sme-default, encrypted" in words
    assert "may ask" not in words


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--model", "sme", "--predicate", "hf_continuous_k"], "stand beside questions"),
        (["--model", "sme", "--item", "enterprise_property_registration"], "stand beside questions"),
        (["--model", "SME"], "not spelt"),
        ([part for n in range(65) for part in ("--model", f"m{n}")], "too many"),
        ([], "items, predicates"),
    ],
)
def test_models_that_cannot_be_are_refused(
    run: Run, tmp_path: Path, bank: Authority, more: list[str], said: str
) -> None:
    run("consent", "key", "new", tmp_path / "own.key")
    status, out, printed = run(*scores(tmp_path, "--yes", *more))
    assert (status, out) == (2, "")
    assert "CONSENT_TERMS" in printed
    assert said in printed


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["show", "x.y.z"], 77, "TOKEN_MALFORMED"),
        (["show", "no-such-file"], 77, "TOKEN_MALFORMED"),
        (["show", "A" * 5000], 77, "TOKEN_MALFORMED"),
        (["revoke"], 2, "USAGE"),
        (["revoke", "name", "--token", "file"], 2, "USAGE"),
        (["list", "--node", "/nowhere"], 78, "CONFIG"),
        (["key", "list", "--node", "/nowhere"], 78, "CONFIG"),
        (["key", "register", "--subject", ENTERPRISE, "--key", "/nowhere", "--account", "a"], 78, "KEY_MISSING"),
        (["verify", "x.y.z", "--node", "/nowhere"], 78, "CONFIG"),
    ],
)
def test_what_makes_no_sense_is_said(run: Run, arguments: list[str], status: int, code: str) -> None:
    found, out, said = run("consent", *arguments)
    assert (found, out) == (status, "")
    assert code in said


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"--subject": "91320100MA1MK00058"}, "CONSENT_TERMS"),
        ({"--region": "atlantis"}, "CONSENT_TERMS"),
        ({"--predicate": "no_such_question"}, "CONSENT_TERMS"),
        ({"--purpose": "curiosity"}, "CONSENT_TERMS"),
        ({"--uses": "0"}, "CONSENT_TERMS"),
        ({"--days": "367"}, "CONSENT_TERMS"),
        ({"--provider": "Tax Office"}, "CONSENT_TERMS"),
        ({"--item": "person_property_registration"}, "CONSENT_PERSON"),
        ({"--account": "ann"}, "USAGE"),
        ({"--key": "/nowhere"}, "KEY_MISSING"),
        ({"--authority": "/nowhere"}, "KEY_MISSING"),
    ],
)
def test_terms_that_cannot_be_are_refused(
    run: Run, tmp_path: Path, bank: Authority, changes: dict[str, str], code: str
) -> None:
    run("consent", "key", "new", tmp_path / "own.key")
    more = [part for option in changes.items() for part in option]
    status, out, said = run(*own(tmp_path, "--yes", *more))
    assert (status in (2, 77, 78), out) == (True, "")
    assert code in said


def test_no_command_takes_a_password_as_an_argument() -> None:
    group = typer.main.get_group(app).commands["consent"]
    seen = []

    def look(command: object) -> None:
        for parameter in getattr(command, "params", []):
            seen.extend(parameter.opts)
        for inner in getattr(command, "commands", {}).values():
            look(inner)

    look(group)
    assert {option for option in seen if "pass" in option or "secret" in option} == {"--password-file"}


def test_a_password_comes_from_a_file_the_environment_or_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("from the file \n")
    (tmp_path / "password").chmod(0o600)
    monkeypatch.setenv(PASSWORD_VARIABLE, "from the environment")
    assert Login("ann", tmp_path / "password").secret() == "from the file "
    assert Login("ann", None).secret() == "from the environment"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    asked: list[object] = []
    monkeypatch.setattr(typer, "prompt", lambda text, **how: asked.append(how) or "typed")
    assert Login("ann", None).secret() == "typed"
    assert asked == [{"hide_input": True, "err": True}]
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(Exception, match="KEY_EXPOSED"):
        Login("ann", tmp_path / "password").secret()
