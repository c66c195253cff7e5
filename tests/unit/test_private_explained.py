"""What `policy explain` and `party check` say of asking privately: it takes party.toml's word and the policy's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pytest
from unit.test_question_policy import GRANT
from unit.test_verify_serving import CODES, WATER

from fedcredit.cli.main import main
from fedcredit.governance.verification.permits import WhyNot
from fedcredit.governance.verification.rules import Private
from fedcredit.ids import PartyId
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.verification.check import Checked, check_verify
from fedcredit.node.verification.explain import explain_question
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import load_party

PRIVATE = "private = { per_day = 12, key_days = 9 }\n"
NOON = datetime.fromisoformat("2026-05-04T12:00+08:00")
PATENTS = "entity_name,patent_type,patent_number\n甲公司,发明,1\n"

Run = Callable[..., tuple[int, str]]
Town = Callable[..., Path]


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A department's folder without questions."""
    folder = tmp_path_factory.mktemp("water") / "water"
    table = folder.parent / "water.csv"
    table.write_text(f"uscc,x\n{CODES[0]},1\n", encoding="utf-8")
    kind = (PartyId("water"), "provider", "127.0.0.1", 7443, (), table, "uscc", None, PartyId("platform"), None, False)
    found(folder, NewParty(*kind))
    return folder


@pytest.fixture
def department(founded: Path) -> Iterator[Town]:
    """Gives the department its `[verify]` and its policy."""
    plain = (founded / "party.toml").read_text(encoding="utf-8")

    def declare(policy: str = GRANT + PRIVATE, private: str = '["water_fee"]', more: str = "") -> Path:
        verify = f'\n[verify]\nregion = "nanjing"\nprivate = {private}\n[verify.items.water_fee]\ntable = "fee.csv"\n'
        (founded / "fee.csv").write_text(f"{WATER}{CODES[0]},true,5,10,2026-04-30\n", encoding="utf-8")
        (founded / "party.toml").write_text(plain + verify + more, encoding="utf-8")
        (founded / "policy.toml").write_text(policy, encoding="utf-8")
        return founded

    yield declare
    (founded / "party.toml").write_text(plain, encoding="utf-8")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:
            status = int(left.code or 0)
        return status, capsys.readouterr().out

    return call


def explained(
    folder: Path, predicate: str = "water_in_arrears", values: Mapping[str, float] | None = None, by: str = "bank"
) -> Private | WhyNot:
    config, given = load_party(folder), values or {}
    asked = {"predicate": predicate, "purpose": "financing", "values": given, "at": NOON}
    return explain_question(config, requester=PartyId(by), **asked).private


def checked(folder: Path) -> Checked:
    return check_verify(load_party(folder), SystemClock())


def test_privately_is_asked_where_both_files_say_so(department: Town, run: Run) -> None:
    folder = department()
    assert explained(folder) == Private(per_day=12, key_days=9)
    question = ("policy", "explain", "--node", folder, "--predicate", "water_in_arrears", "--requester", "bank")
    status, said = run(*question)
    assert status == 0
    assert "May be asked privately, for 12 subjects a day" in said
    assert "after 9 days" in said
    status, said = run(*question, "--json")
    assert json.loads(said)["private"] == {"allowed": True, "per_day": 12, "key_days": 9}
    assert "questions, city-bank: admit, also privately" in run("policy", "check", folder)[1]


def test_without_the_word_of_either_file_it_is_not_and_that_one_is_named(department: Town, run: Run) -> None:
    assert explained(department(private="[]")) is WhyNot.OFF
    folder = department(policy=GRANT)
    assert explained(folder) is WhyNot.RULE
    question = ("policy", "explain", "--node", folder, "--predicate", "water_in_arrears", "--requester", "bank")
    status, said = run(*question)
    assert status == 0
    assert "Not to be asked privately: the rule of policy.toml" in said
    status, said = run(*question, "--json")
    assert json.loads(said)["private"]["code"] == "private_rule"


def test_who_is_refused_openly_is_refused_privately(department: Town, run: Run) -> None:
    folder = department()
    assert explained(folder, by="insurer") is WhyNot.RULE
    asked = ("--predicate", "water_in_arrears", "--requester", "insurer")
    status, said = run("policy", "explain", "--node", folder, *asked)
    assert status == 77
    assert "Not to be asked privately" in said


def test_a_check_says_under_which_rule_who_is_in_a_table_is_asked(department: Town) -> None:
    found = checked(department())
    assert found.problems == ()
    assert found.said[-1] == "water_fee asked privately under 'city-bank'"


def test_a_check_says_where_one_of_the_two_words_is_missing(department: Town) -> None:
    found = checked(department(policy=GRANT))
    assert found.problems == ()
    assert found.said[-1] == "water_fee asked privately by nobody: no rule of policy.toml has private for it"
    found = checked(department(private="[]"))
    assert found.problems == ()
    assert found.said[-1].startswith("private of rule 'city-bank' without effect")


def test_a_rule_about_other_questions_lets_nobody_ask_privately(department: Town) -> None:
    other = GRANT.replace('items = ["water_fee"]', 'predicates = ["hf_current"]') + PRIVATE
    said = checked(department(policy=other)).said
    assert said[-2] == "water_fee asked privately by nobody: no rule of policy.toml has private for it"
    assert said[-1].startswith("private of rule 'city-bank' without effect")


def test_an_item_that_is_never_asked_privately_is_an_error_of_party_toml(department: Town, founded: Path) -> None:
    """One whose records are found by name, and one of which no record is an answer; both say what to do."""
    names = ("patent", "enterprise_property_registration")
    more = "".join(f'[verify.items.{name}]\ntable = "{name}.csv"\n' for name in names)
    (founded / "patent.csv").write_text(PATENTS, encoding="utf-8")
    (founded / "enterprise_property_registration.csv").write_text(f"holder_id_number\n{CODES[0]}\n", encoding="utf-8")
    folder = department(private=json.dumps(names), more=more)
    everything = GRANT.replace('"water_fee"]', '"water_fee", "patent", "enterprise_property_registration"]') + PRIVATE
    (folder / "policy.toml").write_text(everything, encoding="utf-8")
    assert explained(folder, "patents_at_least", {"n": 1}) is WhyNot.NO_TABLE
    assert explained(folder, "prop_owned") is WhyNot.COMPLETE
    wrong = {problem.where: problem for problem in checked(folder).problems if problem.code == "VERIFY_PRIVATE"}
    assert set(wrong) == {f"verify.private: {name}" for name in names}
    assert "not found by unified social credit code" in wrong["verify.private: patent"].what
    assert "no record is an answer" in wrong["verify.private: enterprise_property_registration"].what
