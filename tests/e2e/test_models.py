"""Models of a bank and two departments, one of which only dials out: published, approved, activated, taken back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from e2e.conftest import run_cli, write_job
from e2e.newcomers import BANK, PARTIES, PLATFORM, REGISTRY, TAX, Newcomers, newcomers
from free_ports import free_port

from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.estimators import CardPart
from fedcredit.node.registry.counter import ModelCounter
from fedcredit.runtime.config import load_job, load_party
from fedcredit.wire.registry import ModelOrder

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PATIENCE_S = 240.0

RIVAL = "rival"
SIZES = {"bank": (0, 1500), "tax": (100, 1600), "registry": (200, 1700)}
MODELS = """
[split]
holdout = 0.3
[[model]]
kind = "scorecard"
[[model]]
kind = "gbdt"
num_trees = 4
max_depth = 2
max_bin = 8
"""
RULE = """
[[model.rule]]
name = "sme-{number}"
action = "admit"
callers = {callers}
acts = {acts}
models = ["sme", "trees"]
kinds = ["*"]
purposes = ["research"]
"""
RIVAL_JOINS = """\
fedcredit party init rival --id rival --kind institution --listen 127.0.0.1:{port} \\
    --table bank.csv --id-column id --label default
fedcredit platform token platform --party rival --kind institution --out rival.token
fedcredit party enrol rival --token rival.token
"""


def write_telling_tables(folder: Path) -> None:
    """Tables whose columns say something of the label, so that every party has some of the card."""
    rng = np.random.default_rng(3)
    n = max(stop for _, stop in SIZES.values())
    columns = {party: rng.normal(size=(2, n)).round(3) for party in SIZES}
    risk = sum(values[0] + 0.5 * values[1] for values in columns.values()) - 1.0
    label = (rng.random(n) < 1 / (1 + np.exp(-risk))).astype(int)
    for party, (start, stop) in SIZES.items():
        names = ["id", "x", "y", *(["default"] if party == BANK else [])]
        rows = [
            [
                f"{row:012}",
                *(str(values[row]) for values in columns[party]),
                *([str(label[row])] if party == BANK else []),
            ]
            for row in range(start, stop)
        ]
        (folder / f"{party}.csv").write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n")


class Office:
    """The people of all parties, at their terminals."""

    def __init__(self, place: Newcomers) -> None:
        self.place = place

    def allow(self, name: str, callers: list[str], acts: list[str]) -> None:
        """Write a rule about models into a node's policy."""
        path = self.place.folder / name / "policy.toml"
        before = path.read_text() if path.exists() else ""
        said = {"number": before.count("[[model.rule]]"), "callers": json.dumps(callers), "acts": json.dumps(acts)}
        path.write_text(before + RULE.format(**said))

    async def says(self, name: str, *arguments: str | int) -> Any:
        """What the node of `name` answers to `fedcredit model ARGUMENTS`, asked as the command asks it."""
        command, *rest = arguments
        async with ModelCounter(load_party(self.place.folder / name)) as counter:
            if command in ("list", "show"):
                return await counter.shown(*rest)  # type: ignore[arg-type]
            if command == "publish":
                job, model, published = (str(argument) for argument in rest)
                return await counter.order(ModelOrder("publish", published, 0, job, model, "ann"))
            model, version = str(rest[0]), int(rest[1])
            return await counter.order(ModelOrder(str(command), model, version, "", "", "ann"))

    async def when_reached(self, name: str, *arguments: str | int) -> Any:
        """The same, asked again until the node has found its platform, which was started anew."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await self.says(name, *arguments)
                except PeerLost:
                    await asyncio.sleep(0.2)

    async def refused(self, name: str, *arguments: str | int) -> tuple[int, str]:
        """The exit status and problems of what has to fail."""
        with pytest.raises(FedcreditError) as found:
            await self.says(name, *arguments)
        return found.value.exit_status, str(found.value)

    async def types(self, name: str, *arguments: str | int) -> CompletedProcess[str]:
        """The command itself, in a process of its own."""
        given = [str(argument) for argument in arguments]
        return await asyncio.to_thread(run_cli, "model", *given, "--node", self.place.folder / name)

    async def job(self) -> str:
        """A job of all three that has succeeded."""
        path = write_job(self.place.folder, list(PARTIES), MODELS)
        job = await self.place.operator.submit(load_job(path).shared())
        assert (await self.place.end(job)).stage == "succeeded"
        return job

    async def until(self, name: str, version: int, served: str) -> dict[str, Any]:
        """Wait until a party serves its part as `served`, or not any more."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            own: Any = (await self.says(name, "show", "sme", version))["own"]
            # A node that has not found its platform again says what it has of all versions.
            if isinstance(own, dict) and own["served"] == served:
                return own
            await asyncio.sleep(0.1)
        raise AssertionError(f"{name} does not serve it as {served!r}: {own}")

    def result(self, name: str, job: str, file: str = "scorecard.0/scorecard.json") -> Path:
        """A party's part as the job left it."""
        return self.place.folder / name / "jobs" / job / "result" / "model" / file

    def changes(self, name: str) -> list[str]:
        """The changes of models in a node's audit log."""
        lines = (self.place.folder / name / "audit" / "entries.jsonl").read_bytes().splitlines()
        entries = [entry for entry in map(json.loads, lines) if entry["event"] == "model_changed"]
        return [entry["facts"]["change"] for entry in entries]


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with newcomers(tmp_path_factory.mktemp("place"), SIZES, {}) as place:
        write_telling_tables(place.folder)
        place.shell(RIVAL_JOINS.format(port=free_port(1)))
        await place.up(RIVAL)
        yield Office(place)


@pytest.fixture(scope="module")
async def job(office: Office) -> str:
    return await office.job()


async def test_nobody_does_anything_without_a_rule(office: Office, job: str) -> None:
    publish = ("publish", job, "scorecard.0", "sme")
    said = await office.types(BANK, "publish", job, "--model", "scorecard.0", "--as", "sme")
    assert said.returncode == 77
    assert "MODEL_REFUSED" in said.stderr
    assert "add a [[model.rule]] to policy.toml" in said.stderr  # its own policy: its people are told why
    office.allow(BANK, ["bank"], ["publish", "approve"])
    status, problems = await office.refused(BANK, *publish)
    assert (status, "MODEL_REFUSED: platform at Publish" in problems) == (77, True)  # the platform's: the code alone
    assert office.changes(BANK) == office.changes(PLATFORM) == []


async def test_all_approve_their_own_parts_and_one_version_counts(office: Office, job: str) -> None:
    office.allow(PLATFORM, ["bank", "platform"], ["publish", "activate", "challenge", "rollback", "retire"])
    publish = ("publish", job, "scorecard.0", "sme")
    typed = await office.types(BANK, "publish", job, "--model", "scorecard.0", "--as", "sme")
    assert typed.stdout == ("sme 1: published\nNow at each of bank, tax, registry: fedcredit model approve sme 1\n"), (
        typed.stderr
    )
    made = await office.says(BANK, *publish) | {"new": True}
    assert made == {"name": "sme", "version": 1, "new": True, "parties": list(PARTIES)}
    assert await office.says(BANK, *publish) == made | {"new": False}
    status, problems = await office.refused(TAX, *publish)
    assert (status, "NOT_LABEL_PARTY" in problems) == (77, True)

    # Nobody approves for another, and nothing counts before all have.
    assert "MODEL_STATE" in (await office.refused(PLATFORM, "activate", "sme", 1))[1]
    await office.says(BANK, "approve", "sme", 1)
    assert "MODEL_REFUSED" in (await office.refused(TAX, "approve", "sme", 1))[1]
    for name in (TAX, REGISTRY):
        office.allow(name, ["bank"], ["approve"])
    said = await office.says(REGISTRY, "approve", "sme", 1)
    assert await office.says(REGISTRY, "approve", "sme", 1) == said
    (row,) = (await office.says(PLATFORM, "list"))["models"]
    assert (row["state"], row["approved"], row["missing"]) == ("published", ["bank", "registry"], ["tax"])
    assert "is published, not approved" in (await office.refused(PLATFORM, "activate", "sme", 1))[1]

    # A part that is not as the job left it is refused, naming both; brought back, it is taken.
    path = office.result(TAX, job)
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole + b" ")
    typed = await office.types(TAX, "approve", "sme", 1)
    status, problems = typed.returncode, typed.stderr
    now, due = (hashlib.sha256(data).hexdigest() for data in (whole + b" ", whole))
    assert status == 77
    assert f"MODEL_PART_DIFFERS: {job}/result" in problems
    assert now in problems
    assert due in problems
    path.write_bytes(whole)
    said = await office.says(TAX, "approve", "sme", 1)
    assert said["content"] == due
    assert (office.place.folder / TAX / "models" / f"{due}.json").read_bytes() == whole
    card = CardPart.from_bytes(whole)
    least, most = card.point_range
    assert said["reach"][0] <= least <= most <= said["reach"][1]

    assert (await office.types(PLATFORM, "activate", "sme", 1)).stdout == "sme: champion 1\n"
    for name in PARTIES:
        own = await office.until(name, 1, "champion")
        assert own["content"] == hashlib.sha256(office.result(name, job).read_bytes()).hexdigest()

    # What everybody may know, and the same name of the version at all; no part's own hash, and no points.
    sheets = [await office.says(name, "show", "sme", 1) for name in (PLATFORM, *PARTIES)]
    assert len({sheet["manifest"] for sheet in sheets}) == 1
    assert sheets[0]["manifest"] is not None
    assert all(sheet["unbelieved"] == {} for sheet in sheets[1:])
    assert sheets[0]["facts"] == {**vars_of(card), "n_reasons": card.n_reasons}
    shown = json.dumps(sheets[0])
    for name in PARTIES:
        assert hashlib.sha256(office.result(name, job).read_bytes()).hexdigest() not in shown
    low = sum(CardPart.from_bytes(office.result(name, job).read_bytes()).point_range[0] for name in PARTIES)
    assert sheets[0]["point_range"][0] <= low
    assert office.changes(PLATFORM) == ["publish", "approve", "approve", "approve", "activate"]
    assert office.changes(TAX)[:1] == ["heard"]  # that it was published
    assert [office.changes(name).count("approve") for name in PARTIES] == [1, 1, 1]


def vars_of(card: CardPart) -> dict[str, float]:
    return {"base_score": card.scale.base_score, "odds": card.scale.odds, "pdo": card.scale.pdo}


async def test_a_bank_that_is_not_entitled_sees_and_does_nothing(office: Office, job: str) -> None:
    assert (await office.says(RIVAL, "list"))["models"] == []
    for command in (("show", "sme", 1), ("activate", "sme", 1), ("retire", "sme", 1), ("approve", "sme", 1)):
        status, problems = await office.refused(RIVAL, *command)
        assert (status, "MODEL_UNKNOWN" in problems) == (77, True), command
    assert "JOB_UNKNOWN" in (await office.refused(RIVAL, "publish", job, "scorecard.0", "sme"))[1]
    # A party of the model sees it, and may not say which version counts.
    status, problems = await office.refused(TAX, "retire", "sme", 1)
    assert (status, "MODEL_REFUSED" in problems) == (77, True)
    office.allow(PLATFORM, [RIVAL], ["show"])
    assert [row["role"] for row in (await office.says(RIVAL, "list"))["models"]] == ["champion"]
    assert "MODEL_REFUSED" in (await office.refused(RIVAL, "retire", "sme", 1))[1]


async def test_a_second_version_stands_beside_the_first_and_is_gone_back_from(office: Office, job: str) -> None:
    place, publish = office.place, ("publish", await office.job(), "scorecard.0", "sme")
    # The platform dies when the version is durable and nobody knows: the same call again finds it.
    await place.kill(PLATFORM)
    await place.up(PLATFORM, plan="store.model.committed[publish]=kill")
    while not place.ended(PLATFORM):
        assert (await office.refused(BANK, *publish))[0] == 69  # also until the bank has found it again
    await place.killed_itself(PLATFORM)
    await place.up(PLATFORM)
    made = await office.when_reached(BANK, *publish)
    assert made == {"name": "sme", "version": 2, "new": False, "parties": list(PARTIES)}
    assert office.changes(PLATFORM).count("publish") == 2

    # A department dies when its word is durable and not told: its next start tells it.
    for name in (BANK, REGISTRY):
        await office.when_reached(name, "approve", "sme", 2)
    await place.kill(TAX)
    await place.up(TAX, plan="store.part.committed=kill@1")
    while not place.ended(TAX):
        await office.refused(TAX, "approve", "sme", 2)
    await place.killed_itself(TAX)
    await place.up(TAX)
    for _ in range(2400):
        if not (found := await office.says(PLATFORM, "show", "sme", 2))["missing"]:
            break
        await asyncio.sleep(0.1)
    assert found["state"] == "approved"

    typed = await office.types(BANK, "activate", "sme", 2, "--challenger")
    assert typed.stdout == "sme: champion 1, challenger 2\n", typed.stderr
    await office.until(TAX, 2, "challenger")
    made = await office.says(PLATFORM, "activate", "sme", 2)
    assert (made["champion"], made["challenger"]) == (2, None)
    await office.until(TAX, 1, "")
    typed = await office.types(BANK, "rollback", "sme", "--json")
    assert json.loads(typed.stdout)["champion"] == 1
    await office.until(TAX, 1, "champion")
    await office.until(TAX, 2, "")


async def test_a_party_takes_its_approval_back_while_the_platform_is_away(office: Office, job: str) -> None:
    place = office.place
    await place.kill(PLATFORM)
    typed = await office.types(TAX, "withdraw", "sme", 1)
    assert typed.stdout == "sme 1: withdrawn; this party's part is not served\n"
    assert "The platform cannot be reached; the node tells it when it is back." in typed.stderr
    (own,) = [one for one in (await office.says(TAX, "list"))["own"] if one["version"] == 1]
    assert (own["served"], "was withdrawn here" in own["why_not"]) == ("", True)
    await place.up(PLATFORM)
    for _ in range(2400):
        (row,) = [one for one in (await office.says(PLATFORM, "list"))["models"] if one["version"] == 1]
        if row["withdrawn"]:
            break
        await asyncio.sleep(0.1)
    assert (row["state"], row["withdrawn"], row["role"]) == ("withdrawn", ["tax"], "champion")
    own = await office.until(REGISTRY, 1, "")
    assert "is withdrawn by tax" in own["why_not"]
    assert "withdrawn by tax" in (await office.types(PLATFORM, "list")).stdout
    # Given again it is the same part, and so the same version.
    before = (await office.says(PLATFORM, "show", "sme", 1))["parts"]
    await office.when_reached(TAX, "approve", "sme", 1)
    after = await office.says(PLATFORM, "show", "sme", 1)
    assert after["state"] == "approved"
    assert [part["part"] for part in after["parts"]][:1] == [part["part"] for part in before][:1]
    assert office.changes(TAX).count("withdraw") == 1


async def test_trees_are_published_too_and_a_damaged_part_is_not_served(office: Office, job: str) -> None:
    await office.when_reached(BANK, "publish", job, "gbdt.1", "trees")
    for name in PARTIES:
        assert (await office.when_reached(name, "approve", "trees", 1))["reach"] is None
    found = await office.says(PLATFORM, "show", "trees", 1)
    model = json.loads(office.result(BANK, job, "gbdt.1/model.json").read_text())
    assert found["facts"]["trees"] == len(model["trees"])
    assert found["point_range"] is None

    content = hashlib.sha256(office.result(REGISTRY, job).read_bytes()).hexdigest()
    await office.until(REGISTRY, 1, "champion")
    kept = office.place.folder / REGISTRY / "models" / f"{content}.json"
    kept.chmod(0o600)
    kept.write_bytes(b"{}")
    own = (await office.says(REGISTRY, "show", "sme", 1))["own"]
    assert own["served"] == ""
    assert "MODEL_PART_DIFFERS" in own["why_not"]
    assert content in own["why_not"]
    await office.says(REGISTRY, "approve", "sme", 1)  # compares anew, and mends it
    await office.until(REGISTRY, 1, "champion")

    made = await office.says(PLATFORM, "retire", "sme", 1)
    assert (made["champion"], made["changed"]) == (None, True)
    await office.until(REGISTRY, 1, "")
    assert "MODEL_STATE" in (await office.refused(BANK, "approve", "sme", 1))[1]
    kept.chmod(0o600)
    kept.write_bytes(b"{}")
    await office.place.kill(REGISTRY)
    checked = run_cli("node", "fsck", office.place.folder / REGISTRY)
    assert (checked.returncode, "MODEL_PART_DIFFERS" in checked.stderr) == (65, True)
    for name in (PLATFORM, *PARTIES):
        assert run_cli("audit", "verify", office.place.folder / name).returncode == 0
