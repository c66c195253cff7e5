"""`policy explain --model`: which rule decides, what a grant comes to, what is used; `model keys` shows no secret."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from score_town import BANK, RULE, TAX, ScoreTown

from fedcredit.cli.main import main
from fedcredit.ids import PartyId
from fedcredit.node.scoring.own_keys import kept_keys
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.runtime.clock import SystemClock

Run = Callable[..., tuple[int, str]]
GRANT = RULE + 'per_day = 5\nagain_days = 20\nwithout = ["social_insurance"]\n'
NOON = "2026-05-04T12:30+00:00"
REFUSES = RULE.replace('"admit"', '"refuse"').replace('"scores"', '"no-rivals"').replace('["bank"]', '["rival"]')


@dataclass
class Department:
    """Tax's folder with the store of a town in which it has answered."""

    folder: Path
    town: ScoreTown

    def rule(self, text: str) -> None:
        """Another policy."""
        (self.folder / "policy.toml").write_text(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Department:
    folder = tmp_path_factory.mktemp("explained")
    (folder / "town").mkdir()
    town = ScoreTown(folder / "town")
    for _ in range(2):
        town.score(town.wanted(1))
    town.score(town.wanted(2, 3))
    table = folder / "tax.csv"
    table.write_text(f"uscc,x\n{town.subjects[0]},1\n", encoding="utf-8")
    kind = (TAX, "provider", "127.0.0.1", 7443, (), table, "uscc", None, PartyId("platform"), None, False)
    found(folder / "tax", NewParty(*kind))
    (folder / "tax" / "verify").mkdir(mode=0o700, exist_ok=True)
    key = folder / "tax" / "verify" / "log.key"
    key.write_bytes(town.desks[TAX].log_key)
    key.chmod(0o600)
    town.close()
    shutil.copy(folder / "town" / TAX / "store.sqlite", folder / "tax" / "store.sqlite")
    return Department(folder / "tax", town)


@pytest.fixture
def tax(made: Department) -> Department:
    made.rule(GRANT)
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["fedcredit", *map(str, arguments)])
        try:
            status = main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capsys.readouterr()
        return status, out + err

    return call


def explained(run: Run, tax: Department, *more: object, status: int = 0, who: str = BANK) -> dict[str, Any]:
    asked = ("policy", "explain", "--model", "sme", "--requester", who, "--node", tax.folder, "--at", NOON, "--json")
    code, said = run(*asked, *more)
    assert code == status, said
    return dict(json.loads(said))


def test_what_a_grant_comes_to_and_what_of_it_was_used(run: Run, tax: Department) -> None:
    tax.rule(REFUSES + GRANT)
    told = explained(run, tax, "--subject", tax.town.subjects[1])
    assert (told["decision"], told["rule"], told["version"], told["kind"]) == ("admit", "scores", 1, "scorecard")
    (refuses, admits) = told["rules"]
    assert (refuses["name"], refuses["action"], admits["misses"]) == ("no-rivals", "refuse", [])
    assert "the request has bank" in refuses["misses"][0]
    grant = {"per_day": 5, "again_days": 20, "without": ["social_insurance"], "only_bands": False}
    assert told["grant"] == grant
    # Two scores of one subject under a consent each, and two of others.
    used = told["used"]
    assert used["today"] == 4
    assert (used["subject"]["scored"], used["subject"]["lists"]) == (2, 1)
    assert sorted(used["subject"]["consents"]) == [1, 1]
    last = tax.town.models.platform.clock.now() - timedelta(seconds=1)
    assert used["subject"]["last"] == last.isoformat(timespec="seconds")
    assert used["subject"]["again"] == (last + timedelta(days=20)).isoformat(timespec="seconds")


def test_a_subject_that_was_never_scored_and_a_day_later_nothing_is_used(run: Run, tax: Department) -> None:
    used = explained(run, tax, "--subject", tax.town.subjects[9], "--at", "2026-05-06T12:00+00:00")["used"]
    none = {"scored": 0, "last": None, "again": None, "lists": 0, "consents": []}
    assert used == {"today": 0, "subject": none}
    assert explained(run, tax)["used"] == {"today": 4, "subject": None}


def test_it_is_said_in_words(run: Run, tax: Department) -> None:
    asked = ("policy", "explain", "--model", "sme", "--requester", BANK, "--node", tax.folder, "--at", NOON)
    status, said = run(*asked, "--subject", tax.town.subjects[1])
    assert status == 0
    for part in (
        "score of sme 1 for bank is let be by rule 'scores'",
        "5 subjects of this model; today 4, 1 left",
        "after 20 days at the soonest",
        "down: social_insurance",
        "scored 2 times",
        "uses of its consents here: 1, 1",
        "no [score]",
    ):
        assert part in said
    tax.rule(RULE)
    status, said = run(*asked)
    assert "any number of subjects" in said
    assert "as often as its consent says" in said
    assert "down: nobody" in said
    assert "Is told: the score" in said
    tax.rule(RULE + "only_bands = true\n")
    assert "Is told: the band of a card alone" in run(*asked)[1]


@pytest.mark.parametrize(
    ("policy", "who", "rule", "part"),
    [
        (GRANT, "rival", None, "callers: bank; the request has rival"),
        (GRANT.replace('["sme"]', '["other"]'), BANK, None, "models: other; the request has sme"),
        (REFUSES + GRANT, "rival", "no-rivals", ""),
    ],
)
def test_who_is_refused_is_told_why_and_by_which_rule(
    run: Run, tax: Department, policy: str, who: str, rule: str | None, part: str
) -> None:
    tax.rule(policy)
    told = explained(run, tax, status=77, who=who)
    assert (told["decision"], told["rule"], told["grant"], told["used"]) == ("refuse", rule, None, None)
    assert {reason["code"] for reason in told["reasons"]} == {"MODEL_REFUSED"}
    assert part in " ".join(miss for one in told["rules"] for miss in one["misses"])


def test_other_acts_have_no_grant(run: Run, tax: Department) -> None:
    tax.rule(RULE.replace('["score"]', '["approve"]'))
    told = explained(run, tax, "--act", "approve")
    assert (told["decision"], told["act"], told["used"]) == ("admit", "approve", None)


def test_a_model_that_is_not_known_is_taken_for_what_is_said_of_it(run: Run, tax: Department) -> None:
    tax.rule(RULE.replace('["sme"]', '["*"]').replace("financing", "research"))
    asked = ("policy", "explain", "--requester", BANK, "--node", tax.folder, "--json", "--at", NOON)
    status, said = run(*asked, "--model", "loans", "--purpose", "research")
    told = json.loads(said)
    assert (status, told["version"], told["purpose"]) == (0, None, "research")
    assert "no version of loans is known here" in told["notes"][0]


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (("--act", "give"), "--act"),
        (("--version", "7"), "known here: 1"),
        (("--act", "approve", "--subject", "x"), "--subject"),
        (("--predicate", "water_in_arrears"), "one of the three"),
        (("--at", "noon"), "--at"),
    ],
)
def test_what_cannot_be_asked_is_said(run: Run, tax: Department, more: tuple[str, ...], part: str) -> None:
    status, said = run("policy", "explain", "--model", "sme", "--requester", BANK, "--node", tax.folder, *more)
    assert status == 2
    assert part in said
    status, said = run("policy", "explain", "--model", "sme", "--node", tax.folder)
    assert (status, "--requester" in said) == (2, True)


def test_keys_are_shown_without_their_secrets_and_made_when_that_is_wanted(run: Run, tax: Department) -> None:
    place = tax.folder / "keys" / "scores.json"
    status, said = run("model", "keys", "--node", tax.folder)
    assert (status, "no keys for scores yet" in said, place.exists()) == (0, True, False)
    first = json.loads(run("model", "keys", "--node", tax.folder, "--renew", "--json")[1])
    second = json.loads(run("model", "keys", "--node", tax.folder, "--renew", "--json")[1])
    shown = json.loads(run("model", "keys", "--node", tax.folder, "--json")[1])
    assert (len(first["keys"]), len(second["keys"])) == (1, 2)
    assert shown == second
    assert [key["counts"] for key in shown["keys"]] == [False, True]
    now = int(SystemClock().now().timestamp())
    kept = kept_keys(tax.folder, TAX, now)
    assert [key["number"] for key in shown["keys"]] == [one.word.number for one in kept]
    status, said = run("model", "keys", "--node", tax.folder)
    assert shown["keys"][1]["scores"] in said
    for row in json.loads(place.read_text())["keys"]:
        for secret in (row["pair"], row["score"]):
            assert secret not in said + json.dumps(shown)
