"""Tables of uses and outcomes: for the terminal, as JSON, as CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from fedcredit.governance.scoring.ledger import ScoreLine
from fedcredit.governance.verification.ledger import Report, Use
from fedcredit.governance.verification.outcomes import OutcomeRow
from fedcredit.node.policy.privacy_ledger import PrivacyLine
from fedcredit.tables.export import write_csv

__all__ = ["show_outcomes", "show_privacy", "show_report", "show_uses"]

_REPORT = ("provider", "requester", "item", "predicate", "purpose", "outcome", "count")
_SCORES = ("provider", "requester", "model", "version", "purpose", "outcome", "count")
_USES = ("time", "requester", "item", "predicate", "purpose", "outcome", "reason")
_SCORED = ("time", "requester", "model", "version", "purpose", "outcome", "reason")
_OUTCOMES = ("institution", "status", "count", "amount_yuan")
_PRIVACY = ("table", "jobs", "rho_billionths", "epsilon", "delta")


def show_report(report: Report, as_json: bool, csv: Path | None) -> None:
    """What was used from day to day: questions, then scores, where there are any; in a CSV file both are rows."""
    document: Any = report.document()
    scores = [row.row() for row in report.scores]
    if csv is not None:
        _write(csv, _REPORT, document["rows"], _SCORES, scores)
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    span = f"{report.provider}: {report.since} to {report.until}"
    _table(f"{span}, {sum(row.count for row in report.rows):,} questions", _REPORT, document["rows"])
    if scores:
        _table(f"{span}, scores of {sum(row.count for row in report.scores):,} subjects", _SCORES, scores)


def show_uses(uses: Sequence[Use], scores: Sequence[ScoreLine], as_json: bool, csv: Path | None) -> None:
    """What was asked about one subject, one by one."""
    rows: list[dict[str, Any]] = [
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
    scored: list[dict[str, Any]] = [
        {
            "time": line.at.isoformat(timespec="seconds"),
            "requester": line.requester,
            "model": line.model,
            "version": line.version,
            "purpose": line.purpose,
            "outcome": line.outcome,
            "reason": line.reason,
        }
        for line in scores
    ]
    if csv is not None:
        _write(csv, _USES, rows, _SCORED, scored)
    if as_json:
        typer.echo(json.dumps({"uses": rows, "scores": scored}, indent=2, ensure_ascii=False))
        return
    _table(f"{len(rows):,} questions about this subject", _USES, rows)
    if scored:
        _table(f"{len(scored):,} scores asked for of this subject", _SCORED, scored)


def show_outcomes(rows: Sequence[OutcomeRow], as_json: bool, csv: Path | None) -> None:
    """How loans stand, by institution."""
    found = [row.row() for row in rows]
    title = f"{sum(row.count for row in rows):,} loans"
    if csv is not None:
        write_csv(csv, _OUTCOMES, ([row[name] for name in _OUTCOMES] for row in found))
    if as_json:
        typer.echo(json.dumps({"outcomes": found}, indent=2, ensure_ascii=False))
        return
    _table(title, _OUTCOMES, found)


def show_privacy(lines: Sequence[PrivacyLine], as_json: bool, csv: Path | None) -> None:
    """What noised jobs have cost over each table."""
    found = [line.row() for line in lines]
    if csv is not None:
        write_csv(csv, _PRIVACY, ([row[name] for name in _PRIVACY] for row in found))
    if as_json:
        typer.echo(json.dumps({"privacy": found}, indent=2, ensure_ascii=False))
        return
    shown = [row | {"epsilon": f"{row['epsilon']:.4g}", "delta": f"{row['delta']:g}"} for row in found]
    _table("Privacy spent, by table", _PRIVACY, shown)


def _write(
    csv: Path,
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    more_names: Sequence[str],
    more: Sequence[Mapping[str, Any]],
) -> None:
    """Both kinds of rows under one header; what a kind does not have is empty."""
    header = ["kind", *dict.fromkeys([*names, *more_names])]
    kinds = [{"kind": "question", **row} for row in rows] + [{"kind": "score", **row} for row in more]
    write_csv(csv, header, ([row.get(name, "") for name in header] for row in kinds))


def _table(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for name in names:
        right = name in ("count", "amount_yuan", "version", *_PRIVACY[1:])
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{row[name]:,}" if isinstance(row[name], int) else row[name] or "-" for name in names))
    Console(highlight=False).print(table)
