"""Which questions a policy lets through, as a decision with a reason; and every mistake in the file at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.governance.policy_rules import Window
from fedcredit.governance.verification.decisions import Used, decide
from fedcredit.governance.verification.levels import Classification
from fedcredit.governance.verification.rules import Action, Asked, Budget, VerifyPolicy, VerifyRule
from fedcredit.ids import PartyId
from fedcredit.runtime.policy_file import load_policy

MONDAY = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
ASKED = Asked(
    requester=PartyId("bank"),
    purpose="financing",
    predicate="water_in_arrears",
    item="water_fee",
    level=2,
    needs_consent=True,
    now=MONDAY,
)
RULE = VerifyRule(
    name="city-bank",
    action=Action.ADMIT,
    requesters=frozenset({"bank"}),
    purposes=frozenset({"financing"}),
    items=frozenset({"water_fee"}),
    level_max=3,
    per_second=10,
    per_day=100,
    budget=Budget(2, 30),
)
NOTHING = Used()
POLICY = VerifyPolicy(rules=(RULE,))

GRANT = """
[verify.levels]
water_fee = 2
"water_fee.avg_monthly_usage_3m" = 3
[[verify.rule]]
name = "city-bank"
action = "admit"
requesters = ["bank"]
purposes = ["financing"]
items = ["water_fee"]
level_max = 3
per_day = 1000
budget = { questions = 2, days = 30 }
"""


def codes(policy: VerifyPolicy, asked: Asked, used: Used = NOTHING) -> list[str]:
    """The codes of a ruling's reasons; empty where the question is let through."""
    ruling = decide(policy, asked, used)
    assert ruling.admits == (not ruling.reasons)
    return [problem.code for problem in ruling.reasons]


def written(folder: Path, text: str) -> Path:
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    return folder


def problems(folder: Path, text: str) -> dict[str, str]:
    """Of each problem where in the file it is, and its code and fix."""
    with pytest.raises(ConfigError) as refused:
        load_policy(written(folder, text))
    return {p.where.rpartition(": ")[2]: f"{p.code} {p.fix}" for p in refused.value.problems}


def test_a_question_that_keeps_all_terms_is_let_through() -> None:
    ruling = decide(POLICY, ASKED)
    assert ruling.admits
    assert ruling.rule == RULE
    assert [said.decides for said in ruling.said] == [True]


@pytest.mark.parametrize(
    "other",
    [
        {"requester": PartyId("insurer")},
        {"purpose": "research"},
        {"item": "gas_fee"},
    ],
)
def test_who_is_in_no_rule_is_refused_and_told_the_nearest(other: dict[str, str]) -> None:
    ruling = decide(POLICY, replace(ASKED, **other))
    assert not ruling.admits
    assert ruling.rule is None
    assert {problem.code for problem in ruling.reasons} == {"QUESTION_NO_RULE"}
    assert "city-bank" in str(ruling.reasons[0])
    assert len(ruling.reasons) == 2  # what keeps the nearest rule from being about it


def test_an_empty_policy_refuses_everything() -> None:
    assert codes(VerifyPolicy(), ASKED) == ["QUESTION_NO_RULE"]


def test_the_first_rule_that_is_about_a_question_decides_also_when_a_later_one_would_admit() -> None:
    stricter = replace(RULE, name="stricter", level_max=1)
    assert codes(VerifyPolicy(rules=(stricter, RULE)), ASKED) == ["QUESTION_LEVEL"]
    never = VerifyRule(name="never", action=Action.REFUSE, predicates=frozenset({"water_in_arrears"}))
    assert codes(VerifyPolicy(rules=(never, RULE)), ASKED) == ["QUESTION_RULE"]
    assert codes(VerifyPolicy(rules=(RULE, never)), ASKED) == []


def test_quotas_and_budgets_end() -> None:
    assert codes(POLICY, ASKED, Used(this_second=9, today=99, questions=1)) == []
    assert codes(POLICY, ASKED, Used(this_second=10)) == ["QUESTION_QUOTA"]
    assert codes(POLICY, ASKED, Used(today=100, questions=2)) == ["QUESTION_QUOTA", "QUESTION_BUDGET"]
    # The same question on the same day gives the same answer, so it tells nothing more.
    assert codes(POLICY, ASKED, Used(questions=2, asked_today=True)) == []


def test_hours_are_those_of_the_zone() -> None:
    office = replace(RULE, hours=(Window(frozenset(range(5)), 9 * 60, 17 * 60),))
    policy = VerifyPolicy(rules=(office,))
    assert codes(policy, ASKED) == []
    assert codes(policy, replace(ASKED, now=MONDAY.replace(hour=17, minute=0))) == ["QUESTION_NO_RULE"] * 2
    assert codes(policy, replace(ASKED, now=MONDAY.replace(day=3))) == ["QUESTION_NO_RULE"] * 2


def test_hours_as_minutes_of_the_week_join_where_they_touch() -> None:
    assert RULE.minutes() is None
    nights = (Window(frozenset({0}), 0, 1440), Window(frozenset({1}), 0, 60), Window(frozenset({6}), 600, 660))
    assert replace(RULE, hours=nights).minutes() == [(0, 1500), (9240, 9300)]


def test_core_data_are_never_behind_an_answer() -> None:
    anything = replace(RULE, level_max=None)
    assert codes(VerifyPolicy(rules=(anything,)), replace(ASKED, level=6)) == ["QUESTION_LEVEL"]
    assert codes(VerifyPolicy(rules=(anything,)), replace(ASKED, level=5)) == []


def test_without_consent_only_where_nobody_is_asked() -> None:
    public = VerifyPolicy(rules=(replace(RULE, no_consent=True),))
    assert codes(public, ASKED) == ["QUESTION_CONSENT"]
    assert codes(public, replace(ASKED, needs_consent=False)) == []


def test_the_level_of_an_answer_is_the_highest_behind_it() -> None:
    levels = Classification({"water_fee": 2, "water_fee.usage": 3})
    assert levels.of({"water_fee": ("currently_in_arrears",)}) == 2
    assert levels.of({"water_fee": ("usage",)}) == 3
    assert levels.of({"water_fee": (), "gas_fee": ()}) == 4  # nobody said how sensitive gas fees are


def test_a_policy_as_it_is_read(tmp_path: Path) -> None:
    text = '[policy]\ntime_zone = "Asia/Shanghai"\n' + GRANT + 'hours = ["mon-fri 08:30-17:30"]\n'
    found = load_policy(written(tmp_path, text)).questions
    (rule,) = found.rules
    assert (rule.name, rule.action, rule.level_max, rule.per_day) == ("city-bank", Action.ADMIT, 3, 1000)
    assert rule.budget == Budget(2, 30)
    assert rule.predicates is None
    assert rule.items == frozenset({"water_fee"})
    assert str(found.zone) == "Asia/Shanghai"
    assert found.level({"water_fee": ("avg_monthly_usage_3m",)}) == 3


def test_all_mistakes_are_listed_and_names_are_guessed(tmp_path: Path) -> None:
    text = GRANT.replace("level_max = 3\n", 'level_max = "core"\n').replace('["financing"]', '["financng"]')
    text = text.replace('["water_fee"]', '["water_fe"]') + 'per_dya = 5\nhours = ["monday"]\n'
    text += "[verify.lvels]\nx = 1\n"
    found = problems(tmp_path, text.replace("water_fee = 2", "water_fees = 2"))
    assert found["verify.lvels"] == "CONFIG_UNKNOWN_KEY did you mean 'levels'?"
    assert found["verify.levels.water_fees"] == "CONFIG_VALUE did you mean 'water_fee'?"
    assert found["verify.rule.0.per_dya"] == "CONFIG_UNKNOWN_KEY did you mean 'per_day'?"
    assert found["verify.rule.0.items"] == "CONFIG_VALUE did you mean 'water_fee'?"
    assert found["verify.rule.0.purposes"] == "CONFIG_VALUE did you mean 'financing'?"
    assert found["verify.rule.0.hours"].startswith("CONFIG_VALUE")
    assert found["verify.rule.0.level_max"].startswith("CONFIG_VALUE")
    assert len(found) == 7


@pytest.mark.parametrize(
    ("text", "where", "code"),
    [
        (GRANT.replace('requesters = ["bank"]\n', ""), "verify.rule.0.requesters", "CONFIG_MISSING_KEY"),
        (GRANT.replace('items = ["water_fee"]\n', ""), "verify.rule.0.items", "CONFIG_MISSING_KEY"),
        (GRANT.replace("level_max = 3\n", ""), "verify.rule.0.level_max", "CONFIG_MISSING_KEY"),
        (GRANT.replace("budget = { questions = 2, days = 30 }\n", ""), "verify.rule.0.budget", "CONFIG_MISSING_KEY"),
        (GRANT + "no_budget = true\n", "verify.rule.0.no_budget", "CONFIG_CONFLICT"),
        (GRANT.replace('"admit"', '"refuse"'), "verify.rule.0.budget", "CONFIG_CONFLICT"),
        (GRANT.replace("questions = 2", "questions = 0"), "verify.rule.0.budget.questions", "CONFIG_VALUE"),
        (GRANT.replace('["bank"]', '["*", "bank"]'), "verify.rule.0.requesters", "CONFIG_VALUE"),
        (GRANT + "private = { per_day = 0 }\n", "verify.rule.0.private.per_day", "CONFIG_VALUE"),
        (GRANT + "private = { key_days = 3 }\n", "verify.rule.0.private.per_day", "CONFIG_MISSING_KEY"),
        (GRANT + "private = true\n", "verify.rule.0.private", "CONFIG_TYPE"),
        (GRANT + "private = { per_day = 5 }\nno_consent = true\n", "verify.rule.0.private", "CONFIG_CONFLICT"),
        (GRANT + "per_second = true\n", "verify.rule.0.per_second", "CONFIG_TYPE"),
        (GRANT.replace("water_fee = 2", "water_fee = 7"), "verify.levels.water_fee", "CONFIG_VALUE"),
        (GRANT.replace("water_fee = 2", "water_fee = true"), "verify.levels.water_fee", "CONFIG_VALUE"),
        ("verify = 3\n", "verify", "CONFIG_TYPE"),
        ("[verify]\nrule = 3\n", "verify.rule", "CONFIG_TYPE"),
        (
            GRANT + GRANT.partition("[[verify.rule]]")[1] + GRANT.partition("[[verify.rule]]")[2],
            "verify.rule",
            "CONFIG_CONFLICT",
        ),
    ],
)
def test_what_a_policy_of_questions_must_not_say(tmp_path: Path, text: str, where: str, code: str) -> None:
    assert problems(tmp_path, text)[where].startswith(code)
