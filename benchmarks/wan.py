"""Private set intersection over a long, thin line, from CSV to CSV: two network namespaces, 100 Mbit/s, 20 ms.

    sudo python benchmarks/wan.py [--rows N ...] [--modes MODE ...] [--repeat N] > benchmarks/results/wan.json

The bank and the platform run in one namespace, the other party in the other. The line between them is a pair of TUN
devices: `tc` (tbf) lets so many bits a second out of each, and this process hands every packet on when half of the
round-trip time has passed. So TCP meets a real line, on kernels without netem, too. Needs root and /dev/net/tun.
Prints one JSON object a case: `seconds` (median of the repeats) of `total`, from the moment the running parties are
asked to the receiver's file on disk, and `protocol`, the align stage alone; `bytes` over the line, both ways, headers
and all; `least`, the seconds that those bytes take at this rate in the busier direction; `round_trip_ms` as measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from intersect import write_tables

from fedcredit.cli.benches.jobs import align_seconds, peak_memory
from fedcredit.ids import PartyId
from fedcredit.node.figures import environment
from fedcredit.node.local import PLATFORM, Consortium, prepare_folder, publish
from fedcredit.node.processes import Child, Children
from fedcredit.runtime.config import load_job
from fedcredit.runtime.toml import dump

HERE, THERE = "fedcredit-here", "fedcredit-there"
ADDRESSES = {HERE: "10.213.0.1", THERE: "10.213.0.2"}
MTU = 1500
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
TIMEOUT_S = 1800


def main() -> None:
    """Make the line, and measure in it what the command line asks for."""
    parser = argparse.ArgumentParser(prog="wan", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--modes", nargs="+", default=["fast"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rate", type=float, default=100.0, help="Mbit/s, each way")
    parser.add_argument("--round-trip", type=float, default=20.0, help="ms")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        for rows in given.rows:
            for line in measure(rows, given):
                print(json.dumps(line), flush=True)
        return
    if os.geteuid() or not Path("/dev/net/tun").exists():
        sys.exit("needs root, for network namespaces, and /dev/net/tun")
    with line_between(given.rate, given.round_trip / 2000):
        command = ["ip", "netns", "exec", HERE, sys.executable, __file__, *sys.argv[1:], "--inside"]
        sys.exit(subprocess.run(command, check=False).returncode)


# -- the line ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def line_between(rate_mbit: float, delay_s: float) -> Iterator[None]:
    """Both namespaces, and a line of that rate and delay between them."""
    ends: list[int] = []
    tokens = ["rate", f"{rate_mbit:g}mbit", "burst", "32kb", "latency", "100ms"]
    try:
        for name in (HERE, THERE):
            subprocess.run(["ip", "netns", "add", name], check=True)
            ends.append(_tun(f"wan{len(ends)}"))
            inside = ["ip", "netns", "exec", name]
            device, other = f"wan{len(ends) - 1}", ADDRESSES[THERE if name == HERE else HERE]
            for command in (
                ["ip", "link", "set", device, "netns", name],
                [*inside, "ip", "link", "set", "lo", "up"],
                [*inside, "ip", "addr", "add", ADDRESSES[name], "peer", other, "dev", device],
                [*inside, "ip", "link", "set", device, "mtu", str(MTU), "txqueuelen", "1000", "up"],
                [*inside, "tc", "qdisc", "add", "dev", device, "root", "tbf", *tokens],
            ):
                subprocess.run(command, check=True)
        for source, target in (ends, ends[::-1]):
            threading.Thread(target=_carry, args=(source, target, delay_s), daemon=True).start()
        yield
    finally:
        for name in (HERE, THERE):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def _tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def _carry(source: int, target: int, delay_s: float) -> None:
    """Hand packets on, each `delay_s` after it came, for as long as there are both ends."""
    under_way: deque[tuple[float, bytes]] = deque()
    came = threading.Semaphore(0)

    def arrive() -> None:
        while True:
            came.acquire()
            due, packet = under_way.popleft()
            if (early_s := due - time.monotonic()) > 0:
                time.sleep(early_s)
            with contextlib.suppress(OSError):
                os.write(target, packet)

    threading.Thread(target=arrive, daemon=True).start()
    with contextlib.suppress(OSError):
        while packet := os.read(source, MTU + 100):
            under_way.append((time.monotonic() + delay_s, packet))
            came.release()


# -- what runs over it ---------------------------------------------------------------------------------------------


class Apart(Children):
    """Starts the node of one party in the other namespace."""

    def __init__(self, away: PartyId) -> None:
        super().__init__()
        self._away = away

    async def start(self, party: PartyId, folder: Path, log: Path) -> Child:
        """As `Children.start`, in the namespace of the party."""
        if party != self._away:
            return await super().start(party, folder, log)
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *("ip", "netns", "exec", THERE, sys.executable, "-m", "fedcredit.cli.main"),
                *("node", "up", str(folder), "--with-parent"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        child = self._children[party] = Child(party, folder, log, process)
        return child


class LongLine(Consortium):
    """A consortium with the line between one party and the others."""

    def __init__(self, job: Any, out: Path, away: PartyId) -> None:
        super().__init__(job, out)
        self.children, self._away = Apart(away), away

    def _party_file(self, party: PartyId) -> dict[str, Any]:
        return super()._party_file(party) | self._listen(party)

    def _platform_file(self, addresses: dict[PartyId, str]) -> dict[str, Any]:
        return super()._platform_file(addresses) | self._listen(PLATFORM)

    def _listen(self, party: PartyId) -> dict[str, Any]:
        return {"listen": {"host": ADDRESSES[THERE if party == self._away else HERE], "port": 0}}


def measure(rows: int, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All modes at one size."""
    where, load = environment(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-") as name:
        folder = Path(name)
        write_tables(folder, rows, ("tax",))
        for mode in given.modes:
            turns = []
            for turn in range(given.repeat):
                print(f"{rows:,} rows, {mode}, turn {turn + 1} of {given.repeat}", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    turns.append(asyncio.run(once(folder, Path(out) / "out", rows, mode)))
            ways = statistics.median(turn["busier"] for turn in turns)
            yield {
                "bench": "wan",
                "case": {"mode": mode, "rows": rows, "shared": rows // 2, "rate_mbit": given.rate}
                | {"round_trip_ms": given.round_trip},
                "seconds": {
                    part: round(statistics.median(turn[part] for turn in turns), 3) for part in ("total", "protocol")
                },
                "least": round(ways * 8 / given.rate / 1e6, 3),
                "bytes": statistics.median(turn["bytes"] for turn in turns),
                "bytes_per_item": round(statistics.median(turn["bytes"] for turn in turns) / rows, 1),
                "round_trip_ms": round(statistics.median(turn["round_trip_ms"] for turn in turns), 1),
                "rss_mib": max(turn["rss_mib"] for turn in turns),
                "load": round(load, 2),
                "machine": where["machine"],
                "commit": where["commit"],
            }


async def once(folder: Path, out: Path, rows: int, mode: str) -> dict[str, Any]:
    """One job over the line."""
    job = {
        "job": {"name": "bench-wan", "purpose": "research", "seed": 7},
        "parties": {"bank": {"table": "bank.csv", "id": "uscc"}, "tax": {"table": "tax.csv", "id": "uscc"}},
        "intersect": {"mode": mode, "receiver_only": True},
    }
    (folder / "JOB.toml").write_text(dump(job), encoding="utf-8")
    definition = load_job(folder / "JOB.toml")
    prepare_folder(out)
    async with LongLine(definition, out, PartyId("tax")) as consortium:
        round_trip_s = _round_trip(consortium.children[PartyId("tax")].address)
        before, begun = _carried(), time.perf_counter()
        name = await consortium.run()
        total, after = time.perf_counter() - begun, _carried()
        await consortium.stop()
        metrics = publish(definition, name, out)
    if (out / "aligned.csv").read_bytes().count(b"\n") - 1 != rows // 2:
        raise AssertionError("found another intersection")
    ways = [b - a for a, b in zip(before, after, strict=True)]
    return {
        "total": total,
        "protocol": align_seconds(metrics),
        "bytes": sum(ways),
        "busier": max(ways),
        "round_trip_ms": round_trip_s * 1000,
        "rss_mib": peak_memory(metrics),
    }


def _round_trip(address: str) -> float:
    """Seconds that a connection to `address` takes to be made: one round trip."""
    host, port = address.rsplit(":", 1)
    begun = time.perf_counter()
    with socket.create_connection((host, int(port)), timeout=10):
        return time.perf_counter() - begun


def _carried() -> tuple[int, int]:
    """Bytes that this end of the line has sent and received."""
    counts = Path("/proc/self/net/dev").read_text().split("wan0:")[1].splitlines()[0].split()
    return int(counts[8]), int(counts[0])


if __name__ == "__main__":
    main()
