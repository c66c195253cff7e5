"""The local login: what it takes, what it costs to guess, and that nothing of a password is kept."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedcredit.errors import ConfigError, RefusedError, UsageError
from fedcredit.governance.consent.claims import ConsentBy
from fedcredit.node.consent import accounts, identity
from fedcredit.node.consent.accounts import LOCK_S, MAX_FAILURES, LocalAccounts
from fedcredit.node.consent.identity import Identity, authenticator_of
from fedcredit.runtime.clock import ManualClock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.consent_file import ConsentSection

ENTERPRISE, PROPRIETOR, PERSON = "91320100MA1MK00057", "92320104MA1P000063", "11010519491231002X"
GOOD, BAD = "correct horse battery", "correct horse batterz"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost a thousandth; that a real one is made is seen in the end-to-end test."""
    monkeypatch.setattr(accounts, "_N", 1 << 5)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 12, 1, tzinfo=UTC))


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> LocalAccounts:
    made = LocalAccounts(tmp_path / "accounts.json", clock)
    made.add("ann", "enterprise", [ENTERPRISE], GOOD)
    made.add("li", "person", [PERSON, PROPRIETOR], GOOD)
    return made


def refused(local: LocalAccounts, name: str, password: str) -> str:
    with pytest.raises(RefusedError) as error:
        local.login(name, password)
    return str(error.value)


def test_an_account_logs_in_and_everything_else_gets_one_answer(local: LocalAccounts, tmp_path: Path) -> None:
    assert local.login("ann", GOOD) == ("enterprise", (ENTERPRISE,))
    assert local.login("li", GOOD) == ("person", (PERSON, PROPRIETOR))
    said = {refused(local, name, password) for name, password in (("ann", BAD), ("ann", ""), ("nobody", GOOD))}
    assert len(said) == 1
    assert said.pop().startswith("LOGIN_REFUSED")


def test_the_file_holds_salted_hashes_for_its_owner_alone(local: LocalAccounts, tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert GOOD not in path.read_text()
    kept = json.loads(path.read_text())["accounts"]
    assert kept["ann"]["hash"] != kept["li"]["hash"]
    local.add("ann", "enterprise", [ENTERPRISE], BAD + "!")
    assert local.login("ann", BAD + "!")
    refused(local, "ann", GOOD)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="KEY_EXPOSED"):
        local.login("ann", GOOD)


def test_failures_lock_the_account_for_a_while_whoever_forgets_them(
    local: LocalAccounts, tmp_path: Path, clock: ManualClock
) -> None:
    for _ in range(MAX_FAILURES - 1):
        refused(local, "ann", BAD)
    assert local.login("ann", GOOD)
    for _ in range(MAX_FAILURES):
        refused(local, "ann", BAD)
    # Another process, as after a crash, knows of them; another account is not concerned.
    again = LocalAccounts(tmp_path / "accounts.json", clock)
    refused(again, "ann", GOOD)
    assert again.login("li", GOOD)
    clock.advance(LOCK_S - 1)
    refused(again, "ann", GOOD)
    clock.advance(1)
    assert again.login("ann", GOOD)


def test_a_try_is_counted_before_it_is_looked_at(
    local: LocalAccounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def killed(*_arguments: object) -> bytes:
        raise RuntimeError("killed")

    monkeypatch.setattr(local, "_hash", killed)
    for _ in range(MAX_FAILURES):
        with pytest.raises(RuntimeError):
            local.login("ann", GOOD)
    monkeypatch.undo()
    refused(local, "ann", GOOD)


def test_an_unknown_account_leaves_no_trace_and_costs_the_same(
    local: LocalAccounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(local, "_hash", lambda password, salt: hashed.append(password) or bytes(32))
    for name in ("nobody", "somebody", "x" * 60):
        refused(local, name, BAD)
    assert len(hashed) == 3
    assert not (tmp_path / "accounts.failures.json").exists()


@pytest.mark.parametrize(
    ("name", "kind", "subjects", "password"),
    [
        ("Ann", "enterprise", [ENTERPRISE], GOOD),
        ("../ann", "enterprise", [ENTERPRISE], GOOD),
        ("ann", "robot", [ENTERPRISE], GOOD),
        ("ann", "enterprise", [], GOOD),
        ("ann", "enterprise", [PROPRIETOR], GOOD),
        ("ann", "enterprise", [PERSON], GOOD),
        ("ann", "enterprise", [ENTERPRISE[:-1] + "9"], GOOD),
        ("ann", "person", [ENTERPRISE], GOOD),
        ("ann", "person", [PERSON[:-1] + "1"], GOOD),
        ("ann", "person", [PROPRIETOR[:-1] + "4"], GOOD),
        ("ann", "enterprise", [ENTERPRISE], "too short"),
    ],
)
def test_accounts_that_make_no_sense_are_refused(
    local: LocalAccounts, name: str, kind: str, subjects: list[str], password: str
) -> None:
    with pytest.raises(UsageError, match="ACCOUNT"):
        local.add(name, kind, subjects, password)


@pytest.mark.parametrize("name", ["accounts.json", "accounts.failures.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"accounts":{}}', b'{"ann":1}', b"\xff"])
def test_files_that_are_damaged_let_nobody_in(local: LocalAccounts, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / name).chmod(0o600)
    if name == "accounts.failures.json" and content == b'{"accounts":{}}':
        content = b'{"accounts":[]}'
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ConfigError, RefusedError)):
        local.login("ann", GOOD if content != b"[]" or name == "accounts.json" else BAD)


def config(folder: Path, authenticator: str) -> PartyFile:
    section = ConsentSection(authenticator=authenticator)
    return cast(
        PartyFile,
        SimpleNamespace(folder=folder, consent=section, path=lambda relative: folder / relative),
    )


def test_another_login_is_plugged_in_by_its_name(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, local: LocalAccounts
) -> None:
    who = Identity("ann", ConsentBy.ENTERPRISE, frozenset({ENTERPRISE}))

    class City:
        def login(self, account: str, secret: str) -> Identity:
            return who

    def make(folder: Path, given: Any) -> City:
        assert (folder, given) == (tmp_path, clock)
        return City()

    def fails(folder: Path, given: Any) -> City:
        raise KeyError("no such setting")

    entries = [
        SimpleNamespace(name="city", load=lambda: make),
        SimpleNamespace(name="broken", load=lambda: fails),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == identity.GROUP else [])
    assert authenticator_of(config(tmp_path, "city"), clock).login("ann", "ticket") is who
    assert authenticator_of(config(tmp_path, "local"), clock).login("ann", GOOD) == who
    for name in ("broken", "unknown"):
        with pytest.raises(ConfigError, match="AUTHENTICATOR"):
            authenticator_of(config(tmp_path, name), clock)
