"""A time zone for what is counted by days: in it no day ends while a test runs."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["midday_zone"]


def midday_zone() -> str:
    """The name of a zone in which it is noon, or not an hour past it; the date there is that of UTC."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"  # these names count westwards
