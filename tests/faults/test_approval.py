"""A node that dies while a person decides: the job still waits, nothing is decided twice, nothing gets lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from faults.town import BANK, PLATFORM, TAX, Town

from fedcredit.errors import ConfigError
from fedcredit.ids import PartyId
from fedcredit.node.own_node import OwnNode
from fedcredit.runtime.config import load_party
from fedcredit.runtime.policy_template import open_policy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
async def asking(town: Town) -> AsyncIterator[Town]:
    """The town, with a tax office whose people have to approve each job."""
    policy = town.nodes[TAX].folder / "policy.toml"
    policy.write_text(open_policy().replace('"admit"', '"approve"'))
    yield town
    policy.write_text(open_policy())


async def decide(folder: Path, job: str, *, refuse: bool = False) -> None:
    """What `fedcredit job approve` does."""
    async with OwnNode(load_party(folder)) as own:
        await own.approve(job, "somebody", refuse=refuse, reason="no" if refuse else "")


@pytest.mark.parametrize("refuse", [False, True])
async def test_a_node_that_dies_while_a_person_decides(asking: Town, oracle: dict[str, bytes], refuse: bool) -> None:
    place = "policy.refusal.recorded" if refuse else "policy.approval.recorded"
    await asking.kill(TAX)
    await asking.up(TAX, plan=f"{place}=kill")
    job = await asking.submit()
    await asking.state_becomes(TAX, job, "pending")
    folder = asking.nodes[TAX].folder
    with pytest.raises(ConfigError) as away:
        await decide(folder, job, refuse=refuse)
    assert away.value.code == "NODE_DOWN"
    await asking.died(TAX)
    await asking.up(TAX)
    # The word was in the audit log, not in the store: nobody was told that it counted, so it is given again.
    assert asking.state(TAX, job) == "pending"
    await decide(folder, job, refuse=refuse)
    end = await asking.end(job)
    if refuse:
        assert (end.stage, end.code) == ("failed", "POLICY_REFUSED")
        assert asking.state(TAX, job) == "failed"
        assert asking.state(BANK, job) == ""
    else:
        assert end.stage == "succeeded"
        assert asking.result(job) == oracle


@pytest.mark.parametrize("killed", [TAX, PLATFORM])
async def test_a_waiting_job_outlives_its_nodes(asking: Town, oracle: dict[str, bytes], killed: PartyId) -> None:
    job = await asking.submit()
    await asking.until(job, lambda event: (event.party, event.stage) == (TAX, "pending"))
    await asking.kill(killed)
    await asyncio.sleep(2)  # a platform asks in vain meanwhile, and goes on asking
    await asking.up(killed)
    await decide(asking.nodes[TAX].folder, job)
    end = await asking.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert asking.result(job) == oracle


@pytest.mark.parametrize("place", ["policy.decision.written", "policy.change.recorded"])
async def test_a_node_that_dies_while_it_looks_at_its_policy(town: Town, place: str) -> None:
    folder = town.nodes[TAX].folder
    policy = folder / "policy.toml"
    await town.kill(TAX)  # it must not have seen the change before
    policy.write_text(open_policy() + f"# {place}\n")
    job = None
    if place == "policy.change.recorded":
        await town.launch(TAX, plan=f"{place}=kill")
        await town.died(TAX)
    else:
        await town.up(TAX, plan=f"{place}=kill")
        job = await town.submit()
        await town.died(TAX)
        assert not (folder / "jobs" / job / "decision.json").exists()
    # The platform waits for a party that is away when a job begins, and asks it anew.
    await town.up(TAX)
    job = job or await town.submit()
    end = await town.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert json.loads((folder / "jobs" / job / "decision.json").read_text())["action"] == "admit"
    policy.write_text(open_policy())
