"""metrics.json as the label party writes it, and every party's own account of its traffic."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fedcredit.ids import PartyId
from fedcredit.node.models import ModelResult
from fedcredit.node.specification import JobSpecification
from fedcredit.runtime.meter import Meter

__all__ = [
    "RowCounts",
    "environment",
    "job_figures",
    "peak_memory_mib",
    "phase_of",
    "phases_of",
    "seconds_of",
    "traffic_of",
]

_NUMBER = re.compile(r"\.\d+$")


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows a job is about: of all parties together, or those that they have in common; nothing is held out, or
    trained on, where nothing is trained."""

    aligned: int
    train: int
    test: int


def job_figures(
    specification: JobSpecification,
    started: str,
    rows: RowCounts,
    results: Mapping[str, ModelResult],
    me: PartyId,
    meter: Meter,
) -> dict[str, Any]:
    """What metrics.json holds. Units: bytes on the wire with envelopes, seconds."""
    return {
        "job": {
            "name": specification.job.name,
            "purpose": specification.job.purpose,
            "hash": specification.hash.hex(),
            "seed": specification.job.seed,
            "started": started,
            "parties": [
                {"id": party.id, "role": party.role, "rows": party.rows, "features": party.features}
                for party in specification.parties
            ],
            "split": None
            if specification.split is None
            else specification.split.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
        "rows": asdict(rows),
        **_intersection(specification),
        "models": [dict(result.figures or {}) for result in results.values()],
        "seconds": seconds_of(meter),
        "traffic": traffic_of(me, meter),
        "leakage": [row.model_dump() for row in specification.leakage],
        "environment": environment(),
    }


def _intersection(specification: JobSpecification) -> dict[str, Any]:
    """How common subjects were found; nothing where all parties' are their own."""
    if specification.layout == "horizontal":
        return {}
    choice = specification.intersect_choice
    return {"intersect": {"mode": choice.mode, "why": choice.why}}


def traffic_of(me: PartyId, meter: Meter) -> list[dict[str, Any]]:
    """Bytes and messages of `me`'s links, both ways, a row for each phase and direction."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for link in meter.snapshot()["links"]:
        phase, peer = phase_of(link["stage"]), link["peer"]
        for direction, what in (((me, peer), "sent"), ((peer, me), "received")):
            total = sums.setdefault((*direction, phase), [0, 0])
            total[0] += link[f"bytes_{what}"]
            total[1] += link[f"messages_{what}"]
    return [
        {"sender": sender, "receiver": receiver, "phase": phase, "bytes": total[0], "messages": total[1]}
        for (sender, receiver, phase), total in sums.items()
    ]


def seconds_of(meter: Meter) -> dict[str, float]:
    """Seconds of this party in each phase: its own work, and its waits for peers."""
    sums: dict[str, float] = {}
    for spent in meter.snapshot()["stages"]:
        phase = phase_of(spent["stage"])
        sums[phase] = sums.get(phase, 0.0) + spent["compute_s"] + spent["sending_s"] + spent["waiting_s"]
    return {phase: round(seconds, 6) for phase, seconds in sums.items()}


def peak_memory_mib() -> float | None:
    """The most memory this process has had, since it was started; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return None if found is None else round(int(found[1]) / 1024, 1)


def phase_of(stage: str) -> str:
    """The phase that a stage belongs to: `gbdt.0/tree.7` is one of `gbdt.0/tree`."""
    head, slash, last = stage.rpartition("/")
    return f"{head}{slash}{_NUMBER.sub('', last)}" if slash else stage


def phases_of(meter: Meter, name: str, seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Seconds at this party, bytes and rounds over all its links, for each phase of the model."""
    rows: dict[str, dict[str, Any]] = {}
    for phase, spent in seconds.items():
        row = rows.setdefault(
            phase_of(f"{name}/{phase}"), {"seconds": 0.0, "bytes_sent": 0, "bytes_received": 0, "rounds": 0}
        )
        row["seconds"] += spent
    for link in meter.snapshot()["links"]:
        phase = phase_of(link["stage"])
        if phase in rows:
            for what in ("bytes_sent", "bytes_received", "rounds"):
                rows[phase][what] += link[what]
    return [{"phase": phase.removeprefix(f"{name}/")} | row for phase, row in rows.items()]


def environment() -> dict[str, str]:
    """Where these figures come from."""
    return {
        "machine": f"{platform.machine()}, {_cores()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "fedcredit": metadata.version("fedcredit"),
        "commit": _commit(),
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _commit() -> str:
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=5,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
