"""Decisions of a policy: which rule decides, what is refused and with which reasons, and what can never loosen it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.governance.leakage import Disclosure
from fedcredit.governance.policy import (
    REFUSED,
    Action,
    ModelAsk,
    Policy,
    Request,
    Rule,
    Scope,
    Terms,
    Window,
    decide,
    meters,
    refusal,
)
from fedcredit.ids import PartyId

BANK, TAX, OTHER = PartyId("bank"), PartyId("tax"), PartyId("social_insurance")
IDS = ("agreement.sizes", "align.rows", "gbdt.bins", "gbdt.nodes")
MONDAY_NOON = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)

MODEL = ModelAsk(
    name="gbdt.0",
    kind="gbdt",
    groupsum=frozenset({"onehot"}),
    hide_nodes=True,
    trees=100,
    max_bin=32,
    min_data_in_leaf=50,
    min_data_in_bin=50,
)


def disclosures(*ids: str) -> tuple[Disclosure, ...]:
    return tuple(Disclosure(name, (BANK,), f"what {name} says", (TAX,), "a step") for name in ids)


REQUEST = Request(
    me=TAX,
    submitter=BANK,
    purpose="financing",
    label_party=BANK,
    feature_parties=(TAX, OTHER),
    table="enterprise_tax",
    intersect_modes=frozenset({"ecdh"}),
    receiver_only=False,
    min_intersection=1000,
    models=(MODEL,),
    leakage=disclosures("agreement.sizes", "align.rows"),
    now=MONDAY_NOON,
    rows=5000,
    columns=("arrears", "vat_paid"),
    after={TAX: 5000},
)
TERMS = Terms(accept_leakage=frozenset({"agreement.sizes", "align.rows"}))
RULE = Rule(
    name="financing",
    action=Action.ADMIT,
    scope=Scope(submitters=frozenset({BANK}), peers=frozenset({BANK, OTHER}), purposes=frozenset({"financing"})),
    terms=TERMS,
)


def asked(**changes: Any) -> Request:
    return dataclasses.replace(REQUEST, **changes)


def ruled(rule: Rule = RULE, *, scope: dict[str, Any] | None = None, **terms: Any) -> Policy:
    changed = dataclasses.replace(
        rule, scope=dataclasses.replace(rule.scope, **(scope or {})), terms=dataclasses.replace(rule.terms, **terms)
    )
    return Policy(rules=(changed,))


def model(**changes: Any) -> tuple[ModelAsk, ...]:
    return (dataclasses.replace(MODEL, **changes),)


def codes(policy: Policy, request: Request = REQUEST, **spent: int) -> set[str]:
    """The codes of the reasons; empty when the job is let in."""
    decision = decide(policy, request, spent)
    assert (decision.action is Action.REFUSE) == bool(decision.reasons)
    return {problem.code for problem in decision.reasons}


def test_the_first_rule_that_is_about_the_job_decides() -> None:
    never = Rule(name="no-research", action=Action.REFUSE, scope=Scope(purposes=frozenset({"research"})))
    ask = dataclasses.replace(RULE, name="ask", action=Action.APPROVE)
    decision = decide(Policy(rules=(never, ask, RULE)), REQUEST)
    assert decision.action is Action.APPROVE
    assert decision.rule == ask
    assert [(said.rule, said.decides) for said in decision.said] == [("no-research", False), ("ask", True)]
    refused = decide(Policy(rules=(never, ask, RULE)), asked(purpose="research"))
    assert refused.rule == never
    assert refusal(refused).code == REFUSED


def test_what_no_rule_is_about_is_refused_and_the_nearest_rule_named() -> None:
    far = dataclasses.replace(RULE, name="far", scope=Scope(submitters=frozenset(), tables=frozenset({"other"})))
    decision = decide(Policy(rules=(far, RULE)), asked(purpose="research"))
    assert (decision.action, decision.rule) == (Action.REFUSE, None)
    assert "the nearest is 'financing'" in decision.reasons[0].what
    assert [problem.where for problem in decision.reasons[1:]] == ["rule 'financing': purposes"]
    assert "research" in decision.reasons[1].what
    assert refusal(decision).exit_status == 77
    assert codes(Policy()) == {"POLICY_NO_RULE"}
    # A refusing rule that is not about the job is no near miss: there is nothing to gain from it.
    never = Rule(name="never", action=Action.REFUSE, scope=Scope(purposes=frozenset({"supervision"})))
    assert "no rule grants anything" in decide(Policy(rules=(never,)), REQUEST).reasons[0].what


@pytest.mark.parametrize(
    ("scope", "request_changes"),
    [
        ({"submitters": frozenset({"bank"})}, {"submitter": OTHER}),
        ({"peers": frozenset({"bank"})}, {}),
        ({"tables": frozenset({"enterprise_tax"})}, {"table": "payroll"}),
        ({"kinds": frozenset({"gbdt"})}, {"models": ()}),
        ({"kinds": frozenset({"intersection"})}, {}),
        ({"intersect_modes": frozenset({"fast"})}, {}),
        ({"groupsum": frozenset({"paillier"})}, {}),
        ({"hide_nodes": True}, {"models": model(hide_nodes=False)}),
        ({"hide_nodes": False}, {}),
        ({"receiver_only": True}, {}),
        ({"size_only": True}, {}),
        ({"valid_until": date(2027, 2, 28)}, {}),
        ({"hours": (Window(frozenset({1, 2}), 0, 1440),)}, {}),
        ({"hours": (Window(frozenset({0}), 12 * 60 + 1, 1440),)}, {}),
        ({"hours": (Window(frozenset({0}), 0, 12 * 60),)}, {}),
    ],
)
def test_a_rule_is_about_what_its_keys_name(scope: dict[str, Any], request_changes: dict[str, Any]) -> None:
    decision = decide(ruled(scope=scope), asked(**request_changes))
    assert decision.rule is None
    assert len(decision.said[0].misses) == 1
    assert decision.said[0].misses[0].startswith(next(iter(scope)))


@pytest.mark.parametrize(
    ("terms", "request_changes", "code"),
    [
        ({}, {"leakage": disclosures("align.rows", "gbdt.nodes")}, "LEAKAGE_NOT_ACCEPTED"),
        ({"min_rows": 5001}, {}, "POLICY_MIN_ROWS"),
        ({"min_intersection": 1001}, {}, "POLICY_MIN_INTERSECTION"),
        ({"min_parties": 4}, {"fewest_parties": 3}, "POLICY_MIN_PARTIES"),
        ({"min_data_in_leaf": 51}, {}, "POLICY_CELL_SIZE"),
        ({"min_data_in_bin": 51}, {}, "POLICY_CELL_SIZE"),
        ({"max_bin": 31}, {}, "POLICY_CELL_SIZE"),
        ({"max_trees": 99}, {}, "POLICY_MAX_TREES"),
        ({"columns": ("secret",)}, {}, "POLICY_COLUMNS"),
        ({"min_change_rows": 50}, {"before": {TAX: (100, 4999)}}, "POLICY_CHANGE"),
        (
            {"min_change_rows": 50},
            {"before": {TAX: (5000,), BANK: (10, 10)}, "after": {TAX: 5000, BANK: 59}},
            "POLICY_CHANGE",
        ),
    ],
)
def test_a_term_that_is_broken_refuses_the_job(
    terms: dict[str, Any], request_changes: dict[str, Any], code: str
) -> None:
    policy, request = ruled(**terms), asked(**request_changes)
    assert codes(policy, request) == {code}
    # The next rule is not asked, though it would let the job in.
    open_rule = Rule(name="open", action=Action.ADMIT, scope=Scope(), terms=Terms(accept_leakage=frozenset(IDS)))
    decision = decide(Policy(rules=(*policy.rules, open_rule)), request)
    assert decision.rule == policy.rules[0]
    assert decision.action is Action.REFUSE
    # The bound itself is fine.
    loose = {
        key: value - 1 if isinstance(value, int) and key.startswith("min_") and key != "min_change_rows" else value
        for key, value in terms.items()
    }
    if code in ("POLICY_MIN_ROWS", "POLICY_MIN_INTERSECTION") or "min_data" in str(terms):
        assert not codes(ruled(**loose), request)


def test_a_changed_table_is_compared_with_every_earlier_one() -> None:
    policy = ruled(min_change_rows=50)
    assert not codes(policy, asked(before={TAX: (4950, 5000, 5050)}))
    # Agreeing on a job with a table far off in between does not make the small step a large one.
    assert codes(policy, asked(before={TAX: (4999, 9000)})) == {"POLICY_CHANGE"}


def test_a_rule_is_named_by_all_that_it_says() -> None:
    assert RULE.digest == dataclasses.replace(RULE).digest
    assert RULE.digest != dataclasses.replace(RULE, action=Action.APPROVE).digest
    assert RULE.digest != ruled(max_trees=5).rules[0].digest
    assert RULE.digest != ruled(scope={"submitters": frozenset({"bank", "tax"})}).rules[0].digest


def test_every_reason_is_given_at_once() -> None:
    policy = ruled(min_rows=10_000, max_trees=10, per_day=1, accept_leakage=frozenset())
    assert codes(policy, REQUEST, per_day=1) == {
        "LEAKAGE_NOT_ACCEPTED",
        "POLICY_MIN_ROWS",
        "POLICY_MAX_TREES",
        "POLICY_BUDGET",
    }
    assert refusal(decide(policy, REQUEST)).code == REFUSED


def test_a_table_that_was_not_opened_is_not_judged() -> None:
    assert not codes(ruled(min_rows=10_000, columns=("secret",)), asked(rows=None, columns=None, after={}))


def test_a_grant_names_all_and_a_refusal_one() -> None:
    two = asked(models=(MODEL, dataclasses.replace(MODEL, name="b", kind="scorecard")))
    assert decide(ruled(scope={"kinds": frozenset({"gbdt"})}), two).rule is None
    never = Rule(name="never", action=Action.REFUSE, scope=Scope(kinds=frozenset({"gbdt"})))
    assert decide(Policy(rules=(never, RULE)), two).rule == never
    blocked = Rule(name="blocked", action=Action.REFUSE, scope=Scope(peers=frozenset({OTHER})))
    assert decide(Policy(rules=(blocked, RULE)), REQUEST).rule == blocked


def test_budgets_are_counted_where_the_party_is() -> None:
    policy = Policy(
        rules=(dataclasses.replace(RULE, terms=dataclasses.replace(TERMS, per_day=2, per_month=3, max_runs=4)),),
        zone=ZoneInfo("Asia/Shanghai"),
    )
    evening = datetime(2027, 2, 28, 17, 0, tzinfo=UTC)  # 1 March, 01:00 in Shanghai
    day, month, runs = meters(policy, asked(now=evening))
    assert day.since == month.since == datetime(2027, 2, 28, 16, 0, tzinfo=UTC)
    assert day.key == month.key == "rule/financing"
    assert runs.key == "runs/enterprise_tax/with/bank,social_insurance"
    assert decide(policy, asked(now=evening)).charges == (day, month, runs)
    assert codes(policy, REQUEST, per_day=2) == codes(policy, REQUEST, max_runs=4) == {"POLICY_BUDGET"}
    assert not codes(policy, REQUEST, per_day=1, per_month=2, max_runs=3)
    assert meters(Policy(), REQUEST) == ()


def test_hours_are_those_of_the_policy() -> None:
    rule = dataclasses.replace(RULE, scope=Scope(hours=(Window(frozenset(range(5)), 8 * 60, 18 * 60),)))
    assert decide(Policy(rules=(rule,)), REQUEST).rule == rule
    shanghai = Policy(rules=(rule,), zone=ZoneInfo("Asia/Shanghai"))
    assert decide(shanghai, REQUEST).rule is None  # 20:00 there
    assert decide(shanghai, asked(now=MONDAY_NOON - timedelta(hours=3))).rule == rule


STRICTNESS = {Action.ADMIT: 0, Action.APPROVE: 1, Action.REFUSE: 2}

names = st.sampled_from(["bank", "tax", "social_insurance", "financing", "research", "gbdt", "intersection"])
sets = st.none() | st.frozensets(names, max_size=4)
bounds = st.none() | st.integers(10, 200)
scopes = st.builds(Scope, submitters=sets, peers=sets, purposes=sets, kinds=sets, hide_nodes=st.none() | st.booleans())
terms = st.builds(
    Terms,
    accept_leakage=st.frozensets(st.sampled_from(IDS)),
    min_rows=bounds,
    min_data_in_leaf=bounds,
    max_trees=bounds,
    per_day=st.none() | st.integers(1, 3),
)
rules = st.builds(
    Rule, name=st.sampled_from(["a", "b", "c"]), action=st.sampled_from(list(Action)), scope=scopes, terms=terms
)
policies = st.builds(Policy, rules=st.lists(rules, max_size=4).map(tuple))
requests = st.builds(
    dataclasses.replace,
    st.just(REQUEST),
    submitter=st.sampled_from([BANK, OTHER]),
    purpose=st.sampled_from(["financing", "research"]),
    leakage=st.lists(st.sampled_from(IDS), unique=True).map(lambda ids: disclosures(*ids)),
    rows=st.none() | st.integers(1, 300),
    models=st.sampled_from([(), model(), model(hide_nodes=False), model(trees=150, min_data_in_leaf=20)]),
)


@settings(max_examples=150, deadline=None)
@given(policies, requests, st.integers(0, 3), st.sampled_from(IDS))
def test_asking_for_more_is_never_answered_by_more(policy: Policy, request: Request, used: int, leak: str) -> None:
    """A further disclosure, a spent budget, a smaller table or a removed acceptance never make a decision milder."""
    spent = {"per_day": used}
    before = STRICTNESS[decide(policy, request, spent).action]
    harder = dataclasses.replace(request, leakage=(*request.leakage, *disclosures(leak)))
    assert STRICTNESS[decide(policy, harder, spent).action] >= before
    assert STRICTNESS[decide(policy, request, {"per_day": used + 1}).action] >= before
    if request.rows is not None:
        assert STRICTNESS[decide(policy, dataclasses.replace(request, rows=request.rows - 1), spent).action] >= before
    poorer = tuple(
        dataclasses.replace(
            rule, terms=dataclasses.replace(rule.terms, accept_leakage=rule.terms.accept_leakage - {leak})
        )
        for rule in policy.rules
    )
    assert STRICTNESS[decide(dataclasses.replace(policy, rules=poorer), request, spent).action] >= before


@settings(max_examples=150, deadline=None)
@given(policies, requests)
def test_a_decision_follows_from_its_arguments_and_says_why(policy: Policy, request: Request) -> None:
    decision = decide(policy, request)
    assert decision == decide(policy, request)
    assert (decision.action is Action.REFUSE) == bool(decision.reasons)
    assert bool(decision.said) == bool(policy.rules)
    if decision.rule is None:
        assert decision.action is Action.REFUSE
        assert all(said.misses for said in decision.said)
    else:
        index = len(decision.said) - 1
        assert decision.rule is policy.rules[index]
        assert [said.decides for said in decision.said] == [False] * index + [True]
        # Rules behind the one that decides do not matter, nor does one in front that is about nothing.
        assert decide(Policy(rules=policy.rules[: index + 1]), request).action is decision.action
    nothing = Rule(name="nothing", action=Action.ADMIT, scope=Scope(tables=frozenset()))
    assert decide(Policy(rules=(nothing, *policy.rules)), request).action is decision.action
    if decision.action is not Action.REFUSE:
        accepted = decision.rule.terms.accept_leakage if decision.rule is not None else frozenset()
        assert {row.id for row in request.leakage} <= accepted
