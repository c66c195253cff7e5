"""The folder of a local run: made before it, filled when the job has succeeded.

metrics.json report.html leakage.json specification.json aligned.csv (of an intersection)
audit/NAME/           every party's audit log
parties/NAME/model/   that party's part of the models
parties/NAME/report.html   where all parties have the models: what they are worth on that party's own rows
asked/                of the demonstration: a signed answer
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcredit import report
from fedcredit.errors import Problem, UsageError
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import replace_file
from fedcredit.runtime.config import JobFile

__all__ = ["prepare_folder", "prepare_own", "publish", "publish_own"]

_OURS = frozenset(
    {
        ".operator",
        "aligned.csv",
        "asked",
        "audit",
        "cities.svg",
        "leakage.json",
        "logs",
        "metrics.json",
        "parties",
        "report.html",
        "specification.json",
    }
)
"""All that a run leaves. A folder with these and nothing else is a former run and may be used again."""


DATA = "data"
"""Where the demonstration puts its tables. Nothing here ever deletes it."""


def prepare_folder(out: Path) -> None:
    """Make `out`, or empty it of a former run. Tables in its `data/` stay.

    Raises: UsageError (OUT_NOT_EMPTY) when something in it is not ours.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(Problem("OUT_NOT_FOLDER", str(out), "is not a folder", "give another --out"))
    there = {path.name for path in out.iterdir()} - {DATA} if out.exists() else set()
    if there and (there - _OURS or "parties" not in there):
        what = f"holds something that is not a run's, e.g. {min(there - _OURS or there)}"
        raise UsageError(Problem("OUT_NOT_EMPTY", str(out), what, "give an empty folder as --out"))
    for name in there:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    out.mkdir(parents=True, exist_ok=True)


def publish(job: JobFile, name: str, out: Path) -> dict[str, Any]:
    """Put the result of job `name` into `out`, metrics.json last; gives its content."""
    results = {party: out / "parties" / party / "jobs" / name / "result" for party in job.parties}
    label = results[job.receiver]
    for party, result in results.items():
        shutil.copytree(out / "parties" / party / "audit", out / "audit" / party)
        for certificate in ("signing.crt", "authorities.pem", "authority.crt"):
            if (own := out / "parties" / party / "keys" / certificate).exists():
                shutil.copyfile(own, out / "audit" / party / certificate)
        if (result / "model").is_dir():
            shutil.copytree(result / "model", out / "parties" / party / "model")
    for file in ("leakage.json", "specification.json", "aligned.csv"):
        if (label / file).exists():
            shutil.copyfile(label / file, out / file)
    metrics: dict[str, Any] = json.loads((label / "metrics.json").read_text(encoding="utf-8"))
    metrics["traffic"] = _traffic(results)
    metrics["cost"] = {
        party: json.loads((result / "cost.json").read_text(encoding="utf-8")) for party, result in results.items()
    }
    _write(out / "report.html", report.render(metrics))
    for party, result in results.items():
        if (mine := _own_figures(result, party)) is not None:
            _write(out / "parties" / party / "report.html", report.render(_of_party(result, party) | mine))
    _write(out / "metrics.json", json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return metrics


def publish_own(result: Path, me: PartyId, out: Path) -> dict[str, Any] | None:
    """Copy what a job has left at this party to `out`; the figures and a report with them if it has figures, as every
    member of a horizontal job does. That report, and no other, has what the models are worth on its own rows.

    Traffic and cost are this party's own account: nobody else's is on this machine.
    """
    prepare_own(out)
    shutil.copytree(result, out, dirs_exist_ok=True)
    if not (result / "metrics.json").exists():
        return None
    metrics = _of_party(result, me)
    _write(out / "report.html", report.render(metrics | (_own_figures(result, me) or {})))
    _write(out / "metrics.json", json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return metrics


def _of_party(result: Path, me: PartyId) -> dict[str, Any]:
    """The figures as this party has them: traffic and cost are by its own account."""
    metrics: dict[str, Any] = json.loads((result / "metrics.json").read_text(encoding="utf-8"))
    metrics["traffic"] = json.loads((result / "traffic.json").read_text(encoding="utf-8"))
    metrics["cost"] = {me: json.loads((result / "cost.json").read_text(encoding="utf-8"))}
    return metrics


def _own_figures(result: Path, me: PartyId) -> dict[str, Any] | None:
    """What models that all parties have are worth on this party's own rows, for its own page and for no other.

    They stay out of metrics.json: that one is handed on.
    """
    found = {path.parent.name: json.loads(path.read_bytes()) for path in sorted(result.glob("model/*/own.json"))}
    return {"own": {"party": me, "models": found}} if found and (result / "metrics.json").exists() else None


def prepare_own(out: Path) -> None:
    """Make `out`. Raises: UsageError (OUT_NOT_EMPTY): nothing is written over, be it a former result."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise UsageError(Problem("OUT_NOT_EMPTY", str(out), "is there already", "give an empty folder as --out"))
    out.mkdir(parents=True, exist_ok=True)


def _traffic(results: Mapping[PartyId, Path]) -> list[dict[str, Any]]:
    """What every party sent, by its own account: links between two others are not in the label party's."""
    rows: list[dict[str, Any]] = []
    for party, result in results.items():
        account = json.loads((result / "traffic.json").read_text(encoding="utf-8"))
        rows += [row for row in account if row["sender"] == party]
    return rows


def _write(path: Path, text: str) -> None:
    replace_file(path, text.encode())
