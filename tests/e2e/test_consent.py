"""Consents over real processes: given behind a login, believed at a department, taken back and refused in seconds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from e2e.conftest import run_cli
from e2e.test_enrolment import PLATFORM, TAX, Town
from raw_store import run

from fedcredit import failpoints
from fedcredit.errors import FedcreditError
from fedcredit.governance.audit import Entry, Event
from fedcredit.governance.consent.decision import Allowed, Refused, Use, decide
from fedcredit.governance.consent.refusal import Why
from fedcredit.governance.consent.token import Envelope, revocation_id
from fedcredit.ids import PartyId
from fedcredit.node.consent.held import HeldConsents
from fedcredit.node.rpc import ControlClient
from fedcredit.node.signing import load_signing
from fedcredit.node.trust.keys import following_keyring, load_trust
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import load_party
from fedcredit.transport.connections import Connection
from fedcredit.transport.limits import Limits
from fedcredit.wire.consent import (
    ChangeConsentKeys,
    ConsentBulletin,
    ConsentDocument,
    GrantConsent,
    RevokeConsent,
    ShowConsents,
)
from fedcredit.wire.message import Message

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ENTERPRISE, PROPRIETOR, PERSON = "91320100MA1MK00057", "92320104MA1P000063", "11010519491231002X"
PASSWORD = "correct horse battery"
PATIENCE_S = 240.0


class ConsentTown(Town):
    """A platform, a bank and a tax office, and an enterprise's representative with an account."""

    async def cli(self, *arguments: str | Path, code: int = 0) -> CompletedProcess[str]:
        """A command, which has to end with that exit status."""
        done = await asyncio.to_thread(run_cli, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    async def consent(self, command: str, *arguments: str | Path, code: int = 0) -> CompletedProcess[str]:
        """A command of the representative at the platform."""
        login = ("--account", "ann", "--password-file", self.folder / "password")
        return await self.cli("consent", command, *arguments, "--node", self.folder / "platform", *login, code=code)

    async def issue(self, *arguments: str | Path, code: int = 0) -> str:
        """A token for the bank to ask the tax office."""
        done = await self.consent("issue", *self.asked(ENTERPRISE), *arguments, code=code)
        assert ENTERPRISE in done.stderr, "the text was shown"
        return done.stdout.strip()

    def asked(self, subject: str) -> tuple[str, ...]:
        """What the bank would like to know."""
        about = ("--subject", subject, "--requester", "bank", "--provider", "tax", "--region", "nanjing")
        return (*about, "--predicate", "hf_continuous_k", "--uses", "5", "--yes")

    def held(self) -> HeldConsents:
        """What the tax office has on its disk."""
        config, clock = load_party(self.folder / "tax"), SystemClock()
        trust = load_trust(config)
        held = HeldConsents(config.folder, PLATFORM, load_signing(config, clock, lambda: trust))
        held.load()
        return held

    def decided(self, token: str, **changed: Any) -> Why | None:
        """What the tax office decides by what is on its disk."""
        use = Use(
            requester="bank",
            authority=Envelope.read(token).claims().authority,
            subject=ENTERPRISE,
            predicate="hf_continuous_k",
            items=frozenset({"housing_fund_contribution"}),
            purpose="financing",
            now=int(time.time()),
        )
        decision = decide(token, replace(use, **changed), self.held().premises("tax", "nanjing"))
        assert isinstance(decision, Allowed | Refused)
        return decision.why if isinstance(decision, Refused) else None

    async def until(self, token: str, why: Why | None) -> float:
        """Wait until the tax office decides so; how long that took."""
        begin = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while self.decided(token) is not why:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return time.monotonic() - begin

    async def dying(self, name: str, plan: str) -> Any:
        """Start a node that will die by `plan`, perhaps before it is ready."""
        os.environ |= {failpoints.ALLOW: "1", failpoints.PLAN: plan}
        try:
            return await self.children.start(PartyId(name), self.folder / name, self.folder / f"{name}.log")
        finally:
            os.environ.pop(failpoints.PLAN, None)
            os.environ.pop(failpoints.ALLOW, None)

    def entries(self) -> list[Entry]:
        """The platform's audit log."""
        lines = (self.folder / "platform" / "audit" / "entries.jsonl").read_bytes().splitlines()
        return [Entry.decode(line) for line in lines]


@asynccontextmanager
async def consent_town(folder: Path) -> AsyncIterator[ConsentTown]:
    """All three have joined, the platform and the tax office run."""
    town = ConsentTown(folder)
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "password").chmod(0o600)
    try:
        await town.up("platform")
        for name in ("bank", "tax"):
            await town.enrol(name, town.token(name))
        await town.up("tax")
        account = ("add", "ann", "--kind", "enterprise", "--subject", ENTERPRISE, "--node", folder / "platform")
        await town.cli("consent", "account", *account, "--password-file", folder / "password")
        yield town
    finally:
        await town.children.stop()


async def end(child: Any, number: signal.Signals) -> None:
    if child.status is None:
        os.kill(child.process.pid, number)
    await asyncio.wait_for(child.process.wait(), PATIENCE_S)


async def test_from_grant_to_revocation(tmp_path: Path) -> None:
    async with consent_town(tmp_path) as town:
        token = await town.issue("--request", "first", "--receipt", tmp_path / "receipt.json")
        await town.until(token, None)
        assert json.loads((tmp_path / "receipt.json").read_text())["receipt"]["pii_principal_id"] == ENTERPRISE
        (tmp_path / "token").write_text(token + "\n")
        verified = await town.cli("consent", "verify", tmp_path / "token", "--node", tmp_path / "tax")
        assert "holds" in verified.stdout
        shown = (await town.cli("consent", "show", token)).stdout
        assert ENTERPRISE in shown
        assert "Housing fund paid normally" in shown
        # The same again is the same; what is bound to another certificate, purpose or provider is refused.
        assert await town.issue("--request", "first") == token
        assert town.decided(token, authority=bytes(32)) is Why.BINDING
        assert town.decided(token, purpose="research") is Why.PURPOSE
        assert town.decided(token, uses=5) is Why.USED_UP
        assert town.decided(token, now=int(time.time()) + 400) is Why.STALE

        name = Envelope.read(token).claims().jti
        assert name in (await town.consent("list")).stdout
        begin = time.monotonic()
        await town.consent("revoke", name)
        took = await town.until(token, Why.REVOKED)
        assert took < 5, f"{took:.1f} s after the command, {time.monotonic() - begin:.1f} s in all"
        refused = await town.cli("consent", "verify", tmp_path / "token", "--node", tmp_path / "tax", code=77)
        assert "CONSENT_REVOKED" in refused.stderr

        # What was revoked stays so when the department's node dies at once, and its platform is gone.
        await town.children.stop()
        assert town.decided(token) is Why.REVOKED
        await town.up("tax")
        assert town.decided(token) in (Why.REVOKED, Why.STALE)
        events = [entry.event for entry in town.entries()]
        assert events.count(Event.CONSENT_GRANTED) == 1
        assert events.count(Event.CONSENT_REVOKED) == 1
        log = (tmp_path / "platform" / "audit" / "entries.jsonl").read_text() + (tmp_path / "platform.log").read_text()
        for kept_out in (ENTERPRISE, token, name, PASSWORD):
            assert kept_out not in log
        assert revocation_id(name) in log
        await town.cli("audit", "verify", tmp_path / "platform")


@pytest.mark.parametrize("plan", ["store.consent.committed=kill", "consent.grant.recorded=kill"])
async def test_a_grant_that_was_kept_and_not_acknowledged_is_given_again(tmp_path: Path, plan: str) -> None:
    async with consent_town(tmp_path) as town:
        await end(town.children[PLATFORM], signal.SIGTERM)
        dying = await town.dying("platform", plan)
        await town.children.ready(dying)
        lost = await town.consent("issue", *town.asked(ENTERPRISE), "--request", "only", code=78)
        assert "NODE_DOWN" in lost.stderr
        assert await asyncio.wait_for(dying.process.wait(), PATIENCE_S) == -signal.SIGKILL
        store = f"sqlite:///{tmp_path / 'platform' / 'store.sqlite'}"
        kept = run(store, "SELECT token FROM consents")
        assert len(kept) == 1
        await town.up("platform")
        assert await town.issue("--request", "only") == kept[0][0]
        assert run(store, "SELECT token FROM consents") == kept
        assert [entry.event for entry in town.entries()].count(Event.CONSENT_GRANTED) == 1
        await town.until(kept[0][0], None)


async def test_a_revocation_outlives_whoever_dies_on_the_way(tmp_path: Path) -> None:
    async with consent_town(tmp_path) as town:
        token = await town.issue()
        await town.until(token, None)
        await end(town.children[PLATFORM], signal.SIGTERM)
        dying = await town.dying("platform", "store.revocation.committed=kill")
        await town.children.ready(dying)
        name = Envelope.read(token).claims().jti
        await town.consent("revoke", name, code=78)
        assert await asyncio.wait_for(dying.process.wait(), PATIENCE_S) == -signal.SIGKILL
        await town.up("platform")
        await town.until(token, Why.REVOKED)
        assert [entry.event for entry in town.entries()].count(Event.CONSENT_REVOKED) == 1

        # A department's node that dies between keeping a bulletin and acting on it finds it again.
        await end(town.children[TAX], signal.SIGKILL)
        assert town.decided(token) is Why.REVOKED
        other = await town.issue("--request", "other")
        await town.consent("revoke", Envelope.read(other).claims().jti)
        dying = await town.dying("tax", "consent.bulletin.kept=kill")
        assert await asyncio.wait_for(dying.process.wait(), PATIENCE_S) == -signal.SIGKILL
        assert town.decided(other) is Why.REVOKED
        await town.up("tax")
        assert town.decided(token) is Why.REVOKED


async def test_who_may_not_call_is_refused(tmp_path: Path) -> None:
    async with consent_town(tmp_path):
        grant = GrantConsent("ann", PASSWORD, "one", b"{}", bytes(32))
        bulletin = ConsentBulletin(b"{}", bytes(64), b"x", b"")
        calls: list[tuple[str, str, str, str, Message]] = [
            ("tax", "platform", "Consent", "Grant", grant),
            ("tax", "platform", "Consent", "Revoke", RevokeConsent("", "", "A" * 22, "", "")),
            ("tax", "platform", "Consent", "Consents", ShowConsents("", "", "")),
            ("tax", "platform", "Consent", "Keys", ChangeConsentKeys(True, "")),
            ("tax", "tax", "ConsentHolder", "Take", bulletin),
        ]
        for caller, called, service, method, message in calls:
            config = load_party(tmp_path / caller)
            address = json.loads((tmp_path / called / "ready.json").read_text())["address"]
            way = Connection(PartyId(called), address, following_keyring(config, SystemClock()), Limits())
            try:
                client = ControlClient(way, service, PartyId(called))
                with pytest.raises(FedcreditError) as refused:
                    await client.call(method, message, ConsentDocument, timeout_s=30)
                assert refused.value.code == "PERMISSION_DENIED", method
            finally:
                await way.close()
        assert not run(f"sqlite:///{tmp_path / 'platform' / 'store.sqlite'}", "SELECT jti FROM consents")


async def test_a_key_that_the_enterprise_holds_and_a_login_that_fails(tmp_path: Path) -> None:
    async with consent_town(tmp_path) as town:
        key = tmp_path / "enterprise.key"
        await town.cli("consent", "key", "new", key)
        authority = tmp_path / "bank" / "keys" / "authority.crt"
        own = ("consent", "issue", *town.asked(ENTERPRISE), "--key", key, "--authority", authority)
        token = (await town.cli(*own)).stdout.strip()
        await town.until(token, Why.ISSUER)
        register = ("--subject", ENTERPRISE, "--key", key, "--account", "ann", "--password-file", tmp_path / "password")
        platform = ("--node", tmp_path / "platform")
        await town.cli("consent", "key", "register", *register, *platform)
        await town.until(token, None)
        (tmp_path / "token").write_text(token)
        await town.consent("revoke", "--token", tmp_path / "token")
        await town.until(token, Why.REVOKED)

        # The authority's next key is known everywhere before it signs; one that is given up takes its tokens along.
        issued = await town.issue()
        await town.until(issued, None)
        assert (await town.cli("consent", "key", "rotate", *platform)).stdout.count("authority") == 2
        assert Envelope.read(await town.issue()).kid == Envelope.read(issued).kid
        await town.cli("consent", "key", "retire", Envelope.read(issued).kid, *platform)
        await town.until(issued, Why.ISSUER)
        anew = await town.issue()
        assert Envelope.read(anew).kid != Envelope.read(issued).kid
        await town.until(anew, None)

        (tmp_path / "password").write_text("something else\n")
        for _ in range(5):
            assert "LOGIN_REFUSED" in (await town.consent("list", code=77)).stderr
        (tmp_path / "password").write_text(PASSWORD + "\n")
        assert "LOGIN_REFUSED" in (await town.consent("list", code=77)).stderr
        assert "LOGIN_REFUSED" in (tmp_path / "platform.log").read_text()
