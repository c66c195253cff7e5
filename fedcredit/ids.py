"""Names that cross party borders, parsed once: a value of these types is valid.

`PartyId` and `JobId` are plain strings with a strict alphabet, so that they can stand in certificates, paths and log
lines. `Purpose` is what a job is for; consent and policy are bound to it. Subject identifiers (USCC and others) are
columns of millions of rows and are parsed by `fedcredit.tables.identifiers`, not one object at a time.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NewType

from fedcredit.errors import ConfigError, Problem

__all__ = ["JobId", "PartyId", "Purpose", "job_id", "party_id"]

PartyId = NewType("PartyId", str)
JobId = NewType("JobId", str)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Purpose(StrEnum):
    """What a job may be run for. Data departments release for a purpose, not in general."""

    FINANCING = "financing"
    RESEARCH = "research"
    SUPERVISION = "supervision"


def party_id(text: str) -> PartyId:
    """`text` as a party's name: a lower-case letter, then up to 31 of a-z 0-9 _ -. Raises ConfigError."""
    return PartyId(_name(text, "party"))


def job_id(text: str) -> JobId:
    """`text` as a job's name, same alphabet as a party's. Raises ConfigError."""
    return JobId(_name(text, "job"))


def _name(text: str, kind: str) -> str:
    if not _NAME.fullmatch(text):
        raise ConfigError(
            Problem(
                "CONFIG_NAME",
                f"{kind} name",
                f"{text[:40]!r} is not a {kind} name",
                "use a lower-case letter, then up to 31 of a-z 0-9 _ -",
            )
        )
    return text
