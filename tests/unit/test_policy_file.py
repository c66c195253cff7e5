"""policy.toml: what is read from it, and every mistake in it at once."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.governance.leakage import PublicJob, PublicModel, leakage_of
from fedcredit.governance.policy import Action
from fedcredit.ids import PartyId
from fedcredit.runtime.model_rules_file import ModelRuleSection
from fedcredit.runtime.policy_file import RuleSection, load_policy
from fedcredit.runtime.policy_template import known_leakage, open_policy, template
from fedcredit.runtime.question_rules_file import QuestionRuleSection

GRANT = """
[[rule]]
name = "financing"
action = "admit"
submitters = ["bank"]
peers = ["bank"]
purposes = ["financing"]
tables = ["*"]
kinds = ["gbdt"]
columns = ["vat_paid"]
accept_leakage = ["align.rows"]
"""


def written(folder: Path, text: str) -> Path:
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    return folder


def problems(folder: Path, text: str) -> dict[str, str]:
    """Of each problem where in the file it is, and its code and fix."""
    with pytest.raises(ConfigError) as refused:
        load_policy(written(folder, text))
    return {p.where.rpartition(": ")[2]: f"{p.code} {p.fix}" for p in refused.value.problems}


def test_a_policy_as_it_is_read(tmp_path: Path) -> None:
    text = '[policy]\ntime_zone = "Asia/Shanghai"\n' + GRANT
    text += 'hours = ["mon-fri 08:30-17:30", "sat,sun 10:00-24:00"]\nvalid_until = 2027-12-31\nper_month = 20\n'
    text += '[[rule]]\nname = "never"\naction = "refuse"\npeers = ["rival"]\n'
    found = load_policy(written(tmp_path, text))
    rule, never = found.policy.rules
    assert str(found.policy.zone) == "Asia/Shanghai"
    assert rule.scope.tables is None
    assert rule.scope.submitters == frozenset({"bank"})
    assert [str(window) for window in rule.scope.hours] == ["mon tue wed thu fri 08:30-17:30", "sat sun 10:00-24:00"]
    assert rule.scope.valid_until == date(2027, 12, 31)
    assert (rule.terms.columns, rule.terms.per_month) == (("vat_paid",), 20)
    assert (never.action, never.scope.peers, never.scope.submitters) == (Action.REFUSE, frozenset({"rival"}), None)
    assert found.digest != load_policy(written(tmp_path, text + "# a remark\n")).digest


def test_no_policy_is_an_error_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_policy(tmp_path)
    assert refused.value.code == "POLICY_MISSING"
    assert load_policy(written(tmp_path, "")).policy.rules == ()  # grants nothing, which is fine


def test_all_mistakes_are_listed_and_unknown_keys_name_the_nearest(tmp_path: Path) -> None:
    text = GRANT.replace('tables = ["*"]\n', "").replace('["financing"]', '["financng"]')
    text += 'max_tree = 5\nmin_rows = 3\nhours = ["monday"]\n[polcy]\n[policy]\ntime_zone = "Asia/Nowhere"\n'
    found = problems(tmp_path, text)
    assert found == {
        "polcy": "CONFIG_UNKNOWN_KEY did you mean 'policy'?",
        "policy": 'CONFIG_VALUE e.g. "Asia/Shanghai"',
        "rule.0.max_tree": "CONFIG_UNKNOWN_KEY did you mean 'max_trees'?",
        "rule.0.min_rows": "CONFIG_VALUE ",
        "rule.0.tables": 'CONFIG_MISSING_KEY name them, or ["*"] for any',
        "rule.0.purposes": "CONFIG_VALUE known: financing, research, supervision",
        "rule.0.hours": 'CONFIG_VALUE e.g. "mon-fri 08:30-17:30"',
    }


@pytest.mark.parametrize(
    ("text", "where", "code"),
    [
        (GRANT.replace('["align.rows"]', '["*"]'), "rule.0.accept_leakage", "CONFIG_CONFLICT"),
        (GRANT.replace('accept_leakage = ["align.rows"]', ""), "rule.0.accept_leakage", "CONFIG_MISSING_KEY"),
        (GRANT.replace('tables = ["*"]', 'tables = ["*", "tax"]'), "rule.0.tables", "CONFIG_CONFLICT"),
        (GRANT.replace('tables = ["*"]', "tables = []"), "rule.0.tables", "CONFIG_VALUE"),
        (GRANT.replace('"admit"', '"allow"'), "rule.0.action", "CONFIG_VALUE"),
        (GRANT.replace('"admit"', '"refuse"'), "rule.0.columns", "CONFIG_CONFLICT"),
        (GRANT + GRANT, "rule", "CONFIG_CONFLICT"),
        (GRANT + "min_data_in_leaf = 9\n", "rule.0.min_data_in_leaf", "CONFIG_VALUE"),
        (GRANT + "per_day = 0\n", "rule.0.per_day", "CONFIG_VALUE"),
        (GRANT + 'per_day = "5"\n', "rule.0.per_day", "CONFIG_TYPE"),
        (GRANT + 'hours = ["fri-mon 08:00-18:00"]\n', "rule.0.hours", "CONFIG_VALUE"),
        (GRANT + 'hours = ["mon 18:00-08:00"]\n', "rule.0.hours", "CONFIG_VALUE"),
        (GRANT + 'hours = ["mon 08:00-24:30"]\n', "rule.0.hours", "CONFIG_VALUE"),
        (GRANT.replace("[[rule]]", "[rule]"), "rule", "CONFIG_TYPE"),
        ("rule = 3\n", "rule", "CONFIG_TYPE"),
    ],
)
def test_what_a_policy_must_not_say(tmp_path: Path, text: str, where: str, code: str) -> None:
    assert problems(tmp_path, text)[where].startswith(code)


@pytest.mark.parametrize("kind", ["provider", "institution"])
def test_a_new_node_lets_nothing_in_without_a_person(tmp_path: Path, kind: str) -> None:
    policy = load_policy(written(tmp_path, template(kind))).policy  # type: ignore[arg-type]
    assert [rule.action for rule in policy.rules] == [Action.APPROVE]
    rule = policy.rules[0]
    assert rule.scope.purposes == frozenset({"financing"})
    assert rule.scope.hide_nodes is True
    # What it accepts is what such a job leads to, and nothing that other jobs lead to.
    me, peer = PartyId("tax"), PartyId("bank")
    label, feature = (me, peer) if kind == "institution" else (peer, me)
    model = PublicModel(name="m", hide_nodes=True)
    job = PublicJob(platform=PartyId("platform"), label_party=label, feature_parties=(feature,), models=(model,))
    assert rule.terms.accept_leakage == {row.id for row in leakage_of(job) if me in row.about}
    assert "gbdt.nodes" not in rule.terms.accept_leakage


def test_a_run_on_one_machine_accepts_what_it_can_show(tmp_path: Path) -> None:
    rule = load_policy(written(tmp_path, open_policy())).policy.rules[0]
    assert (rule.action, rule.terms.accept_leakage) == (Action.ADMIT, known_leakage())


def test_the_manual_explains_every_key_and_its_example_is_a_policy(tmp_path: Path) -> None:
    manual = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    example, questions, models = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)
    policy = load_policy(written(tmp_path, example)).policy
    assert [rule.name for rule in policy.rules] == ["not-the-insurer", "city-bank-models"]
    tables = [line for line in manual.splitlines() if line.startswith("| `")]
    explained = {key for line in tables for key in re.findall(r"`([a-z_]+)`", line.split("|")[1])}
    assert set(RuleSection.model_fields) - {"name", "action"} <= explained
    named = set(tomllib.loads(example)["rule"][1])
    assert named == set(RuleSection.model_fields)
    rules = load_policy(written(tmp_path, questions)).questions.rules
    assert [rule.name for rule in rules] == ["not-the-insurer", "city-bank"]
    assert set(QuestionRuleSection.model_fields) - {"name", "action"} <= explained
    assert [rule.name for rule in load_policy(written(tmp_path, models)).models.rules] == [
        "sme-models",
        "city-bank-models",
        "city-bank-scores",
    ]
    assert set(ModelRuleSection.model_fields) - {"name", "action"} <= explained
