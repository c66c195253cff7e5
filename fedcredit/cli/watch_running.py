"""What `fedcredit watch` does: a month's round of requests, its alerts, and what is kept."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import typer
from rich.console import Console
from rich.table import Table

from fedcredit.cli.consented_subjects import read_subjects
from fedcredit.errors import DataError, FedcreditError, Problem, UsageError
from fedcredit.node.durable_files import folder_locked
from fedcredit.node.own_node import node_of
from fedcredit.node.scoring.client import ScoreClient, Wanted
from fedcredit.node.scoring.version import find_version, own_points
from fedcredit.node.watching.alerts import KINDS, Findings, find, write_findings
from fedcredit.node.watching.run import Round
from fedcredit.node.watching.state import MONTH, WatchState
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import load_policy
from fedcredit.tables.export import write_csv

__all__ = ["Watching", "month_of"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_MONTHS: Final = ("month", "versions", "borrowers", "scored", *KINDS)
_BORROWERS: Final = ("uscc", "outcome", "score", "probability", "band", "version", "reasons")


def month_of(config: PartyFile, month: str | None) -> str:
    """A month that was named, or the present one in the zone of the node's policy. Raises: UsageError, ConfigError."""
    if month is None:
        return SystemClock().now().astimezone(load_policy(config.folder).policy.zone).strftime("%Y-%m")
    if not MONTH.fullmatch(month):
        raise UsageError(Problem("USAGE", "--month", "is not a month", "write 2026-05"))
    return month


@dataclass(frozen=True, slots=True)
class Watching:
    """Whose borrowers are watched, by which model, in which folder."""

    config: PartyFile
    model: str
    folder: Path

    @classmethod
    def of(cls, node: Path | None, model: str, state: Path | None) -> Self:
        """Raises: UsageError, ConfigError where the folder is no node's."""
        config = node_of(node)
        if not _NAME.fullmatch(model):
            raise UsageError(Problem("USAGE", "--model", "is no name of a model", "fedcredit model list"))
        return cls(config, model, state or config.folder / "watch" / model)

    def run(
        self,
        file: Path,
        *,
        version: int | None,
        month: str | None,
        cutoffs: tuple[float, ...],
        only_band: bool,
        least_change: int,
        again: bool,
        batch: int,
        as_json: bool,
    ) -> bool:
        """Score who is due, write alerts; whether a band fell or a score was lost.

        Raises: DataError, ConfigError, and what the way to a score raises, after what was scored is kept.
        """
        wanted = [Wanted(row.subject, row.consent) for row in read_subjects(file)]
        if not wanted:
            raise DataError(Problem("SET_EMPTY", str(file), "has no row", "name one borrower at least"))
        at, began = month_of(self.config, month), time.monotonic()
        if at > month_of(self.config, None):
            raise UsageError(Problem("USAGE", "--month", "has not begun yet", "leave it out: the present one"))
        state = WatchState.open(self.folder, self.model, make=True)
        with folder_locked(self.folder):
            work = self._asked(state, wanted, at, version, cutoffs, only_band=only_band, again=again, batch=batch)
            asked, failed = asyncio.run(work)
            if failed is not None:
                kept = sum(row.scored for row, _ in state.rows(at).values())
                typer.echo(f"  {kept:,} borrowers have scores of {at}; run it again, it goes on from there", err=True)
                raise failed
            findings = find(state, at, least_change)
            table, document = write_findings(self.folder / at, findings)
        told = findings.summary() | {"asked": asked, "seconds": round(time.monotonic() - began, 3)}
        if as_json:
            typer.echo(json.dumps(told | {"alerts": str(document)}, ensure_ascii=False))
        else:
            _show(findings, asked, table)
        return bool(findings.count("fell") or findings.count("lost"))

    def show(self, month: str | None, csv: Path | None, *, as_json: bool) -> None:
        """Show what is kept. Raises: ConfigError (WATCH_MISSING), DataError (WATCH_STATE), UsageError."""
        state = WatchState.open(self.folder, self.model)
        if month is not None:
            rows = _borrowers(state, month_of(self.config, month))
            _table(f"{self.model}, {month}: {len(rows):,} borrowers", _BORROWERS, rows, csv, as_json=as_json)
            return
        rows = [_month_row(state, one) for one in state.months()]
        _table(f"{self.model}: {len(rows):,} months", _MONTHS, rows, csv, as_json=as_json)

    async def _asked(
        self,
        state: WatchState,
        wanted: Sequence[Wanted],
        month: str,
        number: int | None,
        cutoffs: tuple[float, ...],
        *,
        only_band: bool,
        again: bool,
        batch: int,
    ) -> tuple[int, FedcreditError | None]:
        version = replace(await find_version(self.config, self.model, number, cutoffs), only_bands=only_band)
        now = int(SystemClock().now().timestamp())
        work = Round(state=state, version=version, me=self.config.me, month=month, now=now, batch=batch, again=again)
        total, done = len(work.due(wanted)), 0

        def told(count: int) -> None:
            nonlocal done
            done = count
            typer.echo(f"  {count:,} of {total:,}", err=True)

        own = await asyncio.to_thread(own_points, self.config, version)
        async with ScoreClient.of(self.config, version) as client:
            work.batch = min(batch, client.rows_a_call)
            failed = await work.work(wanted, lambda part: client.score(part, own), told)
        return done, failed


def _show(findings: Findings, asked: int, table: Path) -> None:
    counts = ", ".join(f"{kind}: {findings.count(kind):,}" for kind in KINDS)
    typer.echo(f"{findings.model}, {findings.month}: {findings.scored:,} have scores, {asked:,} were asked for now")
    for why, count in sorted(findings.without.items()):
        typer.echo(f"  without, {why}: {count:,}")
    if findings.uncompared:
        typer.echo(f"  not compared, scores before are by other bands: {findings.uncompared:,}")
    typer.echo(f"Alerts: {counts}; {table}")


def _month_row(state: WatchState, month: str) -> dict[str, Any]:
    rows = state.rows(month).values()
    findings = find(state, month)
    versions = " ".join(str(number) for number in sorted({batch.version for _, batch in rows}))
    same = {"month": month, "versions": versions, "borrowers": len(rows), "scored": findings.scored}
    return same | {kind: findings.count(kind) for kind in KINDS}


def _borrowers(state: WatchState, month: str) -> list[dict[str, Any]]:
    found = sorted(state.rows(month).values(), key=lambda one: (one[0].band or 0, one[0].subject))
    return [
        {
            "uscc": row.subject,
            "outcome": row.outcome,
            "score": row.points,
            "probability": None if row.probability is None else round(row.probability, 6),
            "band": row.band,
            "version": batch.version,
            "reasons": " ".join(row.reasons),
        }
        for row, batch in found
    ]


def _table(
    title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]], csv: Path | None, *, as_json: bool
) -> None:
    if csv is not None:
        write_csv(csv, names, ([row[name] for name in names] for row in rows))
    if as_json:
        typer.echo(json.dumps({"rows": list(rows)}, indent=1, ensure_ascii=False))
        return
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("-" if row[name] in (None, "") else str(row[name]) for name in names))
    Console(highlight=False).print(table)
