"""F10 on the store: killed at each of its failpoints, it holds all that was acknowledged and nothing by halves."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from faults import store_script

from fedcredit import failpoints
from fedcredit.errors import FedcreditError
from fedcredit.node.store import JobState, Store
from fedcredit.runtime.clock import ManualClock


@pytest.mark.slow
def test_a_store_killed_at_any_failpoint_keeps_what_was_acknowledged_and_nothing_by_halves(tmp_path: Path) -> None:
    script = Path(store_script.__file__)
    ran = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    report = json.loads(ran.stdout)
    clean, killed = report["clean"], report["killed"]
    assert len(set(clean)) == len(clean), "every write changes something"
    for place, (acknowledged, content) in killed.items():
        assert acknowledged >= 0, (place, content)
        if ".committed" in place and not place.startswith("store.lease"):
            assert content == clean[acknowledged + 1], f"{place}: durable, though nobody was told"
        else:
            assert content == clean[acknowledged], f"{place}: not yet, and so not at all"
    places = {place.split("@")[0] for place in killed}
    assert places == {name for name in failpoints.NAMES if name.startswith("store.")}


@pytest.mark.parametrize("n", [64])
def test_a_step_that_many_threads_take_at_once_is_taken_once(tmp_path: Path, n: int) -> None:
    """F5: 64 threads start the same job; one does, the others are told that it is no longer to be started."""
    store = Store.at(tmp_path / "store.sqlite", ManualClock())
    store.jobs.propose("a", b"p", bytes(32), bytes(32))
    store.jobs.sign("a", b"spec", bytes(32))
    gate, codes = threading.Barrier(n), []

    def start() -> None:
        gate.wait(30)
        try:
            store.jobs.start("a", b"signatures")
            codes.append("started")
        except FedcreditError as refused:
            codes.append(refused.code)

    threads = [threading.Thread(target=start) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(codes) == ["JOB_STATE"] * (n - 1) + ["started"]
    row = store.jobs.job("a")
    assert row is not None
    assert row.state is JobState.RUNNING
    store.close()
