"""One instance of a node writes at a time. A second is refused; and where that fails, the older one is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from raw_store import run

from fedcredit.node.store import Holder, LeaseLost, Locked, Store
from fedcredit.node.store.lease import LEASE_S
from fedcredit.runtime.clock import ManualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def elsewhere(name: str = "elsewhere") -> Holder:
    return replace(Holder.mine(), host=name, place=name)


def run_out(url: str, clock: ManualClock) -> None:
    """Let the lease's time pass: by our clock at SQLite, by the server's own at PostgreSQL."""
    if url.startswith("sqlite"):
        clock.advance(LEASE_S)
    else:
        run(url, f"UPDATE leases SET expires = expires - {LEASE_S}")


def test_a_second_instance_is_told_who_has_the_store(store_url: str) -> None:
    first = Store.open(store_url)
    with pytest.raises(Locked) as locked:
        Store.open(store_url)
    assert (locked.value.code, locked.value.exit_status, locked.value.elsewhere) == ("LOCKED", 78, False)
    assert f"process {os.getpid()} on {socket.gethostname()}" in str(locked.value)
    first.events.add("job", 1, b"x")
    first.close()
    Store.open(store_url).close()


def test_the_older_of_two_instances_cannot_write_any_more(store_url: str) -> None:
    clock = ManualClock(NOW)
    older = Store.open(store_url, clock, elsewhere())
    with pytest.raises(Locked) as locked:
        Store.open(store_url, clock)
    assert locked.value.elsewhere
    run_out(store_url, clock)
    newer = Store.open(store_url, clock)
    assert newer.lease.fence == older.lease.fence + 1
    with pytest.raises(LeaseLost) as lost:
        older.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    assert (lost.value.code, lost.value.exit_status) == ("LEASE_LOST", 78)
    for write in (
        lambda: older.events.add("job", 1, b"x"),
        lambda: older.heads.put("bank", 1, bytes(32)),
        lambda: older.budgets.spend("job", "key"),
        older.lease.renew,
    ):
        with pytest.raises(LeaseLost):
            write()
    older.close()
    newer.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    assert [row.id for row in newer.jobs.all()] == ["job"]
    assert newer.events.after("job") == []
    newer.close()


def test_who_says_that_it_lives_keeps_the_lease(store_url: str) -> None:
    clock = ManualClock(NOW)
    first = Store.open(store_url, clock, elsewhere())
    run_out(store_url, clock)
    first.lease.renew()
    with pytest.raises(Locked):
        Store.open(store_url, clock)
    first.close()


def test_a_fence_never_comes_again(store_url: str) -> None:
    fences = []
    for _ in range(3):
        store = Store.open(store_url)
        fences.append(store.lease.fence)
        store.close()
    assert fences == [1, 2, 3]


def test_a_dead_process_of_this_machine_is_followed_at_once(store_url: str) -> None:
    script = (
        "import sys; from fedcredit.node.store import Store\n"
        "store = Store.open(sys.stdin.readline().strip()); print('open', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(store_url + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "open\n"
        with pytest.raises(Locked, match=f"process {child.pid} on "):
            Store.open(store_url)
        child.kill()
        # Not waited for, it is a zombie for now, and that is dead enough.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        Store.open(store_url).close()
    finally:
        child.kill()
        child.communicate(timeout=300)


def test_a_process_number_that_was_given_again_is_another_process(store_url: str) -> None:
    Store.open(store_url, holder=replace(Holder.mine(), started="1"))._database.close()
    Store.open(store_url).close()


def test_losing_the_lease_is_told(store_url: str) -> None:
    store, told = Store.open(store_url), threading.Event()
    store.lease.keep(lambda _lost: told.set())
    run(store_url, "UPDATE leases SET fence = fence + 1, instance = 'other'")
    with pytest.raises(LeaseLost):
        store.events.add("job", 1, b"x")
    # The write that found out woke the thread; it does not wait for its next beat.
    assert told.wait(30)
    store.close()
    assert run(store_url, "SELECT instance FROM leases") == [("other",)]


def test_looking_takes_no_lease_and_writes_nothing(store_url: str) -> None:
    store = Store.open(store_url)
    store.events.add("job", 1, b"x")
    look = Store.look(store_url)
    assert look.events.after("job") == [b"x"]
    with pytest.raises(LeaseLost):
        look.events.add("job", 2, b"y")
    look.close()
    store.events.add("job", 2, b"z")
    store.close()
