"""The processes of the bench: servers that are measured from outside, and the generator, which must not share theirs.

A server says its port on its standard output when it listens, and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import FedcreditError, Problem

__all__ = ["BenchFailed", "Process", "Usage", "generated", "started", "watched"]

_READY_S = 600.0
_STOP_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MODULE = "fedcredit.cli.benches.verification"


class BenchFailed(FedcreditError):
    """A process of the bench did not do its part."""

    exit_status, default_code = 70, "BENCH_FAILED"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used. Units: seconds of processor time, MiB of memory."""

    cpu_s: float
    rss_mib: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Process:
    """A server that runs, and where."""

    pid: int
    port: int

    def usage(self) -> Usage:
        """As of now, from /proc: threads that have ended count."""
        folder = Path("/proc") / str(self.pid)
        # The name of the program, in brackets, may hold anything.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        resident = int((folder / "statm").read_text().split()[1])
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        return Usage(cpu, resident * _PAGE / (1 << 20), len(list((folder / "fd").iterdir())))


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Process]:
    """A server of this kind over the setting in `folder`. Raises: BenchFailed."""
    with (folder / f"{kind}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{_MODULE}.serve_main", kind, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None, "standard output is a pipe"
    try:
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise _failed(kind, folder)
        yield Process(process.pid, int(line))
    finally:
        assert process.stdin is not None, "standard input is a pipe"
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def watched(process: Process, every_s: float = 60.0) -> Iterator[list[float]]:
    """What a process holds from now on, at the beginning and every so many seconds. Units: MiB."""
    held, ended = [process.usage().rss_mib], threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            held.append(process.usage().rss_mib)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield held
    finally:
        ended.set()
        watcher.join()


def generated(folder: Path, load: dict[str, Any]) -> dict[str, Any]:
    """What came of a load (`load_main` says how one is written) from a process of its own. Raises: BenchFailed."""
    done = subprocess.run(
        [sys.executable, "-m", f"{_MODULE}.load_main", str(folder)],
        input=json.dumps(load).encode(),
        capture_output=True,
        timeout=_READY_S + float(load["warm_up_s"]) + float(load["measured_s"]),
        check=False,
    )
    if done.returncode != 0:
        (folder / "load.log").write_bytes(done.stderr)
        raise _failed("load", folder)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _failed(kind: str, folder: Path) -> BenchFailed:
    said = (folder / f"{kind}.log").read_text(errors="replace").strip().splitlines()
    return BenchFailed(Problem("BENCH_FAILED", f"bench verify: {kind}", said[-1] if said else "ended without a word"))
