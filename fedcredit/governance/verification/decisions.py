"""A department's decision on one question: answer it or not, the rule, and every reason.

Pure: the time and what was used up are arguments. The service decides in native code by the same rules; this is for
who wants to know beforehand, and what the native code is held to in tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fedcredit.errors import Problem
from fedcredit.governance.verification.rules import Action, Asked, VerifyPolicy, VerifyRule

__all__ = ["Ruled", "Ruling", "Used", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What this requester has used up. `questions`: different ones about this subject and item within the budget's
    days; `asked_today`: whether this very question is one of today's, which costs nothing more."""

    this_second: int = 0
    today: int = 0
    questions: int = 0
    asked_today: bool = False


@dataclass(frozen=True, slots=True)
class Ruled:
    """What one rule said of a question: why it is not about it, or that it decides."""

    rule: str
    action: Action
    misses: tuple[str, ...]

    @property
    def decides(self) -> bool:
        """Whether this is the rule that is about the question."""
        return not self.misses


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What becomes of a question. `rule` is None when no rule is about it; `said` goes up to the one that decides."""

    action: Action
    rule: VerifyRule | None
    reasons: tuple[Problem, ...]
    said: tuple[Ruled, ...]

    @property
    def admits(self) -> bool:
        """Whether it would be answered, given the subject's consent where that is needed."""
        return self.action is Action.ADMIT


def decide(policy: VerifyPolicy, asked: Asked, used: Used = Used()) -> Ruling:
    """Decide on `asked`: the first rule that is about it does; if none is, it is refused."""
    said: list[Ruled] = []
    for rule in policy.rules:
        misses = rule.misses(asked, policy.zone)
        said.append(Ruled(rule.name, rule.action, tuple(misses)))
        if misses:
            continue
        if rule.action is Action.REFUSE:
            reasons = [Problem("QUESTION_RULE", f"rule {rule.name!r}", "refuses such questions", "ask another one")]
        else:
            reasons = [*rule.breaches(asked), *_exhausted(rule, used)]
        action = Action.REFUSE if reasons else Action.ADMIT
        return Ruling(action=action, rule=rule, reasons=tuple(reasons), said=tuple(said))
    return Ruling(action=Action.REFUSE, rule=None, reasons=tuple(_no_rule(said)), said=tuple(said))


def _exhausted(rule: VerifyRule, used: Used) -> Iterator[Problem]:
    where = f"rule {rule.name!r}"
    for name, limit, spent in (
        ("per_second", rule.per_second, used.this_second),
        ("per_day", rule.per_day, used.today),
    ):
        if limit is not None and spent >= limit:
            yield Problem("QUESTION_QUOTA", where, f"{spent} of {name} = {limit} are used", "wait")
    if rule.budget is not None and not used.asked_today and used.questions >= rule.budget.questions:
        what = (
            f"{used.questions} of {rule.budget.questions} different questions within {rule.budget.days} days are used"
        )
        yield Problem("QUESTION_BUDGET", where, what, "wait, or ask again what was asked today")


def _no_rule(said: Sequence[Ruled]) -> Iterator[Problem]:
    granting = [one for one in said if one.action is Action.ADMIT]
    if not granting:
        what, fix = "no rule lets any question through", "add a [[verify.rule]] to policy.toml"
        yield Problem("QUESTION_NO_RULE", "policy", what, fix)
        return
    nearest = min(granting, key=lambda one: len(one.misses))
    what = f"no rule is about this question; the nearest is {nearest.rule!r}"
    yield Problem("QUESTION_NO_RULE", "policy", what, "ask another, or add a [[verify.rule]] to policy.toml")
    for miss in nearest.misses:
        key, _, why = miss.partition(": ")
        yield Problem("QUESTION_NO_RULE", f"rule {nearest.rule!r}: {key}", f"it is for {why}")
