"""What noised jobs over one table may cost together: refused beyond it, spent once, kept, told, and written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from unit.test_admission import BANK, NONCE, PLATFORM, TAX, Office, codes, office  # noqa: F401 - a fixture

from fedcredit.errors import ConfigError
from fedcredit.governance.audit import Event
from fedcredit.governance.policy import Action, Policy, Rule, Scope, Terms, meters
from fedcredit.governance.privacy import epsilon_at, key_of, rho_units
from fedcredit.node.admission import keep_admitted
from fedcredit.node.platform import make_proposal
from fedcredit.node.policy.asked import request_of
from fedcredit.node.policy.privacy_ledger import privacy_ledger
from fedcredit.node.specification import JobSpecification
from fedcredit.runtime.config import ColumnSection, PartyFile, TableSection
from fedcredit.runtime.policy_file import load_policy
from fedcredit.runtime.policy_template import open_policy

DELTA = 1e-6
DAY_S = 86_400
TERMS = ("privacy_epsilon = 4.0", "privacy_delta = 1e-6", "privacy_days = 30")


def noised(name: str, epsilon: float, *more: str) -> JobSpecification:
    """A binning of the tax office's columns with a bank that has the same, and maybe more."""
    seats = [{"id": BANK, "role": "label"}, *({"id": party, "role": "member"} for party in (TAX, *more))]
    model = {
        "kind": "binning",
        "name": "b",
        "groupsum": "auto",
        "hide_nodes": True,
        "split": "horizontal",
        "params": {},
    }
    raw: dict[str, Any] = {
        "job": {"name": name, "purpose": "research"},
        "parties": seats,
        "intersect": {},
        "split": None,
        "aggregate": {"epsilon": epsilon, "delta": DELTA},
        "models": [model],
    }
    return make_proposal(raw, PLATFORM)


@pytest.fixture
def bureau(office: Office) -> Office:  # noqa: F811
    """An office whose table has the label."""
    table = TableSection(table="tax.csv", id="id", id_type="digits", label="y")
    office.premises = replace(office.premises, tables={"main": table})
    lines = [f"{i:012d},{i % 7},{i % 2}" for i in range(200)]
    (office.folder / "tax.csv").write_text("\n".join(["id,x,y", *lines]) + "\n")
    terms(office, *TERMS)
    return office


def terms(office: Office, *lines: str) -> None:  # noqa: F811
    """The open policy with these terms in place of its own of privacy."""
    kept = [line for line in open_policy().splitlines() if not line.startswith("privacy_")]
    (office.folder / "policy.toml").write_text("\n".join([*kept, *lines]) + "\n")


def spent(office: Office) -> int:  # noqa: F811
    return office.premises.store.budgets.spent(key_of("main"))


def test_a_job_within_the_budget_is_let_in_and_spends_once_however_often_it_is_proposed(bureau: Office) -> None:
    job = noised("first", 2.0)
    bureau.consider(job)
    assert spent(bureau) == 0
    for _ in range(3):
        bureau.admit(job)
        assert spent(bureau) == rho_units(2.0, DELTA)
    keep_admitted(bureau.premises, job, NONCE, bureau.admit(job))
    admitted = next(entry for entry in bureau.audit() if entry.event is Event.JOB_ADMITTED)
    assert admitted.facts["privacy_rho_billionths"] == rho_units(2.0, DELTA)
    assert (admitted.facts["epsilon"], admitted.facts["delta"]) == ("2", "1e-06")


def test_a_job_beyond_the_budget_is_refused_and_told_what_is_left(bureau: Office) -> None:
    bureau.admit(noised("first", 3.0))
    refused = bureau.refusal(noised("second", 3.0))
    assert codes(refused) == ["POLICY_REFUSED", "POLICY_PRIVACY"]
    left = epsilon_at(rho_units(4.0, DELTA) - rho_units(3.0, DELTA), DELTA)
    assert f"a job of epsilon {left:.3g} is what is left" in str(refused)
    assert spent(bureau) == rho_units(3.0, DELTA)
    # What is left is what may be had: costs add up as rho, so 3 and 2 make less than 4 here.
    bureau.admit(noised("third", left - 0.01))
    assert spent(bureau) <= rho_units(4.0, DELTA)
    assert codes(bureau.refusal(noised("fourth", 1.0))) == ["POLICY_REFUSED", "POLICY_PRIVACY"]


def test_what_is_older_than_the_window_counts_no_more(bureau: Office) -> None:
    bureau.admit(noised("first", 4.0))
    bureau.clock.advance(29 * DAY_S)
    assert codes(bureau.refusal(noised("second", 4.0))) == ["POLICY_REFUSED", "POLICY_PRIVACY"]
    bureau.clock.advance(2 * DAY_S)
    bureau.admit(noised("third", 4.0))


def test_without_the_term_two_parties_are_refused_and_three_are_let_in_and_counted(bureau: Office) -> None:
    terms(bureau)
    refused = bureau.refusal(noised("two", 1.0))
    assert codes(refused) == ["POLICY_REFUSED", "POLICY_PRIVACY"]
    assert "set privacy_epsilon and privacy_delta" in str(refused)
    bureau.admit(noised("three", 4.0, "water"))
    assert spent(bureau) == rho_units(4.0, DELTA)
    terms(bureau, *TERMS)
    assert codes(bureau.refusal(noised("later", 1.0))) == ["POLICY_REFUSED", "POLICY_PRIVACY"]


def test_levels_that_rows_decide_are_refused(bureau: Office) -> None:
    lines = [f"{i:012d},{'abc'[i % 3]},{i % 2}" for i in range(200)]
    (bureau.folder / "tax.csv").write_text("\n".join(["id,x,y", *lines]) + "\n")
    assert codes(bureau.refusal(noised("first", 1.0))) == ["NOISE_LEVELS"]
    assert spent(bureau) == 0
    columns = {"x": ColumnSection(levels=("a", "b", "c"))}
    declared = bureau.premises.tables["main"].model_copy(update={"columns": columns})
    bureau.premises = replace(bureau.premises, tables={"main": declared})
    bureau.admit(noised("second", 1.0))


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["privacy_epsilon = 1.0"], "privacy_epsilon: says nothing without privacy_delta"),
        (["privacy_delta = 1e-6"], "privacy_delta: says nothing without privacy_epsilon"),
        (["privacy_days = 10"], "privacy_days: says nothing without privacy_epsilon"),
        (["privacy_epsilon = 0.0", "privacy_delta = 1e-6"], "privacy_epsilon"),
        (["privacy_epsilon = 1.0", "privacy_delta = 0.1"], "privacy_delta"),
    ],
)
def test_terms_that_say_nothing_are_refused(bureau: Office, lines: list[str], found: str) -> None:
    terms(bureau, *lines)
    with pytest.raises(ConfigError, match=found):
        load_policy(bureau.folder)


def test_the_ledger_says_what_was_spent_by_table(bureau: Office) -> None:
    bureau.admit(noised("first", 1.0))
    bureau.admit(noised("second", 2.0))
    tally = bureau.premises.store.budgets.tally(key_of("main"), datetime(2027, 1, 1, tzinfo=UTC))
    assert tally == (2, rho_units(1.0, DELTA) + rho_units(2.0, DELTA))
    tables = {"main": None, "other": None}
    config = cast(PartyFile, SimpleNamespace(folder=bureau.folder, store_url=None, tables=tables))
    main, other = privacy_ledger(config, datetime(2027, 3, 2, tzinfo=UTC), days=30, delta=DELTA)
    assert (main.table, main.jobs, main.rho_billionths) == ("main", *tally)
    # Two of 1 and 2 are 2.3 together, not 3.
    assert 2.0 < main.epsilon < 2.5
    assert (other.jobs, other.epsilon) == (0, 0.0)
    assert main.row()["epsilon"] == round(main.epsilon, 4)
    later = privacy_ledger(config, datetime(2027, 5, 2, tzinfo=UTC), days=30, delta=DELTA)
    assert later[0].jobs == 0


def test_a_budget_is_said_in_epsilon() -> None:
    asked = request_of(noised("job", 1.0), TAX, datetime(2027, 3, 1, tzinfo=UTC))
    rule_terms = Terms(privacy_epsilon=4.0, privacy_delta=DELTA)
    rule = Rule(name="r", action=Action.ADMIT, scope=Scope(), terms=rule_terms)
    (meter,) = meters(Policy(rules=(rule,)), asked)
    assert meter.said(rho_units(2.0, DELTA)).startswith("privacy_epsilon: epsilon 2 of 4 used at delta 1e-06")
    assert (meter.amount, meter.limit) == (rho_units(1.0, DELTA), rho_units(4.0, DELTA))
