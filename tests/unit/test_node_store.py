"""A node's store: what a call acknowledged is there after a restart, and nothing moves where it may not."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import DataError, FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.store import JobState, Store
from fedcredit.runtime.state import StageState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLATFORM = PartyId("platform")


@dataclass(frozen=True, slots=True)
class Sample(StageState):
    schema = "sample/1"
    rows: npt.NDArray[np.int64]
    marks: npt.NDArray[np.bool_]
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Other(StageState):
    schema = "other/1"
    rows: npt.NDArray[np.int64]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def proposed(path: Path) -> Store:
    store = Store.at(path)
    store.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    return store


def reopened(store: Store, path: Path) -> Store:
    store.close()
    return Store.at(path)


def test_a_job_goes_its_way_and_is_there_after_a_restart(path: Path) -> None:
    store = proposed(path)
    store.jobs.sign("job", b"spec", b"s" * 32)
    store.jobs.start("job", b"signatures")
    store = reopened(store, path)
    row = store.jobs.job("job")
    assert row is not None
    assert (row.state, row.ssid, row.specification, row.signatures) == (
        JobState.RUNNING,
        b"s" * 32,
        b"spec",
        b"signatures",
    )
    assert (row.commitment_nonce, row.fingerprint) == (b"n" * 32, b"f" * 32)
    found = store.jobs.job_of(b"s" * 32)
    assert found is not None
    assert found.id == "job"
    store.jobs.end("job", JobState.FAILED, DataError(Problem("DATASET_CHANGED", "t.csv", "what", "fix")))
    store = reopened(store, path)
    row = store.jobs.job("job")
    assert row is not None
    assert row.problems == (Problem("DATASET_CHANGED", "t.csv", "what", "fix"),)
    assert row.exit_status == 65
    store.close()


def test_a_job_cannot_skip_a_step(path: Path) -> None:
    store = proposed(path)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.start("job", b"")
    store.jobs.sign("job", b"spec", b"s" * 32)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.sign("job", b"other", b"t" * 32)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.sign("unknown", b"other", b"t" * 32)
    store.close()


def test_the_first_end_of_a_job_is_its_end(path: Path) -> None:
    store = proposed(path)
    store.jobs.end("job", JobState.CANCELLED)
    store.jobs.end("job", JobState.SUCCEEDED)
    row = store.jobs.job("job")
    assert row is not None
    assert row.state is JobState.CANCELLED
    assert row.state.final
    store.close()


def test_stages_keep_their_order_and_their_states(path: Path) -> None:
    store = proposed(path)
    for name in ("validate", "align", "gbdt.0/tree.0"):
        if "/" not in name:
            store.stages.begin("job", name)
        store.stages.finish("job", name, name.encode(), NOW)
    store.stages.begin("job", "gbdt.0/tree.1")
    store = reopened(store, path)
    assert [(stage.name, stage.finished is not None) for stage in store.stages.all("job")] == [
        ("validate", True),
        ("align", True),
        ("gbdt.0/tree.0", True),
        ("gbdt.0/tree.1", False),
    ]
    assert store.stages.state("job", "align") == b"align"
    assert store.stages.state("job", "gbdt.0/tree.1") is None
    assert store.stages.state("job", "publish") is None
    store.stages.begin("job", "align")
    assert [stage.name for stage in store.stages.all("job")][1] == "align"
    store.close()


def test_a_damaged_state_is_refused(path: Path) -> None:
    store = proposed(path)
    store.stages.begin("job", "align")
    store.stages.finish("job", "align", b"state", NOW)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE stages SET state = ?", (b"stale",))
    connection.close()
    store = Store.at(path)
    with pytest.raises(FedcreditError, match="STATE_INVALID"):
        store.stages.state("job", "align")
    store.close()


def test_the_same_call_gets_the_same_reply_and_another_is_a_conflict(path: Path) -> None:
    store = proposed(path)
    assert store.calls.reply_to("job", "Sign", b"request", PLATFORM) is None
    store.calls.keep("job", "Sign", b"request", b"reply")
    store = reopened(store, path)
    assert store.calls.reply_to("job", "Sign", b"request", PLATFORM) == b"reply"
    with pytest.raises(PeerError) as conflict:
        store.calls.reply_to("job", "Sign", b"other", PLATFORM)
    assert (conflict.value.code, conflict.value.culprit) == ("CONFLICT", PLATFORM)
    store.close()


def test_an_audit_head_never_shrinks(path: Path) -> None:
    store = Store.at(path)
    store.heads.put("bank", 3, b"r" * 32)
    store.heads.put("bank", 4, b"s" * 32)
    assert store.heads.of("bank") == (4, b"s" * 32)
    with pytest.raises(FedcreditError, match="AUDIT_ROLLBACK"):
        store.heads.put("bank", 2, b"t" * 32)
    assert store.heads.of("tax") is None
    store.close()


def test_results_are_listed(path: Path) -> None:
    store = proposed(path)
    store.results.add("job", [("model/m.json", b"d" * 32, 7), ("metrics.json", b"e" * 32, 9)])
    assert store.results.files("job") == [("metrics.json", b"e" * 32, 9), ("model/m.json", b"d" * 32, 7)]
    store.close()


def test_writes_are_durable_and_safe_from_any_thread(path: Path) -> None:
    store = proposed(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()

    def write(number: int) -> None:
        store.stages.begin("job", f"stage.{number}")
        store.stages.finish("job", f"stage.{number}", b"x" * number, NOW)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stages = store.stages.all("job")
    assert sorted(stage.position for stage in stages) == list(range(16))
    assert all(stage.finished for stage in stages)
    store.close()


def test_a_store_of_another_version_is_refused(path: Path) -> None:
    Store.at(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(FedcreditError, match="STORE_VERSION"):
        Store.at(path)


@given(rows=st.lists(st.integers(-(2**63), 2**63 - 1)), marks=st.lists(st.booleans()), name=st.text())
def test_a_state_thaws_to_what_was_frozen(rows: list[int], marks: list[bool], name: str) -> None:
    state = Sample(np.array(rows, np.int64), np.array(marks, bool), name, len(rows))
    thawed = Sample.thaw(state.freeze())
    assert np.array_equal(thawed.rows, state.rows)
    assert np.array_equal(thawed.marks, state.marks)
    assert (thawed.name, thawed.count) == (name, len(rows))
    assert thawed.freeze() == state.freeze()


@given(st.data())
def test_bytes_that_are_no_state_are_refused(data: st.DataObject) -> None:
    good = Sample(np.arange(3), np.ones(2, bool), "x", 1).freeze()
    cut = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:cut], good + b"x", b"", b"fcstate1\xff\xff\xff\xff", data.draw(st.binary(max_size=64))):
        with pytest.raises(FedcreditError, match="STATE_INVALID"):
            Sample.thaw(bad)


def test_a_state_of_another_schema_is_refused() -> None:
    with pytest.raises(FedcreditError, match="STATE_INVALID"):
        Other.thaw(Sample(np.arange(3), np.ones(2, bool), "x", 1).freeze())
