"""Peers sign each other's audit heads, over real processes: through a crash, and against a log that is brought back."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.conftest import run_cli, write_job, write_tables
from e2e.town import Town, town

from fedcredit.governance.witness import WitnessedHeads
from fedcredit.ids import PartyId
from fedcredit.node.audit_places import read_witnessed

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BANK, TAX = PartyId("bank"), PartyId("tax")


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait for what another process writes."""
    for _ in range(600):
        if true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never came to be: {what}")


def signed(at: Town, owner: PartyId) -> WitnessedHeads:
    return read_witnessed(at.folder(owner) / "audit")


def certificate(at: Town, party: PartyId) -> Path:
    return at.folder(party) / "keys" / "signing.crt"


async def test_a_log_that_is_brought_back_is_found_by_who_has_signed_it(tmp_path: Path) -> None:
    write_tables(tmp_path, {"bank": (0, 400), "tax": (100, 500)})
    async with town(write_job(tmp_path, ["bank", "tax"]), tmp_path / "out") as at:
        policy = at.folder(TAX) / "policy.toml"
        policy.write_text('[policy]\nshow_heads_to = ["*"]\n' + policy.read_text())
        await at.end(TAX, signal.SIGTERM)
        older = tmp_path / "older"
        shutil.copytree(at.folder(TAX), older, ignore=shutil.ignore_patterns("*.sock"))
        await at.start(TAX)

        # The bank dies when it has kept tax's head and not yet signed it; tax asks until it is answered.
        await at.crash(BANK, "store.witness.committed=kill@1")
        job = await at.submit()
        await at.died(BANK)
        await at.start(BANK)
        assert (await at.outcome(job))[-1].stage == "succeeded"
        await until(lambda: signed(at, TAX).of(BANK) is not None, "the bank's signature")
        await until(lambda: signed(at, BANK).of(TAX) is not None, "tax's signature")

        ran = run_cli("audit", "verify", at.folder(TAX), "--witness", f"bank={certificate(at, BANK)}", "--json")
        assert ran.returncode == 0, ran.stderr
        (seen,) = json.loads(ran.stdout.splitlines()[0])["witnesses"]
        assert seen["witness"] == "bank"
        assert seen["entries"] > 2

        # Tax brings back log and store from before the job, and starts: its own node finds nothing wrong with them.
        await at.end(TAX, signal.SIGTERM)
        for name in ("audit", "store.sqlite"):
            found = at.folder(TAX) / name
            shutil.rmtree(found) if found.is_dir() else found.unlink()
            shutil.copytree(older / name, found) if (older / name).is_dir() else shutil.copyfile(older / name, found)
        for left in at.folder(TAX).glob("store.sqlite-*"):
            left.unlink()
        await at.start(TAX)

        def forks() -> list[dict[str, object]]:
            shown = run_cli("audit", "show", at.folder(BANK), "--event", "head_forked", "--last", "0", "--json")
            return [json.loads(line)["facts"] for line in shown.stdout.splitlines()]

        await until(lambda: '"witness.fork"' in (tmp_path / "out" / "logs" / "bank.log").read_text(), "an alarm")
        await until(lambda: bool(forks()), "evidence in the bank's log")
        (fork,) = forks()
        assert (fork["log"], fork["how"]) == ("tax", "shorter")
        assert int(str(fork["shown_size"])) < int(str(fork["kept_size"]))
        # Evidence comes first, the answer that says so to tax after it.
        await until(lambda: '"AUDIT_FORK"' in (tmp_path / "out" / "logs" / "tax.log").read_text(), "tax is told")
