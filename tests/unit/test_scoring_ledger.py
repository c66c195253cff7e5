"""The ledger of scores: what the log proves of the store's rows, what a crash left, and reports without subjects."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from model_town import OPEN
from score_town import BANK, SOCIAL, TAX, ScoreTown

from fedcredit.cli.main import main
from fedcredit.cli.usage_display import show_report, show_uses
from fedcredit.errors import DataError
from fedcredit.governance.scoring.decisions import Outcome
from fedcredit.governance.scoring.ledger import ScoreCount, hash_of_rows
from fedcredit.governance.verification.ledger import Report, combined, report_from, report_of
from fedcredit.ids import PartyId
from fedcredit.node.audit_places import LogPlace
from fedcredit.node.fsck import check_scores
from fedcredit.node.scoring.client import Score
from fedcredit.node.scoring.ledger import LoggedScores, lines_of, record_interrupted
from fedcredit.node.store import tables
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.verification.log_key import subject_tag

DAY = date(2026, 5, 4)
rows = tables.score_rows


@pytest.fixture
def town(tmp_path: Path) -> Iterator[ScoreTown]:
    made = ScoreTown(tmp_path)
    yield made
    made.close()


def log_of(town: ScoreTown, name: PartyId) -> LogPlace:
    node = town.models.parties[name]
    return LogPlace(node.folder / "audit", name, x509.load_der_x509_certificate(node.signing.certificate))


def ledger(town: ScoreTown, name: PartyId = TAX) -> list[Any]:
    return list(lines_of(town.models.parties[name].store, LoggedScores.of(log_of(town, name))))


def problems(town: ScoreTown, name: PartyId = TAX) -> list[str]:
    node = town.models.parties[name]
    found = check_scores(node.store, node.folder / "audit", name, lambda: log_of(town, name).verify)
    with_lines = [] if not found else [problem.code for problem in found]
    if found:
        with pytest.raises(DataError, match="AUDIT_SCORES"):
            ledger(town, name)
    return with_lines


def write(town: ScoreTown, statement: Any, name: PartyId = TAX) -> None:
    with town.models.parties[name].store._database.writing() as connection:
        connection.execute(statement)


def test_each_subject_of_each_request_is_a_line(town: ScoreTown) -> None:
    town.score([*town.wanted(1, 2), *town.wanted(3, requester="rival")])
    found = ledger(town)
    assert [(line.outcome, line.reason) for line in found] == [
        ("scored", ""),
        ("scored", ""),
        ("refused", "consent_requester"),
    ]
    assert {(line.requester, line.model, line.version, line.purpose) for line in found} == {
        (BANK, "sme", town.version, "financing")
    }
    key = town.desks[TAX].log_key
    assert [line.subject for line in found] == [subject_tag(key, town.subjects[k]) for k in (1, 2, 3)]
    assert problems(town) == []
    assert problems(town, SOCIAL) == []


@pytest.mark.parametrize(
    "change",
    [
        rows.update().where(rows.c.row == 1).values(outcome=Outcome.NO_RECORD.value),
        rows.update().where(rows.c.row == 1).values(subject=bytes(16)),
        rows.update().where(rows.c.row == 1).values(consent=bytes(16)),
        rows.update().where(rows.c.row == 2).values(why="consent_purpose"),
        rows.update().where(rows.c.row == 0).values(requester="rival"),
        rows.update().values(requester="rival"),
        rows.update().values(version=9),
        rows.update().values(purpose="research"),
        rows.update().values(at=rows.c.at - 86_400),
        rows.update().where(rows.c.row == 1).values(at=rows.c.at - 86_400),
        rows.update().values(bound=bytes(16)),
        rows.delete().where(rows.c.row == 0),
        rows.delete().where(rows.c.row == 2),
        rows.delete(),
    ],
)
def test_rows_that_are_not_those_of_the_log_are_told(town: ScoreTown, change: Any) -> None:
    town.score([*town.wanted(1, 2), *town.wanted(3, requester="rival")])
    write(town, change)
    assert problems(town) == ["AUDIT_SCORES"]
    assert problems(town, SOCIAL) == []


def test_rows_that_were_never_logged_are_told(town: ScoreTown) -> None:
    town.score(town.wanted(1))
    (row,) = town.kept(TAX)
    made = {"request": bytes(32), "row": 0, "requester": BANK, "model": "sme", "version": 1, "purpose": "financing"}
    made |= {"subject": row.subject, "consent": row.consent, "bound": row.bound, "at": row.at, "outcome": 1, "why": ""}
    write(town, rows.insert().values(made))
    assert problems(town) == ["AUDIT_SCORES"]


def test_what_the_node_decided_and_did_not_come_to_log_was_not_let_have_and_is_told_at_the_next_start(
    town: ScoreTown,
) -> None:
    node, desk = town.models.parties[TAX], town.desks[TAX]

    class Dies:
        def record(self, event: object, job: str, **facts: object) -> None:
            raise RuntimeError("the process ends here")

    desk.recorder = Dies()  # type: ignore[assignment]
    with pytest.raises(RuntimeError):
        town.score(town.wanted(1, 2))
    desk.recorder = node.record._recorder
    # As it lies after the crash: rows, and no entry yet.
    assert problems(town) == []
    assert [(line.outcome, line.reason) for line in ledger(town)] == [("refused", "score_interrupted")] * 2
    assert record_interrupted(node.store, desk.recorder, log_of(town, TAX)) == 1
    assert record_interrupted(node.store, desk.recorder, log_of(town, TAX)) == 0
    last = town.log(TAX)[-1]
    assert (last["event"], last["facts"]["code"], last["facts"]["asked"]) == ("score_refused", "SCORE_INTERRUPTED", 2)
    write(town, tables.score_requests.delete())
    assert problems(town) == []
    assert [line.outcome for line in ledger(town)] == ["refused"] * 2
    # It stays proven like any other.
    write(town, rows.update().where(rows.c.row == 0).values(outcome=Outcome.NO_RECORD.value))
    assert problems(town) == ["AUDIT_SCORES"]


def test_a_report_counts_scores_without_subjects_and_platforms_read_it(town: ScoreTown) -> None:
    for name in (TAX, SOCIAL):
        town.rule(name, OPEN.replace('callers = ["bank", "platform"]', 'callers = ["bank"]'))
    assert all(isinstance(score, Score) for score in town.score(town.wanted(1, 2, 4)))
    town.score(town.wanted(3, purpose="research"))
    report = report_of("tax", [], DAY, DAY, UTC, ledger(town))
    same = {"requester": "bank", "model": "sme", "version": town.version, "purpose": "financing"}
    assert [row.row() for row in report.scores] == [
        {"provider": "tax", **same, "outcome": "refused", "count": 1},
        {"provider": "tax", **same, "outcome": "scored", "count": 3},
    ]
    document = json.dumps(report.document()).encode()
    assert not any(line.subject.encode() in document or line.consent.encode() in document for line in ledger(town))
    assert report_from(document, "tax") == report
    both = combined("platform", [report, replace(report, since=date(2026, 5, 3), until=date(2026, 5, 3))])
    assert [row.count for row in both.scores] == [2, 6]
    assert report_of("tax", [], date(2026, 5, 5), DAY, UTC, ledger(town)).scores == ()


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "gas"},
        {"outcome": "yes"},
        {"count": 0},
        {"version": -1},
        {"version": "1"},
        {"model": "a b"},
        {"subject": "x"},
    ],
)
def test_counts_of_scores_that_are_none_are_refused(change: dict[str, object]) -> None:
    count = ScoreCount("tax", "bank", "sme", 1, "financing", "scored", 3)
    document = Report("tax", DAY, DAY, (), (count,)).document()
    assert report_from(json.dumps(document).encode(), "tax").scores == (count,)
    for scores in ([count.row() | change], [count.row(), count.row()]):
        with pytest.raises(DataError, match="USAGE_REPORT"):
            report_from(json.dumps(document | {"scores": scores}).encode(), "tax")


def test_what_is_shown_has_questions_and_scores(
    town: ScoreTown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    town.score(town.wanted(1))
    report, out = report_of("tax", [], DAY, DAY, UTC, ledger(town)), tmp_path / "out.csv"
    show_report(report, False, out)
    assert "scores of 1 subjects" in capsys.readouterr().out
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert (row["kind"], row["model"], row["outcome"], row["count"], row["item"]) == ("score", "sme", "scored", "1", "")
    show_uses([], ledger(town), True, out)
    (told,) = json.loads(capsys.readouterr().out)["scores"]
    assert (told["requester"], told["model"], told["outcome"]) == ("bank", "sme", "scored")
    assert "subject" not in told
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert row["time"].startswith("2026-05-04T")


def test_the_hash_of_rows_is_of_every_field_and_of_their_order() -> None:
    one, other = (bytes(16), b"", Outcome.CONSENT, "consent_missing"), (b"s" * 16, b"c" * 16, Outcome.ANSWERED, "")
    said = hash_of_rows(1, bytes(16), [one, other])
    by_hand = b"fedcredit v1 score rows\0" + bytes(7) + b"\1" + bytes(16)
    by_hand += bytes(32) + b"\3\x0fconsent_missing" + b"s" * 16 + b"c" * 16 + b"\1\0"
    assert said == hashlib.sha256(by_hand).digest()
    assert len({said, hash_of_rows(1, bytes(16), [other, one]), hash_of_rows(2, bytes(16), [one, other])}) == 3
    assert hash_of_rows(1, b"b" * 16, [one, other]) != said
    # A reason's length stands before it, so no row runs into the next.
    longer = (bytes(16), b"", Outcome.CONSENT, "consent_missing" + (b"s" * 16).decode())
    assert hash_of_rows(1, bytes(16), [longer]) != said


# -- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def node(town: ScoreTown, tmp_path: Path) -> Path:
    """Tax's folder as a stopped node leaves it, after scores were answered and refused."""
    town.score([*town.wanted(1, 2), *town.wanted(3, requester="rival")])
    town.score(town.wanted(1))
    made, at = tmp_path / "stopped", town.models.parties[TAX]
    table = tmp_path / "tax.csv"
    table.write_text(f"uscc,x\n{town.subjects[0]},1\n", encoding="utf-8")
    kind = (TAX, "provider", "127.0.0.1", 7443, (), table, "uscc", None, PartyId("platform"), None, False)
    found(made, NewParty(*kind))
    certificate = x509.load_der_x509_certificate(at.signing.certificate)
    (made / "keys" / "signing.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (made / "verify").mkdir(mode=0o700, exist_ok=True)
    (made / "verify" / "log.key").write_bytes(town.desks[TAX].log_key)
    (made / "verify" / "log.key").chmod(0o600)
    at.close()
    shutil.copytree(at.folder / "audit", made / "audit")
    shutil.copy(at.folder / "store.sqlite", made / "store.sqlite")
    return made


@pytest.fixture
def command(node: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`fedcredit usage report` at that node."""

    def call(*arguments: object) -> tuple[int, str]:
        days = ("--since", "2026-05-01", "--until", "2026-05-31")
        status = 0
        try:
            status = main(["usage", "report", "--node", str(node), *days, *map(str, arguments)])
        except SystemExit as left:
            status = int(left.code or 0)
        out, err = capsys.readouterr()
        return status, out or err

    return call


def test_a_provider_reports_its_scores_and_answers_who_asked_about_me(
    command: Callable[..., tuple[int, str]], town: ScoreTown
) -> None:
    status, said = command("--json")
    told = json.loads(said)
    assert (status, told["rows"]) == (0, [])
    assert [(row["outcome"], row["count"]) for row in told["scores"]] == [("refused", 1), ("scored", 3)]
    status, said = command("--subject", town.subjects[1], "--json")
    mine = json.loads(said)
    assert (status, mine["uses"]) == (0, [])
    assert [(row["requester"], row["outcome"]) for row in mine["scores"]] == [("bank", "scored")] * 2
    (refused,) = json.loads(command("--subject", town.subjects[3], "--json")[1])["scores"]
    assert (refused["outcome"], refused["reason"]) == ("refused", "consent_requester")
    assert json.loads(command("--subject", town.subjects[9], "--json")[1])["scores"] == []


def test_a_report_of_a_store_that_was_changed_is_none(command: Callable[..., tuple[int, str]], node: Path) -> None:
    with sqlite3.connect(node / "store.sqlite") as connection:
        connection.execute("UPDATE score_rows SET outcome = 2 WHERE row = 0")
    connection.close()
    for more in ((), ("--json",), ("--subject", "x"), ("--send",)):
        status, said = command(*more)
        assert (status, said.count("AUDIT_SCORES")) == (65, 2)
