"""What has changed of borrowers since their last scores: whose band, by how much, and who has no score any more."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedcredit.node.durable_files import replace_file
from fedcredit.node.watching.state import Batch, Watched, WatchState, before
from fedcredit.tables.export import write_csv

__all__ = ["KINDS", "Alert", "Findings", "find", "write_findings"]

FELL, LOST, ROSE, BACK = "fell", "lost", "rose", "back"
KINDS: Final = (FELL, LOST, ROSE, BACK)
"""`lost`: had a score and has none; `back`: has one again."""

SCHEMA: Final = "fedcredit-watch-alerts/1"

_COLUMNS: Final = (
    "uscc",
    "kind",
    "since",
    "month",
    "band_from",
    "band_to",
    "change",
    "score_from",
    "score_to",
    "version_from",
    "version_to",
    "reasons",
    "why",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What has changed of one borrower between its last score, of month `since`, and `month`.

    `change`: bands, negative where it fell; None without two scores by the same bands. `why`: where it has no score,
    why, as far as it is known; `reasons`: of the own columns those in which it falls shortest now.
    """

    subject: str = field(repr=False)
    kind: str
    since: str
    month: str
    band_from: int | None
    band_to: int | None
    change: int | None
    score_from: int | None
    score_to: int | None
    version_from: int
    version_to: int
    reasons: tuple[str, ...] = ()
    why: str = ""

    def row(self) -> dict[str, Any]:
        """As CSV and JSON have it."""
        values = [self.subject, *(getattr(self, name) for name in _COLUMNS[1:])]
        return dict(zip(_COLUMNS, values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A month beside those before. `scored`: borrowers with a score; `without`: those without, by why.

    `uncompared`: scores of which those before are by other bands; `fresh`: those that had none before.
    """

    model: str
    month: str
    scored: int
    without: Mapping[str, int]
    uncompared: int
    fresh: int
    alerts: tuple[Alert, ...]

    def count(self, kind: str) -> int:
        """How many alerts of a kind."""
        return sum(alert.kind == kind for alert in self.alerts)

    def summary(self) -> dict[str, Any]:
        """Without borrowers."""
        counts = {kind: self.count(kind) for kind in KINDS}
        same = {"model": self.model, "month": self.month, "scored": self.scored, "without": dict(self.without)}
        return {**same, **counts, "fresh": self.fresh, "uncompared": self.uncompared}


def find(state: WatchState, month: str, least_change: int = 1) -> Findings:
    """What `month` says of borrowers, beside their last scores. Band changes below `least_change` are no alerts.

    Raises: DataError (WATCH_STATE).
    """
    scores: dict[str, tuple[Watched, Batch, str]] = {}
    last: dict[str, Watched] = {}
    for earlier, rows in before(state, month):
        for subject, (row, batch) in rows.items():
            last[subject] = row
            if row.scored:
                scores[subject] = row, batch, earlier
    now = state.rows(month)
    alerts: list[Alert] = []
    uncompared = fresh = 0
    for subject, (row, batch) in now.items():
        if subject not in scores:
            fresh += row.scored
            continue
        old, old_batch, since = scores[subject]
        same_bands = old_batch.cutoffs == batch.cutoffs
        uncompared += row.scored and not same_bands
        kind, change = _kind(old, row, last[subject], least_change, same_bands=same_bands)
        if kind:
            alerts.append(_alert(kind, change, (old, old_batch, since), (row, batch, month)))
    return Findings(
        model=state.model,
        month=month,
        scored=sum(row.scored for row, _ in now.values()),
        without=dict(Counter(row.outcome for row, _ in now.values() if not row.scored)),
        uncompared=uncompared,
        fresh=fresh,
        alerts=tuple(sorted(alerts, key=lambda one: (KINDS.index(one.kind), one.change or 0, one.subject))),
    )


def write_findings(folder: Path, findings: Findings) -> tuple[Path, Path]:
    """Write them as CSV and as JSON in `folder`, each whole or not there; the paths."""
    table, document = folder / "alerts.csv", folder / "alerts.json"
    rows = [alert.row() for alert in findings.alerts]
    write_csv(table, _COLUMNS, _cells(rows))
    said = {"schema": SCHEMA, **findings.summary(), "alerts": rows}
    replace_file(document, json.dumps(said, indent=1, ensure_ascii=False).encode() + b"\n")
    return table, document


def _kind(old: Watched, new: Watched, last: Watched, least_change: int, *, same_bands: bool) -> tuple[str, int | None]:
    """What there is to tell, if anything; what was told before is not told again."""
    if not new.scored:
        return (LOST, None) if last.scored else ("", None)
    assert old.band is not None, "it was scored"
    assert new.band is not None, "it is scored"
    change = new.band - old.band if same_bands else None
    if not last.scored:
        return BACK, change
    if change is None or abs(change) < least_change:
        return "", change
    return (FELL if change < 0 else ROSE), change


def _alert(kind: str, change: int | None, old: tuple[Watched, Batch, str], new: tuple[Watched, Batch, str]) -> Alert:
    (was, was_batch, since), (now, now_batch, month) = old, new
    return Alert(
        subject=now.subject,
        kind=kind,
        since=since,
        month=month,
        band_from=was.band,
        band_to=now.band,
        change=change,
        score_from=was.points,
        score_to=now.points,
        version_from=was_batch.version,
        version_to=now_batch.version,
        reasons=now.reasons,
        why="" if now.scored else now.outcome,
    )


def _cells(rows: list[dict[str, Any]]) -> Iterator[list[object]]:
    for row in rows:
        cells = row | {"reasons": " ".join(row["reasons"])}
        yield ["" if cells[name] is None else cells[name] for name in _COLUMNS]
