"""How many identifiers a peer may look up in this party's filters: the policy says it, the store counts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from fedcredit.errors import Problem, RefusedError
from fedcredit.governance.audit import Event
from fedcredit.governance.policy import REFUSED, Action, Meter, Policy, Rule, evaluation_meters
from fedcredit.ids import PartyId
from fedcredit.node.policy.asked import request_of
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import Store
from fedcredit.runtime.clock import Clock
from fedcredit.wire.intersect import MAX_ROWS

__all__ = ["Allowance"]

KEY_DAYS = 90
"""How long a key is in use where the policy does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one start of a job may ask of this party's filter, under the rule that has let the job in."""

    specification: JobSpecification
    epoch: int
    rule: str
    me: PartyId
    store: Store = field(repr=False)
    policy: PolicySource = field(repr=False)
    recorder: Recorder = field(repr=False)
    clock: Clock = field(repr=False)

    def key_age(self) -> timedelta:
        """How long a key may be in use. Raises: RefusedError, as `charge`."""
        days = self._rule()[1].terms.filter_key_days
        return timedelta(days=KEY_DAYS if days is None else days)

    def worn_out(self, key: bytes, asked: int) -> bool:
        """Whether `asked` more evaluations, and those of the own rows, are too many under the key of this name."""
        own = self.specification.party(self.me).rows or 0
        return self.store.budgets.spent(_uses_of(key)) + asked + own > MAX_ROWS

    def charge(self, key: bytes, asked: int) -> None:
        """Spend `asked` evaluations, durably and in the audit log; again in the same start of the job: no effect.

        Raises: RefusedError (POLICY_REFUSED) where the policy does not grant them any more; ConfigError.
        """
        source, rule = self._rule()
        now = self.clock.now()
        known = evaluation_meters(source, rule, request_of(self.specification, self.me, now))
        if not known:
            raise _refused(Problem(REFUSED, f"rule {rule.name!r}", "grants no evaluations"))
        start = f"{self.specification.id}/{self.epoch}"
        try:
            for meter in (*known, Meter("key", _uses_of(key), now - timedelta(days=36_500), MAX_ROWS)):
                self.store.budgets.spend(start, meter.key, asked, limit=meter.limit, since=meter.since)
        except RefusedError as spent:
            raise _refused(*spent.problems) from None
        record, peer = self.recorder.record, self.specification.label_party
        record(Event.FILTER_ASKED, self.specification.id, peer=peer, asked=asked, key=key.hex(), epoch=self.epoch)

    def _rule(self) -> tuple[Policy, Rule]:
        policy = self.policy.current().policy
        for rule in policy.rules:
            if rule.name == self.rule and rule.action is not Action.REFUSE:
                return policy, rule
        raise _refused(Problem(REFUSED, f"rule {self.rule!r}", "has let the job in and is gone"))


def _uses_of(key: bytes) -> str:
    return f"filter key/{key.hex()}"


def _refused(*problems: Problem) -> RefusedError:
    # The peer is told one code whatever the reason: a code for each would let it measure the policy.
    return RefusedError([Problem(REFUSED, "evaluations", "are refused"), *problems])
