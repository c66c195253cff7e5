"""The ledger as a view of a node's log, reports of it, and what institutions report back."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import fedcredit
from fedcredit.cli.usage import _days
from fedcredit.errors import DataError
from fedcredit.governance.audit import Entry, Event
from fedcredit.governance.verification.ledger import (
    Report,
    Use,
    UseRow,
    budget_used,
    combined,
    report_from,
    report_of,
    use_of,
)
from fedcredit.governance.verification.outcomes import OutcomeSet, Standing, outcomes_from, summary
from fedcredit.node.store import Store
from fedcredit.node.verification.log_key import log_key, subject_tag
from fedcredit.node.verification.reporting import read_outcomes
from fedcredit.node.verification.uses import REASONS
from fedcredit.runtime.clock import SystemClock

MAY = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CODE = "91320100MA1MTQ0X09"
DAY = date(2026, 5, 4)


def use(**other: object) -> Use:
    """A use like the others, but for `other`."""
    same: dict[str, object] = {
        "at": MAY,
        "requester": "bank",
        "item": "water_fee",
        "predicate": "water_in_arrears",
        "purpose": "financing",
        "outcome": "yes",
        "subject": "aa",
        "question": "q1",
    }
    return Use(**{**same, **other})  # type: ignore[arg-type]


def test_a_report_counts_by_kind_and_names_no_subject() -> None:
    uses = [use(), use(subject="bb"), use(outcome="no"), use(at=MAY + timedelta(days=1)), use(requester="insurer")]
    found = report_of("water", uses, DAY, DAY, UTC)
    assert found.rows == (
        UseRow("water", "bank", "water_fee", "water_in_arrears", "financing", "no"),
        UseRow("water", "bank", "water_fee", "water_in_arrears", "financing", "yes"),
        UseRow("water", "insurer", "water_fee", "water_in_arrears", "financing", "yes"),
    )
    assert [row.count for row in found.rows] == [1, 2, 1]
    text = json.dumps(found.document())
    assert "aa" not in text
    assert "q1" not in text
    assert report_from(text.encode(), "water") == found


def test_days_are_those_of_the_zone() -> None:
    late = use(at=datetime(2026, 5, 4, 23, 30, tzinfo=UTC))
    assert report_of("water", [late], DAY, DAY, ZoneInfo("Asia/Shanghai")).rows == ()
    assert len(report_of("water", [late], DAY, DAY, UTC).rows) == 1


def test_what_was_asked_this_morning_is_in_the_report_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """At half past seven in China, when the day has not begun in UTC."""
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime(2026, 5, 4, 23, 30, tzinfo=UTC))
    morning, today = use(at=SystemClock().now()), date(2026, 5, 5)
    first, last = _days(None, None, ZoneInfo("Asia/Shanghai"))
    assert (first, last) == (today - timedelta(days=30), today)
    assert len(report_of("water", [morning], first, last, ZoneInfo("Asia/Shanghai")).rows) == 1
    # A platform has reports of providers that are far apart.
    for hours in (-12, 0, 14):
        begin, end = _days(None, None, timezone(timedelta(hours=hours)))
        everywhere = _days(None, None, None)
        assert everywhere[0] <= begin <= end <= everywhere[1]
    assert _days("2026-05-01", "2026-05-02", None) == (date(2026, 5, 1), date(2026, 5, 2))


def test_reports_of_several_providers_are_one() -> None:
    first = report_of("water", [use(), use()], DAY, DAY, UTC)
    second = report_of("water", [use(at=MAY + timedelta(days=1))], date(2026, 5, 5), date(2026, 5, 5), UTC)
    other = report_of("gas", [use(item="gas_fee")], DAY, DAY, UTC)
    found = combined("platform", [first, second, other])
    assert [(row.provider, row.count) for row in found.rows] == [("gas", 1), ("water", 3)]
    assert (found.since, found.until) == (DAY, date(2026, 5, 5))


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "gas"},
        {"schema": "fedcredit-usage/2"},
        {"since": "2026-06-01"},
        {"more": 1},
        {"rows": [{}]},
        {"rows": "x"},
    ],
)
def test_a_report_that_is_none_is_refused(change: dict[str, object]) -> None:
    document = report_of("water", [use()], DAY, DAY, UTC).document() | change
    with pytest.raises(DataError, match="USAGE_REPORT"):
        report_from(json.dumps(document).encode(), "water")


def test_a_report_speaks_for_its_sender_alone() -> None:
    document = report_of("water", [use()], DAY, DAY, UTC).document()
    document["rows"][0]["provider"] = "gas"  # type: ignore[index]
    for raw in (json.dumps(document).encode(), b"[" * 100_000, b"\xff", b"{}"):
        with pytest.raises(DataError, match="USAGE_REPORT"):
            report_from(raw, "water")


def test_entries_become_uses() -> None:
    facts: dict[str, str | int] = {
        "requester": "bank",
        "item": "i",
        "predicate": "p",
        "purpose": "financing",
        "outcome": 2,
    }
    facts |= {"rule": "r", "subject": "aa", "question": "bb", "consent": "cc"}
    found = use_of(Entry(sequence=0, time=MAY, event=Event("verified"), job="", facts=facts))
    assert found is not None
    assert (found.requester, found.outcome, found.subject, found.consent) == ("bank", "no", "aa", "cc")
    assert use_of(Entry(sequence=0, time=MAY, event=Event.JOB_DONE, job="j")) is None


def test_a_budget_counts_different_questions_that_were_answered() -> None:
    old = MAY - timedelta(days=29)
    uses = [
        use(at=old, question="q0"),
        use(at=MAY - timedelta(days=30), question="too old"),
        use(question="q1"),
        use(question="q1"),
        use(question="q2", outcome="refused"),
        use(question="q3", subject="bb"),
        use(question="q4", requester="insurer"),
        use(question="q5", item="gas_fee"),
    ]
    same = {"requester": "bank", "item": "water_fee", "subject": "aa", "now": MAY, "days": 30, "zone": UTC}
    assert budget_used(uses, question="q1", **same) == (2, True, 4)  # type: ignore[arg-type]
    # It was asked, but not today: asking it again would be a look at another day's records.
    assert budget_used(uses, question="q0", **same) == (2, False, 4)  # type: ignore[arg-type]


def test_subjects_are_found_by_the_node_s_own_key(tmp_path: Path) -> None:
    key = log_key(tmp_path)
    assert log_key(tmp_path) == key
    assert (tmp_path / "verify" / "log.key").stat().st_mode & 0o077 == 0
    assert subject_tag(key, CODE) == subject_tag(key, f" {CODE.lower()} ") != subject_tag(bytes(32), CODE)
    assert len(subject_tag(key, CODE)) == 32


def standing(**other: object) -> Standing:
    """How a loan stands, but for `other`."""
    same: dict[str, object] = {"reference": "L-1", "subject": CODE, "status": "granted", "day": DAY, "amount_yuan": 5}
    return Standing.model_validate({**same, **other})


def test_outcomes_travel_and_of_each_loan_the_latest_counts(tmp_path: Path) -> None:
    sent = [standing(), standing(day=date(2026, 6, 1), status="overdue", amount_yuan=3), standing(reference="L-2")]
    document = OutcomeSet.of(sent).encode()
    assert list(outcomes_from(document)) == sent
    store = Store.at(tmp_path / "store.sqlite")
    try:
        for _ in range(2):
            store.outcomes.put("bank", outcomes_from(document))
        store.outcomes.put("insurer", [standing(status="refused")])
        rows = summary(store.outcomes.latest())
    finally:
        store.close()
    assert [(row.institution, row.status, row.count, row.amount_yuan) for row in rows] == [
        ("bank", "granted", 1, 5),
        ("bank", "overdue", 1, 3),
        ("insurer", "refused", 1, 5),
    ]


@pytest.mark.parametrize("other", [{"subject": "91320100MA1MTQ0X00"}, {"status": "gone"}, {"amount_yuan": -1}])
def test_what_is_no_outcome_is_refused(other: dict[str, object]) -> None:
    document = json.loads(OutcomeSet.of([standing()]).encode())
    document["outcomes"][0] |= other
    with pytest.raises(DataError, match="OUTCOME_REPORT"):
        outcomes_from(json.dumps(document).encode())
    with pytest.raises(DataError, match="OUTCOME_REPORT"):
        OutcomeSet.of([standing(), standing(amount_yuan=7)])


def test_a_file_of_outcomes_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_text(f"reference,subject,status,day,amount_yuan\nL-1,{CODE},granted,2026-05-04,5\n", encoding="utf-8")
    assert read_outcomes(path) == [standing()]
    path.write_text(
        f"reference,subject,status,day\nL-1,{CODE},gone,2026-05-04\nL-2,{CODE},repaid,x\n", encoding="utf-8"
    )
    with pytest.raises(DataError) as refused:
        read_outcomes(path)
    assert [p.where.rpartition(", ")[2] for p in refused.value.problems] == ["line 2: status", "line 3: day"]
    assert "gone" not in str(refused.value)


def test_a_platform_keeps_reports_once(tmp_path: Path) -> None:
    report = report_of("water", [use()], DAY, DAY, UTC)
    store = Store.at(tmp_path / "store.sqlite")
    try:
        for count in (1, 2):
            document = json.loads(json.dumps(report.document()))
            document["rows"][0]["count"] = count
            raw = json.dumps(document).encode()
            store.usage.put(report_from(raw, "water"), raw)
        (kept,) = store.usage.between(date(2026, 5, 1), date(2026, 5, 31))
        assert [row.count for row in kept.rows] == [2]
        assert store.usage.between(date(2026, 5, 5), date(2026, 5, 31)) == []
    finally:
        store.close()
    assert isinstance(kept, Report)


def test_reasons_are_those_of_the_native_service() -> None:
    source = Path(fedcredit.__file__).parent / "native" / "serve" / "src" / "ruling.rs"
    found = re.findall(r'= (\d+), "([a-z_]+)";', source.read_text(encoding="utf-8"))
    assert {int(code): name for code, name in found} == REASONS
