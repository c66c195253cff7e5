"""Time as an argument, so that nothing depends on the wall clock in tests."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "clock_synchronised"]

_TIME_ERROR = 5  # of adjtimex(2): not synchronised


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The time of day in UTC, for certificates, consents and records. It may jump."""

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines and measurements."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


def clock_synchronised() -> bool:
    """Whether the kernel says that a time service keeps this machine's clock. False where it cannot be asked."""
    timex = ctypes.create_string_buffer(512)  # struct timex is 208 bytes; zero modes read and set nothing
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(timex))
    except (AttributeError, OSError):
        return False
    return state not in (-1, _TIME_ERROR)


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._now

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
