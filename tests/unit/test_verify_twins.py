"""The native service and its twins in Python: one snapshot, the same rule and reason, the same names in the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from fedcredit.governance.policy_rules import Window
from fedcredit.governance.verification.decisions import decide
from fedcredit.governance.verification.levels import Classification
from fedcredit.governance.verification.rules import Action, Asked, Budget, VerifyPolicy, VerifyRule
from fedcredit.ids import PartyId
from fedcredit.kernels.desk import Caller, Desk, Question
from fedcredit.node.verification.building import build, columns_of, resources_of
from fedcredit.node.verification.log_key import subject_tag
from fedcredit.node.verification.question_hash import question_hash
from fedcredit.node.verification.serving import Offer, offer_of
from fedcredit.node.verification.snapshot import snapshot_of
from fedcredit.runtime.toml import Reader
from fedcredit.runtime.verify_file import read_verify

CODE = "91320100MA1MTQ0X09"
KEY = bytes(range(32))
NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)  # a Monday
BANK = Caller("bank", bytes(32))
RULE = VerifyRule(
    name="water",
    action=Action.ADMIT,
    requesters=frozenset({"bank"}),
    purposes=frozenset({"financing"}),
    items=frozenset({"water_arrears"}),
    level_max=3,
    budget=Budget(2, 30),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Offer, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("water")
    (folder / "arrears.csv").write_text(f"uscc,repaid,arrears_start_date,arrears_amount\n{CODE},false,2026-01-15,9\n")
    raw = {"verify": {"region": "nanjing", "items": {"water_arrears": {"table": "arrears.csv"}}}}
    section = read_verify(Reader(folder / "party.toml", raw), "provider")
    assert section is not None
    resources = resources_of(folder, 256, 1)
    classified = VerifyPolicy(classification=Classification({"water_arrears": 2}))
    offer = offer_of(section, classified, columns_of(folder, section, resources))
    register = offer.registers["water_arrears"]
    built = build(register, section, folder, folder / "i", resources, date(2026, 5, 4), matched=False)
    return offer, {"water_arrears": built.path}


def desk(served: tuple[Offer, dict[str, Path]], policy: VerifyPolicy) -> Desk:
    offer, paths = served
    return Desk(KEY, snapshot_of(PartyId("water"), offer, policy, paths, None, NOW))


@pytest.mark.parametrize(
    ("rules", "other"),
    [
        ((RULE,), {}),
        ((RULE,), {"purpose": "research"}),
        ((), {}),
        ((replace(RULE, requesters=frozenset({"rival"})),), {}),
        ((replace(RULE, level_max=1), replace(RULE, name="later")), {}),
        ((VerifyRule(name="never", action=Action.REFUSE, items=frozenset({"water_arrears"})), RULE), {}),
        ((replace(RULE, no_consent=True),), {}),
        ((replace(RULE, hours=(Window(frozenset({0}), 9 * 60, 10 * 60),)),), {}),
        ((replace(RULE, hours=(Window(frozenset({0}), 8 * 60, 9 * 60),)),), {}),
    ],
)
def test_both_decide_by_the_same_rule_for_the_same_reason(
    served: tuple[Offer, dict[str, Path]], rules: tuple[VerifyRule, ...], other: dict[str, str]
) -> None:
    policy = VerifyPolicy(rules=rules)
    purpose = other.get("purpose", "financing")
    question = Question(subject=CODE, predicate="water_no_open_arrears", purpose=purpose)
    ruled = desk(served, policy).rule(BANK, question, int(NOW.timestamp() * 1000))
    asked = Asked(
        requester=PartyId("bank"),
        purpose=purpose,
        predicate="water_no_open_arrears",
        item="water_arrears",
        level=2,
        needs_consent=True,
        now=NOW,
    )
    decision = decide(policy, asked)
    assert ruled.rule == ("" if decision.rule is None else decision.rule.name)
    reasons = {
        "QUESTION_NO_RULE": "no_rule",
        "QUESTION_RULE": "rule",
        "QUESTION_LEVEL": "level",
        "QUESTION_CONSENT": "no_consent",
    }
    # What the policy lets through lacks its consent here.
    assert ruled.reason == ("consent_missing" if decision.admits else reasons[decision.reasons[0].code])
    assert ruled.outcome == "refused"


def test_names_in_the_log_are_the_same(served: tuple[Offer, dict[str, Path]]) -> None:
    found = desk(served, VerifyPolicy(rules=(RULE,)))
    assert found.subject_tag(CODE).hex() == subject_tag(KEY, CODE)
    offer, _ = served
    for name in ("water_no_open_arrears", "water_arrears_count"):
        compiled = next(one.compiled for one in offer.questions if one.id == name)
        values: dict[str, float] = {"n": 3} if compiled.predicate.parameters else {}
        question = Question(subject=CODE, predicate=name, purpose="financing", arguments=values)
        ruled = found.rule(BANK, question, int(NOW.timestamp() * 1000))
        assert ruled.question.hex() == question_hash(compiled, values)
        assert ruled.reason == "consent_missing"
