"""What a policy says of identifiers that are looked up in a filter: none unless granted, and no more than that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fedcredit.governance.policy import (
    INTERSECTION,
    Action,
    Policy,
    Request,
    Rule,
    Scope,
    Terms,
    decide,
    evaluation_meters,
    lookups,
)
from fedcredit.ids import PartyId

BANK, TAX = PartyId("bank"), PartyId("tax")
NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)


def request(**named: Any) -> Request:
    values: dict[str, Any] = {
        "me": TAX,
        "submitter": BANK,
        "purpose": "financing",
        "label_party": BANK,
        "feature_parties": (TAX,),
        "table": "main",
        "intersect_modes": frozenset({"unbalanced"}),
        "receiver_only": True,
        "min_intersection": 100,
        "models": (),
        "leakage": (),
        "now": NOW,
        "after": {BANK: 400},
    }
    return Request(**(values | named))


def policy(**terms: Any) -> Policy:
    rule = Rule(name="lend", action=Action.ADMIT, scope=Scope(kinds=frozenset({INTERSECTION})), terms=Terms(**terms))
    return Policy(rules=(rule,))


def codes(granted: Policy, asked: Request, spent: dict[str, int] | None = None) -> list[str]:
    return [reason.code for reason in decide(granted, asked, spent).reasons]


def test_a_rule_that_says_nothing_lends_nothing() -> None:
    assert codes(policy(), request()) == ["POLICY_EVALUATIONS"]
    assert codes(policy(evaluations_per_hour=1000), request()) == ["POLICY_EVALUATIONS"]
    for other in (
        request(intersect_modes=frozenset({"fast"})),
        request(intersect_modes=frozenset({"ecdh", "fast"})),
        request(me=BANK),
    ):
        assert codes(policy(), other) == []
        assert lookups(policy(evaluations_per_day=1), other) == ()


@pytest.mark.parametrize(
    ("terms", "spent", "refused"),
    [
        ({"evaluations_per_day": 400}, {}, False),
        ({"evaluations_per_day": 399}, {}, True),
        ({"evaluations_per_day": 1000}, {"evaluations_per_day": 600}, False),
        ({"evaluations_per_day": 1000}, {"evaluations_per_day": 601}, True),
        ({"evaluations_per_day": 1000, "evaluations_per_hour": 500}, {"evaluations_per_hour": 101}, True),
        ({"evaluations_per_day": 1000, "evaluations_per_hour": 500}, {"evaluations_per_hour": 100}, False),
    ],
)
def test_no_more_than_is_granted(terms: dict[str, int], spent: dict[str, int], refused: bool) -> None:
    assert codes(policy(**terms), request(), spent) == (["POLICY_BUDGET"] if refused else [])


def test_a_quota_is_the_peers_and_counts_from_the_days_and_hours_begin() -> None:
    granted = policy(evaluations_per_day=1000, evaluations_per_hour=500)
    day, hour = evaluation_meters(granted, granted.rules[0], request(table="another"))
    assert (day.key, hour.key) == ("evaluations/bank", "evaluations/bank/hour")
    assert (day.amount, hour.amount) == (400, 400)
    assert (day.since, hour.since) == (NOW.replace(hour=0, minute=0), NOW.replace(hour=11))
    # A job that is let in spends nothing of it yet: it does when it asks.
    assert decide(granted, request()).charges == ()
