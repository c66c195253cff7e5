"""What a client of scores needs of a kind of model: the bank's role for some subjects, and what comes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.ids import PartyId
from fedcredit.node.scoring.subject_rows import SubjectRows
from fedcredit.protocols.effects import Steps
from fedcredit.wire.message import Message

__all__ = ["Asking", "Found", "Rows"]

Bools: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Subjects of one request. Shapes: codes (n, w); consents (k, n, 32); rows (n,), theirs in the bank's own table."""

    purpose: str
    issued_at: int
    codes: U8 = field(repr=False)
    consents: U8 = field(repr=False)
    rows: I64 = field(repr=False)

    @property
    def n(self) -> int:
        """Subjects."""
        return len(self.codes)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What came of them. Shapes: (n,) each; points and probabilities of who is not `scored` say nothing."""

    scored: Bools
    points: F64 = field(repr=False)
    probability: F64 = field(repr=False)
    reasons: list[tuple[str, ...]] = field(repr=False)
    bands: I64 | None = field(default=None, repr=False)
    """Where nothing else is known, points and probabilities being NaN: the band, from 0 on."""


class Asking(Protocol):
    """A version that scores are asked of, with providers that were met."""

    @property
    def answers(self) -> frozenset[type[Message]]:
        """What a provider's reply may hold."""

    @property
    def lent(self) -> Mapping[PartyId, bytes]:
        """What each provider is shown before it is asked, if anything."""

    @property
    def last(self) -> PartyId | None:
        """A provider that is told in one call what the others answer, and so after them; if there is one."""

    @property
    def max_rows(self) -> int:
        """Subjects of one request."""

    def steps(self, asked: Rows, table: SubjectRows | None) -> Steps[Found]:
        """The bank's role. `table`: its own, which has `asked.rows`; None where the version takes no column of it."""
