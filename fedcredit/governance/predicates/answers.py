"""What comes of a predicate: yes, no or unknown, and why; and what an enquiry brings."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["Answer", "Enquiry", "Outcome", "Reason", "Value", "months_begun", "years_completed"]

Value = float | str | bool | datetime.date | tuple[str, ...] | None
"""A value of a record. None: the record says nothing."""


class Outcome(IntEnum):
    """The three values. Nothing else leaves."""

    UNKNOWN = -1
    NO = 0
    YES = 1


class Reason(IntEnum):
    """Why an answer is what it is. For the department's own eyes: outside, unknown is unknown."""

    DECIDED = 0
    NOT_COVERED = 1  # the register is not about this subject
    NO_RECORD = 2  # and the register is not complete
    STALE = 3  # the latest record is too old
    VALUE_MISSING = 4  # a record says nothing where it would have to, or records contradict each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Enquiry:
    """What is asked with: the parameters, the day, and how the department's register is to be read.

    `complete`: whether no record means that there is nothing. `max_age_days`: how old a subject's latest record may be.
    """

    asof: datetime.date
    parameters: Mapping[str, float | str | bool | tuple[str, ...]] = field(default_factory=dict)
    complete: bool = False
    max_age_days: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer about one subject, with the date of the latest record behind it, if records have dates."""

    outcome: Outcome
    reason: Reason
    recorded: datetime.date | None = None


def months_begun(since: datetime.date, asof: datetime.date) -> int:
    """How many months have begun since `since`: at most n says that it was in the last n months."""
    whole = (asof.year - since.year) * 12 + asof.month - since.month
    return whole + (asof.day > since.day)


def years_completed(since: datetime.date, asof: datetime.date) -> int:
    """How many years are over since `since`: at least n says that n years have passed."""
    return asof.year - since.year - ((asof.month, asof.day) < (since.month, since.day))
