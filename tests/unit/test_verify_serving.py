"""From a department's section and tables to what is answered: questions, index files, the snapshot."""

from __future__ import annotations

import datetime
import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fedcredit.errors import ConfigError, DataError
from fedcredit.governance.verification.levels import Classification
from fedcredit.governance.verification.rules import Action, Budget, VerifyPolicy, VerifyRule
from fedcredit.ids import PartyId
from fedcredit.kernels.index import Index, Program
from fedcredit.node.verification.building import build, columns_of, remove_others, resources_of
from fedcredit.node.verification.members import n_members, read_members
from fedcredit.node.verification.serving import offer_of
from fedcredit.node.verification.snapshot import snapshot_of
from fedcredit.runtime.toml import Reader
from fedcredit.runtime.verify_file import VerifySection, read_verify

CODES = ["91320100MA1MTQ0X09", "913200001000123456"]
DAY = datetime.date(2026, 5, 4)
NOW = datetime.datetime(2026, 5, 4, 9, tzinfo=UTC)
WATER = "uscc,currently_in_arrears,近3个月月均用水量,usage6,updated_on\n"
ROWS = (
    f"{CODES[0]},true,5,10,2026-04-30\n",
    f"{CODES[0]},false,3,0,2026-05-01\n",
    f"{CODES[1]},false,9,10,2026-01-01\n",
)


def section(folder: Path, region: str = "nanjing", **item: object) -> VerifySection:
    """A section about water fees, read as party.toml is."""
    entry: dict[str, object] = {"table": "water.csv", "fields": {"avg_monthly_usage_6m": "usage6"}, **item}
    entry = {key: value for key, value in entry.items() if value is not None}
    raw = {"verify": {"region": region, "items": {"water_fee": entry}}}
    reader = Reader(folder / "party.toml", raw)
    found = read_verify(reader, "provider")
    reader.finish()
    assert found is not None
    return found


def written(folder: Path, *rows: str) -> None:
    (folder / "water.csv").write_text(WATER + "".join(rows or ROWS), encoding="utf-8")


def test_what_is_answered_follows_from_columns_and_region(tmp_path: Path) -> None:
    written(tmp_path)
    resources = resources_of(tmp_path, 256, 1)
    nanjing = section(tmp_path)
    names = columns_of(tmp_path, nanjing, resources)
    offer = offer_of(nanjing, VerifyPolicy(classification=Classification({"water_fee": 2})), names)
    assert [question.id for question in offer.questions] == ["water_in_arrears", "water_in_use", "water_not_dropped"]
    assert {question.level for question in offer.questions} == {2}
    assert {question.consent_of for question in offer.questions} == {("enterprise",)}
    register = offer.registers["water_fee"]
    assert register.columns["avg_monthly_usage_3m"] == "近3个月月均用水量"  # as the document prints it
    assert register.columns["avg_monthly_usage_6m"] == "usage6"
    fewer = offer_of(nanjing, VerifyPolicy(), {"water_fee": ("uscc", "currently_in_arrears")})
    assert [question.id for question in fewer.questions] == ["water_in_arrears"]
    assert {left.predicate for left in fewer.left_out} == {"water_in_use", "water_not_dropped"}
    assert "avg_monthly_usage_3m" in fewer.left_out[0].why


def test_an_index_answers_as_its_table_says(tmp_path: Path) -> None:
    written(tmp_path)
    resources, declared = resources_of(tmp_path, 256, 1), section(tmp_path, recorded="updated_on", fresh_days=40)
    offer = offer_of(declared, VerifyPolicy(), columns_of(tmp_path, declared, resources))
    folder = tmp_path / "indexes"
    built = build(offer.registers["water_fee"], declared, tmp_path, folder, resources, DAY, matched=False)
    assert (built.subjects, built.records, built.left_out) == (2, 3, 0)
    assert built.latest == datetime.date(2026, 5, 1)
    index = Index(built.path)
    found = {}
    for question in offer.questions:
        program = Program(question.compiled.program.to_dict(), {"water_fee": index})
        answers = program.answer(
            [*CODES, "91320100MA1MTQ0X10"], parameters={}, asof=(DAY - datetime.date(1970, 1, 1)).days
        )
        found[question.id] = answers.outcomes.tolist()
    assert found == {
        "water_in_arrears": [1, 2, 3],
        "water_in_use": [1, 1, 3],
        "water_not_dropped": [1, 1, 3],  # 8 of 10, 9 of 10
    }
    remove_others(folder, [])
    assert list(folder.iterdir()) == []


def test_subjects_of_an_item_that_is_asked_privately_lie_beside_its_index(tmp_path: Path) -> None:
    written(tmp_path)
    resources, folder = resources_of(tmp_path, 256, 1), tmp_path / "indexes"
    declared = section(tmp_path, recorded="updated_on")
    offer = offer_of(declared, VerifyPolicy(), columns_of(tmp_path, declared, resources))
    openly = build(offer.registers["water_fee"], declared, tmp_path, folder, resources, DAY, matched=False)
    assert openly.members is None
    private = declared.model_copy(update={"private": ("water_fee",)})
    built = build(offer.registers["water_fee"], private, tmp_path, folder, resources, DAY, matched=False)
    assert built.members is not None
    # Each once, though one has two records; and for the owner alone.
    assert read_members(built.members).tolist() == sorted(code.encode() for code in CODES)
    assert n_members(built.members) == built.subjects == 2
    assert built.members.stat().st_mode & 0o777 == 0o600
    remove_others(folder, [built.path])
    assert {path.name for path in folder.iterdir()} == {built.path.name, built.members.name}
    remove_others(folder, [])
    assert list(folder.iterdir()) == []


def test_a_table_that_is_too_old_is_not_taken(tmp_path: Path) -> None:
    written(tmp_path, f"{CODES[0]},true,5,10,2026-01-01\n")
    resources, declared = resources_of(tmp_path, 256, 1), section(tmp_path, recorded="updated_on", fresh_days=40)
    offer = offer_of(declared, VerifyPolicy(), columns_of(tmp_path, declared, resources))
    with pytest.raises(DataError) as refused:
        build(offer.registers["water_fee"], declared, tmp_path, tmp_path / "i", resources, DAY, matched=False)
    assert refused.value.code == "VERIFY_STALE"
    assert list((tmp_path / "i").iterdir()) == []


def test_the_snapshot_says_all_that_is_decided_by(tmp_path: Path) -> None:
    written(tmp_path)
    declared = section(tmp_path, recorded="updated_on", max_age_days=400)
    offer = offer_of(declared, VerifyPolicy())
    admits = VerifyRule(
        name="bank",
        action=Action.ADMIT,
        requesters=frozenset({"bank"}),
        items=frozenset({"water_fee"}),
        level_max=3,
        budget=Budget(2, 30),
    )
    policy = VerifyPolicy(rules=(admits,), zone=ZoneInfo("Asia/Shanghai"))
    path = tmp_path / "w.index"
    found = json.loads(snapshot_of(PartyId("water"), offer, policy, {"water_fee": path}, None, NOW))
    assert found["schema"] == "fedcredit-serving/1"
    assert (found["provider"], found["region"], found["zone_minutes"]) == ("water", "nanjing", 480)
    assert found["indexes"] == {"water_fee": str(path)}
    assert found["questions"][0]["keys"] == {"water_fee": ["uscc", "subject"]}
    assert found["questions"][0]["max_age_days"] == 400
    assert found["rules"] == [
        {
            "name": "bank",
            "action": "admit",
            "requesters": ["bank"],
            "purposes": None,
            "predicates": None,
            "items": ["water_fee"],
            "minutes": None,
            "level_max": 3,
            "per_second": None,
            "per_day": None,
            "budget": {"questions": 2, "days": 30},
            "no_consent": False,
        }
    ]
    assert (found["issuers"], found["revoked"], found["revocations_at"]) == ([], [], 0)


@pytest.mark.parametrize(
    ("change", "where", "fix"),
    [
        ({"region": "nanking"}, "verify.region", "did you mean 'nanjing'?"),
        ({"items": {}}, "verify.items", "add [verify.items.ITEM]"),
        ({"items": {"water_fees": {"table": "water.csv"}}}, "verify.items.water_fees", "did you mean 'water_fee'?"),
        ({"predicates": ["water_in_arrear"]}, "verify.predicates", "did you mean 'water_in_arrears'?"),
        ({"listen": "nowhere"}, "verify.listen", ""),
        ({"private": ["water_fees"]}, "verify.private", "did you mean 'water_fee'?"),
        (
            {"private": ["water_fee"], "items": {"water_fee": {"table": "water.csv", "complete": True}}},
            "verify.private",
            "drop it, or complete = true",
        ),
        ({"refresh_hour": 3}, "verify.refresh_hour", "did you mean 'refresh_hours'?"),
    ],
)
def test_what_a_section_must_not_say(tmp_path: Path, change: dict[str, object], where: str, fix: str) -> None:
    written(tmp_path)
    raw = {"verify": {"region": "nanjing", "items": {"water_fee": {"table": "water.csv"}}, **change}}
    reader = Reader(tmp_path / "party.toml", raw)
    read_verify(reader, "provider")
    with pytest.raises(ConfigError) as refused:
        reader.finish()
    (problem,) = refused.value.problems
    assert problem.where.endswith(f": {where}")
    assert problem.fix == fix


def test_an_item_says_one_source_and_days_only_with_their_column(tmp_path: Path) -> None:
    written(tmp_path)
    for entry in (
        {},
        {"table": "gone.csv"},
        {"table": "water.csv", "max_age_days": 3},
        {"table": "water.csv", "kee": "x"},
    ):
        reader = Reader(tmp_path / "party.toml", {"verify": {"region": "nanjing", "items": {"water_fee": entry}}})
        read_verify(reader, "provider")
        with pytest.raises(ConfigError):
            reader.finish()
    reader = Reader(
        tmp_path / "party.toml", {"verify": {"region": "nanjing", "items": {"water_fee": {"table": "water.csv"}}}}
    )
    read_verify(reader, "institution")
    with pytest.raises(ConfigError, match="CONFIG_CONFLICT"):
        reader.finish()
