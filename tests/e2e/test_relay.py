"""Departments that may only dial out: no port of theirs is open, and the model is the one of direct links."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.conftest import write_job, write_tables
from free_ports import free_port

from fedcredit.ids import PartyId
from fedcredit.node.audit_places import read_witnessed
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.node.outcome import publish
from fedcredit.runtime.config import JobFile, load_job
from fedcredit.wire.control import JobEvent

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
TAX = PartyId("tax")

MODEL = """
[split]
holdout = 0.25
[[model]]
kind = "gbdt"
num_trees = 3
max_depth = 3
max_bin = 16
"""


class Relayed(Consortium):
    """As a consortium on one machine, but `hidden` parties listen nowhere; the others dial those by the platform."""

    def __init__(self, job: JobFile, out: Path, *hidden: PartyId) -> None:
        super().__init__(job, out)
        self._hidden = hidden
        # The parties start first and have to know where the platform will be.
        self.port = free_port()

    def _party_file(self, party: PartyId) -> dict[str, Any]:
        tables = super()._party_file(party) | {"peers": {PLATFORM: f"127.0.0.1:{self.port}"}}
        if party in self._hidden:
            del tables["listen"]
            tables["relay"] = {"via": PLATFORM}
        return tables

    def _platform_file(self, addresses: dict[PartyId, str]) -> dict[str, Any]:
        tables = super()._platform_file(addresses)
        return tables | {"listen": {"port": self.port}, "relay": {"serve": True}}


def listening(consortium: Consortium, party: PartyId) -> set[int]:
    """The TCP ports on which the party's process listens."""
    found = psutil.Process(consortium.children[party].process.pid).net_connections("inet")
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}


def connected(consortium: Consortium, party: PartyId) -> list[int]:
    """The ports at the other end of the party's TCP connections."""
    found = psutil.Process(consortium.children[party].process.pid).net_connections("inet")
    # Linux may list a connection twice when the table changes while it is read.
    return [
        there.port for _, there in {(one.laddr, one.raddr) for one in found if one.status == psutil.CONN_ESTABLISHED}
    ]


async def run(consortium: Consortium, watch: Callable[[JobEvent], None] | None = None) -> dict[str, Any]:
    async with consortium:
        name = await consortium.run(watch)
        await consortium.stop()
        return publish(consortium.job, name, consortium.out)


async def witnessed(folder: Path, by: set[PartyId]) -> None:
    """Wait until all of them have signed the head of the node's audit log."""
    for _ in range(600):
        if {*read_witnessed(folder / "audit").witnesses} == by:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{folder.name}: not all of {sorted(by)} have signed")


async def test_a_department_without_a_port_takes_part_by_one_connection(three: Path, tmp_path: Path) -> None:
    consortium = Relayed(load_job(three), tmp_path / "out", TAX)
    seen: list[tuple[set[int], list[int]]] = []

    def look(event: JobEvent) -> None:
        if event.party == TAX:
            seen.append((listening(consortium, TAX), connected(consortium, TAX)))

    async with consortium:
        name = await consortium.run(look)
        # At the end all sign each other's audit heads, the department's by the same way.
        for party in consortium.job.parties:
            await witnessed(consortium.folder(party), {PLATFORM, *consortium.job.parties} - {party})
        await consortium.stop()
        metrics = publish(consortium.job, name, consortium.out)
    assert metrics["rows"]["aligned"] == 300
    assert len(seen) > 2
    assert all(found == (set(), [consortium.port]) for found in seen)
    ready = consortium.children[TAX]
    assert ready.address == "relay://tax"


async def test_a_model_through_the_platform_is_the_model_of_direct_links(tmp_path: Path) -> None:
    write_tables(tmp_path, {"bank": (0, 1500), "tax": (200, 1700), "registry": (300, 1800)})
    job = load_job(write_job(tmp_path, ["bank", "tax", "registry"], MODEL))
    direct = await run(Consortium(job, tmp_path / "direct"))
    hidden = Relayed(job, tmp_path / "relayed", *job.parties)
    relayed = await run(hidden)
    for name in ("rows", "leakage"):
        assert direct[name] == relayed[name]
    for party in job.parties:
        parts = [
            {p.name: p.read_bytes() for p in (tmp_path / way / "parties" / party / "model").rglob("*") if p.is_file()}
            for way in ("direct", "relayed")
        ]
        assert parts[0]
        assert parts[0] == parts[1]
    # What the parties count as traffic is what they say to each other, whichever way it goes.
    assert json.dumps(direct["traffic"], sort_keys=True) == json.dumps(relayed["traffic"], sort_keys=True)
