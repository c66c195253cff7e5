"""Counting and clocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from fedcredit.ids import PartyId
from fedcredit.runtime.clock import ManualClock, SystemClock
from fedcredit.runtime.meter import Meter

TAX, BANK = PartyId("tax"), PartyId("bank")


def test_a_round_is_a_turn() -> None:
    meter = Meter()
    for step in "ssrrsrs":
        (meter.sent if step == "s" else meter.received)("align", TAX, 10)
    use = meter.link("align", TAX)
    assert (use.rounds, use.bytes_sent, use.bytes_received) == (3, 40, 30)
    assert (use.messages_sent, use.messages_received) == (4, 3)
    assert meter.link("align", BANK).rounds == 0


def test_times_add_up_and_snapshots_are_json() -> None:
    clock = ManualClock()
    meter = Meter(now=clock.monotonic)
    for _ in range(2):
        with meter.computing("align"):
            clock.advance(1.5)
        with meter.waiting("align", TAX):
            clock.advance(0.25)
    with meter.sending("align", TAX):
        clock.advance(4)
        assert meter.waited() == {TAX: 4.5}, "a wait counts while it lasts"
    assert meter.waited() == {TAX: 4.5}
    meter.sent("align", TAX, 7)
    assert json.loads(json.dumps(meter.snapshot())) == {
        "links": [
            {
                "stage": "align",
                "peer": "tax",
                "bytes_sent": 7,
                "bytes_received": 0,
                "messages_sent": 1,
                "messages_received": 0,
                "rounds": 1,
            }
        ],
        "stages": [{"stage": "align", "compute_s": 3.0, "sending_s": 4.0, "waiting_s": 0.5}],
    }


def test_clocks() -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))
    clock.advance(60)
    assert clock.now() == datetime(2026, 5, 1, 0, 1, tzinfo=UTC)
    assert clock.monotonic() == 60
    system = SystemClock()
    assert system.now().utcoffset() == timedelta(0)
    assert system.monotonic() <= system.monotonic()
