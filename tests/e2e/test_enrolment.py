"""An installation from nothing: folders, tokens, parties that join, nodes that run, members that come and go."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from e2e.conftest import run_cli, write_job, write_tables
from free_ports import free_port

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.ids import PartyId
from fedcredit.node.operator import Operator, error_of_end
from fedcredit.node.processes import Child, Children
from fedcredit.node.trust.confirm import pins_of, renew
from fedcredit.node.trust.folder import fingerprint
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.trust.joining import enrol
from fedcredit.node.trust.keys import following_keyring, open_keyring, trust_folder
from fedcredit.node.trust.members import make_token
from fedcredit.node.trust.token import TokenFile
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import load_job, load_party
from fedcredit.runtime.policy_template import open_policy
from fedcredit.wire.control import JobEvent

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PLATFORM, BANK, TAX = PartyId("platform"), PartyId("bank"), PartyId("tax")
KINDS = {"platform": "platform", "bank": "institution", "tax": "provider"}


def new_party(name: str, table: Path) -> NewParty:
    """What `party init` is asked for; the command itself is run in `test_newcomers`."""
    data = None if name == "platform" else table
    label = "default" if name == "bank" else None
    return NewParty(PartyId(name), KINDS[name], "127.0.0.1", free_port(1), (), data, "id", label, PLATFORM, None, False)


class Town:
    """Folders of a platform, a bank and a tax office, and their processes."""

    def __init__(self, folder: Path, lifetime_h: float = 24) -> None:
        self.folder, self.children = folder, Children()
        write_tables(folder, {"bank": (0, 400), "tax": (100, 500)})
        for name in KINDS:
            found(folder / name, new_party(name, folder / f"{name}.csv"))
            path = folder / name / "party.toml"
            text = path.read_text().replace('id = "id"', 'id = "id"\nid_type = "digits"')
            text = text.replace("lifetime_h = 24 ", f"lifetime_h = {lifetime_h} ")
            path.write_text(text.replace('operators = ["operator"]', 'operators = ["bank"]'))
            if name != "platform":
                (folder / name / "policy.toml").write_text(open_policy())

    def token(self, party: str, name: str = "token", valid: str = "1h") -> Path:
        """A token for `party`."""
        out = self.folder / f"{party}.{name}"
        make_token(self.folder / "platform", party, KINDS[party], out, valid)
        return out

    async def up(self, name: str) -> Child:
        """Start the node of `name`."""
        child = await self.children.start(PartyId(name), self.folder / name, self.folder / f"{name}.log")
        await self.children.ready(child)
        return child

    async def enrol(self, name: str, token: Path) -> None:
        """Let `name` join."""
        clock = SystemClock()
        await enrol(load_party(self.folder / name), TokenFile.read(token, clock.now()), clock)

    async def seen(self, name: str, text: str) -> None:
        """Wait until the log of `name` says `text`."""
        async with asyncio.timeout(240):
            while text not in (self.folder / f"{name}.log").read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def knows(self, name: str, party: str) -> None:
        """Wait until `name` believes `party`."""
        pins = trust_folder(load_party(self.folder / name))
        assert pins is not None
        async with asyncio.timeout(240):
            while PartyId(party) not in pins.pins():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def says(self, name: str, pattern: str) -> None:
        """Wait until `party trust` of `name` lists a line like `pattern`."""
        async with asyncio.timeout(240):
            while not re.search(pattern, "\n".join(pins_of(self.folder / name)), re.M):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def bank(self) -> Operator:
        """The bank's people, at the platform."""
        config = load_party(self.folder / "bank")
        address = json.loads((self.folder / "platform" / "ready.json").read_text())["address"]
        return Operator(BANK, following_keyring(config, SystemClock()), PLATFORM, address)


@asynccontextmanager
async def installed(folder: Path, lifetime_h: float = 24) -> AsyncIterator[Town]:
    town = Town(folder, lifetime_h)
    try:
        await town.up("platform")
        for name in ("bank", "tax"):
            await town.enrol(name, town.token(name))
            await town.up(name)
        await town.knows("bank", "tax")
        yield town
    finally:
        await town.children.stop()


def modes(folder: Path) -> set[int]:
    """The modes of all keys below `folder`."""
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*/keys/*.key")}


async def run_job(town: Town, extra: str = "", events: list[JobEvent] | None = None) -> FedcreditError | None:
    """A job of the bank's, to its end; what ended it, and in `events` what happened."""
    job = load_job(write_job(town.folder, ["bank", "tax"], extra))
    operator = town.bank()
    try:
        name = await operator.submit(job.shared())
        async for event in operator.watch(name, patience_s=120):
            end = event
            if events is not None:
                events.append(event)
        return error_of_end(end)
    finally:
        await operator.close()


async def test_from_nothing_to_a_job_and_to_a_member_that_is_thrown_out(tmp_path: Path) -> None:
    async with installed(tmp_path) as town:
        assert modes(tmp_path) == {0o600}
        checked = run_cli("party", "check", tmp_path / "tax")
        assert checked.returncode == 0, checked.stderr
        assert await run_job(town) is None

        listed = run_cli("platform", "members", tmp_path / "platform")
        assert re.findall(r"^(\w+)  (\w+)  active", listed.stdout, re.M) == [
            ("bank", "institution"),
            ("tax", "provider"),
        ]

        # Its own leaf is withdrawn, and nobody notices but those who would use the old one.
        old = open_keyring(load_party(tmp_path / "bank"), SystemClock())
        assert run_cli("party", "revoke", tmp_path / "bank").returncode == 0
        await town.seen("platform", "certificate.withdrawn")
        address = json.loads((tmp_path / "platform" / "ready.json").read_text())["address"]
        thief = Operator(BANK, old, PLATFORM, address)
        async with asyncio.timeout(240):
            # The platform says that it is withdrawn, and a moment later it counts.
            while "TLS_REVOKED" not in (tmp_path / "platform.log").read_text():
                with pytest.raises(FedcreditError):
                    await thief.submit({"job": {}})
                await asyncio.sleep(0.1)
        await thief.close()
        assert await run_job(town) is None

        # The platform throws the tax office out: the bank refuses it within seconds.
        thrown = run_cli("platform", "revoke", tmp_path / "platform", "tax", "--reason", "left the scheme")
        assert thrown.returncode == 0, thrown.stderr
        await town.seen("platform", "member.revoked")
        await town.says("bank", r"^tax .* refused: PEER_REVOKED$")
        error = await run_job(town)
        assert isinstance(error, PeerError)
        assert (error.code, error.culprit) == ("PEER_REVOKED", "tax")


async def test_tokens_are_good_once_and_for_one_party(tmp_path: Path) -> None:
    town = Town(tmp_path)
    try:
        tokens = {name: town.token("tax", name) for name in ("first", "second")}
        await town.up("platform")
        await town.enrol("tax", tokens["first"])
        members = run_cli("platform", "members", tmp_path / "platform").stdout
        again = run_cli("party", "enrol", tmp_path / "tax", "--token", tokens["first"])
        assert again.returncode == 77
        assert "TOKEN_REFUSED" in again.stderr
        stranger = run_cli("party", "enrol", tmp_path / "bank", "--token", tokens["second"])
        assert stranger.returncode == 78
        assert "TOKEN_INVALID" in stranger.stderr

        # A party that answers as the platform, with a certificate of its own making, is found out.
        await town.up("tax")
        address = json.loads((tmp_path / "tax" / "ready.json").read_text())["address"]
        false = run_cli("party", "enrol", tmp_path / "tax", "--token", tokens["second"], "--platform", address)
        assert false.returncode == 69, false.stderr
        assert run_cli("platform", "members", tmp_path / "platform").stdout == members

        # An open file of a token is no secret any more.
        tokens["second"].chmod(0o644)
        exposed = run_cli("party", "enrol", tmp_path / "tax", "--token", tokens["second"])
        assert "KEY_EXPOSED" in exposed.stderr
    finally:
        await town.children.stop()


async def test_a_changed_authority_is_believed_only_by_word_of_mouth(tmp_path: Path) -> None:
    async with installed(tmp_path) as town:
        before = "\n".join(pins_of(tmp_path / "bank"))
        await town.children.stop()
        # The tax office lost its keys: a new folder, a new token.
        (tmp_path / "tax").rename(tmp_path / "lost")
        new = fingerprint(found(tmp_path / "tax", new_party("tax", tmp_path / "tax.csv")))
        path = tmp_path / "tax" / "party.toml"
        path.write_text(path.read_text().replace('id = "id"', 'id = "id"\nid_type = "digits"'))
        (tmp_path / "tax" / "policy.toml").write_text(open_policy())
        town.children = Children()
        await town.up("platform")
        await town.up("bank")
        await town.enrol("tax", town.token("tax", "new"))
        await town.up("tax")
        await town.seen("bank", "TRUST_CHANGED")
        listed = run_cli("party", "trust", tmp_path / "bank").stdout
        assert before.strip() in listed
        assert f"tax  {new}  changed: not believed" in listed

        wrong = run_cli("party", "trust", tmp_path / "bank", "tax", "--fingerprint", "00" * 32)
        assert wrong.returncode == 78
        assert "FINGERPRINT" in wrong.stderr
        right = run_cli("party", "trust", tmp_path / "bank", "tax", "--fingerprint", new)
        assert right.returncode == 0, right.stderr
        await town.knows("bank", "tax")
        await town.says("bank", f"^tax  {new}  believed$")


async def test_a_job_runs_through_rotations_of_all_keys_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates of 20 seconds, renewed after about 10, at all three nodes while they train for half a minute."""
    monkeypatch.setenv(failpoints.ALLOW, "1")
    monkeypatch.setenv(failpoints.PLAN, "job.stage.begun=sleep(0.2)")  # no tree takes less, however fast the machine
    async with installed(tmp_path, lifetime_h=20 / 3600) as town:
        for name in KINDS:
            renew(tmp_path / name)  # the first one is of a day
        model = (
            '[split]\nholdout = 0.2\n[[model]]\nkind = "gbdt"\nnum_trees = 160\nmax_bin = 8\nmin_data_in_leaf = 10\n'
        )
        before = {name: renewals(tmp_path, name) for name in KINDS}
        events: list[JobEvent] = []
        assert await run_job(town, model, events) is None
        during = {name: renewals(tmp_path, name) - before[name] for name in KINDS}
        assert min(during.values()) >= 2, during
        states = [(event.party, event.stage) for event in events if event.kind == "state"]
        for party in ("bank", "tax"):
            assert [stage for name, stage in states if name == party and stage in ("running", "waiting")] == ["running"]
        assert not [event.code for event in events if event.code]


def renewals(folder: Path, name: str) -> int:
    """How often the node of `name` has shown a new certificate."""
    return (folder / f"{name}.log").read_text().count("certificate.renewed")


async def recorded(folder: Path, name: str, *, what: str, peer: str = "", now: str | None = None) -> dict[str, str]:
    """The facts of the last such change of trust in the audit log of `name`, once it is there."""
    async with asyncio.timeout(240):
        while True:
            path = folder / name / "audit" / "entries.jsonl"
            entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
            changes = [entry["facts"] for entry in entries if entry["event"] == "trust_changed"]
            about = [facts for facts in changes if (facts["what"], facts.get("peer", "")) == (what, peer)]
            if about and now in (None, about[-1]["now"]):
                return dict(about[-1])
            await asyncio.sleep(0.1)


async def test_every_change_of_trust_is_in_the_audit_log(tmp_path: Path) -> None:
    async with installed(tmp_path) as town:
        pinned = await recorded(tmp_path, "bank", what="pin", peer="tax")
        assert re.fullmatch("[0-9a-f]{64}", pinned["now"])
        assert pinned["before"] == ""
        await recorded(tmp_path, "tax", what="platform", now="platform")
        await recorded(tmp_path, "platform", what="member", peer="tax", now="active")

        first = await recorded(tmp_path, "tax", what="certificate")
        renew(tmp_path / "tax")
        async with asyncio.timeout(240):
            while (second := await recorded(tmp_path, "tax", what="certificate"))["before"] != first["now"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert second["now"] != first["now"]

        assert run_cli("party", "distrust", tmp_path / "bank", "tax").returncode == 0
        await recorded(tmp_path, "bank", what="distrusted", peer="tax", now="yes")
        said = next(line for line in pins_of(tmp_path / "bank") if line.startswith("tax"))
        fingerprint_of_tax = said.removeprefix("tax").partition("refused")[0].strip()
        again = run_cli("party", "trust", tmp_path / "bank", "tax", "--fingerprint", fingerprint_of_tax)
        assert again.returncode == 0, again.stderr
        await recorded(tmp_path, "bank", what="distrusted", peer="tax", now="")

        assert run_cli("party", "revoke", tmp_path / "tax").returncode == 0
        await recorded(tmp_path, "tax", what="withdrawn")
        await recorded(tmp_path, "platform", what="member_withdrawn", peer="tax")

        # What is changed while a node is down is recorded by its next start; a platform's log is checked as any.
        await town.children.stop()
        assert run_cli("party", "distrust", tmp_path / "bank", "tax").returncode == 0
        revoked = run_cli("platform", "revoke", tmp_path / "platform", "tax", "--reason", "left the scheme")
        assert revoked.returncode == 0, revoked.stderr
        town.children = Children()
        await town.up("platform")
        await town.up("bank")
        await recorded(tmp_path, "bank", what="distrusted", peer="tax", now="yes")
        await recorded(tmp_path, "platform", what="member", peer="tax", now="revoked")
        await recorded(tmp_path, "bank", what="member", peer="tax", now="revoked")
        await town.children.stop()
        for name in ("bank", "platform"):
            checked = run_cli("node", "fsck", tmp_path / name)
            assert checked.returncode == 0, checked.stderr
            assert " 0 audit entries" not in checked.stdout
        town.children = Children()
