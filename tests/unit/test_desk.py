"""Rulings on questions: consent, rules, quotas, budgets and uses; one by one, in a batch, and by many threads."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desk_town import BANK, KEY, NOW, OWNER, PAPER, STEEL, TODAY, Town, authority, consent, question, rule

from fedcredit.errors import DataError
from fedcredit.governance.consent.token import Envelope, revocation_id
from fedcredit.kernels import index
from fedcredit.kernels.desk import NO_CONSENT, RECORD_BYTES, Bounds, Caller, Desk, Question

MS = NOW * 1000


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


def said(desk: Desk, asked: Question, now_ms: int = MS, caller: Caller = BANK) -> tuple[str, str]:
    found = desk.rule(caller, asked, now_ms)
    return found.outcome, found.reason


def test_an_answer_has_what_the_log_needs(town: Town) -> None:
    token = consent()
    found = town.desk().rule(BANK, question(token=token), MS)
    assert (found.outcome, found.reason, found.rule) == ("yes", "decided", "bank")
    assert (found.item, found.predicate, found.purpose) == ("fund", "months_at_least", "financing")
    assert (found.recorded_on, found.evaluated_on) == (TODAY - 5, TODAY)
    assert found.subject == hmac.digest(KEY, STEEL.encode(), "sha256")[:16]
    jti = Envelope.read(token).claims().jti
    assert found.consent is not None
    assert found.consent.hex() == revocation_id(jti)
    assert found.question != town.desk().rule(BANK, question(token=token, arguments={"k": 3.0}), MS).question
    assert len(found.record) == RECORD_BYTES


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question("nothing"), "predicate"),
        (question(arguments={}), "parameter"),
        (question(arguments={"k": 6.0, "n": 6.0}), "parameter"),
        (question(arguments={"n": 6.0}), "parameter"),
        (question(arguments={"k": "6"}), "parameter"),
        (question(arguments={"k": float("nan")}), "parameter"),
        (question(arguments={"k": 5.0}), "ladder"),
        (question("unit_is", arguments={"unit": ""}), "parameter"),
        (question("unit_is", arguments={"unit": "U" * 201}), "parameter"),
        (question(purpose=""), "question"),
        (question(purpose="Finan cing"), "question"),
        (question(subject=""), "question"),
        (question(subject="x" * 65), "question"),
        (question(subject="s\n"), "question"),
        (question(), "consent_missing"),
        (question(token="x.y.z"), "token_malformed"),
        (question(token=consent(PAPER)), "consent_subject"),
        (question(token=consent(requester="other_bank")), "consent_requester"),
        (question(token=consent(authority=bytes(32))), "consent_binding"),
        (question(token=consent(providers=("tax",))), "consent_audience"),
        (question(token=consent(purpose="research")), "consent_purpose"),
        (question(token=consent(region="jining")), "consent_region"),
        (question(token=consent(items=("water",))), "consent_scope"),
        (question(token=consent(items=(), predicates=("in_arrears",))), "consent_scope"),
        (question(token=consent(items=(), models=("arrears",))), "consent_scope"),
        (question(token=consent(expires=NOW - 60)), "consent_expired"),
        (question(token=consent(not_before=NOW + 61)), "consent_not_yet"),
        (question("owns", token=consent()), "consent_person"),
    ],
)
def test_a_question_is_refused_and_the_log_says_why(town: Town, asked: Question, reason: str) -> None:
    assert said(town.desk(), asked) == ("refused", reason)


def test_yes_no_and_unknown(town: Town) -> None:
    desk = town.desk()
    assert said(desk, question(token=consent())) == ("yes", "decided")
    assert said(desk, question(token=consent(), arguments={"k": 12.0})) == ("no", "decided")
    assert said(desk, question(subject=OWNER, token=consent(OWNER))) == ("yes", "decided")
    assert said(desk, question("in_arrears", token=consent())) == ("yes", "decided")
    assert said(desk, question("in_arrears", PAPER, consent(PAPER))) == ("unknown", "no_record")
    for spelling in ("ｕNIT  1", "unit 1"):
        assert said(desk, question("unit_is", token=consent(), arguments={"unit": spelling})) == ("yes", "decided")
    stale = [town.served("months_at_least", max_age_days=4), town.served("in_arrears", complete=True)]
    desk = town.desk(questions=stale)
    assert said(desk, question(token=consent())) == ("unknown", "stale")
    assert said(desk, question("in_arrears", PAPER, consent(PAPER))) == ("no", "decided")


def test_the_same_question_is_the_same_however_it_is_written(town: Town) -> None:
    desk = town.desk()

    def known(unit: str) -> bytes:
        return desk.rule(BANK, question("unit_is", token=consent(), arguments={"unit": unit}), MS).question

    assert known("Unit 1") == known(" ＵNIT\u30001 ") != known("Unit 2")


def test_what_was_revoked_is_refused_from_then_on_and_an_old_list_refuses_all(town: Town) -> None:
    desk = town.desk()
    token, other = consent(), consent()
    assert said(desk, question(token=token))[0] == "yes"
    revoked = revocation_id(Envelope.read(token).claims().jti)
    desk.reload(town.text(revoked=[revoked]))
    assert said(desk, question(token=token)) == ("refused", "consent_revoked")
    assert said(desk, question(token=other))[0] == "yes"
    late = MS + 291_000
    assert said(desk, question(token=other), late) == ("refused", "consent_stale")
    desk.reload(town.text(revoked=[revoked], revocations_at=NOW + 200))
    assert said(desk, question(token=other), late)[0] == "yes"


def test_an_issuer_that_is_taken_out_is_believed_no_more(town: Town) -> None:
    desk = town.desk()
    token = consent()
    assert said(desk, question(token=token))[0] == "yes"
    desk.reload(town.text(issuers=[]))
    assert said(desk, question(token=token)) == ("refused", "consent_issuer")


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ([], ("refused", "no_rule")),
        ([rule(requesters=["other"])], ("refused", "no_rule")),
        ([rule(purposes=["research"])], ("refused", "no_rule")),
        ([rule(predicates=["in_arrears"])], ("refused", "no_rule")),
        ([rule(items=["water"])], ("refused", "no_rule")),
        ([rule(requesters=["a", "bank"], purposes=["financing"], items=["fund"])], ("yes", "decided")),
        ([rule("first", action="refuse"), rule()], ("refused", "rule")),
        ([rule("first", action="refuse", requesters=["x"]), rule()], ("yes", "decided")),
        # The first rule about it decides, also where a later one would grant more.
        ([rule("first", level_max=1), rule()], ("refused", "level")),
        ([rule(level_max=2)], ("yes", "decided")),
        # It is Monday, ten o'clock in the provider's zone.
        ([rule(minutes=[[0, 600]])], ("refused", "no_rule")),
        ([rule(minutes=[[1440, 1500], [600, 601]])], ("yes", "decided")),
        ([rule(no_consent=True)], ("refused", "no_consent")),
        ([rule(per_second=0)], ("refused", "per_second")),
        ([rule(per_day=0)], ("refused", "per_day")),
        ([rule(budget={"questions": 0, "days": 1})], ("refused", "budget")),
    ],
)
def test_the_first_rule_about_a_question_decides(town: Town, rules: list[Any], wanted: tuple[str, str]) -> None:
    assert said(town.desk(rules=rules), question(token=consent())) == wanted


def test_core_data_and_public_items(town: Town) -> None:
    core = town.desk(questions=[town.served("months_at_least", level=6)])
    assert said(core, question(token=consent())) == ("refused", "level")
    public = town.served("in_arrears", consent_of=[])
    assert said(town.desk(questions=[public]), question("in_arrears")) == ("refused", "consent_missing")
    free = town.desk(questions=[public], rules=[rule(no_consent=True)])
    assert said(free, question("in_arrears")) == ("yes", "decided")


def test_a_consent_is_used_up(town: Town) -> None:
    desk = town.desk()
    token = consent(uses=2)
    asked = question(token=token)
    assert [said(desk, asked)[0] for _ in range(2)] == ["yes", "yes"]
    assert said(desk, asked) == ("refused", "consent_used_up")
    # What is refused for another reason is no use.
    again = consent(uses=1)
    assert said(desk, question(token=again, arguments={"k": 5.0}))[1] == "ladder"
    assert said(desk, question("owns", token=again))[1] == "consent_person"
    assert said(desk, question(token=again))[0] == "yes"


def test_a_budget_counts_different_questions_about_a_subject_and_item(town: Town) -> None:
    desk = town.desk(rules=[rule(budget={"questions": 2, "days": 30})])
    token = consent(uses=6)

    def ask(k: float, day: int = 0, caller: Caller = BANK) -> tuple[str, str]:
        made = token if caller == BANK else consent(caller=caller)
        return said(desk, question(token=made, arguments={"k": k}), MS + day * 86_400_000, caller)

    desk.reload(town.text(rules=[rule(budget={"questions": 2, "days": 30})], revocations_max_age_s=10**8))
    assert ask(3.0) == ("yes", "decided")
    assert ask(3.0) == ("yes", "repeated")
    assert ask(6.0) == ("yes", "decided")
    assert ask(12.0) == ("refused", "budget")
    assert ask(6.0) == ("yes", "repeated")
    # Another item, subject or requester has a budget of its own.
    assert said(desk, question("in_arrears", token=token))[0] == "yes"
    assert said(desk, question(subject=PAPER, token=consent(PAPER)))[0] == "no"
    other = Caller("other", hashlib.sha256(b"other").digest())
    assert ask(12.0, caller=other) == ("no", "decided")
    # Six uses: each of the answers was one, the refusal was none.
    assert ask(3.0)[0] == "yes"
    assert ask(3.0) == ("refused", "consent_used_up")
    token = consent(uses=100, expires=NOW + 50 * 86_400)
    # On another day the same question is one that has to be within the budget.
    assert ask(3.0, day=29) == ("refused", "budget")
    assert ask(12.0, day=30) == ("no", "decided")
    assert ask(3.0, day=30) == ("yes", "decided")
    assert ask(6.0, day=30) == ("refused", "budget")


def test_the_answer_of_a_day_stays_that_of_the_day(tmp_path: Path) -> None:
    town = Town(tmp_path)
    rules = [rule(budget={"questions": 2, "days": 3})]
    desk = town.desk(rules=rules)
    token = consent()
    assert said(desk, question(token=token)) == ("yes", "decided")
    less = {"months": index.Numbers(np.array([1.0])), "name": index.text_column([""])}
    town.build("fund", [STEEL], less)
    desk.reload(town.text(rules=rules))
    assert said(desk, question(token=token)) == ("yes", "repeated")
    assert said(desk, question(token=token, arguments={"k": 3.0})) == ("no", "decided")


def test_quotas_fill_up_again(town: Town) -> None:
    desk = town.desk(rules=[rule(per_second=2, per_day=5)])
    asked = question(token=consent())
    assert [said(desk, asked)[1] for _ in range(3)] == ["decided", "decided", "per_second"]
    assert said(desk, asked, MS + 499)[1] == "per_second"
    assert said(desk, asked, MS + 500)[1] == "decided"
    assert said(desk, asked, MS + 400)[1] == "per_second"
    # What is refused after all does not count for the day.
    assert said(desk, question(token=""), MS + 5000)[1] == "consent_missing"
    assert [said(desk, asked, MS + at)[1] for at in (6000, 6000, 8000)] == ["decided", "decided", "per_day"]
    desk.reload(town.text(rules=[rule(per_second=2, per_day=5)], revocations_at=NOW + 86_400))
    tomorrow = consent(expires=NOW + 3 * 86_400)
    assert said(desk, question(token=tomorrow), MS + 86_400_000)[1] == "decided"


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_threads_one_gets_the_last_use(town: Town, attempt: int) -> None:
    for rules in ([rule()], [rule(budget={"questions": 3, "days": 1})]):
        desk = town.desk(rules=rules)
        found = Counter(desk.race(64, BANK, question(token=consent(uses=1)), [{"k": 6.0}], MS))
        assert found == {("yes", "decided"): 1, ("refused", "consent_used_up"): 63}


@pytest.mark.parametrize("attempt", range(5))
def test_many_threads_get_no_more_than_the_budget_and_the_quota(town: Town, attempt: int) -> None:
    desk = town.desk(rules=[rule(budget={"questions": 2, "days": 1})])
    found = desk.race(63, BANK, question(token=consent()), [{"k": 3.0}, {"k": 6.0}, {"k": 12.0}], MS)
    assert Counter(reason for _, reason in found) == {"decided": 2, "repeated": 40, "budget": 21}
    desk = town.desk(rules=[rule(per_day=10)])
    found = desk.race(64, BANK, question(token=consent()), [{"k": 3.0}], MS)
    assert Counter(reason for _, reason in found) == {"decided": 10, "per_day": 54}


def test_everything_is_rebuilt_from_the_log(town: Town) -> None:
    rules = [rule(budget={"questions": 2, "days": 30}, per_day=5)]
    desk, token = town.desk(rules=rules), consent(uses=4)
    asked = [question(token=token, arguments={"k": k}) for k in (3.0, 6.0, 12.0, 6.0)]
    records = [desk.rule(BANK, one, MS).record for one in asked]
    fresh = town.desk(rules=rules)
    for record in records:
        fresh.replay(NOW, "bank", record)
    for one in (desk, fresh):
        assert said(one, asked[2]) == ("refused", "budget")
        assert said(one, asked[1]) == ("yes", "repeated")
        assert said(one, asked[1]) == ("refused", "consent_used_up")
        assert said(one, question("in_arrears", token=consent())) == ("yes", "decided")
        assert said(one, question("in_arrears", token=consent())) == ("refused", "per_day")
    with pytest.raises(ValueError, match="records"):
        fresh.replay(NOW, "bank", records[0][:-1])
    with pytest.raises(ValueError, match="records"):
        fresh.replay(NOW, "bank", b"\xff" * RECORD_BYTES)


def test_at_a_bound_questions_are_refused_until_something_ends(town: Town) -> None:
    desk = Desk(KEY, town.text(revocations_max_age_s=10**8), Bounds(uses=128, budgets=128, quotas=128))
    reasons = Counter(said(desk, question(token=consent()))[1] for _ in range(1000))
    assert set(reasons) == {"decided", "full"}
    assert desk.held().uses == reasons["decided"] <= 128
    later = MS + 2 * 86_400_000
    after = [said(desk, question(token=consent(expires=NOW + 9 * 86_400)), later)[1] for _ in range(200)]
    assert after.count("decided") > 64
    assert desk.held().uses <= 128


def test_what_does_not_fit_when_the_log_is_read_counts_as_used_up(town: Town) -> None:
    desk, token = town.desk(), consent(uses=10**6)
    records = [desk.rule(BANK, question(token=consent()), MS).record for _ in range(2000)]
    small = Desk(KEY, town.text(), Bounds(uses=64))
    small.replay(NOW, "bank", b"".join(records))
    assert small.held().uses == 128
    assert said(small, question(token=token)) == ("refused", "full")


def batch(desk: Desk, consents: list[str], checks: list[tuple[str, int, int]], **more: Any) -> Any:
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("months_at_least", {"k": 6.0}),
        ("in_arrears", {}),
        ("months_at_least", {"k": 5.0}),
        ("nothing", {}),
        ("months_at_least", {"k": 12.0}),
    ]
    purpose = more.pop("purpose", "financing")
    return desk.rule_batch(BANK, purpose, consents=consents, kinds=kinds, checks=checks, now_ms=MS, **more)


def test_a_batch_is_answered_as_its_questions_would_be(town: Town) -> None:
    rng = np.random.default_rng(7)
    tokens = [consent(), consent(PAPER), consent(OWNER), consent(uses=3), "x", consent(items=("water",))]
    subjects = [STEEL, PAPER, OWNER, "", "91320100MA1MK00012", "x" * 70]
    kinds = [question(), question("in_arrears"), question(arguments={"k": 5.0}), question("nothing")]
    kinds.append(question(arguments={"k": 12.0}))
    drawn = rng.integers(0, [len(subjects), 6, 7], (3000, 3))
    checks = [(subjects[who], int(kind), int(token)) for who, kind, token in drawn]
    checks += [(STEEL, 0, NO_CONSENT), (STEEL, 2**32 - 1, 0)]
    for rules in ([rule()], [rule(budget={"questions": 2, "days": 30})], [rule("water", items=["water"], per_day=3)]):
        one_by_one, together = town.desk(rules=rules), town.desk(rules=rules)
        found = batch(together, tokens, checks)
        # Who of several gets the last use of a consent is a matter of time: that token is left out of the comparison.
        for place, (subject, kind, token) in enumerate(checks):
            if token == 3 or kind > 4:
                continue
            asked = kinds[kind]
            single = one_by_one.rule(
                BANK,
                Question(
                    subject=subject,
                    predicate=asked.predicate,
                    purpose="financing",
                    arguments=asked.arguments,
                    consent=tokens[token] if token < len(tokens) else "",
                ),
                MS,
            )
            code = {"yes": 1, "no": 2, "unknown": 3, "refused": 4}[single.outcome]
            if rules[0]["budget"] is None and rules[0]["per_day"] is None:
                assert found.outcomes[place] == code
                assert found.records[place * RECORD_BYTES : (place + 1) * RECORD_BYTES] == single.record
                assert found.recorded_on[place] == single.recorded_on
        used = [place for place, check in enumerate(checks) if check[2] == 3]
        assert sum(found.outcomes[place] != 4 for place in used) <= 3
        if rules[0]["budget"] is not None:
            answered = {(checks[place][0], checks[place][1]) for place in np.flatnonzero(found.outcomes != 4)}
            assert max(Counter(subject for subject, kind in answered if kind in (0, 4)).values()) <= 2
        if rules[0]["per_day"] is not None:
            assert np.count_nonzero(found.outcomes != 4) <= 3


def test_a_batch_keeps_to_quotas_in_its_order(town: Town) -> None:
    desk = town.desk(rules=[rule(per_second=5)])
    found = batch(desk, [consent()], [(STEEL, 0, 0)] * 8)
    assert found.outcomes.tolist() == [1] * 5 + [4] * 3
    desk = town.desk(rules=[rule(per_day=5)])
    # The first two are refused for what they are, and give back what they took.
    found = batch(desk, [consent()], [(STEEL, 0, 9), (PAPER, 0, 0), *[(STEEL, 0, 0)] * 4])
    assert found.outcomes.tolist() == [4, 4, 1, 1, 1, 4]
    assert batch(desk, [consent()], [(STEEL, 0, 0)] * 4).outcomes.tolist() == [1, 1, 4, 4]
    assert batch(desk, [], []).outcomes.tolist() == []
    assert set(batch(desk, [consent()], [(STEEL, 0, 0)] * 4, purpose="X").outcomes) == {4}


def test_names_and_institutions_are_the_subjects_and_the_requesters_own(tmp_path: Path) -> None:
    town = Town(tmp_path)
    builder = index.Builder("water", "name", {"arrears": "flag", "unit": "text"}, normal_keys=True)
    names = index.text_column(["Steel Ltd", "Paper"])
    builder.push(names, {"arrears": (index.Flags(np.array([True, False])), None), "unit": (names, None)})
    builder.finish(tmp_path / "by_name.index")
    indexes = {**town.said["indexes"], "water/name": str(tmp_path / "by_name.index")}
    served = town.served("in_arrears", keys={"water": ["name", "subject_name"]})
    told = {"indexes": indexes, "questions": [served]}
    asked = question("in_arrears", token=consent(), subject_name="ＳTEEL  ltd")
    # Without a register that says whose name it is, a consent of one could be used to ask about another.
    assert said(town.desk(**told), asked) == ("refused", "subject_name")
    named = town.desk(**told, names={"index": "fund", "field": "name"})
    assert said(named, asked) == ("yes", "decided")
    assert said(named, question("in_arrears", token=consent(), subject_name="Paper")) == ("refused", "subject_name")
    assert said(named, question("in_arrears", token=consent())) == ("refused", "subject_name")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schema": "fedcredit-serving/2"}, "SNAPSHOT_FORM"),
        ({"more": 1}, "SNAPSHOT_FORM"),
        ({"provider": "City"}, "SNAPSHOT_VALUE"),
        ({"indexes": {"fund": "fund.index"}}, "SNAPSHOT_INDEX"),
        ({"indexes": {"fund": "/nowhere/fund.index"}}, "SNAPSHOT_INDEX"),
        ({"indexes": {}}, "SNAPSHOT_INDEX"),
        ({"revoked": ["xyz"]}, "SNAPSHOT_VALUE"),
        ({"rules": [rule(), rule()]}, "SNAPSHOT_VALUE"),
        ({"rules": [rule(minutes=[[5, 5]])]}, "SNAPSHOT_VALUE"),
        ({"rules": [rule(budget={"questions": 1, "days": 0})]}, "SNAPSHOT_VALUE"),
        ({"rules": [{**rule(), "action": "admitted"}]}, "SNAPSHOT_FORM"),
        ({"rules": [{key: value for key, value in rule().items() if key != "budget"}]}, "SNAPSHOT_FORM"),
        ({"issuers": [{**authority()[1].to_json(), "kid": "0" * 32}]}, "SNAPSHOT_KEY"),
        ({"issuers": [{**authority()[1].to_json(), "public_key": "A" * 43}]}, "SNAPSHOT_KEY"),
        ({"names": {"index": "fund", "field": "months"}}, "SNAPSHOT_INDEX"),
    ],
)
def test_a_snapshot_that_is_wrong_is_refused_and_the_one_before_counts(
    town: Town, change: dict[str, Any], code: str
) -> None:
    desk = town.desk()
    with pytest.raises(DataError) as refused:
        desk.reload(town.text(**change))
    assert code in {problem.code for problem in refused.value.problems}
    assert said(desk, question(token=consent()))[0] == "yes"


def test_all_problems_of_a_snapshot_are_said_and_a_repeated_key_is_one(town: Town) -> None:
    wrong = [
        town.served("months_at_least", parameters={}),
        town.served("in_arrears", keys={}),
        town.served("in_arrears", keys={"water": ["name", "subject"]}),
        town.served("owns", item="fund"),
        town.served("unit_is"),
        town.served("unit_is"),
    ]
    with pytest.raises(DataError) as refused:
        town.desk(questions=wrong, revoked=["x"])
    assert len(refused.value.problems) == 6
    text = town.text()
    twice = text.replace('"indexes": {', '"indexes": {"fund": "/x", ', 1)
    assert json.loads(twice)["indexes"] == json.loads(text)["indexes"]
    for changed in (twice, text.replace('"region":', '"region": "x", "region":', 1), text + "x", text[:-1], "", "[]"):
        with pytest.raises(DataError) as refused:
            Desk(KEY, changed)
        assert refused.value.code == "SNAPSHOT_FORM"
