"""`fedcredit predicate`: as a department's people try it out."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import pytest

from fedcredit.cli.main import app, main
from fedcredit.errors import ConfigError, DataError, FedcreditError, UsageError
from fedcredit.runtime.catalog_file import _FOLDER as REGIONS

ROOT = Path(__file__).resolve().parents[2]
FUND = "统一社会信用代码,缴存人数,avg_monthly_contributors_12m,remark\nA1,80,100,x\nA2,79,100,\nA3,,100,\n"


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as done:
        app(args=["predicate", *arguments], prog_name="fedcredit")
    assert not done.value.code
    return capsys.readouterr().out


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(run([*arguments, "--json"], capsys))  # type: ignore[no-any-return]


def refused(arguments: list[str], kind: type[FedcreditError]) -> FedcreditError:
    with pytest.raises(kind) as error:
        app(args=["predicate", *arguments], prog_name="fedcredit", standalone_mode=False)
    return error.value


def test_the_list_is_by_region_and_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run(["list", "--json"], capsys).splitlines()) == 111
    assert run(["list"], capsys).rstrip().endswith("111 predicates")
    beijing = [json.loads(line)["id"] for line in run(["list", "--region", "beijing", "--json"], capsys).splitlines()]
    assert beijing == ["whitelisted", "risk_flagged"]
    water = [json.loads(line)["id"] for line in run(["list", "--item", "water_fee", "--json"], capsys).splitlines()]
    assert water == ["water_in_arrears", "water_in_use", "water_not_dropped"]


def test_one_is_shown_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(["show", "water_in_arrears"], capsys)
    assert "nanjing: authorisation of the enterprise before release" in out
    assert "jining: authorisation of the enterprise at each call" in out
    assert "$k: one of 3, 6, 9, 12" in run(["show", "hf_continuous_k"], capsys)
    assert "which the enquirer holds" in run(["show", "award_match"], capsys)
    program = json.loads(run(["show", "water_in_arrears", "--program"], capsys))
    assert [step["op"] for step in program["steps"]] == ["column", "any"]
    assert told(["show", "prop_free"], capsys)["no_record"] == "nothing"


def test_a_file_of_ones_own_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "fund.csv"
    table.write_text(FUND, encoding="utf-8-sig")
    ask = ["test", "hf_headcount_stable", "--region", "nanjing", "--table", str(table)]
    found = told(ask, capsys)
    assert found["subjects"] == {"yes": 1, "no": 1, "unknown": 1}
    assert (found["share"], found["release"], found["catalog"]) == ("nobody", "enterprise", "nanjing/1")
    for subject, answer in {"A1": "yes", "A2": "no", "A3": "unknown", "A4": "unknown"}.items():
        assert told([*ask, "--subject", subject], capsys)["answer"] == answer
    # Whom the file does not know: unknown, or nothing there, as the department says of its register.
    assert "no record" in told([*ask, "--subject", "A4"], capsys)["reason"]
    assert "yes: 1" in run(ask, capsys)


def test_two_items_are_looked_at_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filed, closed = tmp_path / "filed.csv", tmp_path / "closed.csv"
    filed.write_text("uscc,case_no\nA1,K1\nA1,K2\nA2,K3\n")
    closed.write_text("uscc,case_no\nA1,K1\nA2,K3\n")
    ask = ["test", "open_case", "--region", "nanjing", "--table", str(filed)]
    assert refused(ask, UsageError).problems[0].fix == "--table case_closing=FILE"
    assert told([*ask, "--table", f"case_closing={closed}"], capsys)["subjects"] == {"yes": 1, "no": 1, "unknown": 0}


def test_subjects_are_found_by_name_where_the_region_prints_no_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "patents.csv"
    table.write_text("entity_name\nSubject Ltd\nSubject Ltd\nSubject Ltd\nOther Ltd\n")
    ask = ["test", "patents_at_least", "--region", "nanjing", "--param", "n=3", "--table", str(table)]
    assert told(ask, capsys)["subjects"] == {"yes": 1, "no": 1, "unknown": 0}
    assert told([*ask, "--name", "Subject Ltd"], capsys)["answer"] == "yes"


def test_records_can_be_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    def grade(*records: str) -> str:
        written = [part for record in records for part in ("--record", record)]
        return str(told(["test", "tax_grade_a", "--region", "jining", *written], capsys)["answer"])

    new, old = '{"rating_year": 2024, "tax_grade": "A"}', '{"rating_year": 2023, "tax_grade": "B"}'
    assert grade(old, new) == "yes"
    assert grade(new.replace("2024", "2022"), old) == "no"
    assert grade('{"rating_year": null, "tax_grade": "A"}') == "unknown"
    penalty = ["test", "no_penalty", "--region", "jining", "--param", "n=12", "--asof", "2025-06-30"]
    record = '{"decision_date": "2024-06-29", "publicity_end_date": "2026-01-01"}'
    assert told([*penalty, "--record", record], capsys)["answer"] == "yes"
    assert told([*penalty, "--record", record.replace("06-29", "06-30")], capsys)["answer"] == "no"
    free = ["test", "prop_free", "--region", "nanjing", "--param", "unit_no=U1", "--subject", "A1"]
    held = ["--record", '{"real_estate_unit_no": "U1", "holder_id_number": "A1"}']
    other = ["--record", 'enterprise_property_mortgage={"real_estate_unit_no": "U1"}']
    assert told([*free, *held], capsys)["answer"] == "yes"
    assert told([*free, *held, *other], capsys)["answer"] == "no"
    grades = ["test", "power_risk_grade_in", "--region", "jining", "--param", "accepted_grades=低,中"]
    assert told([*grades, "--record", '{"risk_grade": "中"}'], capsys)["answer"] == "yes"


OWN = """schema = "fedcredit-predicates/1"
version = 3
title = "ours"
[[predicate]]
id = "water_small"
item = "water_fee"
expression = "max(avg_monthly_usage_3m) <= $x"
en = "At most x a month at every meter?"
zh = "各户月均用水量是否均不超过x立方米"
subject = "enterprise"
no_record = "unknown"
parameters = { x = { type = "number", ladder = [10, 100], unit = "m3" } }
regions = [{ id = "jining", fields = "printed", authorization = "enterprise", asked = "call" }]
"""


def test_a_department_may_have_predicates_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN, encoding="utf-8")
    assert run(["check", str(file)], capsys) == f"{file}: ok, 1 predicates\n"
    assert sum(int(line.split()[-2]) for line in run(["check"], capsys).splitlines()) == 111
    assert "$x: one of 10, 100 m3" in run(["show", "water_small", "--file", str(file)], capsys)
    ask = ["test", "water_small", "--file", str(file), "--region", "jining", "--param", "x=10"]
    assert told([*ask, "--record", '{"avg_monthly_usage_3m": 9}'], capsys)["answer"] == "yes"
    # Were Jining to collect water fees without asking, the file would say too much: it is held against the catalog.
    catalog = tmp_path / "jining.toml"
    head, water, rest = (REGIONS / "jining.toml").read_text(encoding="utf-8").partition('id = "water_fee"')
    catalog.write_text(head + water + rest.replace('\nauthorization = "enterprise"', '\nauthorization = "none"', 1))
    error = refused(["check", str(file), "--catalog", str(catalog)], ConfigError)
    assert error.code == "PREDICATE_AUTHORIZATION"
    file.write_text(OWN.replace("<= $x", "<= $y"), encoding="utf-8")
    assert refused(["check", str(file)], ConfigError).code == "PREDICATE_NAME"


def test_the_data_files_are_in_the_package() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packed = {
        found
        for package, patterns in config["options.package_data"].items()
        for pattern in patterns.split(",")
        for found in (ROOT / package.replace(".", "/")).glob(pattern.strip())
    }
    assert set((ROOT / "fedcredit").rglob("*.toml")) - set((ROOT / "fedcredit" / "native").rglob("*.toml")) <= packed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "water_in_arears"], "PREDICATE_UNKNOWN"),
        (["list", "--region", "atlantis"], "CATALOG_UNKNOWN"),
        (["test", "tax_grade_a", "--region", "beijing", "--record", "{}"], "CATALOG_NO_ITEM"),
        (["test", "tax_grade_a", "--region", "jining"], "USAGE"),
        (["test", "tax_grade_a", "--region", "jining", "--record", "{}", "--asof", "today"], "USAGE"),
        (["test", "tax_grade_a", "--region", "jining", "--record", "{}", "--param", "n"], "USAGE"),
        (["test", "tax_continuous_k", "--region", "jining", "--record", "{}"], "PREDICATE_PARAMETER"),
        (["test", "tax_continuous_k", "--region", "jining", "--record", "{}", "--param", "k=x"], "PREDICATE_PARAMETER"),
        (["test", "tax_continuous_k", "--region", "jining", "--record", "{}", "--param", "k=7"], "PREDICATE_LADDER"),
        (["test", "prop_owned", "--region", "jining", "--record", "{}"], "USAGE"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], code: str) -> None:
    assert refused(arguments, UsageError).code == code


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        (b"uscc\nA1\n", "COLUMN_MISSING", "contributors_12m"),
        (FUND.replace("80", "secret").encode(), "VALUE_TYPE", "line 2: contributor_count"),
        (FUND.replace("80", "1e5").encode(), "VALUE_TYPE", "line 2: contributor_count"),
        (FUND.replace("80", "８０").encode(), "VALUE_TYPE", "line 2: contributor_count"),
        (FUND.replace("A2,79", "A2").encode(), "CSV_STRUCTURE", "line 3"),
        (FUND.replace("A2", '"A2').encode(), "CSV_STRUCTURE", "line"),
        (FUND.replace("remark", "缴存人数").encode(), "COLUMN_DUPLICATE", "contributor_count"),
        (FUND.encode("gb18030"), "CSV_ENCODING", "fund.csv"),
        (None, "CSV_FILE", "fund.csv"),
    ],
)
def test_a_file_that_is_wrong_is_refused_and_not_quoted(
    text: bytes | None, code: str, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "fund.csv"
    if text is not None:
        table.write_bytes(text)
    arguments = ["test", "hf_headcount_stable", "--region", "nanjing", "--table", str(table)]
    error = refused(arguments, DataError)
    assert error.code == code
    assert where in error.problems[0].where
    assert main(["predicate", *arguments]) == 65
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ("[]", "VALUE_TYPE"),
        ("{", "VALUE_TYPE"),
        ("[" * 50_000, "VALUE_TYPE"),
        ('{"tax_grade": 1}', "VALUE_TYPE"),
        ('{"rating_year": true}', "VALUE_TYPE"),
        ('{"rating_year": NaN}', "VALUE_TYPE"),
        ('{"rating_year": 1' + "0" * 400 + "}", "VALUE_TYPE"),
        ('{"rating_years": 2024}', "COLUMN_MISSING"),
    ],
)
def test_a_record_that_is_wrong_is_refused(record: str, code: str) -> None:
    assert refused(["test", "tax_grade_a", "--region", "jining", "--record", record], DataError).code == code
