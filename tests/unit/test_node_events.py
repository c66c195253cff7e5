"""The events of a job reach whoever watches, whole and in order; of many ends the cause is told."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import DataError, FedcreditError, PeerError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node import events
from fedcredit.node.events import REMEMBERED, EventLog
from fedcredit.node.jobs import write_failure
from fedcredit.node.processes import read_failure
from fedcredit.node.rpc import ControlService, Method, remote_error
from fedcredit.node.supervision import nearest_to_cause
from fedcredit.runtime.toml import dump
from fedcredit.wire.control import Accepted, HealthRequest, JobEvent

BANK = PartyId("bank")


@pytest.mark.anyio
async def test_every_watcher_sees_every_event_once_and_in_order() -> None:
    log = EventLog(BANK, "job")

    async def watch(after: int) -> list[tuple[int, str]]:
        return [(event.seq, event.stage) async for event in log.watch(after)]

    log.stage("validate", "begun")
    early, late = asyncio.create_task(watch(0)), asyncio.create_task(watch(2))
    await asyncio.sleep(0)
    log.stage("validate", "done")
    log.progress("align", 1, 2)
    await asyncio.sleep(0)
    log.state("failed", PeerLost("tax", "align", "gone"))
    log.stage("after the end", "begun")
    expected = [(1, "validate"), (2, "validate"), (3, "align"), (4, "failed")]
    assert await early == expected
    assert await late == expected[2:]
    assert await watch(0) == expected


class Shelf:
    """Events in memory, as the store keeps them."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}

    def add_all(self, job: str, events: Sequence[tuple[int, bytes]]) -> None:
        assert not self.kept.keys() & {seq for seq, _ in events}
        self.kept.update(events)

    def after(self, job: str, seq: int = 0) -> list[bytes]:
        return [data for number, data in sorted(self.kept.items()) if number > seq]


@pytest.mark.anyio
async def test_events_outlive_the_process_and_numbers_only_grow() -> None:
    shelf = Shelf()
    log = EventLog(BANK, "job", shelf)
    log.stage("align", "begun")
    log.progress("align", 1, 2)
    await log.flushed()
    log.waiting("align", PartyId("tax"), 6.5)
    log.progress("align", 2, 2)  # told, never kept
    await log.flushed()
    seen = [event.seq async for event in first(log.watch(), 3)]

    again = EventLog.restored(BANK, "job", shelf)
    again.stage("align", "done")
    again.state("succeeded")
    await again.flushed()
    rest = [(event.seq, event.kind, event.stage) async for event in again.watch(seen[-1])]
    assert [told[1:] for told in rest] == [("done", "align"), ("state", "succeeded")]
    assert rest[0][0] > seen[-1]
    everything = [(event.kind, event.culprit) async for event in EventLog.restored(BANK, "job", shelf).watch()]
    assert everything == [("begun", ""), ("waiting", "tax"), ("done", ""), ("state", "")]


@pytest.mark.anyio
async def test_memory_is_bounded_and_a_late_watcher_still_sees_all() -> None:
    shelf = Shelf()
    log = EventLog(BANK, "job", shelf)
    for number in range(3 * REMEMBERED):
        log.stage(f"s.{number}", "done")
        log.progress("s", number, 3 * REMEMBERED)
    await log.flushed()
    assert len(log._events) <= REMEMBERED + 1
    log.state("succeeded")
    await log.flushed()
    stages = [event.stage async for event in log.watch() if event.kind == "done"]
    assert stages == [f"s.{number}" for number in range(3 * REMEMBERED)]


@pytest.mark.anyio
async def test_copied_events_say_how_far_their_origin_is() -> None:
    shelf, party = Shelf(), EventLog(BANK, "job")
    party.stage("align", "begun")
    party.progress("align", 1, 2)
    party.state("succeeded")
    platform = EventLog(PartyId("platform"), "job", shelf)
    async for event in party.watch():
        platform.copy(event)
    assert platform.origins == {"bank": 3}
    await platform.flushed()
    assert EventLog.restored(PartyId("platform"), "job", shelf).origins == {"bank": 3}


async def first(events: AsyncIterator[JobEvent], n: int) -> AsyncIterator[JobEvent]:
    """The first `n` of them."""
    async for event in events:
        yield event
        n -= 1
        if not n:
            return


@pytest.mark.anyio
async def test_a_failure_tells_its_code_and_culprit_and_no_text() -> None:
    log = EventLog(BANK, "job")
    log.state("failed", PeerError("tax", "align", "secret reason", "SEQUENCE"))
    (event,) = [event async for event in log.watch()]
    assert (event.code, event.exit_status, event.culprit) == ("SEQUENCE", 76, "tax")
    assert b"secret" not in event.encode()


@pytest.mark.anyio
async def test_the_end_of_one_party_is_not_the_end_at_the_platform() -> None:
    party, platform = EventLog(BANK, "job"), EventLog(PartyId("platform"), "job")
    party.state("succeeded")
    async for event in party.watch():
        platform.copy(event)
    assert party.ended
    assert not platform.ended
    platform.state("succeeded")
    assert platform.ended


def test_the_cause_is_nearer_than_its_echoes() -> None:
    own = DataError(Problem("DATASET_CHANGED", "bank", "x"))
    lost = PeerLost("tax", "align", "cannot be reached")
    told = PeerLost("bank", "align", "no longer reachable from registry")
    echo = PeerError("bank", "align", "ended the job", "DATASET_CHANGED")
    cancelled = RefusedError(Problem("CANCELLED", "registry", "was cancelled"))
    assert nearest_to_cause([cancelled, echo, told, lost, own]) is own
    assert nearest_to_cause([cancelled, echo, told, lost]) is lost
    assert nearest_to_cause([cancelled, told]) is told
    assert nearest_to_cause([cancelled]) is cancelled
    assert nearest_to_cause([own, KeyError("x")]).code == "INTERNAL"


@pytest.mark.parametrize(
    "error",
    [
        DataError([Problem("ID_DUPLICATE", "t.csv", "twice", "mend"), Problem("VALUE_INVALID", "t.csv", "x")]),
        RefusedError(Problem("SPEC_INVALID", "a", "b")),
        PeerLost("tax", "align", "gone"),
        PeerError("tax", "align", "odd", "SEQUENCE"),
        FedcreditError("a bug"),
    ],
)
def test_a_failure_reads_back_as_what_it_was(tmp_path: Path, error: FedcreditError) -> None:
    write_failure(tmp_path, error)
    found = read_failure(tmp_path)
    assert found is not None
    assert (type(found), found.problems, found.exit_status) == (type(error), error.problems, error.exit_status)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"exit_status": "x", "problems": []}', '{"problems": [{"a": 1}]}'])
def test_what_is_no_failure_reads_as_none(tmp_path: Path, text: str) -> None:
    assert read_failure(tmp_path) is None
    (tmp_path / "failure.json").write_text(text)
    assert read_failure(tmp_path) is None


def test_a_remote_error_keeps_code_status_and_culprit() -> None:
    for status in (2, 65, 70, 77, 78):
        error = remote_error(BANK, "align", "SOME_CODE", status)
        assert (error.code, error.exit_status) == ("SOME_CODE", status)
    lost = remote_error(BANK, "align", "PEER_LOST", 69, "tax")
    assert isinstance(lost, PeerLost)
    assert lost.culprit == "tax"
    assert remote_error(BANK, "align", "X", 200).exit_status == 70


def test_a_contract_method_without_a_rule_keeps_the_node_from_starting() -> None:
    async def handle(caller: PartyId, request: object) -> Accepted:
        return Accepted()

    service = ControlService("Party", lambda context: BANK)
    with pytest.raises(FedcreditError, match=r"RULE_MISSING.*Propose"):
        service.bind([Method("Health", HealthRequest, frozenset({BANK}), handle=handle)])


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    texts | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, st.dictionaries(texts, values.filter(lambda v: not has_table_in_list(v)), max_size=4)))
def test_what_is_dumped_as_toml_reads_back(tables: dict[str, dict[str, object]]) -> None:
    assert json.dumps(tomllib.loads(dump(tables)), sort_keys=True) == json.dumps(tables, sort_keys=True)


def has_table_in_list(value: object) -> bool:
    """Tables in lists are not written: no file of ours has them."""
    if isinstance(value, list):
        return any(isinstance(inner, dict) or has_table_in_list(inner) for inner in value)
    return isinstance(value, dict) and any(has_table_in_list(inner) for inner in value.values())


def told_by_tax(kind: str, stage: str, seq: int, detail: bytes = b"") -> JobEvent:
    return JobEvent(
        seq=seq,
        party="tax",
        job="job",
        kind=kind,
        stage=stage,
        done=0,
        total=0,
        code="",
        exit_status=0,
        culprit="",
        detail=detail,
        origin=0,
    )


def kept_of(log: EventLog, party: str) -> list[JobEvent]:
    return [event for event in log.events if event.party == party]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["begun", "progress"])
async def test_what_another_node_reports_is_bounded_but_its_end_is_kept(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(events, "MOST_COPIED", 50)
    shelf = Shelf()
    log = EventLog(BANK, "job", shelf)
    for seq in range(1, 200):
        log.copy(told_by_tax(kind, f"stage.{seq}", seq))
    assert len(kept_of(log, "tax")) == 50
    assert log.origins == {"tax": 199}, "what was left out is not asked for again"
    assert [(event.kind, event.culprit) for event in kept_of(log, "bank")] == [("bounded", "tax")], "said once"
    await log.flushed()
    # A node that was started again holds to the same bound; progress is not kept over a start.
    again = EventLog.restored(BANK, "job", shelf)
    if kind == "begun":
        again.copy(told_by_tax(kind, "one more", 200))
        assert [event.stage for event in kept_of(again, "tax")] == []
    log.copy(told_by_tax("state", "failed", 200, b"x" * 1000))
    assert (log.ends["tax"].stage, log.ends["tax"].detail) == ("failed", b"")
    log.state("failed")
    await log.flushed()


@pytest.mark.anyio
async def test_the_bytes_that_another_node_reports_are_bounded_too() -> None:
    log = EventLog(BANK, "job")
    for seq in range(1, 40):
        log.copy(told_by_tax("note", "document", seq, bytes(1 << 20)))
    assert sum(len(event.detail) for event in kept_of(log, "tax")) <= events.MOST_COPIED_BYTES
    for seq in range(40, 80):
        log.copy(told_by_tax("progress", "align", seq, bytes(1 << 20)))
    assert sum(len(event.detail) for event in kept_of(log, "tax")) <= events.MOST_COPIED_BYTES
    log.copy(told_by_tax("state", "succeeded", 80))
    assert log.ends["tax"].stage == "succeeded"
