"""Which rows of a request have a score: consent, record, lists, bounds of a rule, one after the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.governance.registry.rules import ScoreGrant
from fedcredit.governance.scoring.decisions import Outcome, Prior, ScoreRow, decide_rows

NOW, DAY = 1_800_000_000, 86_400
HERE, THERE = b"h" * 16, b"t" * 16
NOTHING = Prior({}, {}, {})


def row(subject: bytes = b"s", consent: bytes = b"c", **changed: Any) -> ScoreRow:
    return ScoreRow(**{"subject": subject, "consent": consent, "known": True, "max_uses": 2} | changed)


def only(one: ScoreRow, prior: Prior = NOTHING, **grant: Any) -> Outcome:
    (found,) = decide_rows([one], HERE, ScoreGrant(**grant), prior, NOW)
    return found


@pytest.mark.parametrize(
    ("one", "prior", "grant", "wanted"),
    [
        (row(), NOTHING, {}, Outcome.ANSWERED),
        (row(max_uses=0, known=False), NOTHING, {}, Outcome.CONSENT),
        (row(known=False), NOTHING, {}, Outcome.NO_RECORD),
        (row(), Prior({b"c": 1}, {}, {}), {}, Outcome.ANSWERED),
        (row(), Prior({b"c": 2}, {}, {}), {}, Outcome.USED_UP),
        (row(), Prior({}, {b"s": {HERE}}, {}), {}, Outcome.ANSWERED),
        (row(), Prior({}, {b"s": {THERE}}, {}), {}, Outcome.OTHER_LIST),
        (row(), Prior({}, {b"s": {HERE, THERE}}, {}), {}, Outcome.OTHER_LIST),
        (row(), Prior({}, {b"x": {THERE}}, {}), {}, Outcome.ANSWERED),
        (row(), Prior({}, {}, {b"s": NOW - 5 * DAY}), {}, Outcome.ANSWERED),
        (row(), Prior({}, {}, {b"s": NOW - 5 * DAY}), {"again_days": 5}, Outcome.ANSWERED),
        (row(), Prior({}, {}, {b"s": NOW - 5 * DAY + 1}), {"again_days": 5}, Outcome.AGAIN),
        (row(), Prior({}, {}, {}, 8), {"per_day": 9}, Outcome.ANSWERED),
        (row(), Prior({}, {}, {}, 9), {"per_day": 9}, Outcome.PER_DAY),
        (row(), Prior({b"c": 2}, {}, {}, 9), {"per_day": 9}, Outcome.USED_UP),
    ],
)
def test_each_reason_in_its_order(one: ScoreRow, prior: Prior, grant: dict[str, Any], wanted: Outcome) -> None:
    assert only(one, prior, **grant) is wanted


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=40),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_no_consent_and_no_day_gives_more_than_it_may(
    asked: list[tuple[int, int, bool]], per_day: int, today: int
) -> None:
    rows = [row(bytes([k]), bytes([consent]), known=known) for k, (consent, _, known) in enumerate(asked)]
    prior = Prior({bytes([consent]): used for consent, used, _ in asked}, {}, {}, today)
    found = decide_rows(rows, HERE, ScoreGrant(per_day or None), prior, NOW)
    answered = [one for one, outcome in zip(rows, found, strict=True) if outcome is Outcome.ANSWERED]
    assert not per_day or len(answered) <= max(0, per_day - today)
    assert all(one.known for one in answered)
    for consent in {one.consent for one in rows}:
        gone = prior.uses[consent]
        assert sum(one.consent == consent for one in answered) <= max(0, 2 - gone)
        # And what is left is given: nobody is refused for what nobody used.
        if not per_day:
            due = sum(one.consent == consent and one.known for one in rows)
            assert sum(one.consent == consent for one in answered) == min(due, max(0, 2 - gone))
