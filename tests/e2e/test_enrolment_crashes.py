"""Killed at every point of joining, of renewing and of deciding whom to believe: what is run again goes on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from e2e.conftest import ROOT, command, run_cli
from e2e.test_enrolment import PLATFORM, Town

from fedcredit import failpoints
from fedcredit.errors import FedcreditError

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def killed_at(point: str, *arguments: str | Path) -> bool:
    """Run `fedcredit ARGUMENTS` to its death at `point`; whether it died there."""
    environment = os.environ | {failpoints.ALLOW: "1", failpoints.PLAN: f"{point}=kill"}
    done = subprocess.run(command(*arguments), capture_output=True, timeout=600, check=False, cwd=ROOT, env=environment)
    return done.returncode == -9


async def test_whoever_is_killed_while_a_party_joins_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(tmp_path)
    platform, tax = tmp_path / "platform", tmp_path / "tax"
    token = tmp_path / "token"
    try:
        wanted = ("--party", "tax", "--kind", "provider", "--out", token)
        assert killed_at("enrol.order.left", "platform", "token", platform, *wanted)
        # The platform dies after each of its own steps; the party asks again each time.
        for point in ("enrol.order.done", "enrol.token.used", "enrol.member.kept", "enrol.directory.signed"):
            monkeypatch.setenv(failpoints.ALLOW, "1")
            monkeypatch.setenv(failpoints.PLAN, f"{point}=kill")
            child = await town.children.start(PLATFORM, platform, tmp_path / "platform.log")
            monkeypatch.delenv(failpoints.PLAN)
            try:
                await town.children.ready(child)
            except FedcreditError:
                assert await child.process.wait() == -9
                continue  # it died as soon as it had something to do
            asked = run_cli("party", "enrol", tax, "--token", token)
            assert asked.returncode == 69, asked.stderr
            assert await child.process.wait() == -9
        await town.up("platform")
        # So does the party, with the token used up by now.
        for point in ("enrol.request.kept", "trust.pin.written", "trust.platform.kept", "trust.directory.kept"):
            assert killed_at(point, "party", "enrol", tax, "--token", token), point
        assert killed_at("enrol.reply.kept", "party", "enrol", tax, "--token", token)
        joined = run_cli("party", "enrol", tax, "--token", token)
        assert joined.returncode == 0, joined.stderr
        members = run_cli("platform", "members", platform).stdout
        assert members.count("tax  provider  active") == 1

        # Between a new key and its certificate: the node makes both anew.
        assert killed_at("rotation.key.written", "party", "renew", tax)
        assert "KEY_INVALID" in run_cli("party", "check", tax).stderr
        await town.up("tax")
        assert run_cli("party", "check", tax).returncode == 0
        # The new certificate is there; the node that runs takes it up.
        assert killed_at("rotation.certificate.renamed", "party", "renew", tax)
        await town.seen("tax", "certificate.renewed")
        assert killed_at("trust.withdrawal.kept", "party", "revoke", tax)
        await town.seen("platform", "certificate.withdrawn")
        assert killed_at("trust.distrust.written", "party", "distrust", tax, "bank")
        assert killed_at(
            "init.authority.written", "party", "init", tmp_path / "new", "--id", "new", "--kind", "provider"
        )
        again = run_cli("party", "init", tmp_path / "new", "--id", "new", "--kind", "provider")
        assert "EXISTS" in again.stderr
    finally:
        await town.children.stop()
