"""What a policy is made of: rules, what a job asks of a party, and how a rule looks at it.

A rule has a scope, which says which jobs it is about, and terms, which such a job has to keep. The two are apart on
purpose: a job that breaks a term is refused there and then. Were it passed on to the next rule, asking for more could
be answered by a rule that grants more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Literal

from fedcredit.errors import Problem, RefusedError
from fedcredit.governance.leakage import Disclosure, refuse_unaccepted
from fedcredit.governance.privacy import PRIVACY, PrivacyAsk
from fedcredit.ids import PartyId
from fedcredit.protocols.intersect.choice import UNBALANCED

__all__ = [
    "CHANGED_SET",
    "CHANGED_SET_DAYS",
    "INTERSECTION",
    "PRIVACY_DAYS",
    "WEEKDAYS",
    "Action",
    "EarlierRun",
    "ModelAsk",
    "Policy",
    "Request",
    "Rule",
    "Scope",
    "Terms",
    "Window",
]

INTERSECTION = "intersection"
"""The kind of a job without models."""

CHANGED_SET = "POLICY_CHANGED_SET"
"""The reason of a refusal because a set is not that of an earlier run."""

CHANGED_SET_DAYS = 30
"""How far back earlier runs count, where a rule does not say."""

PRIVACY_DAYS = 365
"""How far back noised jobs count, where a rule does not say."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Action(StrEnum):
    """What a rule does with a job that it is about."""

    ADMIT = "admit"
    APPROVE = "approve"  # a person of this party has to say yes
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAsk:
    """A model of a job, as far as a policy looks at it."""

    name: str
    kind: str
    groupsum: frozenset[str]
    """The backends that it may run with: all that the job leaves open."""
    hide_nodes: bool
    trees: int
    max_bin: int
    min_data_in_leaf: int
    min_data_in_bin: int


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A job that was agreed before over the same table: when, and what stood for the subjects of the parties in it."""

    when: datetime
    subjects: Mapping[PartyId, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a job asks of one party. `rows` and `columns` are of its own table; None while it has not been opened.

    `leakage` is the table of the whole job. `before` holds how many rows each party's table had in the jobs that were
    agreed before over the same table with the same peers; `after` those known of this one. `intersect_modes` are those
    that the job may run in: all that it leaves open. `runs` are the jobs agreed over the table with any of the peers,
    `subjects` what stands for each party's set now, as far as that is known; `change_announced` says that a job with
    these peers was refused for a changed set since the last that was agreed.
    """

    me: PartyId
    submitter: PartyId
    purpose: str
    label_party: PartyId
    feature_parties: tuple[PartyId, ...]
    table: str
    intersect_modes: frozenset[str]
    receiver_only: bool
    size_only: bool = False
    min_intersection: int
    models: tuple[ModelAsk, ...]
    leakage: tuple[Disclosure, ...]
    now: datetime
    rows: int | None = None
    columns: tuple[str, ...] | None = None
    before: Mapping[PartyId, tuple[int, ...]] = field(default_factory=dict)
    after: Mapping[PartyId, int] = field(default_factory=dict)
    runs: tuple[EarlierRun, ...] = ()
    subjects: Mapping[PartyId, str] = field(default_factory=dict)
    change_announced: bool = False
    fewest_parties: int = 0
    """Of how few parties a sum may come; 0 where none is made."""
    privacy: PrivacyAsk | None = None
    """What its sums cost in privacy, where they have noise."""

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """The other data parties, in order of their names."""
        return tuple(sorted({self.label_party, *self.feature_parties} - {self.me}))

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its models, or that it is an intersection."""
        return frozenset(model.kind for model in self.models) or frozenset({INTERSECTION})

    @property
    def lends_filter(self) -> bool:
        """Whether the label party would look its identifiers up in this party's filter."""
        return self.intersect_modes == {UNBALANCED} and self.me != self.label_party

    @property
    def hides_nodes(self) -> bool:
        """Whether no model shows which rows sit in a node."""
        return all(model.hide_nodes for model in self.models)


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some days of the week, Monday being 0: from minute `start` of the day up to but not with `end`."""

    days: frozenset[int]
    start: int
    end: int

    def __contains__(self, moment: datetime) -> bool:
        return moment.weekday() in self.days and self.start <= moment.hour * 60 + moment.minute < self.end

    def __str__(self) -> str:
        days = " ".join(WEEKDAYS[day] for day in sorted(self.days))
        return f"{days} {_clock(self.start)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which jobs a rule is about; None stands for any.

    Where a job has several of a thing (peers, kinds, backends), a rule that grants has to name them all, and a rule
    that refuses one of them.
    """

    submitters: frozenset[str] | None = None
    peers: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    tables: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    intersect_modes: frozenset[str] | None = None
    groupsum: frozenset[str] | None = None
    hide_nodes: bool | None = None
    receiver_only: bool | None = None
    size_only: bool | None = None
    hours: tuple[Window, ...] = ()
    valid_until: date | None = None

    def misses(
        self, request: Request, zone: tzinfo, covers: Callable[[frozenset[str], frozenset[str]], bool]
    ) -> list[str]:
        """Why the rule is not about this job, a reason for each key that says so; empty when it is."""
        here = request.now.astimezone(zone)
        asked: tuple[tuple[str, frozenset[str] | None, frozenset[str]], ...] = (
            ("submitters", self.submitters, frozenset({request.submitter})),
            ("peers", self.peers, frozenset(request.peers)),
            ("purposes", self.purposes, frozenset({request.purpose})),
            ("tables", self.tables, frozenset({request.table})),
            ("kinds", self.kinds, request.kinds),
            ("intersect_modes", self.intersect_modes, request.intersect_modes),
            ("groupsum", self.groupsum, frozenset[str]().union(*(model.groupsum for model in request.models))),
        )
        found = [
            f"{key}: {_names(named)}; the job has {_names(has)}"
            for key, named, has in asked
            if named is not None and not covers(named, has)
        ]
        if self.hide_nodes is not None and self.hide_nodes != request.hides_nodes:
            shows = "hides" if request.hides_nodes else "shows feature parties"
            found.append(f"hide_nodes: {_flag(self.hide_nodes)}; the job {shows} which rows sit in a node")
        if self.receiver_only is not None and self.receiver_only != request.receiver_only:
            found.append(f"receiver_only: {_flag(self.receiver_only)}; the job has {_flag(request.receiver_only)}")
        if self.size_only is not None and self.size_only != request.size_only:
            found.append(f"size_only: {_flag(self.size_only)}; the job has {_flag(request.size_only)}")
        if self.hours and not any(here in window for window in self.hours):
            found.append(f"hours: {', '.join(map(str, self.hours))}; it is {WEEKDAYS[here.weekday()]} {here:%H:%M}")
        if self.valid_until is not None and here.date() > self.valid_until:
            found.append(f"valid_until: {self.valid_until}; it is {here:%F}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a job has to keep under a rule that grants; None stands for no bound.

    `columns` are the only features that enter a job; None for all of the table. `accept_leakage` holds ids of what
    others may learn about this party.
    """

    columns: tuple[str, ...] | None = None
    accept_leakage: frozenset[str] = frozenset()
    min_rows: int | None = None
    min_intersection: int | None = None
    min_parties: int | None = None
    min_data_in_leaf: int | None = None
    min_data_in_bin: int | None = None
    max_bin: int | None = None
    max_trees: int | None = None
    per_day: int | None = None
    per_month: int | None = None
    per_submitter_per_month: int | None = None
    max_runs: int | None = None
    min_change_rows: int | None = None
    per_pair_per_day: int | None = None
    per_pair_per_month: int | None = None
    changed_set: Literal["approve", "refuse"] | None = None
    changed_set_days: int = CHANGED_SET_DAYS
    evaluations_per_day: int | None = None
    evaluations_per_hour: int | None = None
    filter_key_days: int | None = None
    privacy_epsilon: float | None = None
    privacy_delta: float | None = None
    privacy_days: int = PRIVACY_DAYS

    def asks_anew(self, request: Request) -> bool:
        """Whether a person has to say yes because a set has changed, which was announced by a refusal before."""
        return self.changed_set == "approve" and request.change_announced

    def breaches(self, rule: str, request: Request) -> Iterator[Problem]:
        """Each term that `request` breaks; what budgets have left is looked at elsewhere."""
        try:
            refuse_unaccepted(request.leakage, request.me, self.accept_leakage)
        except RefusedError as refused:
            yield from refused.problems
        where = f"rule {rule!r}"
        if self.min_rows is not None and request.rows is not None and request.rows < self.min_rows:
            yield Problem("POLICY_MIN_ROWS", where, f"the table has fewer rows than min_rows = {self.min_rows}")
        if self.min_intersection is not None and request.min_intersection < self.min_intersection:
            what = f"the job would go on with {request.min_intersection} subjects in common"
            yield Problem("POLICY_MIN_INTERSECTION", where, what, f"[intersect] min_size = {self.min_intersection}")
        if self.min_parties is not None and 0 < request.fewest_parties < self.min_parties:
            what = f"a sum may come from {request.fewest_parties} parties"
            yield Problem("POLICY_MIN_PARTIES", where, what, f"[aggregate] threshold = {self.min_parties}")
        if request.lends_filter and self.evaluations_per_day is None:
            what = "does not say how many identifiers a peer may look up"
            yield Problem("POLICY_EVALUATIONS", where, what, "set evaluations_per_day")
        if request.privacy is not None and request.privacy.rests_on_noise and self.privacy_epsilon is None:
            what = "does not say how much jobs may cost in which noise alone hides rows"
            yield Problem(PRIVACY, where, what, "set privacy_epsilon and privacy_delta")
        for model in request.models:
            yield from self._cells(f"{where}: {model.name}", model)
        yield from self._columns(where, request)
        yield from self._changes(where, request)
        yield from self._changed_sets(where, request)

    def _cells(self, where: str, model: ModelAsk) -> Iterator[Problem]:
        for key, least, has in (
            ("min_data_in_leaf", self.min_data_in_leaf, model.min_data_in_leaf),
            ("min_data_in_bin", self.min_data_in_bin, model.min_data_in_bin),
        ):
            if least is not None and has < least:
                name = "min_cell" if model.kind == "statistics" else key
                yield Problem("POLICY_CELL_SIZE", where, f"{name} is {has}", f"{name} = {least} or more")
        for key, code, most, has in (
            ("max_bin", "POLICY_CELL_SIZE", self.max_bin, model.max_bin),
            ("num_trees", "POLICY_MAX_TREES", self.max_trees, model.trees),
        ):
            if most is not None and has > most:
                yield Problem(code, where, f"{key} is {has}", f"{key} = {most} or fewer")

    def _columns(self, where: str, request: Request) -> Iterator[Problem]:
        if self.columns is None or request.columns is None:
            return
        if request.models and not set(self.columns) & set(request.columns) and request.label_party != request.me:
            yield Problem("POLICY_COLUMNS", where, "no column is left for a model", "name one in columns")

    def _changes(self, where: str, request: Request) -> Iterator[Problem]:
        # An intersection that differs from an earlier one in a few rows tells about exactly these. Every earlier one
        # counts, not the last alone: else a job that is agreed and dropped in between would hide the difference.
        least = self.min_change_rows
        if least is None:
            return
        for party, rows in sorted(request.after.items()):
            changed = min((abs(rows - old) for old in request.before.get(party, ()) if rows != old), default=least)
            if changed < least:
                what = f"the table of {party} has {changed} rows more or fewer than in an earlier job with these peers"
                yield Problem("POLICY_CHANGE", where, what, f"wait until it is min_change_rows = {least}")

    def _changed_sets(self, where: str, request: Request) -> Iterator[Problem]:
        # A run whose sets are those of an earlier run shows what that has shown. Any other one shows a difference.
        if self.changed_set is None or self.asks_anew(request):
            return
        since = request.now - timedelta(days=self.changed_set_days)
        recent = [run for run in request.runs if run.when >= since]
        for peer in request.peers:
            shared = [run for run in recent if peer in run.subjects]
            if shared and not any(_same_sets(run, request.subjects) for run in shared):
                what = f"a set is another one than in the jobs with {peer} of the last {self.changed_set_days} days"
                again = "hand it in again: then a person of this party is asked"
                yield Problem(CHANGED_SET, where, what, again if self.changed_set == "approve" else "wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a policy. A rule that refuses has no terms."""

    name: str
    action: Action
    scope: Scope
    terms: Terms = Terms()

    @property
    def digest(self) -> str:
        """Names the rule with all that it says: another text, another digest."""
        said = (self.name, self.action.value, *_canonical(self.scope), *_canonical(self.terms))
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def misses(self, request: Request, zone: tzinfo) -> list[str]:
        """Why the rule is not about this job; empty when it is."""
        return self.scope.misses(request, zone, _names_one if self.action is Action.REFUSE else _names_all)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A party's rules, in their order. `zone` is where its hours, days and months are counted."""

    rules: tuple[Rule, ...] = ()
    zone: tzinfo = UTC


def _same_sets(run: EarlierRun, now: Mapping[PartyId, str]) -> bool:
    return all(run.subjects.get(party, same) == same for party, same in now.items())


def _names_all(named: frozenset[str], asked: frozenset[str]) -> bool:
    return asked <= named


def _names_one(named: frozenset[str], asked: frozenset[str]) -> bool:
    return bool(asked & named)


def _canonical(part: Scope | Terms) -> Iterator[tuple[str, str]]:
    for item in fields(part):
        value = getattr(part, item.name)
        yield item.name, repr(sorted(value) if isinstance(value, frozenset) else value)


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
