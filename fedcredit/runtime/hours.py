"""Hours of days of the week, and time zones, as policies write them: "mon-fri 08:30-17:30", "Asia/Shanghai"."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, tzinfo

from fedcredit.governance.policy_rules import WEEKDAYS, Window

__all__ = ["parse_window", "window_of", "zone_named"]

_HOURS = re.compile(r"(?P<days>[a-z,\-]+) (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


def window_of(text: str) -> Window:
    """The hours in a text that `parse_window` reads."""
    window = parse_window(text)
    assert window is not None, "checked when the rule was read"
    return window


def parse_window(text: str) -> Window | None:
    """The hours in `text`; None if it is none."""
    found = _HOURS.fullmatch(text)
    if found is None:
        return None
    days: set[int] = set()
    for part in found["days"].split(","):
        first, dash, last = part.partition("-")
        if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
            return None
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last if dash else first)
        if end < start:
            return None
        days |= set(range(start, end + 1))
    begin, finish = _minutes(found["start"]), _minutes(found["end"])
    if begin is None or finish is None or begin >= finish:
        return None
    return Window(frozenset(days), begin, finish)


def _minutes(text: str) -> int | None:
    hour, minute = int(text[:2]), int(text[3:])
    total = hour * 60 + minute
    return total if minute < 60 and total <= 24 * 60 else None


def zone_named(name: str) -> tzinfo | None:
    """The time zone of that name; None if this machine knows none."""
    if name == "UTC":
        return UTC  # known to Python itself, also where the machine has no list of time zones
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
