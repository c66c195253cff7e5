"""What a party lets in over a real store, audit log, policy file and table, and what it keeps of each decision."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.errors import FedcreditError, RefusedError
from fedcredit.governance.audit import Entry, Event
from fedcredit.ids import PartyId
from fedcredit.node.admission import Admitted, admit, confirm, consider, keep_admitted
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.jobs import Premises
from fedcredit.node.platform import make_proposal
from fedcredit.node.policy import history
from fedcredit.node.policy.history import Earlier, History
from fedcredit.node.policy.record import DecisionRecord
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.specification import JobSpecification, ModelEntry
from fedcredit.node.store import JobState, Store
from fedcredit.runtime.clock import ManualClock
from fedcredit.runtime.config import LimitsSection, SplitSection, TableSection
from fedcredit.runtime.policy_template import open_policy
from fedcredit.transport.channel import Transport

BANK, TAX, PLATFORM = PartyId("bank"), PartyId("tax"), PartyId("platform")
NONCE = b"n" * 32
DAY_S = 86_400


@dataclass
class Office:
    """A tax office without a network: everything else is real."""

    premises: Premises
    folder: Path
    clock: ManualClock

    def policy(self, *more: str, action: str = "admit", columns: str = '["*"]') -> None:
        """The open policy, with further keys in its rule."""
        text = open_policy().replace('"admit"', f'"{action}"').replace('columns = ["*"]', f"columns = {columns}")
        (self.folder / "policy.toml").write_text("\n".join([text, *more]) + "\n")

    def rows(self, n: int) -> None:
        """The office's table has `n` rows from now on."""
        lines = [f"{i:012d},{i % 7},{i % 5}" for i in range(n)]
        (self.folder / "tax.csv").write_text("\n".join(["id,x,y", *lines]) + "\n")

    def proposal(
        self,
        name: str = "job",
        id_type: list[str] | None = None,
        label: str = "bank",
        more: Sequence[str] = (),
        **job: Any,
    ) -> JobSpecification:
        """A job as the platform would propose it."""
        seats = [{"id": label, "role": "label"}, *({"id": party, "role": "feature"} for party in ("tax", *more))]
        sections = {"intersect": {"id_type": id_type}, "split": None, "models": []}
        return make_proposal(
            {"job": {"name": name, "purpose": "research"} | job, "parties": seats} | sections, PLATFORM
        )

    def admit(self, proposal: JobSpecification, skew_s: float = 0) -> Admitted:
        """Let it in, up to the moment before it is kept."""
        admitted = asyncio.run(admit(self.premises, PLATFORM, proposal, skew_s))
        admitted.table.close()
        return admitted

    def let_in(
        self, proposal: JobSpecification, bank_rows: int = 100, bank_subjects: bytes = b"b" * 32
    ) -> JobSpecification:
        """Let it in, keep it, and agree to it; what was agreed."""
        admitted = self.admit(proposal)
        keep_admitted(self.premises, proposal, NONCE, admitted)
        offers = {
            party: proposal.party(party).offering(
                rows=rows, features=2, commitment=NONCE, subjects=subjects, certificate=b"c"
            )
            for party, rows, subjects in (
                (BANK, bank_rows, bank_subjects),
                (TAX, admitted.table.n_rows, admitted.subjects),
            )
        }
        specification = proposal.with_offers(offers)
        confirm(self.premises, specification)
        self.premises.store.jobs.sign(specification.id, specification.to_bytes(), specification.hash)
        return specification

    def refusal(self, proposal: JobSpecification, skew_s: float = 0) -> FedcreditError:
        """Why it is not let in."""
        with pytest.raises(FedcreditError) as refused:
            self.admit(proposal, skew_s)
        return refused.value

    def consider(self, proposal: JobSpecification, skew_s: float = 0) -> None:
        """What the platform asks first."""
        asyncio.run(consider(self.premises, PLATFORM, proposal, skew_s))

    def audit(self) -> list[Entry]:
        """What the audit log holds."""
        lines = (self.folder / "audit" / "entries.jsonl").read_bytes().splitlines()
        return [Entry.decode(line) for line in lines]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    clock, key = ManualClock(datetime(2027, 3, 1, 9, tzinfo=UTC)), Ed25519PrivateKey.generate()
    with ExitStack() as stack:
        store = Store.at(tmp_path / "store.sqlite", clock)
        stack.callback(store.close)
        log = AuditFile(tmp_path / "audit", TAX, sign=key.sign, verify=key.public_key().verify, clock=clock)
        recorder = Recorder(stack.enter_context(log), store)
        premises = Premises(
            me=TAX,
            folder=tmp_path,
            tables={"main": TableSection(table="tax.csv", id="id", id_type="digits")},
            store=store,
            transport=cast(Transport, None),  # nothing of an admission speaks to a peer
            recorder=recorder,
            policy=PolicySource(tmp_path, recorder),
            clock=clock,
            limits=LimitsSection(),
        )
        made = Office(premises, tmp_path, clock)
        made.rows(200)
        made.policy()
        yield made


def codes(error: FedcreditError) -> list[str]:
    return [problem.code for problem in error.problems]


@pytest.mark.parametrize("stated", [["text"], ["digits", "digits"], ["uscc"]])
def test_keys_that_could_never_meet_are_refused(office: Office, stated: list[str]) -> None:
    office.admit(office.proposal("unsaid"))
    office.admit(office.proposal("same", id_type=["digits"]))
    refused = office.refusal(office.proposal("other", id_type=stated))
    assert codes(refused) == ["KEY_MISMATCH"]


def test_a_key_of_several_columns_has_to_be_stated_by_the_job(office: Office) -> None:
    table = TableSection(table="tax.csv", id=("id", "x"), id_type=("digits", "text"), duplicates="first")
    office.premises = replace(office.premises, tables={"main": table})
    office.admit(office.proposal("same", id_type=["digits", "text"]))
    (problem,) = office.refusal(office.proposal("unsaid")).problems
    assert (problem.code, problem.fix) == ("KEY_MISMATCH", "[intersect] id_type = ['digits', 'text']")
    assert codes(office.refusal(office.proposal("turned", id_type=["text", "digits"]))) == ["KEY_MISMATCH"]


def test_a_crash_between_spending_and_keeping_costs_nothing_twice(office: Office) -> None:
    office.policy("per_day = 1")
    first = office.proposal("first")
    office.admit(first)  # and the node dies before it keeps the job
    office.let_in(first)
    assert codes(office.refusal(office.proposal("second"))) == ["POLICY_REFUSED", "POLICY_BUDGET"]
    office.clock.advance(DAY_S)
    office.let_in(office.proposal("third"))


def test_a_refused_job_spends_nothing_and_is_in_the_list(office: Office) -> None:
    office.policy("per_day = 1", "min_rows = 201")
    proposal = office.proposal("refused")
    error = office.refusal(proposal)
    assert codes(error) == ["POLICY_REFUSED", "POLICY_MIN_ROWS"]
    row = office.premises.store.jobs.job(proposal.id)
    assert row is not None
    assert (row.state, row.submitter, row.problems) == (JobState.FAILED, "platform", error.problems)
    with pytest.raises(RefusedError) as again:
        office.consider(proposal)
    assert codes(again.value) == codes(error)
    office.policy("per_day = 1")
    office.let_in(office.proposal("next"))


def modelling(office: Office, **intersect: Any) -> JobSpecification:
    proposal = office.proposal()
    model = ModelEntry(kind="gbdt", name="gbdt.0", groupsum="paillier", hide_nodes=True, params={"num_trees": 100})
    section = proposal.intersect.model_copy(update=intersect)
    changes = {"models": (model,), "split": SplitSection(holdout=0.2), "intersect": section}
    changed = proposal.model_copy(update=changes)
    return changed.model_copy(update={"leakage": changed.derive_leakage()})


def test_days_of_computing_are_refused_before_signing_with_an_estimate(office: Office) -> None:
    proposal = modelling(office)
    admitted = office.admit(proposal)
    keep_admitted(office.premises, proposal, NONCE, admitted)
    offer = {"commitment": NONCE, "subjects": NONCE, "certificate": b"c"}

    def offered(rows: int) -> JobSpecification:
        offers = {party: proposal.party(party).offering(rows=rows, features=300, **offer) for party in (BANK, TAX)}
        return proposal.with_offers(offers)

    confirm(office.premises, offered(1000))
    with pytest.raises(RefusedError) as refused:
        confirm(office.premises, offered(1_000_000))
    assert codes(refused.value) == ["GROUPSUM_HOURS"]
    (problem,) = refused.value.problems
    assert re.search(r"about 1\d\d hours", problem.what)
    assert "onehot" in problem.fix


def test_a_policy_that_grants_one_backend_refuses_the_other(office: Office) -> None:
    office.policy('groupsum = ["onehot"]')
    assert "POLICY_NO_RULE" in codes(office.refusal(modelling(office)))


def test_the_policy_is_looked_at_again_before_signing(office: Office) -> None:
    proposal = office.proposal()
    office.consider(proposal)
    admitted = office.admit(proposal)
    keep_admitted(office.premises, proposal, NONCE, admitted)
    offer = {"features": 2, "commitment": NONCE, "subjects": NONCE, "certificate": b"c"}
    specification = proposal.with_offers(
        {party: proposal.party(party).offering(rows=200, **offer) for party in (BANK, TAX)}
    )
    office.policy(columns='["x"]')
    confirm(office.premises, specification)
    (office.folder / "policy.toml").write_text("")
    with pytest.raises(RefusedError) as refused:
        confirm(office.premises, specification)
    assert codes(refused.value) == ["POLICY_REFUSED", "POLICY_NO_RULE"]
    row = office.premises.store.jobs.job(proposal.id)
    assert row is not None
    assert row.state is JobState.FAILED


def test_two_jobs_that_differ_in_a_few_rows_are_not_both_let_in(office: Office) -> None:
    office.policy("min_change_rows = 50")
    office.let_in(office.proposal("first"))
    office.let_in(office.proposal("same"))
    office.rows(210)
    assert codes(office.refusal(office.proposal("few"))) == ["POLICY_REFUSED", "POLICY_CHANGE"]
    office.rows(250)
    office.let_in(office.proposal("many"))
    # A peer's table counts, too; its size is known when all have offered.
    with pytest.raises(RefusedError) as refused:
        office.let_in(office.proposal("peer"), bank_rows=101)
    assert codes(refused.value) == ["POLICY_REFUSED", "POLICY_CHANGE"]
    assert "bank" in refused.value.problems[1].what


def test_a_pair_has_a_budget_of_its_own_whatever_rule_lets_a_job_in(office: Office) -> None:
    office.policy("per_pair_per_day = 2")
    for name in ("first", "second"):
        office.let_in(office.proposal(name))
    refused = office.refusal(office.proposal("third"))
    assert codes(refused) == ["POLICY_REFUSED", "POLICY_BUDGET"]
    assert "2 of per_pair_per_day with bank = 2 are used" in refused.problems[1].what
    # Another name for the rule, and another peer beside the bank, do not begin the count anew.
    text = (office.folder / "policy.toml").read_text().replace("all-on-one-machine", "another")
    (office.folder / "policy.toml").write_text(text)
    three = office.proposal("three", more=["registry"])
    assert codes(office.refusal(three)) == ["POLICY_REFUSED", "POLICY_BUDGET"]
    office.admit(office.proposal("other", label="registry"))
    office.clock.advance(DAY_S)
    office.let_in(office.proposal("tomorrow"))


def test_a_changed_set_is_refused_for_a_while_and_a_repeated_one_is_not(office: Office) -> None:
    office.policy('changed_set = "refuse"', "changed_set_days = 7")
    office.let_in(office.proposal("first"))
    office.let_in(office.proposal("same"))
    # As many rows, one of them of another subject: nothing but the set's own hash shows it.
    text = (office.folder / "tax.csv").read_text()
    (office.folder / "tax.csv").write_text(text.replace("000000000199,", "000000000999,"))
    refused = office.refusal(office.proposal("own"))
    assert codes(refused) == ["POLICY_REFUSED", "POLICY_CHANGED_SET"]
    assert ("bank" in refused.problems[1].what, refused.problems[1].fix) == (True, "wait")
    (office.folder / "tax.csv").write_text(text.replace("000000000000,0", "000000000000,9"))
    office.let_in(office.proposal("value"))  # another value of a column is not another subject
    with pytest.raises(RefusedError) as peer:
        office.let_in(office.proposal("peer"), bank_subjects=b"c" * 32)
    assert codes(peer.value) == ["POLICY_REFUSED", "POLICY_CHANGED_SET"]
    office.clock.advance(7 * DAY_S + 1)
    office.let_in(office.proposal("later"), bank_subjects=b"c" * 32)


def test_a_changed_set_asks_a_person_when_it_is_handed_in_again(office: Office) -> None:
    office.policy('changed_set = "approve"')
    office.let_in(office.proposal("first"))
    with pytest.raises(RefusedError) as refused:
        office.let_in(office.proposal("changed"), bank_subjects=b"c" * 32)
    assert codes(refused.value) == ["POLICY_REFUSED", "POLICY_CHANGED_SET"]
    assert "hand it in again" in refused.value.problems[1].fix
    office.clock.advance(60)
    again = office.proposal("again")
    with pytest.raises(RefusedError) as pending:
        office.consider(again)
    assert pending.value.code == "APPROVAL_PENDING"
    kept = DecisionRecord.read(office.folder / "jobs" / again.id)
    assert kept is not None
    assert [reason.code for reason in kept.reasons] == ["POLICY_CHANGED_SET"]
    office.premises.store.jobs.approve(again.id, "somebody")
    office.let_in(again, bank_subjects=b"c" * 32)
    office.clock.advance(60)
    # Both sets have been run now, so neither asks again; a third one does.
    office.let_in(office.proposal("once_more"), bank_subjects=b"c" * 32)
    office.let_in(office.proposal("former"))
    with pytest.raises(RefusedError) as third:
        office.let_in(office.proposal("third"), bank_subjects=b"d" * 32)
    assert codes(third.value) == ["POLICY_REFUSED", "POLICY_CHANGED_SET"]


def test_an_approval_that_was_given_without_knowing_of_the_change_does_not_count(office: Office) -> None:
    office.policy('changed_set = "approve"', action="approve")
    for name, subjects in (("first", b"b" * 32), ("second", b"c" * 32)):
        proposal = office.proposal(name)
        with pytest.raises(RefusedError):
            office.consider(proposal)
        office.premises.store.jobs.approve(proposal.id, "somebody")
        if name == "first":
            office.let_in(proposal, bank_subjects=subjects)
            continue
        with pytest.raises(RefusedError) as refused:
            office.let_in(proposal, bank_subjects=subjects)
        assert codes(refused.value) == ["POLICY_REFUSED", "POLICY_CHANGED_SET"]


def test_what_is_known_of_earlier_jobs_is_what_the_store_says_and_read_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.policy('changed_set = "refuse"', "changed_set_days = 7")
    read: list[str] = []
    past_of = history._past_of

    def reading(row: Any, me: PartyId) -> Any:
        read.append(row.id)
        return past_of(row, me)

    monkeypatch.setattr(history, "_past_of", reading)
    asked = office.proposal("asked")

    def known() -> tuple[Any, list[str]]:
        read.clear()
        found, those = office.premises.history.earlier(office.premises.store, asked, TAX), list(read)
        assert found == History().earlier(office.premises.store, asked, TAX)
        return found, those

    assert known() == (Earlier(), [])
    first = office.let_in(office.proposal("first"))
    found, those = known()
    assert (len(found.runs), found.rows, those) == (1, {BANK: (100,), TAX: (200,)}, [first.id])
    second = office.let_in(office.proposal("second"))
    third = office.proposal("third")
    with pytest.raises(RefusedError):
        office.let_in(third, bank_subjects=b"c" * 32)
    found, those = known()
    assert (len(found.runs), those) == (2, [third.id]), "the second was read when the third was decided on"
    office.premises.store.jobs.end(second.id, JobState.CANCELLED)
    found, those = known()
    assert (len(found.runs), those) == (2, [second.id])
    assert known() == (found, [])


def test_only_lent_columns_enter_a_job(office: Office) -> None:
    office.policy(columns='["y", "z"]')
    proposal = office.proposal()
    admitted = office.admit(proposal)
    assert list(admitted.table.features) == ["y"]
    kept = DecisionRecord.read(office.folder / "jobs" / proposal.id)
    assert kept is not None
    assert kept.columns == ("y", "z")


def test_another_job_under_a_known_name_changes_nothing(office: Office) -> None:
    proposal = office.proposal()
    office.let_in(proposal)
    other = proposal.model_copy(update={"nonce": "11" * 32})
    assert codes(office.refusal(other)) == ["CONFLICT"]
    row = office.premises.store.jobs.job(proposal.id)
    assert row is not None
    assert row.state is JobState.SIGNED
    assert not (office.folder / "jobs" / proposal.id / "failure.json").exists()


def test_an_approval_is_for_the_rule_as_it_was(office: Office) -> None:
    office.policy(action="approve")
    proposal = office.proposal()
    for _ in range(2):
        with pytest.raises(RefusedError) as pending:
            office.consider(proposal)
        assert pending.value.code == "APPROVAL_PENDING"
    assert [entry.event for entry in office.audit()] == [Event.POLICY_CHANGED, Event.JOB_PENDING]
    office.premises.store.jobs.approve(proposal.id, "somebody")
    (office.folder / "policy.toml").write_text((office.folder / "policy.toml").read_text() + "# a remark\n")
    office.consider(proposal)
    office.policy("max_trees = 7", action="approve")
    assert codes(office.refusal(proposal))[0] == "POLICY_REFUSED"


@pytest.mark.parametrize("skew_s", [61.0, -61.0])
def test_a_refusal_for_the_clock_alone_is_taken_back(office: Office, skew_s: float) -> None:
    proposal = office.proposal()
    failure = office.folder / "jobs" / proposal.id / "failure.json"
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            office.consider(proposal, skew_s)
        assert codes(refused.value)[0] == "CLOCK_SKEW"
    row = office.premises.store.jobs.job(proposal.id)
    assert row is not None
    assert row.state is JobState.FAILED
    assert failure.exists()
    refusals = [entry for entry in office.audit() if entry.event is Event.JOB_REFUSED]
    assert len(refusals) == 1
    office.consider(proposal)
    assert not failure.exists()
    assert codes(office.refusal(proposal, skew_s)) == ["CLOCK_SKEW"]
    office.let_in(proposal)
    assert codes(office.refusal(proposal, skew_s)) == ["CLOCK_SKEW", "CONFLICT"]
    row = office.premises.store.jobs.job(proposal.id)
    assert row is not None
    assert row.state is JobState.SIGNED


def test_an_approval_outlives_a_refusal_for_the_clock(office: Office) -> None:
    office.policy(action="approve")
    proposal = office.proposal()
    with pytest.raises(RefusedError):
        office.consider(proposal)
    office.premises.store.jobs.approve(proposal.id, "somebody")
    assert codes(office.refusal(proposal, 61.0)) == ["CLOCK_SKEW"]
    office.let_in(proposal)


def test_what_was_refused_for_more_than_the_clock_stays_refused(office: Office) -> None:
    office.policy("min_rows = 201")
    proposal = office.proposal()
    office.refusal(proposal)
    office.policy()
    assert codes(office.refusal(proposal)) == ["CONFLICT"]
    misstated = office.proposal("second").model_copy(update={"leakage": ()})
    assert codes(office.refusal(misstated, 61.0)) == ["CLOCK_SKEW", "LEAKAGE_MISSTATED"]
    assert codes(office.refusal(misstated)) == ["LEAKAGE_MISSTATED", "CONFLICT"]


def test_a_changed_policy_is_recorded_once(office: Office) -> None:
    source = office.premises.policy
    first = source.current()
    assert source.current() is first
    (office.folder / "policy.toml").write_text("[[rule]]\n")
    again = PolicySource(office.folder, office.premises.recorder)  # as after a restart
    again.look()
    for _ in range(2):
        with pytest.raises(FedcreditError, match="CONFIG_MISSING_KEY"):
            source.current()
    changes = [entry.facts for entry in office.audit() if entry.event is Event.POLICY_CHANGED]
    assert [facts["usable"] for facts in changes] == [True, False]
    assert changes[1]["before"] == changes[0]["policy"] == first.digest


@pytest.mark.parametrize("name", ["min_data_in_leaf", "min_data_in_bin"])
def test_figures_about_fewer_rows_than_a_job_file_may_name_are_refused(office: Office, name: str) -> None:
    model = {"kind": "gbdt", "name": "gbdt.0", "groupsum": "auto", "hide_nodes": True, "params": {name: 9}}
    proposal = office.proposal()
    entry = ModelEntry.model_validate(model)
    low = proposal.model_copy(update={"models": (entry,), "split": SplitSection(holdout=0.2)})
    low = low.model_copy(update={"leakage": low.derive_leakage()})
    assert codes(office.refusal(low)) == ["CONFIG_FLOOR"]
    ten = low.model_copy(update={"id": "ten", "models": (entry.model_copy(update={"params": {name: 10}}),)})
    office.let_in(ten)


def test_a_refusal_is_recorded_once_however_often_the_platform_asks(office: Office) -> None:
    office.policy("valid_until = 2020-01-01")
    proposal = office.proposal()
    assert "POLICY_NO_RULE" in codes(office.refusal(proposal))
    for _ in range(2):
        office.refusal(proposal)
    row = office.premises.store.jobs.job(proposal.id)
    assert row is not None
    assert "POLICY_NO_RULE" in [problem.code for problem in row.problems]
    assert [entry.event for entry in office.audit()].count(Event.JOB_REFUSED) == 1
