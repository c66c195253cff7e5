"""How `fedcredit model list` and `model show` look on a screen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedcredit.cli.job_display import PIPE_WIDTH
from fedcredit.governance.scoring.keys import KeyWord

__all__ = ["key_row", "show_keys", "show_list", "show_model"]

COLOURS = {
    "approved": "green",
    "published": "yellow",
    "withdrawn": "red",
    "retired": "dim",
    "watch": "yellow",
    "shifted": "red",
}
_SHORT = 16


def show_list(found: Mapping[str, Any]) -> None:
    """One line a version; who is awaited, or has withdrawn, at the end of it."""
    out = _console()
    if "away" in found:
        out.print(f"The platform {found['away']} cannot be reached; this is what is kept here.", style="yellow")
        for own in found["own"]:
            said = "approved" if own["approves"] else "withdrawn"
            out.print(Text.assemble((f"{own['name']} {own['version']}", "bold"), f": {said} here{_served(own)}"))
        return
    if not found["models"]:
        out.print("No models yet.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("model", "version", "state", "role", "kind", "purpose", "publisher", "note"):
        table.add_column(name, overflow="fold")
    for row in found["models"]:
        table.add_row(
            Text(row["name"], "bold"),
            str(row["version"]),
            _state(row["state"]),
            row["role"],
            row["kind"],
            row["purpose"],
            row["publisher"],
            _note(row),
        )
    out.print(table)


def show_model(found: Mapping[str, Any]) -> None:
    """Everything about a version."""
    out = _console()
    if "away" in found:
        show_list(found)
        return
    role = f", {found['role']}" if found["role"] else ""
    out.print(Text.assemble((f"{found['name']} {found['version']}", "bold"), ": ", _state(found["state"]), role))
    out.print(f"{found['kind']} for {found['purpose']}, published by {found['publisher']}", markup=False)
    out.print(f"model {found['model']} of job {found['job']}, hash {found['specification']}", markup=False)
    out.print(_facts(found), markup=False)
    out.print(f"manifest: {found['manifest'] or 'none until all parties approve'}", markup=False)
    unbelieved = found.get("unbelieved", {})
    for part in found["parts"]:
        out.print(_part(part, unbelieved.get(part["party"], "")))
    own = found.get("own")
    if own is not None:
        out.print(f"own part: SHA-256 {own['content'] or 'none'}{_served(own)}", markup=False)
        if own["why_not"]:
            out.print(f"  {own['why_not']}", markup=False, style="yellow")
    for month in found["stability"]:
        says = Text(month["says"], COLOURS.get(month["says"], ""))
        of = f" of {month['scores']:,} scores"
        out.print(Text.assemble(f"{month['month']}: stability index {month['index']:.4f}{of}, ", says))
    for change in found["changes"]:
        out.print(_changed(change), markup=False)


def key_row(word: KeyWord, *, newest: bool) -> dict[str, Any]:
    """What may be seen of keys: their number, from when to when they hold, and their public halves by hashes."""
    return {
        "number": word.number,
        "begins": datetime.fromtimestamp(word.begins, UTC).isoformat(timespec="seconds"),
        "ends": datetime.fromtimestamp(word.ends, UTC).isoformat(timespec="seconds"),
        "scores": None if word.score is None else word.score.fingerprint.hex(),
        "masks": hashlib.sha256(word.pair).hexdigest(),
        "counts": newest,
    }


def show_keys(party: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A party's keys for scores, the one that counts last."""
    out = _console()
    if not rows:
        out.print(f"{party} has no keys for scores yet: they are made when they are first needed.", markup=False)
    for row in rows:
        says = ("counts", "green") if row["counts"] else ("before it", "dim")
        out.print(Text.assemble((str(row["number"]), "bold"), f": {row['begins']} to {row['ends']}, ", says))
        out.print(f"  for scores, {row['scores'] or 'none'}\n  for masks, {row['masks']}", markup=False)


def _facts(found: Mapping[str, Any]) -> str:
    facts, reach = found["facts"], found["point_range"]
    if found["kind"] != "scorecard":
        return f"{facts['trees']} trees with {facts['leaves']} leaves together"
    scale = f"{facts['base_score']:g} points at {facts['odds']:g} good to one bad, {facts['pdo']:g} double the odds"
    between = "" if reach is None else f"; every score lies between {reach[0]} and {reach[1]}"
    return f"{scale}; {facts['n_reasons']} reasons a party{between}"


def _part(part: Mapping[str, Any], unbelieved: str) -> Text:
    if part["approves"] is None:
        said = Text("has said nothing yet", "yellow")
    else:
        when = datetime.fromtimestamp(part["time"], UTC).strftime("%Y-%m-%d %H:%M")
        word, colour = ("approves", "green") if part["approves"] else ("has withdrawn", "red")
        keyed = f" {part['part'][:_SHORT]}..." if part["part"] else ""
        said = Text.assemble((word, colour), f"{keyed} since {when}Z")
    if unbelieved:
        said.append(f"; its signature is not believed here ({unbelieved})", "red")
    return Text.assemble(f"  {part['party']}: ", said)


def _changed(change: Mapping[str, Any]) -> str:
    user = f" ({change['by']})" if change.get("by") else ""
    who = change.get("party", "")
    version = f" {change['version']}" if "version" in change else ""
    return f"  {change['time'][:16]}Z {change['change']}{version} by {who}{user}"


def _note(row: Mapping[str, Any]) -> str:
    notes: Iterable[str] = (
        f"withdrawn by {', '.join(row['withdrawn'])}" if row["withdrawn"] else "",
        f"waits for {', '.join(row['missing'])}" if row["missing"] and row["state"] != "retired" else "",
    )
    return "; ".join(note for note in notes if note)


def _served(own: Mapping[str, Any]) -> str:
    served = f", served as {own['served']}" if own["served"] else ", not served"
    if own["refused"]:
        return f"{served}; the platform did not take this party's last word"
    return served if own["told"] else f"{served}; the platform does not know yet"


def _state(state: str) -> Text:
    return Text(state, COLOURS.get(state, "cyan"))


def _console() -> Console:
    out = Console(highlight=False, soft_wrap=True)
    return out if out.is_terminal else Console(highlight=False, width=PIPE_WIDTH, soft_wrap=True)
