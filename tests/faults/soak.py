"""Many jobs at once on one set of nodes, for an hour, while nodes are killed: nothing grows, and every job is done.

    python tests/faults/soak.py --minutes 60 --jobs 20 --kill-every 180 --out benchmarks/results/soak.json

Each party runs `--jobs` jobs at a time; an ended one is followed by the next. From time to time a node chosen by chance
is killed and started again. Memory and descriptors of every node's process are sampled; after a quarter of the time as
warm-up, the last quarter is compared with the second. One party is never killed, so its process is as old as the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

import psutil
from faults.town import EVERYBODY, REGISTRY, Town

SAMPLE_S = 5.0
SETTLED_S = 30.0
"""Samples of a younger process are left out: it is still reading its libraries in."""
JOB_S = 900.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one time."""

    at_s: float
    age_s: float
    pid: int
    rss_mib: float
    descriptors: int
    threads: int


@dataclass(slots=True)
class Soak:
    """One soak. `run` once."""

    town: Town
    seconds: float
    jobs: int
    kill_every_s: float
    seed: int
    samples: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    ends: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    durations: list[float] = field(default_factory=list)
    most_at_once: int = 0
    _busy: int = 0
    _began: float = 0.0

    async def run(self) -> dict[str, Any]:
        """Soak; the figures."""
        job = await self.town.submit()
        assert (await self.town.end(job)).stage == "succeeded", "the job works at all"
        oracle = self.town.result(job)
        self._began = time.monotonic()
        aside = [asyncio.create_task(self._sample())]
        if self.kill_every_s:
            aside.append(asyncio.create_task(self._kill()))
        try:
            await asyncio.gather(*(self._work(oracle) for _ in range(self.jobs)))
        finally:
            for task in aside:
                task.cancel()
            failed = [r for r in await asyncio.gather(*aside, return_exceptions=True) if isinstance(r, Exception)]
        assert not failed, failed
        return self.figures()

    def figures(self) -> dict[str, Any]:
        """What was measured so far."""
        return {
            "bench": "soak",
            "case": {"minutes": round(self.seconds / 60, 1), "jobs_at_once": self.jobs, "seed": self.seed},
            "seconds": {
                "total": round(time.monotonic() - self._began, 1),
                "per_job": round(statistics.median(self.durations), 2) if self.durations else None,
            },
            "jobs": dict(self.ends),
            "most_at_once": self.most_at_once,
            "kills": dict(self.kills),
            "never_killed": REGISTRY,
            "nodes": {party: self._growth(party) for party in EVERYBODY},
        }

    async def _work(self, oracle: dict[str, bytes]) -> None:
        """One job after the other until the time is over."""
        while time.monotonic() - self._began < self.seconds:
            started = time.monotonic()
            job = await self.town.submit_patiently()
            self._busy += 1
            self.most_at_once = max(self.most_at_once, self._busy)
            end = await self.town.end(job, JOB_S)
            self._busy -= 1
            same = end.stage == "succeeded" and self.town.result(job) == oracle
            self.ends["done" if same else f"{end.stage}: {end.code or 'another result'}"] += 1
            self.durations.append(time.monotonic() - started)

    async def _kill(self) -> None:
        rng = random.Random(self.seed)
        victims = [party for party in EVERYBODY if party != REGISTRY]
        while True:
            await asyncio.sleep(self.kill_every_s * rng.uniform(0.5, 1.5))
            if time.monotonic() - self._began > self.seconds:
                return
            victim = rng.choice(victims)
            self.kills[victim] += 1
            await self.town.kill(victim)
            await asyncio.sleep(rng.uniform(0, 3))
            await self.town.up(victim)

    async def _sample(self) -> None:
        while True:
            for pid, party in self.town.pids().items():
                try:
                    process = psutil.Process(pid)
                    with process.oneshot():
                        self.samples[party].append(
                            Sample(
                                at_s=time.monotonic() - self._began,
                                age_s=time.time() - process.create_time(),
                                pid=pid,
                                rss_mib=process.memory_info().rss / 2**20,
                                descriptors=process.num_fds(),
                                threads=process.num_threads(),
                            )
                        )
                except psutil.NoSuchProcess:
                    continue
            await asyncio.sleep(SAMPLE_S)

    def _growth(self, party: str) -> dict[str, Any]:
        """Medians of the second and of the last quarter, and how much the last is above."""
        found: dict[str, Any] = {"processes": len({sample.pid for sample in self.samples[party]})}
        for what in ("rss_mib", "descriptors", "threads"):
            second, last = (
                [
                    getattr(sample, what)
                    for sample in self.samples[party]
                    if sample.age_s > min(SETTLED_S, self.seconds / 8) and start <= sample.at_s / self.seconds < stop
                ]
                for start, stop in ((0.25, 0.5), (0.75, 1.0))
            )
            if second and last:
                early, late = statistics.median(second), statistics.median(last)
                growth = round(late / early - 1, 4)
                found[what] = {"second_quarter": round(early, 1), "last_quarter": round(late, 1), "growth": growth}
        return found


async def soak(folder: Path, *, seconds: float, jobs: int, kill_every_s: float, seed: int) -> dict[str, Any]:
    """Soak a town of its own in `folder`; the figures."""
    town = Town(folder, limits={"lost_after_s": 30.0})
    try:
        await town.start()
        return await Soak(town, seconds, jobs, kill_every_s, seed).run()
    finally:
        await town.close()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--kill-every", type=float, default=180, help="seconds on average; 0 for never")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "soak.json")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(
            soak(
                Path(folder) / "town",
                seconds=chosen.minutes * 60,
                jobs=chosen.jobs,
                kill_every_s=chosen.kill_every,
                seed=chosen.seed,
            )
        )
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    found["commit"] = commit.stdout.strip()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(found) + "\n")
    print(json.dumps(found, indent=2))
    grown = [
        p for p, node in found["nodes"].items() if any(v["growth"] > 0.05 for v in node.values() if isinstance(v, dict))
    ]
    bad = [end for end in found["jobs"] if end != "done"]
    if grown or bad:
        print(f"grown: {grown}; not done: {bad}", file=sys.stderr)
    return 1 if grown or bad else 0


if __name__ == "__main__":
    sys.exit(main())
