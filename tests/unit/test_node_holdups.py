"""Whom a job waits for, from who says that it waits for whom."""

from __future__ import annotations

import pytest

from fedcredit.cli.display import Progress
from fedcredit.ids import PartyId
from fedcredit.node.events import EventLog
from fedcredit.node.holdups import Holdup, Holdups

PARTIES = ("bank", "registry", "tax")

pytestmark = pytest.mark.anyio


def tell(holdups: Holdups, party: str, peer: str, seconds: float = 30, stage: str = "align") -> None:
    log = EventLog(PartyId(party), "job")
    log.slow(stage, peer, seconds)
    (event,) = log.events
    holdups.take(event)


def found(*waits: tuple[str, str]) -> dict[str, tuple[str, ...]]:
    holdups = Holdups(PARTIES)
    for party, peer in waits:
        tell(holdups, party, peer)
    return {holdup.peer: holdup.waiting for holdup in holdups.found()}


async def test_who_waits_for_one_that_waits_waits_for_the_last_of_them() -> None:
    assert found() == {}
    assert found(("bank", "tax")) == {"tax": ("bank",)}
    assert found(("registry", "bank"), ("bank", "tax")) == {"tax": ("bank", "registry")}
    assert found(("bank", "tax"), ("bank", "registry")) == {"registry": ("bank",), "tax": ("bank",)}


async def test_two_that_wait_for_each_other_are_both_named() -> None:
    waits = (("registry", "bank"), ("bank", "tax"), ("tax", "bank"))
    assert found(*waits) == {"bank": ("registry", "tax"), "tax": ("bank", "registry")}


async def test_strangers_and_oneself_are_nobody_to_wait_for() -> None:
    assert found(("bank", "bank"), ("bank", "mallory")) == {}


async def test_a_peer_that_has_caught_up_or_a_new_state_ends_the_wait() -> None:
    holdups = Holdups(PARTIES)
    tell(holdups, "bank", "tax", 60, "split")
    tell(holdups, "registry", "tax", 30)
    assert holdups.found() == [Holdup("tax", "split", 60, ("bank", "registry"))]
    tell(holdups, "bank", "tax", 0)
    assert holdups.found() == [Holdup("tax", "align", 30, ("registry",))]
    log = EventLog(PartyId("registry"), "job")
    log.state("waiting")
    assert holdups.take(log.events[0])
    assert holdups.found() == []


async def test_the_terminal_says_who_is_waited_for() -> None:
    log = EventLog(PartyId("bank"), "job")
    log.slow("gbdt.0/tree.7", "tax", 30)
    log.slow("gbdt.0/tree.7", "tax", 0)
    progress, lines = Progress(["bank", "tax"]), []
    progress.tell = lines.append
    for event in log.events:
        progress.show(event)
    assert lines == ["bank: waiting for tax in gbdt.0/tree for 30 s", "bank: tax keeps up again"]
