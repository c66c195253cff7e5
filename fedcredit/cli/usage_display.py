"""Tables of uses and outcomes: for the terminal, as JSON, as CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from fedcredit.governance.verification.ledger import Report, Use
from fedcredit.governance.verification.outcomes import OutcomeRow
from fedcredit.tables.export import write_csv

__all__ = ["show_outcomes", "show_report", "show_uses"]

_REPORT = ("provider", "requester", "item", "predicate", "purpose", "outcome", "count")
_USES = ("time", "requester", "item", "predicate", "purpose", "outcome", "reason")
_OUTCOMES = ("institution", "status", "count", "amount_yuan")


def show_report(report: Report, as_json: bool, csv: Path | None) -> None:
    """What was used from day to day."""
    document: Any = report.document()
    title = f"{report.provider}: {report.since} to {report.until}, {sum(row.count for row in report.rows):,} questions"
    _show(title, _REPORT, document["rows"], document if as_json else None, csv)


def show_uses(uses: Sequence[Use], as_json: bool, csv: Path | None) -> None:
    """What was asked about one subject, one by one."""
    rows = [
        {
            "time": use.at.isoformat(timespec="seconds"),
            "requester": use.requester,
            "item": use.item,
            "predicate": use.predicate,
            "purpose": use.purpose,
            "outcome": use.outcome,
            "reason": use.reason,
        }
        for use in uses
    ]
    _show(f"{len(rows):,} questions about this subject", _USES, rows, {"uses": rows} if as_json else None, csv)


def show_outcomes(rows: Sequence[OutcomeRow], as_json: bool, csv: Path | None) -> None:
    """How loans stand, by institution."""
    found = [row.row() for row in rows]
    title = f"{sum(row.count for row in rows):,} loans"
    _show(title, _OUTCOMES, found, {"outcomes": found} if as_json else None, csv)


def _show(
    title: str, names: Sequence[str], rows: Sequence[dict[str, Any]], document: Any | None, csv: Path | None
) -> None:
    if csv is not None:
        write_csv(csv, names, ([row[name] for name in names] for row in rows))
    if document is not None:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="right" if name in ("count", "amount_yuan") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{row[name]:,}" if isinstance(row[name], int) else row[name] or "-" for name in names))
    Console(highlight=False).print(table)
