"""What a policy of questions is made of: rules, what a question asks, and how a rule looks at it.

As with jobs, a rule has a scope, which says which questions it is about, and terms, which such a question has to keep.
A question that breaks a term is refused there and then: were it passed on, asking once more could be answered by a
rule that grants more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum

from fedcredit.errors import Problem
from fedcredit.governance.policy_rules import WEEKDAYS, Window
from fedcredit.governance.verification.levels import CORE, Classification, level_name
from fedcredit.ids import PartyId

__all__ = ["Action", "Asked", "Budget", "Private", "VerifyPolicy", "VerifyRule"]


class Action(StrEnum):
    """What a rule does with a question that it is about."""

    ADMIT = "admit"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many different questions one requester has about one subject and item within `days`, today being the last."""

    questions: int
    days: int


@dataclass(frozen=True, slots=True)
class Private:
    """That a requester may learn privately which of its consented subjects are in the table: of how many in a day, and
    after how many days the key changes with which it could look an old subject up in a later table."""

    per_day: int
    key_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as far as a policy looks at it: not about whom, and not with which values.

    `level` is that of the data its answer rests on. `needs_consent`: whether the region's catalog wants the subject's
    word before an institution learns the answer.
    """

    requester: PartyId
    purpose: str
    predicate: str
    item: str
    level: int
    needs_consent: bool
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRule:
    """One rule; None stands for any in a scope, and for no bound among the terms.

    `per_second` and `per_day` are of each requester under this rule. `no_consent` answers without a consent token, and
    counts only for what the catalog lets out without anybody's word. `private` None: nobody asks privately under this
    rule. A rule that refuses has no terms.
    """

    name: str
    action: Action
    requesters: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    predicates: frozenset[str] | None = None
    items: frozenset[str] | None = None
    hours: tuple[Window, ...] = ()
    level_max: int | None = None
    per_second: int | None = None
    per_day: int | None = None
    budget: Budget | None = None
    no_consent: bool = False
    private: Private | None = None

    def misses(self, asked: Asked, zone: tzinfo) -> list[str]:
        """Why the rule is not about this question, a reason for each key that says so; empty when it is."""
        here = asked.now.astimezone(zone)
        looked: tuple[tuple[str, frozenset[str] | None, str], ...] = (
            ("requesters", self.requesters, asked.requester),
            ("purposes", self.purposes, asked.purpose),
            ("predicates", self.predicates, asked.predicate),
            ("items", self.items, asked.item),
        )
        found = [
            f"{key}: {', '.join(sorted(named))}; the question has {has}"
            for key, named, has in looked
            if named is not None and has not in named
        ]
        if self.hours and not any(here in window for window in self.hours):
            found.append(f"hours: {', '.join(map(str, self.hours))}; it is {WEEKDAYS[here.weekday()]} {here:%H:%M}")
        return found

    def breaches(self, asked: Asked) -> Iterator[Problem]:
        """Each term that the question breaks, but for what has been used up."""
        where = f"rule {self.name!r}"
        if asked.level >= CORE:
            what = "rests on core data, about which no question is answered"
            yield Problem("QUESTION_LEVEL", where, what, "leave it")
        elif self.level_max is not None and asked.level > self.level_max:
            what = f"rests on data of level {level_name(asked.level)}; level_max is {level_name(self.level_max)}"
            yield Problem("QUESTION_LEVEL", where, what, "ask about less sensitive data")
        if self.no_consent and asked.needs_consent:
            what = "answers without consent, which this item does not allow"
            yield Problem("QUESTION_CONSENT", where, what, "name public items alone, or take out no_consent")

    def minutes(self) -> list[tuple[int, int]] | None:
        """Its hours as minutes of the week from Monday 00:00 on, `end` left out, in order and not touching."""
        if not self.hours:
            return None
        day = 24 * 60
        spans = sorted((d * day + window.start, d * day + window.end) for window in self.hours for d in window.days)
        joined: list[tuple[int, int]] = []
        for start, end in spans:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return joined


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyPolicy:
    """A department's rules about questions, in their order, and how sensitive it says that its data are."""

    rules: tuple[VerifyRule, ...] = ()
    classification: Classification = Classification()
    zone: tzinfo = UTC

    def level(self, fields: Mapping[str, tuple[str, ...]]) -> int:
        """The level of an answer that rests on these fields, by item."""
        return self.classification.of(fields)
