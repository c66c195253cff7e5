"""What a command shows while a job runs, and of its result. Progress goes to standard error, results to output."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedcredit.cli.statistics_display import statistics_tables
from fedcredit.node.figures import phase_of
from fedcredit.node.specification import LeakageRow
from fedcredit.wire.control import JobEvent

__all__ = ["Display", "Progress", "size"]

_WHERE = {
    "horizontal": "rows are at the parties together",
    "mixed": "subjects of a label party each are at all others",
}
"""Of the rows of a job, by how its tables lie to each other."""

_COLUMNS_SHOWN = 10


class Display:
    """A command's screen."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._out, self._err = Console(highlight=False), Console(stderr=True, highlight=False)

    def leakage(self, rows: Sequence[LeakageRow], *, title: str = "What each party will learn") -> None:
        """What each party will learn, before any work starts."""
        if self._quiet:
            return
        table = Table(title=title, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left")
        table.add_column("who", style="bold", width=18)
        table.add_column("learns", ratio=1)
        table.add_column("about", width=18)
        for row in _plain_words(rows):
            table.add_row(*row)
        self._err.print(table)
        self._err.print("What the protocols say of themselves is in leakage.json, and in every party's audit log.\n")

    @contextmanager
    def progress(self, parties: Iterable[str]) -> Iterator[Progress]:
        """Shows every party's stage while the block runs."""
        progress = Progress(parties)
        if self._quiet:
            yield progress
        elif not self._err.is_terminal:
            progress.tell = lambda line: self._err.print(line)
            yield progress
        else:
            with Live(progress, console=self._err, refresh_per_second=8):
                yield progress

    def result(self, metrics: Mapping[str, Any], out: Path) -> None:
        """Rows, models and where the result lies."""
        if self._quiet:
            return
        rows = metrics["rows"]
        split = f", {rows['train']:,} to train and {rows['test']:,} held out" if rows["test"] else ""
        layout = next((str(model.get("split")) for model in metrics["models"]), "vertical")
        where = _WHERE.get(layout, "subjects are at all parties")
        self._out.print(f"{rows['aligned']:,} {where}{split}.")
        if metrics["models"]:
            if trained := [model for model in metrics["models"] if model.get("kind") not in ("binning", "statistics")]:
                self._out.print(_models(trained))
            for model in metrics["models"]:
                if model.get("kind") == "binning":
                    self._out.print(_columns(model))
                for table in statistics_tables(model):
                    self._out.print(table)
            self._out.print(f"Report: [bold]{out / 'report.html'}[/bold]")
        elif (out / "aligned.csv").exists():
            self._out.print(f"Aligned subjects: [bold]{out / 'aligned.csv'}[/bold]")
        self._out.print(f"Result: [bold]{out}[/bold]")


class Progress:
    """One line a party: the stage it is in, how far it is, how long that has taken."""

    def __init__(self, parties: Iterable[str]) -> None:
        self._lines = {str(party): ("waits", 0, 0, time.monotonic()) for party in parties}
        self.tell: Any = None
        self._waits: dict[tuple[str, str], bool] = {}
        self._slow: dict[tuple[str, str], bool] = {}

    def show(self, event: JobEvent) -> None:
        """Take in an event."""
        shown, done, total, since = self._lines.get(event.party, ("", 0, 0, time.monotonic()))
        stage = phase_of(event.stage)
        if stage != shown and event.kind in ("begun", "progress", "state"):
            done, total, since = 0, 0, time.monotonic()
        if event.kind == "progress":
            done, total = event.done, event.total
        if event.kind in ("begun", "progress", "state"):
            self._lines[event.party] = (stage, done, total, since)
        if event.kind in ("waiting", "back"):
            self._waits[event.party, event.culprit] = event.kind == "waiting"
            if self.tell is not None:
                self.tell(_of_peer(event))
        elif event.kind in ("slow", "caught_up"):
            self._slow[event.party, event.culprit] = event.kind == "slow"
            if self.tell is not None:
                self.tell(_of_slow(event))
        elif self.tell is not None and event.kind in ("begun", "state") and stage != shown:
            self.tell(f"{event.party}: {stage}" + (f" ({event.code})" if event.code else ""))

    def __rich__(self) -> Table:
        """The lines as they stand."""
        grid = Table.grid(padding=(0, 2))
        for party, (stage, done, total, since) in self._lines.items():
            colour = {"succeeded": "green", "failed": "red", "cancelled": "yellow"}.get(stage, "cyan")
            ended = stage in ("succeeded", "failed", "cancelled", "waits")
            bar = ProgressBar(total or 1, done, width=30) if total else Text("")
            took = "" if ended else f"{time.monotonic() - since:5.1f} s"
            away = [peer for (waits, peer), lost in self._waits.items() if lost and waits == party]
            slow = [f"{peer} (slow)" for (waits, peer), still in self._slow.items() if still and waits == party]
            took += f"  waits for {', '.join(away + slow)}" if away + slow and not ended else ""
            grid.add_row(Text(party, "bold"), Text(stage, colour), bar, f"{done}/{total}" if total else "", took)
        return grid


def _of_peer(event: JobEvent) -> str:
    """A peer that is out of reach, or back, in words."""
    if event.kind == "back":
        return f"{event.party}: {event.culprit} is back after {event.done} s"
    return f"{event.party}: waits for {event.culprit}, out of reach for {event.done} s (at {phase_of(event.stage)})"


def _of_slow(event: JobEvent) -> str:
    """A live peer that keeps others waiting, or does no more, in words."""
    if event.kind == "caught_up":
        return f"{event.party}: {event.culprit} keeps up again"
    return f"{event.party}: waiting for {event.culprit} in {phase_of(event.stage)} for {event.done} s"


def _plain_words(rows: Sequence[LeakageRow]) -> Iterator[tuple[str, str, str]]:
    """Who, learns what, about whom, for a person to read: a row for each text. What roles say of themselves is left
    to leakage.json; it speaks of messages."""
    said: dict[str, list[LeakageRow]] = {}
    for row in rows:
        if not row.through.startswith("fedcredit."):
            said.setdefault(row.learns, []).append(row)
    for learns, same in said.items():
        who = list(dict.fromkeys(name for row in same for name in row.party.split(", ")))
        about = list(dict.fromkeys(name for row in same for name in row.about.split(", ")))
        each_other = len(who) > 1 and set(about) <= set(who)
        yield ", ".join(who), learns, "each other" if each_other else ", ".join(about)


def size(n_bytes: float) -> str:
    """A number of bytes for people: 1536 -> 1.5 KiB."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while n_bytes >= 1024 and len(units) > 1:
        n_bytes /= 1024
        units.pop(0)
    return f"{n_bytes:.0f} B" if units[0] == "B" else f"{n_bytes:.1f} {units[0]}"


def _models(models: Sequence[Mapping[str, Any]]) -> Table:
    # Where each party has a model of its own, only rows of one party say which one ranks better.
    within = any(model.get("within") for model in models)
    mixed = any(model.get("split") == "mixed" for model in models)
    alone = "all label parties without others" if mixed else "label party alone"
    who = "each party alone and joint, by pairs of rows of one party" if within else f"{alone} and joint"
    table = Table(title=f"Held-out rows: {who}", title_style="bold", title_justify="left")
    scores = ("AUC, all rows", "KS, all rows") if within else ("KS alone", "KS joint")
    for column in ("model", "AUC alone", "AUC joint", *scores, "seconds", "bytes", "rounds"):
        name = column == "model"
        # In a narrow terminal figures are broken over two lines rather than the name cut off.
        table.add_column(column, justify="left" if name else "right", no_wrap=name)
    for model in models:
        table.add_row(
            str(model.get("name", model.get("kind"))),
            *_compared(model, within=within),
            f"{model.get('seconds', 0):.1f}",
            size(float(model.get("bytes", 0))),
            str(model.get("rounds", "")),
        )
    return table


def _compared(model: Mapping[str, Any], *, within: bool) -> list[str]:
    if not within:
        return [_figure(model.get(key)) for key in ("auc_alone", "auc", "ks_alone", "ks")]
    pairs = model.get("within") or {}
    return [_figure(of.get(key)) for of, key in ((pairs, "auc_alone"), (pairs, "auc"), (model, "auc"), (model, "ks"))]


def _columns(model: Mapping[str, Any]) -> Table:
    found = model.get("columns", [])
    shown = found[:_COLUMNS_SHOWN]
    name, of = model.get("name", "binning"), f"{len(shown)} of {len(found)} columns"
    table = Table(title=f"{name}: {of} by information value", title_style="bold", title_justify="left")
    for column in ("column", "party", "bins", "IV"):
        table.add_column(column, justify="right" if column in ("bins", "IV") else "left")
    for row in shown:
        rank = row.get("rank")
        told = _figure(row.get("iv"), row.get("iv_decimals", 4)) if rank is None else f"no. {rank}"
        # A name is a name, whatever markup it looks like.
        table.add_row(Text(row["column"]), Text(row["party"]), str(row["bins"]), row["refused"] or told)
    return table


def _figure(value: float | None, decimals: int = 4) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
