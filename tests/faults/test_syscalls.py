"""Each system call of one checkpoint, its audit entry and one job update, made to fail or to be the last one; each of
a batch of audit entries; and each of a node's start after a crash.

For every occurrence of every call between `go` and the end of the process in `writer.py`: EIO, ENOSPC, SIGKILL, by
strace. Afterwards the store and the log must be whole, hold all that was acknowledged, and take new writes.
"""

from __future__ import annotations

import queue
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from faults.writer import BATCH, KEY, LOG, NOW, STATE, opened

from fedcredit.errors import ConfigError
from fedcredit.governance.audit import Event
from fedcredit.node.audit_scan import read_log
from fedcredit.node.fsck import check_audit
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Holder, JobState, Store

ROOT = Path(__file__).resolve().parents[2]

# The names that one call has: with and without `at`, and the forms that SQLite uses.
CALLS = {
    "openat": ("openat", "open"),
    "linkat": ("linkat", "link"),
    "renameat": ("rename", "renameat", "renameat2"),
    "fsync": ("fsync", "fdatasync"),
    "close": ("close",),
    "read": ("read", "pread64"),
    "write": ("write", "pwrite64"),
    "shorten": ("ftruncate", "unlink", "unlinkat"),
}
FAULTS = ("error=EIO", "error=ENOSPC", "signal=SIGKILL")
TYPED = {"LOCKED", "STORE_FULL", "STORE_UNAVAILABLE", "STORE_DAMAGED", "AUDIT_UNAVAILABLE"}
PATIENCE_S = 300
WRITERS = 4


@dataclass
class Outcome:
    """What a writer said before its end."""

    did: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    bugs: list[str] = field(default_factory=list)
    status: int | None = None


class Writer:
    """The process of `writer.py`, and strace at each of its children."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.writer"],
            cwd=ROOT / "tests",
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, what: str, folder: Path, *options: str) -> Outcome:
        """Let a child do `what` in `folder` under strace with these options."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {folder}\n")
        self._process.stdin.flush()
        word, _, pid = self._process.stdout.readline().strip().partition(" ")
        assert word == "ready", f"{word} {pid}"
        command = ["strace", "-f", "-p", pid, *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
            (folder / "go").touch()
            outcome = Outcome()
            while outcome.status is None:
                assert self._process.poll() is None
                word, _, rest = self._process.stdout.readline().strip().partition(" ")
                if word == "did":
                    outcome.did.append(rest)
                elif word == "refused":
                    name, _, code = rest.partition(" ")
                    outcome.refused[name] = code
                elif word == "ended":
                    outcome.status = int(rest)
                else:
                    outcome.bugs.append(f"{word} {rest}")
            tracer.stderr.read()
            assert tracer.wait(PATIENCE_S) is not None
        return outcome

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate(timeout=PATIENCE_S)


class Writers:
    """Some of them: most of a run is waiting for the disk and for strace."""

    def __init__(self, number: int) -> None:
        self._all = [Writer() for _ in range(number)]
        self._free: queue.Queue[Writer] = queue.Queue()
        for writer in self._all:
            self._free.put(writer)

    def run(self, what: str, folder: Path, *options: str) -> Outcome:
        """As `Writer.run`, by one that is free."""
        writer = self._free.get(timeout=PATIENCE_S)
        try:
            return writer.run(what, folder, *options)
        finally:
            self._free.put(writer)

    def close(self) -> None:
        """End them all."""
        for writer in self._all:
            writer.close()


@pytest.fixture
def writers() -> Iterator[Writers]:
    if shutil.which("strace") is None:
        pytest.skip("no strace is installed")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace may not trace here")
    several = Writers(WRITERS)
    yield several
    several.close()


def prepared(folder: Path) -> Path:
    """A store with two running jobs, and an audit log with an entry."""
    folder.mkdir(parents=True)
    store, audit = opened(folder)
    for job in ("job", "other"):
        store.jobs.propose(job, b"{}", b"n" * 32, b"f" * 32)
        store.jobs.sign(job, b"{}", job.encode().ljust(32, b"s"))
        store.jobs.start(job, b"{}")
    Recorder(audit, store).record(Event.JOB_ACCEPTED, "job", purpose="research")
    store.close()
    audit.close()
    return folder


def crashed(folder: Path) -> Path:
    """What is on the disk when a node dies after its first stage; `warm` has a store to warm up with."""
    running = prepared(folder / "running")
    # Held by a process that is no more, as far as anybody can see.
    store, audit = opened(running, replace(Holder.mine(), started="1"))
    store.stages.finish("job", "warm", STATE, NOW)
    Recorder(audit, store).record(Event.STAGE_DONE, "job", stage="warm")
    # Its lease would run out while the cases run, and the later ones would meet other calls than the first.
    with closing(sqlite3.connect(running / "store.sqlite")) as raw, raw:
        raw.execute("UPDATE leases SET expires = 1e12")
    left = shutil.copytree(running, folder / "left")
    store.close()
    audit.close()
    assert (left / "store.sqlite-wal").stat().st_size > 0
    prepared(left / "warm")
    return left


def wrong_with(folder: Path, outcome: Outcome, fault: str) -> list[str]:
    """What must not be after a writer's end."""
    found = [*outcome.bugs]
    found += [f"{name} was refused as {code}" for name, code in outcome.refused.items() if code not in TYPED]
    if "SIGKILL" in fault and outcome.status != -signal.SIGKILL:
        found.append("was not killed: the fault was not met")
    if "error" in fault and outcome.status != 0:
        found.append(f"ended with {outcome.status}")
    store = Store.look(f"sqlite:///{folder / 'store.sqlite'}")
    found += map(str, store.problems())
    found += map(str, check_audit(store, folder / "audit", LOG, lambda: KEY.public_key().verify)[1])
    found += wrong_content(store, folder, outcome)
    store.close()
    try:
        write_on(folder)
    except ConfigError as error:
        found.append(f"takes no more writes: {error.code}")
    return found


def wrong_content(store: Store, folder: Path, outcome: Outcome) -> Iterator[str]:
    row, state = store.jobs.job("job"), store.stages.state("job", "align")
    assert row is not None
    entries, _ = read_log(folder / "audit", LOG, KEY.public_key().verify)
    staged = [entry.facts.get("stage") for entry in entries]
    if store.stages.state("job", "warm") != STATE or staged[:2] != [None, "warm"]:
        yield "what was there before is lost"
    if state not in (STATE, None) or (state is None and "checkpoint" in outcome.did):
        yield "the checkpoint is lost"
    if "entry" in outcome.did and staged[2:] != ["align"]:
        yield "the entry is lost"
    if staged[2:] not in ([], ["align"], BATCH):
        yield "a part of a batch is there, or what nobody wrote"
    if "batch" in outcome.did and staged[2:] != BATCH:
        yield "entries of a batch are lost"
    if row.state not in (JobState.RUNNING, JobState.WAITING):
        yield "the job is in no state that it was ever in"
    if row.state is not JobState.WAITING and "update" in outcome.did:
        yield "the update is lost"


def write_on(folder: Path) -> None:
    """The next start of the node takes over from the dead process and goes on."""
    store, audit = opened(folder)
    store.stages.finish("job", "align", STATE, NOW)
    Recorder(audit, store).record(Event.STAGE_DONE, "job", stage="again")
    store.jobs.resume("job", 1, 2)
    store.close()
    audit.close()


def injections(counts: Mapping[str, int]) -> Iterator[tuple[str, int, str]]:
    for forms in CALLS.values():
        for name in forms:
            for number in range(1, counts.get(name, 0) + 1):
                for fault in FAULTS:
                    yield name, number, fault


@dataclass(frozen=True)
class Window:
    """A stretch of a process's life in which each call is hurt once."""

    what: str
    before: Callable[[Path], Path]
    steps: tuple[str, ...]
    calls: frozenset[str]
    codes: frozenset[str]


WRITE = Window(
    "write",
    prepared,
    ("checkpoint", "entry", "update", "close"),
    frozenset({"openat", "rename", "fsync", "fdatasync", "close", "pread64", "write", "pwrite64"}),
    frozenset({"STORE_FULL", "STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"}),
)
TOGETHER = Window(
    "batch",
    prepared,
    ("batch", "close"),
    frozenset({"openat", "rename", "fsync", "fdatasync", "close", "pread64", "write", "pwrite64"}),
    frozenset({"STORE_FULL", "STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"}),
)
START = Window(
    "start",
    crashed,
    ("open", "close"),
    frozenset({"openat", "fdatasync", "close", "read", "pread64", "pwrite64"}),
    frozenset({"STORE_UNAVAILABLE"}),
)


@pytest.mark.slow
@pytest.mark.parametrize("window", [WRITE, TOGETHER, START], ids=["write", "batch", "start"])
def test_no_system_call_that_fails_loses_or_damages_anything(
    writers: Writers, tmp_path: Path, capsys: pytest.CaptureFixture[str], window: Window
) -> None:
    before = window.before(tmp_path / "before")
    names = ",".join(f"?{name}" for forms in CALLS.values() for name in forms)
    counts: list[Counter[str]] = []
    for number in range(2):
        folder = shutil.copytree(before, tmp_path / f"dry{number}")
        log = tmp_path / f"dry{number}.log"
        outcome = writers.run(window.what, folder, "-e", f"trace={names}", "-o", str(log))
        assert (tuple(outcome.did), outcome.status, outcome.bugs) == (window.steps, 0, [])
        assert not wrong_with(folder, outcome, "")
        counts.append(Counter(re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE)))
    # What is counted has to be the same each time, or an injection would not be where it is thought to be.
    assert counts[0] == counts[1]
    assert window.calls <= counts[0].keys()

    found, done, refused = [], Counter[str](), Counter[str]()

    def inject(case: tuple[str, int, str]) -> None:
        name, number, fault = case
        what = f"inject={name}:{fault}:when={number}"
        with tempfile.TemporaryDirectory(dir=tmp_path) as place:
            folder = shutil.copytree(before, Path(place) / "case")
            outcome = writers.run(window.what, folder, "-e", f"trace={name}", "-e", what, "-o", "/dev/null")
            found.extend(f"{what}: {wrong}" for wrong in wrong_with(folder, outcome, fault))
        done[name] += 1
        refused.update(outcome.refused.values())

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(inject, injections(counts[0])):
            pass
    with capsys.disabled():
        never = [call for call, forms in CALLS.items() if not counts[0].keys() & set(forms)]
        counted = f"{window.what}: {done.total()} injections into {dict(done)}, never called: {never}"
        print(f"\n{counted}: {len(found)} wrong; refused as {dict(refused)}")
    assert not found, "\n".join(found)
    assert done.total() == len(FAULTS) * counts[0].total()
    assert window.codes <= refused.keys()
