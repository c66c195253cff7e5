"""Policies and the commands that run jobs, with real nodes: a bank that asks, a tax office that decides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from cryptography import x509
from e2e.conftest import ROOT, command, run_cli, write_job, write_tables
from midday import midday_zone

from fedcredit.cli.job import whole
from fedcredit.governance.audit import Entry, Event
from fedcredit.ids import PartyId
from fedcredit.node.audit_scan import read_log
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.node.own_node import OwnNode
from fedcredit.node.signing import verify_audit_head
from fedcredit.runtime import one_loop
from fedcredit.runtime.config import load_job, load_party
from fedcredit.runtime.policy_template import known_leakage, open_policy

pytestmark = pytest.mark.slow

BANK, TAX = PartyId("bank"), PartyId("tax")
DEADLINE_S = 240.0

INTERSECTION = '[job]\nname = "{name}"\npurpose = "{purpose}"\n[parties.bank]\nrole = "label"\n[parties.tax]\n'
MODEL = '[[model]]\nkind = "gbdt"\nnum_trees = 2\nmax_depth = 2\nhide_nodes = true\n'


@dataclass
class Town:
    """A bank, a tax office and a platform, up and running; files lie in `folder`."""

    consortium: Consortium
    folder: Path

    def job(self, name: str, purpose: str = "financing", extra: str = "") -> Path:
        """A job file for nodes: no table of anybody is in it."""
        path = self.folder / f"{name}.toml"
        path.write_text(INTERSECTION.format(name=name, purpose=purpose) + extra)
        return path

    def at(self, party: PartyId, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """A command at the node of `party`."""
        return run_cli(*arguments, "--node", self.consortium.folder(party))

    def show(self, party: PartyId, job: str) -> dict[str, Any]:
        """What `job show` at a node shows."""

        async def work() -> dict[str, Any]:
            async with OwnNode(load_party(self.consortium.folder(party))) as own:
                return await whole(own, job)

        return one_loop.run(work())

    def policy(self, action: str = "admit", more: str = "", **changes: str) -> None:
        """The tax office's policy from now on."""
        keys = {
            "submitters": '["bank"]',
            "peers": '["bank"]',
            "purposes": '["financing"]',
            "tables": '["main"]',
            "kinds": '["*"]',
            "columns": '["*"]',
            "accept_leakage": json.dumps(sorted(known_leakage())),
        } | changes
        lines = "\n".join(f"{key} = {value}" for key, value in keys.items())
        days = f'[policy]\ntime_zone = "{midday_zone()}"\n'
        self.write_policy(f'{days}[[rule]]\nname = "lend"\naction = "{action}"\n{lines}\n{more}\n')

    def write_policy(self, text: str) -> None:
        """Whatever text as the tax office's policy."""
        (self.consortium.folder(TAX) / "policy.toml").write_text(text)

    def detached(self, job: Path) -> str:
        """Hand in a job without waiting for it; its name."""
        done = self.at(BANK, "job", "run", job, "--detach", "--json")
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["job"])

    def wait(self, party: PartyId, job: str, state: str) -> None:
        """Wait until the job is in `state` at a node."""
        deadline = time.monotonic() + DEADLINE_S
        while (found := self.show(party, job)["own"]) is None or found["state"] != state:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def audit(self, party: PartyId, job: str) -> list[Entry]:
        """The audit entries about a job."""
        folder = self.consortium.folder(party)
        certificate = x509.load_pem_x509_certificate((folder / "keys" / "signing.crt").read_bytes())
        entries, _ = read_log(
            folder / "audit", party, lambda signature, body: verify_audit_head(certificate, signature, body)
        )
        return [entry for entry in entries if entry.job == job]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Nodes that the tests share; each sets the policy that it needs, and no node is started again for it."""
    folder = tmp_path_factory.mktemp("town")
    write_tables(folder, {"bank": (0, 400), "tax": (100, 500)})
    consortium = Consortium(load_job(write_job(folder, ["bank", "tax"])), folder / "out")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(consortium):
        address = consortium.children[PLATFORM].address
        for party in (BANK, TAX):
            with (consortium.folder(party) / "party.toml").open("a") as file:
                file.write(f'\n[peers]\nplatform = "{address}"\n')
        yield Town(consortium, folder)


def problems(town: Town, job: str) -> str:
    """What the tax office's own people read about a refusal."""
    return (town.consortium.folder(TAX) / "jobs" / job / "failure.json").read_text()


def last_job(town: Town) -> str:
    """The newest job at the tax office."""
    return str(json.loads(town.at(TAX, "job", "list", "--json").stdout)[0]["id"])


def test_a_job_is_let_in_and_followed_to_its_end(town: Town, tmp_path: Path) -> None:
    town.policy(columns='["x"]')
    done = town.at(BANK, "job", "run", town.job("joint", extra=MODEL), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "What each party will learn" in done.stderr
    assert "tax: align" in done.stderr
    assert "300 subjects are at all parties" in done.stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["models"][0]["kind"] == "gbdt"
    assert (tmp_path / "out" / "report.html").exists()

    job = last_job(town)
    # Of the tax office's two columns one is lent; the other never entered the job.
    assert {party["id"]: party["features"] for party in metrics["job"]["parties"]} == {"bank": 2, "tax": 1}
    shown = town.show(TAX, job)
    assert shown["own"]["state"] == shown["all"]["state"] == "succeeded"
    assert (shown["own"]["rule"], shown["own"]["submitter"]) == ("lend", "bank")
    assert shown["own"]["decision"]["columns"] == ["x"]
    assert {stage["name"] for stage in shown["own"]["stages"]} >= {"align", "split"}
    assert all(stage["finished"] for stage in shown["own"]["stages"])
    assert Path(shown["own"]["result"]).is_dir()
    admitted = next(entry for entry in town.audit(TAX, job) if entry.event is Event.JOB_ADMITTED)
    assert (admitted.facts["rule"], admitted.facts["submitter"]) == ("lend", "bank")
    assert admitted.facts["policy"] == shown["own"]["decision"]["policy"]

    for party in (BANK, TAX, PLATFORM):
        listed = town.at(party, "job", "list")
        assert job[:20] in listed.stdout.replace("\n", ""), listed
    assert "succeeded" in town.at(PLATFORM, "job", "show", job).stdout


def test_a_refusal_names_its_reasons_to_its_own_people_alone(town: Town) -> None:
    # No time and no name of a job has these digits by chance.
    town.policy(more="min_intersection = 2718281\nmax_trees = 1", accept_leakage='["agreement.sizes"]')
    done = town.at(BANK, "job", "run", town.job("greedy", extra=MODEL))
    assert done.returncode == 77
    assert "POLICY_REFUSED" in done.stderr
    job = last_job(town)
    bank = done.stdout + done.stderr + town.at(BANK, "job", "show", job).stdout
    log = (town.consortium.out / "logs" / "platform.log").read_text()
    for secret in ("LEAKAGE_NOT_ACCEPTED", "POLICY_MIN_INTERSECTION", "POLICY_MAX_TREES", "lend", "2718281"):
        assert secret not in bank
        assert secret not in log
        assert (secret in problems(town, job)) or secret == "lend"
    shown = town.at(TAX, "job", "show", job).stdout
    for told in ("refused", "rule 'lend'", "LEAKAGE_NOT_ACCEPTED", "POLICY_MIN_INTERSECTION", "POLICY_MAX_TREES"):
        assert told in shown
    refused = next(entry for entry in town.audit(TAX, job) if entry.event is Event.JOB_REFUSED)
    assert (refused.facts["code"], refused.facts["rule"]) == ("POLICY_REFUSED", "lend")
    # No table was opened and nothing was signed at the bank either.
    assert not [entry for entry in town.audit(BANK, job) if entry.event is Event.JOB_ACCEPTED]


def test_a_job_waits_for_a_person_and_then_runs(town: Town) -> None:
    town.policy("approve")
    job = town.detached(town.job("patient"))
    town.wait(TAX, job, "pending")
    waiting = town.at(BANK, "job", "show", job)
    assert "waits for approval at tax" in waiting.stdout
    assert "approve it, or refuse it" in town.at(TAX, "job", "list").stdout
    listed = json.loads(town.at(TAX, "job", "list", "--json").stdout)
    assert (listed[0]["id"], listed[0]["state"]) == (job, "pending")
    # The bank cannot approve for the tax office, and what waits nowhere cannot be approved.
    for stranger, code in ((BANK, "JOB_"), (PLATFORM, "")):
        assert town.at(stranger, "job", "approve", job).returncode != 0, code
    assert town.show(TAX, job)["own"]["state"] == "pending"

    done = town.at(TAX, "job", "approve", job)
    assert done.returncode == 0, done.stderr
    followed = town.at(BANK, "job", "watch", job)
    assert followed.returncode == 0, followed.stderr
    assert "succeeded" in followed.stdout
    events = [entry.event for entry in town.audit(TAX, job)]
    assert events[:4] == [Event.JOB_PENDING, Event.JOB_APPROVED, Event.JOB_ADMITTED, Event.JOB_ACCEPTED]
    by = town.audit(TAX, job)[1].facts["by"]
    assert town.show(TAX, job)["own"]["approved_by"] == by
    assert town.audit(TAX, job)[2].facts["approved_by"] == by
    assert town.at(TAX, "job", "approve", job).returncode == 77


def test_a_person_says_no(town: Town) -> None:
    town.policy("approve")
    job = town.detached(town.job("unwanted"))
    town.wait(TAX, job, "pending")
    done = town.at(TAX, "job", "approve", job, "--refuse", "--reason", "the contract has ended")
    assert done.returncode == 0, done.stderr
    followed = town.at(BANK, "job", "watch", job)
    assert followed.returncode == 77
    assert "POLICY_REFUSED" in followed.stderr
    assert "contract" not in followed.stderr + town.at(BANK, "job", "show", job).stdout
    assert "the contract has ended" in problems(town, job)
    assert "the contract has ended" in town.at(TAX, "job", "show", job).stdout
    refused = town.audit(TAX, job)[1]
    assert (refused.event, refused.facts["reason"]) == (Event.JOB_REFUSED, "the contract has ended")


def test_a_rule_that_changes_after_the_approval_voids_it(town: Town) -> None:
    town.policy("approve")
    job = town.detached(town.job("changed"))
    town.wait(TAX, job, "pending")
    # The person has seen the rule as it was; the platform asks again only after both have happened.
    tax = town.consortium.children[PLATFORM].process.pid
    os.killpg(tax, signal.SIGSTOP)
    try:
        assert town.at(TAX, "job", "approve", job).returncode == 0
        town.policy("approve", more="max_bin = 512")
    finally:
        os.killpg(tax, signal.SIGCONT)
    followed = town.at(BANK, "job", "watch", job)
    assert followed.returncode == 77
    assert "is another one than when the job was approved" in problems(town, job)


def test_a_waiting_job_is_cancelled_by_whoever_handed_it_in(town: Town) -> None:
    town.policy("approve")
    job = town.detached(town.job("dropped"))
    town.wait(TAX, job, "pending")
    done = town.at(BANK, "job", "cancel", job)
    assert done.returncode == 0, done.stderr
    town.wait(TAX, job, "cancelled")
    assert town.at(TAX, "job", "approve", job).returncode == 77
    assert town.show(BANK, job)["all"]["state"] == "cancelled"


def test_ctrl_c_stops_watching_and_nothing_else(town: Town) -> None:
    town.policy("approve")
    # A suite that a shell runs in the background ignores the signal, and so would what it starts.
    listening = ["env", "--default-signal=INT"]
    arguments = [*listening, *command("job", "run", town.job("left"), "--node", town.consortium.folder(BANK))]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "tax: pending" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE_S) == 130
    assert "fedcredit job watch left-" in "".join(lines)
    job = last_job(town)
    assert town.show(TAX, job)["own"]["state"] == "pending"
    assert town.at(TAX, "job", "approve", job).returncode == 0
    assert town.at(BANK, "job", "watch", job).returncode == 0


def test_budgets_are_spent_by_jobs_that_were_let_in(town: Town) -> None:
    town.policy(more="per_day = 1\nper_submitter_per_month = 1")
    town.write_policy((town.consortium.folder(TAX) / "policy.toml").read_text().replace('"lend"', '"once"'))
    # A job that is refused for another reason spends nothing.
    assert town.at(BANK, "job", "run", town.job("wrong", purpose="research")).returncode == 77
    assert town.at(BANK, "job", "run", town.job("first")).returncode == 0
    done = town.at(BANK, "job", "run", town.job("second"))
    assert done.returncode == 77
    assert "POLICY_BUDGET" in problems(town, last_job(town))
    explained = town.at(TAX, "policy", "explain", town.job("third"), "--json")
    assert explained.returncode == 77
    assert {budget["spent"] for budget in json.loads(explained.stdout)["budgets"]} == {1}


def test_the_policy_counts_as_its_file_says_now(town: Town) -> None:
    town.write_policy("[[rule]]\nnam = 3\n")
    assert town.at(BANK, "job", "run", town.job("early")).returncode == 77
    broken = last_job(town)
    assert "CONFIG_UNKNOWN_KEY" in problems(town, broken)
    (town.consortium.folder(TAX) / "policy.toml").unlink()
    assert town.at(BANK, "job", "run", town.job("closed")).returncode == 77
    assert "POLICY_MISSING" in problems(town, last_job(town))
    town.write_policy(open_policy())
    assert town.at(BANK, "job", "run", town.job("mended")).returncode == 0
    changes = [entry.facts for entry in town.audit(TAX, "") if entry.event is Event.POLICY_CHANGED]
    assert [facts["usable"] for facts in changes[-3:]] == [False, False, True]
    assert changes[-1]["before"] == changes[-2]["policy"] == ""


def test_a_list_that_changed_by_one_subject_needs_a_person_anew(town: Town) -> None:
    town.policy(more='changed_set = "approve"\nper_pair_per_day = 1000')
    assert town.at(BANK, "job", "run", town.job("list")).returncode == 0
    first = last_job(town)
    table = town.folder / "bank.csv"
    before = table.read_text()
    try:
        table.write_text(before.replace("\n000000000007,", "\n000000000777,", 1))
        refused = town.at(BANK, "job", "run", town.job("changed"))
        assert (refused.returncode, "POLICY_CHANGED_SET" in refused.stderr) == (77, False), "its reason is the owner's"
        assert "POLICY_CHANGED_SET" in problems(town, last_job(town))
        job = town.detached(town.job("again"))
        town.wait(TAX, job, "pending")
        assert town.at(TAX, "job", "approve", job).returncode == 0
        assert town.at(BANK, "job", "watch", job).returncode == 0
        assert town.at(BANK, "job", "run", town.job("once-more")).returncode == 0
        explained = json.loads(town.at(TAX, "policy", "explain", town.job("next"), "--json").stdout)
        assert explained["decision"] == "admit"
        (pair,) = [budget for budget in explained["budgets"] if budget["name"] == "per_pair_per_day with bank"]
        assert (pair["limit"], pair["spent"]) == (1000, 4), "the changed one was let in before it was known"
        assert pair["says"] == "per_pair_per_day with bank: 4 of 1000 used"
        assert any("another party's set" in note for note in explained["notes"])
    finally:
        table.write_text(before)
    # What each party said of its set stands in the logs of both, the same in both.
    said = {}
    for name in (first, job):
        logs = [town.audit(party, name) for party in (BANK, TAX)]
        facts = {entry.facts["subjects"] for log in logs for entry in log if entry.event is Event.JOB_ACCEPTED}
        (said[name],) = facts
    ours, theirs = (dict(entry.split("=") for entry in str(said[name]).split()) for name in (first, job))
    assert ours["tax"] == theirs["tax"]
    assert ours["bank"] != theirs["bank"]


def test_explain_says_what_would_happen_and_starts_nothing(town: Town) -> None:
    town.policy("approve")
    job = town.job("asked", extra=MODEL)
    before = town.at(TAX, "job", "list", "--json").stdout
    done = town.at(TAX, "policy", "explain", job)
    assert done.returncode == 0, done.stderr
    assert "needs a person's approval under rule 'lend'" in done.stdout
    assert "What others would learn about tax" in done.stderr
    other = town.at(TAX, "policy", "explain", job, "--submitter", "insurer")
    assert other.returncode == 77
    assert "the nearest is 'lend'" in other.stdout
    assert "submitters: bank; the job has insurer" in other.stdout
    assert town.at(TAX, "job", "list", "--json").stdout == before
    folder = town.consortium.folder(TAX)
    assert "lend: approve" in run_cli("policy", "check", folder).stdout
    town.write_policy('[[rule]]\nname = "x"\n')
    checked = run_cli("policy", "check", folder)
    assert checked.returncode == 78
    assert "rule.0.action" in checked.stderr


def test_a_node_that_does_not_run_is_named(town: Town, tmp_path: Path) -> None:
    ready = town.consortium.folder(TAX) / "ready.json"
    text = ready.read_text()
    ready.unlink()
    try:
        done = town.at(TAX, "job", "list")
        assert done.returncode == 78
        assert "NODE_DOWN" in done.stderr
        assert "fedcredit node up" in done.stderr
    finally:
        ready.write_text(text)
    lost = run_cli("job", "list", "--node", tmp_path)
    assert lost.returncode == 78
    unknown = town.at(TAX, "job", "show", "no-such-job")
    assert unknown.returncode == 77
    assert "JOB_UNKNOWN" in unknown.stderr
