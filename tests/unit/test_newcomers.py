"""What a platform can have a party write within an hour by proposing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fedcredit.errors import RefusedError
from fedcredit.node.newcomers import Newcomers
from fedcredit.runtime.clock import ManualClock


def test_a_name_counts_once_a_conflict_each_time_and_an_hour_later_there_is_room_again() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    newcomers = Newcomers(clock, per_hour=3)
    newcomers.count("a")
    newcomers.count("a")
    newcomers.count("a", conflict=True)
    clock.advance(1800)
    newcomers.count("a", conflict=True)
    with pytest.raises(RefusedError) as refused:
        newcomers.count("b")
    assert refused.value.code == "QUOTA"
    newcomers.count("a")
    clock.advance(1800)
    newcomers.count("b")
    newcomers.count("c")
    with pytest.raises(RefusedError):
        newcomers.count("a")
