"""The ledger of scores: of which subjects a department's part was asked for, by whom, what for, and what came of it.

Its rows are in the store, since what is let have next depends on them; the audit log has a hash of each request's rows,
so what the log proves, the ledger says. Pure.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from typing import Final, TypeAlias

from fedcredit.errors import Problem
from fedcredit.governance.audit import Entry, Event
from fedcredit.governance.scoring.decisions import Outcome

__all__ = [
    "AUDIT_SCORES",
    "INTERRUPTED",
    "SCORE_OUTCOMES",
    "ScoreCount",
    "ScoreEntry",
    "ScoreLine",
    "Settled",
    "counted",
    "entry_of",
    "hash_of_rows",
    "row_problems",
    "score_counts",
]

AUDIT_SCORES: Final = "AUDIT_SCORES"
"""The store's rows of scores are not those that the log has hashes of."""

INTERRUPTED: Final = "SCORE_INTERRUPTED"
"""Decided on, and the node ended before that was in its log: so nothing was let have."""

SCORED, UNKNOWN, REFUSED = "scored", "unknown", "refused"
SCORE_OUTCOMES: Final = (SCORED, UNKNOWN, REFUSED)
"""`unknown`: the subject is not in the department's table."""

_DOMAIN: Final = b"fedcredit v1 score rows\0"
_CONSENT_BYTES: Final = 16
_MARKS: Final = tuple(f'{{"event":"{event.value}"'.encode() for event in (Event.SCORE_ANSWERED, Event.SCORE_REFUSED))


Settled: TypeAlias = tuple[bytes, bytes, Outcome, str]
"""A row as it is kept: the subject's tag and the consent's name, 16 bytes each, the latter none where there is no
consent; what became of it; and with the outcome CONSENT, which of its reasons."""


def hash_of_rows(at: int, bound: bytes, rows: Iterable[Settled]) -> bytes:
    """The SHA-256 that stands in the log for the rows of a request, in their order.

    `at`: when it was decided on, in seconds since 1970; `bound`: what names its list of providers, 16 bytes.
    """
    digest = hashlib.sha256(_DOMAIN + at.to_bytes(8, "big") + bound)
    for subject, consent, outcome, why in rows:
        said = why.encode()
        digest.update(subject + consent.ljust(_CONSENT_BYTES, b"\0") + bytes([outcome.value, len(said)]) + said)
    return digest.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEntry:
    """A request as the log has it. `rows`: `hash_of_rows`; `code`: why nothing was let have, empty where it was."""

    requester: str
    model: str
    version: int
    purpose: str
    rows: str
    code: str = ""


def entry_of(line: bytes) -> tuple[str, ScoreEntry] | None:
    """The request's hash, in hexadecimal, and what a line of the log says of its rows; None where it says nothing."""
    if not line.startswith(_MARKS):
        return None
    facts = Entry.decode(line).facts
    if not facts.get("request") or not facts.get("rows"):
        return None  # refused before there were rows
    version = facts.get("version", 0)
    said = ScoreEntry(
        requester=str(facts.get("requester", "")),
        model=str(facts.get("model", "")),
        version=version if isinstance(version, int) else 0,
        purpose=str(facts.get("purpose", "")),
        rows=str(facts["rows"]),
        code=str(facts.get("code", "")),
    )
    return str(facts["request"]), said


def row_problems(kept: Mapping[str, ScoreEntry], logged: Mapping[str, ScoreEntry], fresh: set[str]) -> list[Problem]:
    """Where the store and the log differ, by the hash of the request.

    `kept`: what entries would say of the store's rows; `fresh`: requests so new that the node may not have logged them
    yet, or never will since it ended in between: nothing was let have of those.
    """
    fix = "restore the store from its backup of the same time as the log"
    problems = []
    for request in sorted(kept.keys() | logged.keys()):
        here, said = kept.get(request), logged.get(request)
        if here is None:
            what = "the log has it, and the store has none of its rows"
        elif said is None:
            if request in fresh:
                continue
            what = "the store has rows of it, and the log has not"
        elif here != replace(said, code=""):
            what = "its rows are not those that were logged"
        else:
            continue
        problems.append(Problem(AUDIT_SCORES, f"score request {request[:16]}", what, fix))
    return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLine:
    """One subject of one request, and what came of it. `reason`: why it was refused; of a consent, which of its own."""

    at: datetime
    requester: str
    model: str
    version: int
    purpose: str
    outcome: str
    reason: str = ""
    subject: str = field(default="", repr=False)
    consent: str = field(default="", repr=False)

    @staticmethod
    def outcome_of(outcome: Outcome, why: str, code: str) -> tuple[str, str]:
        """Outcome and reason of a row whose request ended with `code`."""
        if code:
            return REFUSED, code.lower()
        if outcome is Outcome.ANSWERED:
            return SCORED, ""
        if outcome is Outcome.NO_RECORD:
            return UNKNOWN, ""
        return REFUSED, why or outcome.name.lower()


@dataclass(frozen=True, slots=True, order=True)
class ScoreCount:
    """So many subjects of one kind. `provider` is whose part it was."""

    provider: str
    requester: str
    model: str
    version: int
    purpose: str
    outcome: str
    count: int = field(compare=False, default=0)

    def row(self) -> dict[str, object]:
        """As JSON has it."""
        same = {"provider": self.provider, "requester": self.requester, "model": self.model, "version": self.version}
        return same | {"purpose": self.purpose, "outcome": self.outcome, "count": self.count}


def score_counts(
    provider: str, lines: Iterable[ScoreLine], since: date, until: date, zone: tzinfo
) -> tuple[ScoreCount, ...]:
    """How many subjects of which kind there were from `since` to `until`, by days of `zone`."""
    return counted(
        Counter(
            ScoreCount(provider, line.requester, line.model, line.version, line.purpose, line.outcome)
            for line in lines
            if since <= line.at.astimezone(zone).date() <= until
        )
    )


def counted(counts: Mapping[ScoreCount, int]) -> tuple[ScoreCount, ...]:
    """Kinds with how many there were of each, in order."""
    return tuple(replace(row, count=count) for row, count in sorted(counts.items()))
