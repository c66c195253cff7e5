"""What institutions report back to their platform: whether loans were granted, and how they are repaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.errors import DataError, Problem
from fedcredit.governance.consent.subjects import is_enterprise_code

__all__ = ["STATUSES", "OutcomeRow", "OutcomeSet", "Standing", "outcomes_from", "summary"]

Status = Literal["granted", "refused", "current", "overdue", "repaid", "written_off"]
STATUSES: tuple[str, ...] = get_args(Status)
"""What may become of an application or a loan. `current` is paid as agreed."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Standing(_Entry):
    """How one application or loan stands, since `day`.

    `reference` is the institution's own name of it. `amount_yuan`: granted, owed or lost; `rate_bp`: yearly interest.
    Units: yuan; basis points.
    """

    reference: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,64}$")]
    subject: Annotated[str, Field(repr=False)]
    status: Status
    day: Annotated[date, Field(strict=False)]
    amount_yuan: Annotated[int, Field(ge=0, le=10**13)] = 0
    rate_bp: Annotated[int, Field(ge=0, le=100_000)] = 0


class OutcomeSet(_Entry):
    """Standings as they are sent."""

    schema_: Annotated[Literal["fedcredit-outcomes/1"], Field(alias="schema")]
    outcomes: Annotated[tuple[Standing, ...], Field(strict=False, min_length=1, max_length=10_000)]

    @classmethod
    def of(cls, outcomes: Sequence[Standing]) -> OutcomeSet:
        """A set to send. Raises: DataError (OUTCOME_REPORT) where it holds no or too many, or the same twice."""
        try:
            made = cls.model_validate({"schema": "fedcredit-outcomes/1", "outcomes": tuple(outcomes)})
        except ValidationError:
            raise _wrong("is not 1 to 10000 standings") from None
        _check(made.outcomes)
        return made

    def encode(self) -> bytes:
        """As JSON."""
        return self.model_dump_json(by_alias=True).encode()


@dataclass(frozen=True, slots=True, order=True)
class OutcomeRow:
    """So many loans of one institution of one standing, and their amounts together. Units: yuan."""

    institution: str
    status: str
    count: int
    amount_yuan: int

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "institution": self.institution,
            "status": self.status,
            "count": self.count,
            "amount_yuan": self.amount_yuan,
        }


def outcomes_from(document: bytes) -> tuple[Standing, ...]:
    """The standings in a document that an institution sent. Raises: DataError (OUTCOME_REPORT)."""
    try:
        said = OutcomeSet.model_validate_json(document)
    except ValidationError:
        raise _wrong("is no fedcredit-outcomes/1") from None
    _check(said.outcomes)
    return said.outcomes


def summary(latest: Iterable[tuple[str, str, int]]) -> list[OutcomeRow]:
    """Rows from the latest standing of each loan: institution, status, amount."""
    counts: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    for institution, status, amount in latest:
        counts[institution, status] += 1
        amounts[institution, status] += amount
    return sorted(OutcomeRow(*key, count=count, amount_yuan=amounts[key]) for key, count in counts.items())


def _check(outcomes: Sequence[Standing]) -> None:
    for number, one in enumerate(outcomes, 1):
        if not is_enterprise_code(one.subject):
            raise _wrong(f"names no unified social credit code in its outcome {number}")
    if len({(one.reference, one.day) for one in outcomes}) != len(outcomes):
        raise _wrong("says two things of one loan and day")


def _wrong(what: str) -> DataError:
    return DataError(Problem("OUTCOME_REPORT", "loan outcomes", what, "docs/usage.md shows the form"))
