"""`fedcredit bench verify`: questions of a bank to a provider's native service, and to the same one in plain `grpcio`.

Mutual TLS, consent checked, decision and entry durable, answer signed: the servers are processes of their own, measured
from outside; so is the generator (`kernels.load`), and every thousandth answer is checked to the provider's key.

`unary`: as many questions as the server answers, with a fixed number under way at once.
`half`: at half of that, calls arriving at random (Poisson); latencies count from when a call was due. `batch`: checks
in batches. `overload`: three times the maximum arrives. `soak`: half the maximum for minutes, and what the server
holds at the end of each. It fails where an answer was wrong, and, of five minutes or more, where a larger part than
one in a hundred calls was turned away or memory grew by more than 5 % after the first tenth of the time.
Settings: subjects (with a consent), connections, seconds (of each run), under_way (per connection; 0: the best of
some), checks (a batch), soak (minutes; 0: none), logs (the folder that the logs are in: its disk bounds latencies).
`shed` is the part that was turned away: of a load that a slow machine does not answer in time, some is.
`rate` is per second of the server's processor time, `per_second` of the clock; p50, p99, p999 are milliseconds.
Peers are asked a part of the questions, so that they too know all consents when they are measured.
`fdatasync_ms` is what the disk of the logs took for 4 KiB, before the run and without load.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.jobs import load, scratch
from fedcredit.cli.benches.verification.load_main import write_pool
from fedcredit.cli.benches.verification.processes import BenchFailed, Process, Usage, generated, started, watched
from fedcredit.cli.benches.verification.setting import Setting
from fedcredit.errors import Problem, UsageError

__all__ = ["JUDGED_MINUTES", "MOST_GROWN", "MOST_SHED", "judge_soak", "run"]

ROWS = 1_000_000
PEERS = ("aio", "threads")
NATIVE = "native"
_BATCHES = 16
_PEERS_REQUESTS = 2_000
_WARM_RUNS = 20
_CHECK_EVERY = 1000
_OK, _SHED = "0", "8"
_UNDER_WAY = (1, 4, 16, 40)
_OVERLOAD = 3.0
_SYNCS = 50
MOST_SHED, MOST_GROWN = 0.01, 0.05
"""Of the calls of a soak, and of what the server held after a tenth of the time: as docs/verify.md has it."""
JUDGED_MINUTES = 5.0
"""A shorter soak says nothing of memory, and one bad moment is a large part of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asked for."""

    folder: Path
    repeat: int
    connections: int
    seconds: float
    under_way: int
    checks: int
    soak_minutes: float
    requests: int


@dataclass(frozen=True, slots=True)
class Run:
    """One load and what the server used for it. `found`: what the generator's process says."""

    found: dict[str, Any]
    before: Usage
    after: Usage

    @property
    def answered(self) -> int:
        """Calls that were answered well."""
        return int(self.found["ended"].get(_OK, 0))

    @property
    def shed(self) -> int:
        """Calls that were turned away."""
        return int(self.found["ended"].get(_SHED, 0))

    @property
    def calls(self) -> int:
        """Calls that ended, however."""
        return int(sum(self.found["ended"].values()))

    @property
    def rate(self) -> float:
        """Answers a second of the server's processor time."""
        return self.answered / max(self.after.cpu_s - self.before.cpu_s, 0.01)

    @property
    def per_second(self) -> float:
        """Answers a second of the clock."""
        return self.answered / float(self.found["seconds"])

    def figures(self) -> dict[str, Any]:
        """What rows have of it."""
        latency = self.found["latencies"].get(_OK, {})
        return {
            "rate": round(self.rate),
            "per_second": round(self.per_second),
            **{name: latency.get(name) for name in ("p50", "p99", "p999")},
            "bytes": round(self.found["bytes"] / max(self.calls, 1)),
            "rss_mib": round(self.after.rss_mib),
            "shed": round(self.shed / max(self.calls, 1), 4),
            "server_cpu_s": round(self.after.cpu_s - self.before.cpu_s, 2),
            "generator_cpu_s": round(self.found["cpu_s"], 2),
        }


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case. Raises: BenchFailed, UsageError."""
    subjects = int(options.number("subjects", 10_000))
    for rows in options.rows or (ROWS,):
        with scratch() as folder, tempfile.TemporaryDirectory(dir=_logs(options), prefix="fedcredit-logs-") as logs:
            setting, consents = Setting.make(folder, rows, subjects, seed=1, logs=Path(logs))
            requests = setting.requests(consents)
            plan = Plan(
                folder=folder,
                repeat=options.repeat,
                connections=int(options.number("connections", 16)),
                seconds=options.number("seconds", 5.0),
                under_way=int(options.number("under_way", 0)),
                checks=int(options.number("checks", 4096)),
                soak_minutes=options.number("soak", 0),
                requests=len(requests),
            )
            write_pool(folder / "pool", requests)
            # A peer would be busy for minutes until it knows all consents; it is spared that.
            write_pool(folder / "pool-of-peers", requests[:_PEERS_REQUESTS])
            write_pool(folder / "batches", setting.batches(consents, plan.checks, _BATCHES))
            about = {"rows": rows, "subjects": setting.subjects, "connections": plan.connections}
            around = {"fdatasync_ms": _sync_ms(Path(logs))}
            peers = {kind: _peer(plan, kind) for kind in PEERS}
            for row in _native(plan, peers):
                yield {**row, "case": row["case"] | about, **around, "load": load()}


def _peer(plan: Plan, kind: str) -> dict[str, Any]:
    own: dict[str, Any] = {"pool": "pool-of-peers"}
    with started(kind, plan.folder) as server:
        _warm(plan, server, own, min(plan.requests, _PEERS_REQUESTS))
        best, under_way = _maximum(plan, server, own)
        half = _half(plan, server, best.per_second, own)
    return {"under_way": under_way, "unary": best.figures(), "half": half.figures()}


def _native(plan: Plan, peers: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    fastest = max(peer["unary"]["rate"] for peer in peers.values())
    own: dict[str, Any] = {"check_every": _CHECK_EVERY}
    with started(NATIVE, plan.folder) as server:
        _warm(plan, server, own, plan.requests)
        best, under_way = _maximum(plan, server, own)
        yield {
            "case": {"case": "unary", "under_way": under_way},
            **best.figures(),
            "times_peer": round(best.rate / fastest, 1),
            "peer": {kind: peer["unary"] | {"under_way": peer["under_way"]} for kind, peer in peers.items()},
        }
        half = _half(plan, server, best.per_second, own)
        yield {
            "case": {"case": "half", "offered": round(best.per_second / 2)},
            **half.figures(),
            "sent_late_ms": half.found["delays"].get("p99"),
            "peer": {kind: peer["half"] for kind, peer in peers.items()},
        }
        yield _batch(plan, server)
        yield _overload(plan, server, best, half)
        if plan.soak_minutes > 0:
            soak = _soak(plan, server, best.per_second / 2)
            yield soak
            judge_soak(soak)


def _warm(plan: Plan, server: Process, own: dict[str, Any], requests: int) -> None:
    """Ask until most consents have been seen: what is measured is a server that knows its callers' consents."""
    answered = 0
    for _ in range(_WARM_RUNS):
        answered += _load(plan, server, own | {"under_way": 16, "warm_up_s": 0.0}, sheds=True).answered
        if answered >= 2 * requests:
            return


def _maximum(plan: Plan, server: Process, own: dict[str, Any]) -> tuple[Run, int]:
    """The median of the runs with as many under way as answered most, if possible without turning anybody away."""

    def once(under_way: int) -> Run:
        return _load(plan, server, own | {"under_way": under_way}, sheds=True)

    if plan.under_way:
        return _median([once(plan.under_way) for _ in range(plan.repeat)]), plan.under_way
    tried = {under_way: once(under_way) for under_way in _UNDER_WAY}
    best = max(tried, key=lambda under_way: (not tried[under_way].shed, tried[under_way].per_second))
    return _median([tried[best], *(once(best) for _ in range(plan.repeat - 1))]), best


def _half(plan: Plan, server: Process, most: float, own: dict[str, Any]) -> Run:
    runs = [_load(plan, server, own | {"rate": most / 2, "seed": 1 + i}, sheds=True) for i in range(plan.repeat)]
    return sorted(runs, key=lambda one: one.found["latencies"][_OK]["p99"])[len(runs) // 2]


def _batch(plan: Plan, server: Process) -> dict[str, Any]:
    one = {"method": "VerifyBatch", "pool": "batches", "connections": 2, "under_way": 2, "check_every": 1}
    best = _median([_load(plan, server, one) for _ in range(plan.repeat)])
    figures = best.figures()
    return {
        "case": {"case": "batch", "checks": plan.checks, "under_way": 4},
        **figures,
        "rate": round(best.rate * plan.checks),
        "per_second": round(best.per_second * plan.checks),
        "bytes": round(figures["bytes"] / plan.checks, 1),
    }


def _overload(plan: Plan, server: Process, best: Run, half: Run) -> dict[str, Any]:
    offered = _OVERLOAD * best.per_second
    run = _load(plan, server, {"rate": offered, "patience_s": 5.0}, sheds=True, breaks=True)
    due = run.calls + run.found["unsent"] + run.found["lost"]
    return {
        "case": {"case": "overload", "offered": round(offered)},
        **run.figures(),
        "sent_per_second": round(run.calls / run.found["seconds"]),
        "shed_p99": run.found["latencies"].get(_SHED, {}).get("p99"),
        "unsent": round(run.found["unsent"] / max(due, 1), 4),
        "lost": run.found["lost"],
        "p99_at_half": half.figures()["p99"],
        "p99_at_maximum": best.figures()["p99"],
        "rss_mib_before": round(run.before.rss_mib),
    }


def _soak(plan: Plan, server: Process, rate: float) -> dict[str, Any]:
    """The first tenth of the time is for the server to reach its size."""
    seconds = 60.0 * plan.soak_minutes
    own = {"rate": rate, "check_every": _CHECK_EVERY}
    with watched(server) as memory:
        early = _load(plan, server, own | {"measured_s": seconds / 10}, sheds=True)
        late = _load(plan, server, own | {"measured_s": seconds * 9 / 10, "seed": 2}, sheds=True)
    return {
        "case": {"case": "soak", "minutes": plan.soak_minutes, "offered": round(rate)},
        **late.figures(),
        "shed": round((early.shed + late.shed) / max(early.calls + late.calls, 1), 4),
        "checked": early.found["checked"] + late.found["checked"],
        "p99_early": early.figures()["p99"],
        "rss_mib_early": round(early.after.rss_mib, 1),
        "rss_mib_grown": round(late.after.rss_mib - early.after.rss_mib, 1),
        "rss_mib_by_minute": [round(mib, 1) for mib in memory],
        "descriptors_grown": late.after.descriptors - early.after.descriptors,
    }


def judge_soak(row: dict[str, Any]) -> None:
    """See that a soak kept what is promised. Raises: BenchFailed."""
    if row["case"]["minutes"] < JUDGED_MINUTES:
        return
    if row["shed"] > MOST_SHED:
        what = f"{row['shed']:.2%} of the calls were turned away at half of the maximum, more than {MOST_SHED:.0%}"
        raise BenchFailed(Problem("BENCH_FAILED", "bench verify: soak", what))
    if row["rss_mib_grown"] > MOST_GROWN * row["rss_mib_early"]:
        held = f"{row['rss_mib_early']} MiB, which it held after a tenth of the time, by {row['rss_mib_grown']} MiB"
        raise BenchFailed(Problem("BENCH_FAILED", "bench verify: soak", f"memory grew from {held}"))


def _load(plan: Plan, server: Process, load: dict[str, Any], *, sheds: bool = False, breaks: bool = False) -> Run:
    """Run a load. What is not answered may be turned away if it `sheds`; connections may end if it `breaks` them.

    Raises: BenchFailed.
    """
    whole = {
        "port": server.port,
        "method": "Verify",
        "pool": "pool",
        "connections": plan.connections,
        "warm_up_s": min(1.0, plan.seconds / 4),
        "measured_s": plan.seconds,
    }
    before = server.usage()
    found = generated(plan.folder, whole | load)
    done = Run(found, before, server.usage())
    others = set(found["ended"]) - {_OK, _SHED} if sheds else set(found["ended"]) - {_OK}
    if others or not done.answered or found["wrong"] or (found["broken"] and not breaks):
        told = {name: found[name] for name in ("ended", "unsent", "lost", "broken", "checked", "wrong")}
        raise BenchFailed(Problem("BENCH_FAILED", "bench verify", f"not everything was answered well: {told}"))
    return done


def _median(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda one: one.rate)[len(runs) // 2]


def _logs(options: Options) -> Path | None:
    said = options.settings.get("logs")
    if said is not None and not Path(said).is_dir():
        raise UsageError(Problem("USAGE", "--set logs", "is no folder"))
    return None if said is None else Path(said)


def _sync_ms(folder: Path) -> float:
    """What making 4 KiB at the end of a file durable takes in `folder`, the median of some. Units: milliseconds."""
    path, spent = folder / "sync", []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(_SYNCS):
            os.write(descriptor, bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(descriptor)
            spent.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return round(1000 * statistics.median(spent), 3)
