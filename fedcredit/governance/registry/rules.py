"""Who may do what with models: the rules of a policy, and what they make of a request. Closed by default. Pure.

The first rule that is about a request decides; if none is, it is refused. To withdraw one's own approval needs no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedcredit.errors import Problem, RefusedError

__all__ = [
    "ACTS",
    "MODEL_REFUSED",
    "Act",
    "Asked",
    "ModelPolicy",
    "ModelRule",
    "RuleSaid",
    "ScoreGrant",
    "admit",
    "said_of",
]

MODEL_REFUSED: Final = "MODEL_REFUSED"
"""What a peer is told, whatever the reason: a code for each would let it measure the policy."""


class Act(StrEnum):
    """What a rule can be about. A party's own policy has publish, approve and score to say, the platform's all others
    and publish."""

    PUBLISH = "publish"
    APPROVE = "approve"
    ACTIVATE = "activate"
    CHALLENGE = "challenge"
    ROLLBACK = "rollback"
    RETIRE = "retire"
    SHOW = "show"  # to a member that has no part in the model
    SCORE = "score"  # let an institution have this party's part of encrypted scores


ACTS: Final = tuple(act.value for act in Act)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as far as a policy looks at it. `caller`: who asks, by its certificate; at a party that is to approve
    a version, who has published it."""

    caller: str
    act: Act
    model: str
    kind: str
    purpose: str


@dataclass(frozen=True, slots=True)
class ScoreGrant:
    """What a rule lets a requester have of scores, besides that every subject consents.

    `per_day`: how many subjects of one model in a day of the policy's zone; None: any number. `again_days`: after how
    many days one may be scored again; 0: at once, as often as its consent says. `without`: providers whose part a score
    may lack, when they are down; of any other a score without it is refused. `only_bands`: a
    requester is told the band of a card's total alone, and nothing of trees. `after`: of trees, which providers may be
    asked after this one, since one that is in league with the requester sees what this one keeps; None: any.
    """

    per_day: int | None = None
    again_days: int = 0
    without: frozenset[str] = frozenset()
    only_bands: bool = False
    after: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRule:
    """One rule; None stands for any. `score` counts where the rule admits to scores."""

    name: str
    admits: bool
    callers: frozenset[str] | None = None
    acts: frozenset[str] | None = None
    models: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    score: ScoreGrant = ScoreGrant()

    def misses(self, asked: Asked) -> list[str]:
        """Why the rule is not about this request, a reason for each key that says so; empty when it is."""
        looked: tuple[tuple[str, frozenset[str] | None, str], ...] = (
            ("callers", self.callers, asked.caller),
            ("acts", self.acts, asked.act.value),
            ("models", self.models, asked.model),
            ("kinds", self.kinds, asked.kind),
            ("purposes", self.purposes, asked.purpose),
        )
        return [
            f"{key}: {', '.join(sorted(named))}; the request has {has}"
            for key, named, has in looked
            if named is not None and has not in named
        ]


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """The rules of a policy about models, in their order."""

    rules: tuple[ModelRule, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleSaid:
    """What one rule says of a request: why it is not about it, or, with no reason, that it decides."""

    rule: ModelRule
    misses: tuple[str, ...]


def said_of(policy: ModelPolicy, asked: Asked) -> list[RuleSaid]:
    """What each rule says in turn, up to the one that decides, if one does."""
    found: list[RuleSaid] = []
    for rule in policy.rules:
        found.append(RuleSaid(rule, tuple(rule.misses(asked))))
        if not found[-1].misses:
            break
    return found


def admit(policy: ModelPolicy, asked: Asked) -> ModelRule:
    """The rule that lets `asked` through. Raises: RefusedError (MODEL_REFUSED) with every reason."""
    nearest: tuple[int, str, list[str]] | None = None
    for rule in policy.rules:
        misses = rule.misses(asked)
        if not misses and rule.admits:
            return rule
        if not misses:
            raise RefusedError(Problem(MODEL_REFUSED, f"rule {rule.name!r}", "refuses such requests", "leave it"))
        if rule.admits and (nearest is None or len(misses) < nearest[0]):
            nearest = len(misses), rule.name, misses
    what = f"no rule lets {asked.caller} {asked.act.value} {asked.model} ({asked.kind}, {asked.purpose})"
    reasons = [Problem(MODEL_REFUSED, "policy", what, "add a [[model.rule]] to policy.toml")]
    if nearest is not None:
        for miss in nearest[2]:
            key, _, why = miss.partition(": ")
            reasons.append(Problem(MODEL_REFUSED, f"rule {nearest[1]!r}: {key}", f"it is for {why}"))
    raise RefusedError(reasons)
