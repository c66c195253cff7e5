"""The place of a version's drift: the stability index of its scores from month to month. Pure.

Only the index is kept, and the number of scores it stands on, rounded down to hundreds: never a score, nor a band's
count. Who works it out, and how it is worked out jointly, is not said here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from fedcredit.credit.metrics import stability_reading
from fedcredit.errors import DataError, Problem

__all__ = ["Stability"]

_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])")
_STEP: Final = 100


@dataclass(frozen=True, slots=True)
class Stability:
    """The index of the scores of `month` beside earlier ones of the version.

    Range: `index` from 0; `scores` in whole hundreds. Raises: DataError (STABILITY_INVALID).
    """

    month: str
    index: float
    scores: int

    def __post_init__(self) -> None:
        whole = type(self.scores) is int and self.scores >= _STEP and self.scores % _STEP == 0
        finite = type(self.index) is float and math.isfinite(self.index) and self.index >= 0
        if not _MONTH.fullmatch(self.month) or not finite or not whole:
            what = "is no stability index of a month and of whole hundreds of scores"
            raise DataError(Problem("STABILITY_INVALID", f"month {self.month[:7]}", what))

    @property
    def says(self) -> str:
        """What the index comes to, in a word."""
        return stability_reading(self.index)
