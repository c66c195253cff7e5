"""A party's decision on a job: admit it, wait until a person approves, or refuse it; the rule, and every reason.

Pure: what the clock says, what the table holds and what budgets were spent are arguments, so a decision can be worked
out again, explained before a job is run, and tested. Rules are looked at in their order and the first that is about
the job decides. If none is, the job is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fedcredit.errors import Problem, RefusedError
from fedcredit.governance import privacy
from fedcredit.governance.policy_rules import (
    CHANGED_SET,
    INTERSECTION,
    Action,
    EarlierRun,
    ModelAsk,
    Policy,
    Request,
    Rule,
    Scope,
    Terms,
    Window,
)

__all__ = [
    "CHANGED_SET",
    "INTERSECTION",
    "REFUSED",
    "Action",
    "Decision",
    "EarlierRun",
    "Meter",
    "ModelAsk",
    "Policy",
    "Request",
    "Rule",
    "Said",
    "Scope",
    "Terms",
    "Window",
    "decide",
    "evaluation_meters",
    "lookups",
    "meters",
    "refusal",
]

REFUSED = "POLICY_REFUSED"
"""What a peer is told, whatever the reason: a code for each would let it measure the policy."""

EVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Meter:
    """A budget of the rule that decides: what was spent under `key` since `since`, and `amount`, may be `limit`."""

    name: str
    key: str
    since: datetime
    limit: int
    amount: int = 1
    delta: float | None = None
    """Of a budget of privacy, in billionths of rho: at which delta its epsilon is said."""

    def said(self, used: int) -> str:
        """What of it is used, for people."""
        if self.delta is None:
            return f"{self.name}: {used} of {self.limit} used"
        return f"{self.name}: {privacy.said(used, self.limit, self.delta)}"


@dataclass(frozen=True, slots=True)
class Said:
    """What one rule said of a job: why it is not about it, or that it decides."""

    rule: str
    action: Action
    misses: tuple[str, ...]

    @property
    def decides(self) -> bool:
        """Whether this is the rule that is about the job."""
        return not self.misses


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a job at one party.

    `rule` is None when no rule is about it. `columns` are the features that enter it, None for all of the table.
    `charges` are the budgets of which a job spends one, at each key once, when it is admitted. `said` holds the rules
    up to the one that decides.
    """

    action: Action
    rule: Rule | None
    reasons: tuple[Problem, ...]
    columns: tuple[str, ...] | None = None
    charges: tuple[Meter, ...] = ()
    said: tuple[Said, ...] = ()


def decide(policy: Policy, request: Request, spent: Mapping[str, int] | None = None) -> Decision:
    """Decide on `request`. `spent` says, by the name of each of `meters`, what was used; what it does not say is 0."""
    said: list[Said] = []
    for rule in policy.rules:
        misses = rule.misses(request, policy.zone)
        said.append(Said(rule.name, rule.action, tuple(misses)))
        if not misses:
            return _apply(policy, rule, request, spent or {}, tuple(said))
    return Decision(action=Action.REFUSE, rule=None, reasons=tuple(_no_rule(said)), said=tuple(said))


def meters(policy: Policy, request: Request) -> tuple[Meter, ...]:
    """The budgets to look up for `decide`: those of the rule that is about `request`."""
    rule = _deciding(policy, request)
    return () if rule is None else _meters(policy, rule, request)


def lookups(policy: Policy, request: Request) -> tuple[Meter, ...]:
    """As `meters`, those of identifiers that are looked up; no job spends of them before it does that."""
    rule = _deciding(policy, request)
    return () if rule is None else evaluation_meters(policy, rule, request)


def evaluation_meters(policy: Policy, rule: Rule, request: Request) -> tuple[Meter, ...]:
    """The budgets of identifiers that the receiver looks up in this party's filter; none for any other job, and none
    where the rule grants none. They are the receiver's, whatever rule and table it is about."""
    terms = rule.terms
    if not request.lends_filter or terms.evaluations_per_day is None:
        return ()
    asked, key = request.after.get(request.label_party, 1), f"evaluations/{request.label_party}"
    day = request.now.astimezone(policy.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    found = [Meter("evaluations_per_day", key, day, terms.evaluations_per_day, asked)]
    if terms.evaluations_per_hour is not None:
        since = request.now - timedelta(hours=1)
        found.append(Meter("evaluations_per_hour", f"{key}/hour", since, terms.evaluations_per_hour, asked))
    return tuple(found)


def refusal(decision: Decision) -> RefusedError:
    """The error of a refused job; its code is the same for all of them, the reasons follow."""
    name = "policy" if decision.rule is None else f"rule {decision.rule.name!r}"
    return RefusedError([Problem(REFUSED, name, "refuses this job"), *decision.reasons])


def _apply(policy: Policy, rule: Rule, request: Request, spent: Mapping[str, int], said: tuple[Said, ...]) -> Decision:
    if rule.action is Action.REFUSE:
        reason = Problem(REFUSED, f"rule {rule.name!r}", "refuses such jobs", "leave it, or ask for another job")
        return Decision(action=Action.REFUSE, rule=rule, reasons=(reason,), said=said)
    known = _meters(policy, rule, request)
    looked_up = evaluation_meters(policy, rule, request)
    reasons = [*rule.terms.breaches(rule.name, request), *_exhausted(rule, (*known, *looked_up), spent)]
    if reasons:
        return Decision(action=Action.REFUSE, rule=rule, reasons=tuple(reasons), said=said)
    action: Action = rule.action
    why: tuple[Problem, ...] = ()
    if rule.terms.asks_anew(request):
        action = Action.APPROVE
        why = (Problem(CHANGED_SET, f"rule {rule.name!r}", "a set has changed since earlier jobs with these peers"),)
    charges = (*known, *_unbounded(request, known))
    return Decision(action=action, rule=rule, reasons=why, columns=rule.terms.columns, charges=charges, said=said)


def _meters(policy: Policy, rule: Rule, request: Request) -> tuple[Meter, ...]:
    day = request.now.astimezone(policy.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    everyone, one = f"rule/{rule.name}", f"rule/{rule.name}/by/{request.submitter}"
    same = f"runs/{request.table}/with/{','.join(request.peers)}"
    terms = rule.terms
    budgets = (
        ("per_day", everyone, day, terms.per_day),
        ("per_month", everyone, month, terms.per_month),
        ("per_submitter_per_month", one, month, terms.per_submitter_per_month),
        ("max_runs", same, EVER, terms.max_runs),
    )
    pairs = (
        (f"{name} with {peer}", f"pair/{request.table}/with/{peer}", since, limit)
        for peer in request.peers
        for name, since, limit in (
            ("per_pair_per_day", day, terms.per_pair_per_day),
            ("per_pair_per_month", month, terms.per_pair_per_month),
        )
    )
    counted = (Meter(name, key, since, limit) for name, key, since, limit in (*budgets, *pairs) if limit is not None)
    return (*counted, *_privacy(terms, request))


def _privacy(terms: Terms, request: Request) -> Iterator[Meter]:
    """What noised jobs over the table may cost together, whatever rule let them in."""
    asked, epsilon, delta = request.privacy, terms.privacy_epsilon, terms.privacy_delta
    if asked is None or epsilon is None or delta is None:
        return
    since, limit = request.now - timedelta(days=terms.privacy_days), privacy.rho_units(epsilon, delta)
    yield Meter(privacy.BUDGET, privacy.key_of(request.table), since, limit, asked.rho, delta)


def _unbounded(request: Request, known: Sequence[Meter]) -> Iterator[Meter]:
    """What a noised job costs counts for later ones also where the rule that lets it in sets no bound."""
    if request.privacy is not None and all(meter.name != privacy.BUDGET for meter in known):
        key, asked = privacy.key_of(request.table), request.privacy
        yield Meter(privacy.BUDGET, key, EVER, privacy.UNBOUNDED, asked.rho, asked.delta)


def _deciding(policy: Policy, request: Request) -> Rule | None:
    return next((rule for rule in policy.rules if not rule.misses(request, policy.zone)), None)


def _exhausted(rule: Rule, known: Sequence[Meter], spent: Mapping[str, int]) -> Iterator[Problem]:
    for meter in known:
        used = spent.get(meter.name, 0)
        if used + meter.amount > meter.limit and meter.delta is not None:
            asked = f"the job costs epsilon {privacy.epsilon_at(meter.amount, meter.delta):.3g}"
            what = f"{asked}, more than {meter.name} has left: {privacy.said(used, meter.limit, meter.delta)}"
            yield Problem(privacy.PRIVACY, f"rule {rule.name!r}", what, "ask with a smaller epsilon, or wait")
        elif used + meter.amount > meter.limit:
            asked = "" if meter.amount == 1 else f", and {meter.amount} more are asked for"
            what = f"{used} of {meter.name} = {meter.limit} are used{asked}"
            fix = "run no more jobs over this table with these peers" if meter.since == EVER else "wait"
            yield Problem("POLICY_BUDGET", f"rule {rule.name!r}", what, fix)


def _no_rule(said: Sequence[Said]) -> Iterator[Problem]:
    granting = [one for one in said if one.action is not Action.REFUSE]
    if not granting:
        yield Problem("POLICY_NO_RULE", "policy", "no rule grants anything", "add a rule to policy.toml")
        return
    nearest = min(granting, key=lambda one: len(one.misses))
    what = f"no rule is about this job; the nearest is {nearest.rule!r}"
    yield Problem("POLICY_NO_RULE", "policy", what, "change the job, or add a rule to policy.toml")
    for miss in nearest.misses:
        key, _, why = miss.partition(": ")
        yield Problem("POLICY_NO_RULE", f"rule {nearest.rule!r}: {key}", f"it is for {why}")
