"""How `fedcredit job list` and `job show` look on a screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["show_job", "show_list"]

PIPE_WIDTH = 200
"""Columns of a table that goes to a file or another program; there is no edge of a screen to keep to."""

COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "refused": "red",
    "cancelled": "yellow",
    "pending": "yellow",
    "waiting": "yellow",
}


def show_list(jobs: Sequence[Mapping[str, Any]], *, at_platform: bool) -> None:
    """One line a job; who is awaited at the end of it."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=PIPE_WIDTH)
    if not jobs:
        out.print("No jobs yet.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("job", "state", "purpose", "submitter", "parties" if at_platform else "table", "note"):
        table.add_column(name, overflow="fold")
    for job in jobs:
        what = ", ".join(job["parties"]) if at_platform else job["table"]
        table.add_row(
            Text(job["id"], "bold"),
            _state(job["state"]),
            job["purpose"],
            job["submitter"],
            what,
            _note(job, at_platform),
        )
    out.print(table)


def show_job(found: Mapping[str, Any]) -> None:
    """Everything about a job: at all parties, then this party's own part of it."""
    out = Console(highlight=False, soft_wrap=True)
    mine, everybody = found["own"], found["all"]
    main = everybody or mine
    out.print(Text.assemble((found["id"], "bold"), ": ", _state(main["state"])))
    out.print(f"purpose {main['purpose']}, handed in by {main['submitter']}", markup=False)
    if everybody is not None:
        _everybody(out, everybody)
    if mine is not None:
        _own(out, mine)


def _everybody(out: Console, job: Mapping[str, Any]) -> None:
    if job["waits_for"]:
        out.print(f"waits for approval at {', '.join(job['waits_for'])}", style="yellow", markup=False)
    if job["code"]:
        blamed = f" ({job['culprit']})" if job["culprit"] else ""
        out.print(f"ended with {job['code']}{blamed}", markup=False)
    for line in _slow(job.get("slow", ())):
        out.print(line, style="yellow", markup=False)
    for name, seat in job["parties"].items():
        done = f" {seat['done']}/{seat['total']}" if seat["total"] else ""
        code = f" {seat['code']}" if seat["code"] else ""
        out.print(Text.assemble(f"  {name}: ", _state(seat["state"]), f" {seat['stage']}{done}{code}"))


def _own(out: Console, job: Mapping[str, Any]) -> None:
    out.print(Text.assemble("\nAt this party: ", _state(job["state"])))
    parties = ", ".join(f"{entry['id']} ({entry['role']})" for entry in job["parties"])
    out.print(f"parties {parties}; own table {job['table']}", markup=False)
    decision = job["decision"]
    if decision is not None:
        rule = f"rule {decision['rule']!r}" if decision["rule"] else "no rule"
        out.print(f"policy: {decision['action']} by {rule}, at {decision['decided']}", markup=False)
        if decision["columns"] is not None:
            out.print(f"  columns lent: {', '.join(decision['columns']) or 'none'}", markup=False)
    if job["approved_by"]:
        out.print(f"approved by {job['approved_by']}", markup=False)
    if job["pending_reason"] and not job["approved_by"]:
        hint = f"fedcredit job approve {job['id']}"
        out.print(f"waits for a person of this party: {job['pending_reason']} -> {hint}", style="yellow", markup=False)
        out.print("it would show others about this party:", markup=False)
        for line in _shown(job["shows"]):
            out.print(f"  {line}", markup=False)
    if job["waiting"]["code"]:
        waiting = job["waiting"]
        about = f" ({waiting['culprit']})" if waiting["culprit"] else ""
        out.print(f"stands still: {waiting['code']}{about} since {waiting['since']}", style="yellow", markup=False)
    for line in _slow(job.get("slow", ())):
        out.print(line, style="yellow", markup=False)
    for problem in job["problems"]:
        fix = f" -> {problem['fix']}" if problem["fix"] else ""
        out.print(f"  {problem['code']}: {problem['where']}: {problem['what']}{fix}", style="red", markup=False)
    for stage in job["stages"]:
        finished = stage["finished"] or "not finished"
        out.print(f"  {stage['name']}: {stage['started']} to {finished} (start {stage['epoch']})", markup=False)
    if job["result"]:
        out.print(f"result: {job['result']}", markup=False)


def _slow(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Who keeps others waiting; nothing is wrong with the job."""
    for row in rows:
        who = ", ".join(row["waiting"])
        yield f"waiting for {row['peer']} in {row['stage']} for {row['seconds']} s: {who} cannot go on without it"


def _shown(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for row in rows:
        if not row["through"].startswith("fedcredit."):
            yield f"{row['id']}: {row['party']} learns {row['learns']}"


def _note(job: Mapping[str, Any], at_platform: bool) -> str:
    if at_platform and job["waits_for"]:
        return f"waits for approval at {', '.join(job['waits_for'])}"
    if job["state"] == "pending":
        return "approve it, or refuse it"
    return str(job["code"])


def _state(state: str) -> Text:
    return Text(state, COLOURS.get(state, "cyan"))
