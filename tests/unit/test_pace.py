"""The pace of calls: a burst is free, what comes faster waits, and waiting is never long."""

from __future__ import annotations

import pytest

from fedcredit.transport.pace import Pace


def test_who_keeps_the_pace_never_waits() -> None:
    pace = Pace(10.0, 5.0, 0.0)
    assert [pace.take(0.0) for _ in range(5)] == [0.0] * 5
    assert [pace.take(1.0 + n / 10) for n in range(50)] == [0.0] * 50


def test_who_is_faster_waits_longer_and_longer_but_a_second_at_most() -> None:
    pace = Pace(10.0, 5.0, 0.0)
    waits = [pace.take(0.0) for _ in range(100)]
    assert waits[5:15] == pytest.approx([n / 10 for n in range(1, 11)])
    assert waits[15:] == [1.0] * 85
    assert pace.take(10.0) == 0.0, "and is forgiven afterwards"
