"""The ledger: what was asked of a department, by whom, about what, what for, and what came of it.

It is a view of the audit log: what the log proves, the ledger says; of scores the rows are in the store, and the log
has their hashes. Subjects stand in it as the department's own keyed tags, so only the department can tell what was
asked about whom, and reports have no subjects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.errors import DataError, Problem
from fedcredit.governance.audit import Entry
from fedcredit.governance.scoring.ledger import ScoreCount, ScoreLine, counted, score_counts

__all__ = [
    "ANSWERED",
    "OUTCOMES",
    "REPORT_SCHEMA",
    "Report",
    "Use",
    "UseRow",
    "budget_used",
    "combined",
    "report_from",
    "report_of",
    "use_of",
]

REPORT_SCHEMA = "fedcredit-usage/1"
ANSWERED = ("yes", "no", "unknown")
OUTCOMES = {"1": "yes", "2": "no", "3": "unknown", "4": "refused"}
"""Outcomes as they stand in the log."""

_Name = Annotated[str, Field(pattern=r"^[a-z0-9_.-]{0,64}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _SaidRow(_Entry):
    provider: _Name
    requester: _Name
    item: _Name
    predicate: _Name
    purpose: _Name
    outcome: Literal["yes", "no", "unknown", "refused"]
    count: Annotated[int, Field(ge=1, le=2**53)]


class _SaidScores(_Entry):
    provider: _Name
    requester: _Name
    model: _Name
    version: Annotated[int, Field(ge=0, le=1_000_000)]
    purpose: _Name
    outcome: Literal["scored", "unknown", "refused"]
    count: Annotated[int, Field(ge=1, le=2**53)]


class _Said(_Entry):
    schema_: Annotated[Literal["fedcredit-usage/1"], Field(alias="schema")]
    provider: _Name
    since: Annotated[date, Field(strict=False)]
    until: Annotated[date, Field(strict=False)]
    rows: Annotated[list[_SaidRow], Field(max_length=100_000)]
    scores: Annotated[list[_SaidScores], Field(max_length=100_000)] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One question and what came of it. Names are empty where the question had none that the department knows."""

    at: datetime
    requester: str
    item: str
    predicate: str
    purpose: str
    outcome: str
    reason: str = ""
    rule: str = ""
    subject: str = field(default="", repr=False)
    question: str = field(default="", repr=False)
    consent: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, order=True)
class UseRow:
    """So many questions of one kind. `provider` is whose data it was."""

    provider: str
    requester: str
    item: str
    predicate: str
    purpose: str
    outcome: str
    count: int = field(compare=False, default=0)

    @property
    def answered(self) -> bool:
        """Whether they were answered; unknown is an answer."""
        return self.outcome in ANSWERED


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked of one or several departments from day to day, both included. It names no subject.

    `rows`: questions; `scores`: subjects of requests for scores.
    """

    provider: str
    since: date
    until: date
    rows: tuple[UseRow, ...]
    scores: tuple[ScoreCount, ...] = ()

    def document(self) -> dict[str, object]:
        """As JSON has it; `scores` is there where there are any."""
        said: dict[str, object] = {
            "schema": REPORT_SCHEMA,
            "provider": self.provider,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "rows": [
                {
                    "provider": row.provider,
                    "requester": row.requester,
                    "item": row.item,
                    "predicate": row.predicate,
                    "purpose": row.purpose,
                    "outcome": row.outcome,
                    "count": row.count,
                }
                for row in self.rows
            ],
        }
        return said | ({"scores": [row.row() for row in self.scores]} if self.scores else {})


def use_of(entry: Entry) -> Use | None:
    """The use that an entry of the log records; None for an entry of another kind, and for a batch's."""
    if entry.event.value not in ("verified", "verify_refused"):
        return None
    facts = {name: str(value) for name, value in entry.facts.items()}
    # An answer's entry goes out with it as its proof, so outcomes are numbers there, and all equally long.
    outcome = OUTCOMES.get(facts.get("outcome", ""), "refused")
    return Use(
        at=entry.time,
        requester=facts.get("requester", ""),
        item=facts.get("item", ""),
        predicate=facts.get("predicate", ""),
        purpose=facts.get("purpose", ""),
        outcome=outcome,
        reason=facts.get("reason", ""),
        rule=facts.get("rule", ""),
        subject=facts.get("subject", ""),
        question=facts.get("question", ""),
        consent=facts.get("consent", ""),
    )


def report_of(
    provider: str, uses: Iterable[Use], since: date, until: date, zone: tzinfo, scores: Iterable[ScoreLine] = ()
) -> Report:
    """What was asked of `provider` from `since` to `until`, by days of `zone`."""
    counts: Counter[UseRow] = Counter()
    for use in uses:
        if since <= use.at.astimezone(zone).date() <= until:
            counts[UseRow(provider, use.requester, use.item, use.predicate, use.purpose, use.outcome)] += 1
    return Report(provider, since, until, _counted(counts), score_counts(provider, scores, since, until, zone))


def combined(name: str, reports: Iterable[Report]) -> Report:
    """Several departments' reports in one. Raises: ValueError if there is none."""
    found = list(reports)
    if not found:
        raise ValueError("no report")
    counts: Counter[UseRow] = Counter()
    scores: Counter[ScoreCount] = Counter()
    for report in found:
        for row in report.rows:
            counts[replace(row, count=0)] += row.count
        for scored in report.scores:
            scores[replace(scored, count=0)] += scored.count
    since, until = min(one.since for one in found), max(one.until for one in found)
    return Report(name, since, until, _counted(counts), counted(scores))


def report_from(document: bytes, sender: str) -> Report:
    """The report in a document that `sender` sent, which may speak for itself alone.

    Raises: DataError (USAGE_REPORT) where it is none.
    """
    problem = DataError(Problem("USAGE_REPORT", f"report of {sender}", f"is no {REPORT_SCHEMA} of its own"))
    try:
        said = _Said.model_validate_json(document)
    except ValidationError:
        raise problem from None
    rows = sorted(UseRow(**row.model_dump()) for row in said.rows)
    scores = sorted(ScoreCount(**row.model_dump()) for row in said.scores)
    if said.provider != sender or said.since > said.until:
        raise problem
    if len(set(rows)) != len(rows) or len(set(scores)) != len(scores):
        raise problem
    if not {row.provider for row in rows} | {row.provider for row in scores} <= {sender}:
        raise problem
    return Report(sender, said.since, said.until, tuple(rows), tuple(scores))


def budget_used(
    uses: Iterable[Use],
    *,
    requester: str,
    item: str,
    subject: str,
    question: str,
    now: datetime,
    days: int,
    zone: tzinfo,
) -> tuple[int, bool, int]:
    """What a requester has used of its budget about a subject and item, and of its quota.

    Gives how many different questions were answered within `days`, today being the last; whether `question` is one of
    today's; and how many questions of the requester were answered today, about whomever.
    """
    today = now.astimezone(zone).date()
    asked: set[str] = set()
    again, of_today = False, 0
    for use in uses:
        if use.requester != requester or use.outcome not in ANSWERED:
            continue
        day = use.at.astimezone(zone).date()
        of_today += day == today
        if use.subject == subject and use.item == item and (today - day).days < days:
            asked.add(use.question)
            again = again or (day == today and use.question == question)
    return len(asked), again, of_today


def _counted(counts: Counter[UseRow]) -> tuple[UseRow, ...]:
    return tuple(replace(row, count=count) for row, count in sorted(counts.items()))
