"""A node's store: what a call acknowledged is there after a restart, and nothing moves where it may not."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from raw_store import run

from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.store import JobState, Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLATFORM = PartyId("platform")


def proposed(store_url: str) -> Store:
    store = Store.open(store_url)
    store.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    return store


def reopened(store: Store, url: str) -> Store:
    store.close()
    return Store.open(url)


def test_a_job_goes_its_way_and_is_there_after_a_restart(store_url: str) -> None:
    store = proposed(store_url)
    store.jobs.sign("job", b"spec", b"s" * 32)
    store.jobs.start("job", b"signatures")
    store = reopened(store, store_url)
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
    store = reopened(store, store_url)
    row = store.jobs.job("job")
    assert row is not None
    assert row.problems == (Problem("DATASET_CHANGED", "t.csv", "what", "fix"),)
    assert row.exit_status == 65
    store.close()


def test_a_job_cannot_skip_a_step(store_url: str) -> None:
    store = proposed(store_url)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.start("job", b"")
    store.jobs.sign("job", b"spec", b"s" * 32)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.sign("job", b"other", b"t" * 32)
    with pytest.raises(FedcreditError, match="JOB_STATE"):
        store.jobs.sign("unknown", b"other", b"t" * 32)
    store.close()


def test_the_first_end_of_a_job_is_its_end(store_url: str) -> None:
    store = proposed(store_url)
    store.jobs.end("job", JobState.CANCELLED)
    store.jobs.end("job", JobState.SUCCEEDED)
    row = store.jobs.job("job")
    assert row is not None
    assert row.state is JobState.CANCELLED
    assert row.state.final
    store.close()


def test_stages_keep_their_order_and_their_states(store_url: str) -> None:
    store = proposed(store_url)
    for name in ("validate", "align", "gbdt.0/tree.0"):
        if "/" not in name:
            store.stages.begin("job", name)
        store.stages.finish("job", name, name.encode(), NOW)
    store.stages.begin("job", "gbdt.0/tree.1")
    store = reopened(store, store_url)
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


def test_a_damaged_state_is_refused(store_url: str) -> None:
    store = proposed(store_url)
    store.stages.begin("job", "align")
    store.stages.finish("job", "align", b"state", NOW)
    store.close()
    run(store_url, "UPDATE stages SET state = :state", state=b"stale")
    store = Store.open(store_url)
    with pytest.raises(FedcreditError, match="STATE_INVALID"):
        store.stages.state("job", "align")
    store.close()


def test_the_same_call_gets_the_same_reply_and_another_is_a_conflict(store_url: str) -> None:
    store = proposed(store_url)
    assert store.calls.reply_to("job", "Sign", b"request", PLATFORM) is None
    store.calls.keep("job", "Sign", b"request", b"reply")
    store = reopened(store, store_url)
    store.calls.keep("job", "Sign", b"request", b"a second reply")
    assert store.calls.reply_to("job", "Sign", b"request", PLATFORM) == b"reply"
    with pytest.raises(FedcreditError, match="CONFLICT"):
        store.calls.keep("job", "Sign", b"other", b"reply")
    with pytest.raises(PeerError) as conflict:
        store.calls.reply_to("job", "Sign", b"other", PLATFORM)
    assert (conflict.value.code, conflict.value.culprit) == ("CONFLICT", PLATFORM)
    store.close()


def test_an_audit_head_never_shrinks(store_url: str) -> None:
    store = Store.open(store_url)
    store.heads.put("bank", 3, b"r" * 32)
    store.heads.put("bank", 4, b"s" * 32)
    assert store.heads.of("bank") == (4, b"s" * 32)
    with pytest.raises(FedcreditError, match="AUDIT_ROLLBACK"):
        store.heads.put("bank", 2, b"t" * 32)
    assert store.heads.of("tax") is None
    store.close()


def test_results_are_listed(store_url: str) -> None:
    store = proposed(store_url)
    store.results.add("job", [("model/m.json", b"d" * 32, 7), ("metrics.json", b"e" * 32, 9)])
    assert store.results.files("job") == [("metrics.json", b"e" * 32, 9), ("model/m.json", b"d" * 32, 7)]
    store.close()


def test_writes_are_durable_and_safe_from_any_thread(store_url: str) -> None:
    store = proposed(store_url)

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


def test_a_store_of_a_newer_version_is_refused_and_not_touched(empty_store_url: str) -> None:
    Store.open(empty_store_url).close()
    run(empty_store_url, "UPDATE schema_version SET version = 99")
    before = run(empty_store_url, "SELECT * FROM leases")
    for way in (Store.open, Store.look):
        with pytest.raises(ConfigError, match="STORE_VERSION"):
            way(empty_store_url)
    assert run(empty_store_url, "SELECT * FROM leases") == before
