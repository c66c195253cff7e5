"""Private set intersection from CSV to CSV: ours and others', on the same files, in the same run.

    python benchmarks/intersect.py [--rows N ...] [--repeat N] [--skip RUN ...] > benchmarks/results/peers.json

Both parties run on this machine, as processes of their own, over loopback; half of the identifiers are shared, and only
the receiver learns the result, as it is with the peers. Ours and the peers take turns, so that all meet the same load.
Prints one JSON object a case: `seconds` (median of the repeats) of `total`, from the moment the running parties are
asked to the receiver's file on disk, and `protocol`, our align stage alone; `bytes` that loopback carried meanwhile,
TLS and all; `bytes_per_item`; `rss_mib` of the larger party; `disk_mib`, the most that lay on the disk of tables, what
the run kept of both parties and its results; `ratio`, the median over the turns of our total by SPU's in its best
setting; `by_two`, the same by our time between two parties, for three; `load`, `machine`, `commit`.

Ours run with mutual TLS, a signed job and an audit log; SPU's link has no TLS. Peers live in benchmarks/peers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedcredit.cli.benches.identifiers import identifiers_of
from fedcredit.cli.benches.jobs import align_seconds, peak_memory
from fedcredit.node.figures import environment
from fedcredit.node.local import Consortium, prepare_folder, publish
from fedcredit.runtime.config import load_job
from fedcredit.runtime.toml import dump

PEERS = Path(__file__).parent / "peers"
PYTHON = PEERS / ".venv" / "bin" / "python"
TIMEOUT_S = 1800
DISK_LOOK_S = 0.2
LINES_AT_ONCE = 1 << 20
CURVES_MOST = 200_000
"""Elliptic curves take minutes from there on."""

Run = Callable[[Path], dict[str, Any]]


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="intersect", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[], help="beginnings of names of runs to leave out")
    given = parser.parse_args()
    for rows in given.rows:
        for line in measure(rows, given.repeat, given.skip):
            print(json.dumps(line), flush=True)


def measure(rows: int, repeat: int, skip: list[str]) -> list[dict[str, Any]]:
    """All runs at one size, in turns."""
    runs: dict[str, Run] = {
        "fedcredit fast": lambda folder: ours(folder, "fast"),
        "fedcredit fast, three parties": lambda folder: ours(folder, "fast", ("bank", "tax", "registry")),
        "SPU RR22 best": lambda folder: spu(folder, "rr22", "best"),
        "SPU RR22 default": lambda folder: spu(folder, "rr22", "default"),
        "SPU KKRT best": lambda folder: spu(folder, "kkrt", "best"),
    }
    if rows <= CURVES_MOST:
        runs["fedcredit ecdh"] = lambda folder: ours(folder, "ecdh")
        runs["SPU ECDH best"] = lambda folder: spu(folder, "ecdh", "best")
        runs["OpenMined"] = openmined
    runs = {name: run for name, run in runs.items() if not any(name.startswith(start) for start in skip)}
    if not PYTHON.exists() and not all(name.startswith("fedcredit") for name in runs):
        sys.exit(f"peers are not installed; see {PEERS / 'README.md'}, or leave them out with --skip")
    load = os.getloadavg()[0]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-") as name:
        folder = Path(name)
        empty = used_bytes(folder)
        write_tables(folder, rows, ("tax", "registry") if any("three" in run for run in runs) else ("tax",))
        for turn in range(repeat):
            for run, work in runs.items():
                print(f"{rows:,} rows, turn {turn + 1} of {repeat}: {run}", file=sys.stderr, flush=True)
                before = loopback_bytes()
                with disk_watched(folder) as most:
                    one = work(folder)
                one.setdefault("bytes", loopback_bytes() - before)
                one["disk_mib"] = (most() - empty) >> 20
                if one.pop("common") != rows // 2:
                    raise AssertionError(f"{run} found another intersection")
                found[run].append(one)
    beside = {"ratio": found.get("SPU RR22 best", []), "by_two": found.get("fedcredit fast", [])}
    return [line_of(run, rows, turns, beside, load) for run, turns in found.items()]


def line_of(
    run: str, rows: int, turns: list[dict[str, Any]], beside: dict[str, list[dict[str, Any]]], load: float
) -> dict[str, Any]:
    """One case, as it is printed."""
    where = environment()
    names = [name for name in ("total", "protocol") if name in turns[0]]
    n_bytes = statistics.median(turn["bytes"] for turn in turns)
    return {
        "bench": "peers",
        "case": {"run": run, "rows": rows, "shared": rows // 2, "receiver_only": True},
        "seconds": {name: round(statistics.median(turn[name] for turn in turns), 3) for name in names},
        "bytes": n_bytes,
        "bytes_per_item": round(n_bytes / rows, 1),
        "rss_mib": max(turn["rss_mib"] for turn in turns),
        "disk_mib": max(turn["disk_mib"] for turn in turns),
        **{
            name: round(statistics.median(a["total"] / b["total"] for a, b in zip(turns, others, strict=True)), 3)
            for name, others in beside.items()
            if others and (name == "ratio" or "three" in run)
        },
        "load": round(load, 2),
        "machine": where["machine"],
        "commit": where["commit"],
    }


def used_bytes(folder: Path) -> int:
    """What lies on the disk of `folder`, files without a name too."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@contextmanager
def disk_watched(folder: Path) -> Iterator[Callable[[], int]]:
    """The most that lay on the disk of `folder` meanwhile."""
    done, seen = threading.Event(), [used_bytes(folder)]

    def watch() -> None:
        while not done.wait(DISK_LOOK_S):
            seen.append(used_bytes(folder))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield lambda: max(seen)
    finally:
        done.set()
        watching.join()


def write_tables(folder: Path, rows: int, others: Sequence[str]) -> None:
    """A file and others with half of its identifiers, all others the same ones, each in an order of its own."""
    rng = np.random.default_rng(7)
    write_csv(folder / "bank.csv", rng.permutation(rows), rng)
    for party in others:
        write_csv(folder / f"{party}.csv", rng.permutation(rows) + rows - rows // 2, rng)


def write_csv(path: Path, numbers: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
    """A file of the subjects with these numbers, and a column of digits; a million lines in memory at a time."""
    with path.open("wb") as file:
        file.write(b"uscc,x\n")
        for start in range(0, len(numbers), LINES_AT_ONCE):
            ids = identifiers_of(numbers[start : start + LINES_AT_ONCE])
            lines = np.empty((len(ids), ids.dtype.itemsize + 3), np.uint8)
            lines[:, :-3] = ids.view(np.uint8).reshape(len(ids), -1)
            lines[:, -3:] = np.frombuffer(b",0\n", np.uint8)
            lines[:, -2] += rng.integers(0, 9, len(ids), dtype=np.uint8)
            file.write(lines.tobytes())


def ours(folder: Path, mode: str, parties: Sequence[str] = ("bank", "tax")) -> dict[str, Any]:
    """A job without a model between running nodes."""
    job = {
        "job": {"name": "bench-intersect", "purpose": "research", "seed": 7},
        "parties": {party: {"table": f"{party}.csv", "id": "uscc"} for party in parties},
        "intersect": {"mode": mode, "receiver_only": True},
    }
    (folder / "JOB.toml").write_text(dump(job), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        return asyncio.run(_ours(load_job(folder / "JOB.toml"), Path(out) / "out"))


async def _ours(job: Any, out: Path) -> dict[str, Any]:
    prepare_folder(out)
    async with Consortium(job, out) as consortium:
        begun = time.perf_counter()
        name = await consortium.run()
        total = time.perf_counter() - begun
        await consortium.stop()
        metrics = publish(job, name, out)
    with (out / "aligned.csv").open("rb") as file:
        lines = sum(line.count(b"\n") for line in iter(lambda: file.read(1 << 24), b"")) - 1
    return {
        "total": total,
        "protocol": align_seconds(metrics),
        "rss_mib": peak_memory(metrics),
        "common": lines,
    }


def spu(folder: Path, protocol: str, setting: str) -> dict[str, Any]:
    """Two processes of SecretFlow SPU; the seconds of the slower one's call."""
    ports = ",".join(str(port) for port in free_ports(2))
    commands = [
        [PYTHON, PEERS / "spu_party.py", str(rank), ports, folder / table, folder / f"spu-{table}", protocol, setting]
        for rank, table in enumerate(("bank.csv", "tax.csv"))
    ]
    pipes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for command in commands]
    try:
        said = [pipe.communicate(timeout=TIMEOUT_S)[0].decode() for pipe in pipes]
    finally:
        for pipe in pipes:
            pipe.kill()
    ends = [json.loads(next(line for line in text.splitlines() if line.startswith("{"))) for text in said]
    lines = (folder / "spu-bank.csv").read_bytes().count(b"\n") - 1
    return {
        "total": max(end["seconds"] for end in ends),
        "rss_mib": max(end["rss_mib"] for end in ends),
        "common": lines,
    }


def openmined(folder: Path) -> dict[str, Any]:
    """OpenMined PSI, both ends in one process; bytes are those of its messages."""
    command = [PYTHON, PEERS / "openmined_party.py", folder / "bank.csv", folder / "tax.csv"]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"total": found.pop("seconds"), **found}


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def loopback_bytes() -> int:
    """What loopback has carried since the machine started."""
    return int(Path("/sys/class/net/lo/statistics/rx_bytes").read_text())


if __name__ == "__main__":
    main()
