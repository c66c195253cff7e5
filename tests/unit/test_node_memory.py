"""Memory that the system refuses: known beforehand where it can be, typed where it is met, a stuck process ended."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedcredit.ids import PartyId
from fedcredit.node.jobs.control_groups import group_room
from fedcredit.node.jobs.memory import needed_memory
from fedcredit.node.jobs.waits import reason_to_wait

BANK, TAX = "bank", "tax"


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOMEM, "no memory"), RuntimeError("can't start new thread")]
)
def test_a_job_waits_for_memory_that_the_system_refuses(error: Exception) -> None:
    found = reason_to_wait(error)
    assert found is not None
    assert found.code == "OUT_OF_MEMORY"
    assert reason_to_wait(RuntimeError("a bug")) is None


SCARCE = """
import resource
from fedcredit.errors import RefusedError
from fedcredit.node.jobs.control_groups import group_room
from fedcredit.node.jobs.memory import check_memory, free_memory
status = dict(line.split(":") for line in open("/proc/self/status").read().splitlines())
has = int(status["VmSize"].split()[0]) << 10
resource.setrlimit(resource.RLIMIT_AS, (has + (100 << 20), resource.RLIM_INFINITY))
assert free_memory() <= 100 << 20, free_memory()
check_memory(10 << 20)
try:
    check_memory(200 << 20)
except RefusedError as refused:
    print(refused)
"""


def test_what_a_process_may_still_have_is_known_before_it_is_asked_for() -> None:
    ran = subprocess.run([sys.executable, "-c", SCARCE], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("MEMORY_SHORT: memory of the node: 209715200 bytes are needed,")


def test_what_a_job_needs_grows_with_rows_columns_and_bins() -> None:
    def need(me: str, rows: int, features: int, max_bin: int, mode: str = "ecdh", **of_model: Any) -> int:
        entries = [
            {"id": party, "role": "label" if party == BANK else "feature", "rows": rows, "features": features}
            for party in (BANK, TAX)
        ]
        model: dict[str, Any] = {"name": "gbdt.0", "kind": "gbdt", "params": {"max_bin": max_bin}}
        model |= {"groupsum": "auto", "hide_nodes": False, "split": "vertical"} | of_model
        job = SimpleNamespace(
            parties=[SimpleNamespace(**entry) for entry in entries],
            models=[SimpleNamespace(**model)],
            label_party=BANK,
            feature_parties=(TAX,),
            layout="vertical",
            intersect=SimpleNamespace(size_only=False, line_mbit=None),
            intersect_choice=SimpleNamespace(mode=mode),
        )
        job.party = lambda wanted: next(entry for entry in job.parties if entry.id == wanted)
        return needed_memory(cast(Any, job), PartyId(me))

    assert need(TAX, 100_000, 300, 32) == (48 << 20) + 100_000 * 256 + 100_000 * 300 * 81
    assert need(BANK, 100_000, 300, 32) == (48 << 20) + 100_000 * 256 + 100_000 * 300 * 16
    # Whoever lends a filter follows it; whoever looks up in it works on its own few rows.
    assert need(TAX, 100_000, 300, 32, "unbalanced") == (48 << 20) + 100_000 * 160 + 100_000 * 300 * 81
    assert need(BANK, 100_000, 300, 32, "unbalanced") == need(BANK, 100_000, 300, 32)
    model = 10_000_000 * 1 * 81
    assert need(TAX, 10_000_000, 1, 32, "fast") == (48 << 20) + (256 << 20) + 10_000_000 * 48 + model
    assert need(TAX, 10_000_000, 1, 32, "fast") < need(TAX, 10_000_000, 1, 32)
    assert need(TAX, 1000, 2, 8) < need(TAX, 1000, 2, 9) < need(TAX, 1001, 2, 9) < need(TAX, 1001, 3, 9)
    # Under Paillier a holder keeps a ciphertext a row, unless every level brings its own, and sums of 8 nodes twice.
    base, sums = (48 << 20) + 100_000 * 256, 768 * 2 * 300 * 32 * 8
    assert need(TAX, 100_000, 300, 32, groupsum="paillier") == base + 100_000 * 768 + sums
    assert need(TAX, 100_000, 300, 32, groupsum="paillier", hide_nodes=True) == base + sums
    assert need(BANK, 100_000, 300, 32, groupsum="paillier") == base
    # Counts under ring-LWE: of the labels what is encrypted, at most of two million rows at a time.
    binned: dict[str, Any] = {"kind": "binning", "params": {}}
    assert need(BANK, 100_000, 300, 10, **binned) == base + 100_000 * (300 + 80)
    assert need(TAX, 100_000, 300, 10, **binned) == base + 100_000 * (600 + 150)
    many = (48 << 20) + 10_000_000 * 256 + 10_000_000 * 300 + (256 << 20) + 255 * 8192 * 150
    assert need(TAX, 10_000_000, 300, 10, **binned) == many
    # A fit under Paillier holds ciphertexts of all rows, of its own vector and of the other's.
    fit: dict[str, Any] = {"kind": "logistic", "params": {}}
    under_rlwe = base + 100_000 * (1600 + 10 * 36)
    assert need(TAX, 100_000, 10, 10, **fit) == need(BANK, 100_000, 10, 10, **fit) == under_rlwe
    assert need(TAX, 100_000, 10, 10, groupsum="paillier", **fit) == under_rlwe + 100_000 * 5 * 768
    assert need(TAX, 100_000, 300, 10, groupsum="onehot", **binned) == base + 100_000 * 300 + (256 << 20)


GIB = 1 << 30


def kernel(root: Path, cgroup: str, groups: dict[str, dict[str, str]]) -> list[int]:
    """What is left by a kernel that says this."""
    for place, files in {"proc/self": {"cgroup": cgroup}, **groups}.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (root / place / name).write_text(text + "\n")
    return list(group_room(root))


def v2(limit: str, used: int, inactive: int = 0) -> dict[str, str]:
    return {"memory.max": limit, "memory.current": str(used), "memory.stat": f"anon 5\ninactive_file {inactive}\nx 1"}


def v1(limit: int, used: int, inactive: int = 0) -> dict[str, str]:
    stat = f"inactive_file 1\ntotal_inactive_file {inactive}"
    return {"memory.limit_in_bytes": str(limit), "memory.usage_in_bytes": str(used), "memory.stat": stat}


def test_every_control_group_above_a_process_counts(tmp_path: Path) -> None:
    top = "sys/fs/cgroup"
    found = kernel(
        tmp_path,
        "0::/nodes/tax",
        {f"{top}/nodes/tax": v2("max", 5), f"{top}/nodes": v2(str(4 * GIB), 3 * GIB, GIB // 2)},
    )
    assert found == [GIB + GIB // 2]


@pytest.mark.parametrize("controllers", ["memory", "cpuset,memory", "memory,hugetlb"])
def test_control_groups_of_version_1_count_too(controllers: str, tmp_path: Path) -> None:
    top, none = "sys/fs/cgroup/memory", 9223372036854771712
    found = kernel(
        tmp_path,
        f"12:pids:/other\n11:{controllers}:/nodes/tax\n1:name=systemd:/nodes",
        {f"{top}/nodes/tax": v1(2 * GIB, GIB, GIB // 4), f"{top}/nodes": v1(none, GIB), top: v1(none, 2 * GIB)},
    )
    assert found == [GIB + GIB // 4, none - GIB, none - 2 * GIB]


def test_in_a_container_the_topmost_group_is_its_own(tmp_path: Path) -> None:
    found = kernel(tmp_path, "4:memory:/docker/0123", {"sys/fs/cgroup/memory": v1(GIB, GIB // 2)})
    assert found == [GIB // 2]


STUCK = """
import asyncio, sys, time
from fedcredit.node.serve.watchdog import Watchdog
async def main():
    dog = Watchdog("tax", look_s=0.05, most_missed=20)
    await asyncio.sleep(2)
    print("alive", flush=True)
    if sys.argv[1] == "stuck":
        time.sleep(600)
    dog.stop()
asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "status"), [("stuck", 75), ("well", 0)])
def test_a_process_whose_event_loop_stands_still_ends(how: str, status: int) -> None:
    ran = subprocess.run([sys.executable, "-c", STUCK, how], capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, ran.stdout) == (status, "alive\n"), ran.stderr
    assert ("node.stuck" in ran.stderr) == (how == "stuck")
