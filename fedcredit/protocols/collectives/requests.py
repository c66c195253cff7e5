"""What an engine may ask of the other members while it grows a tree: there is no other way out of it.

Reveals: nothing; what is shown of each request is in `member`. Assumes: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.wire.collectives import NO_SPLIT, BestSplits

__all__ = ["Collective", "Engine", "Reply", "Scattered", "Splits", "Summed"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Summed:
    """The sum over members modulo 2^64, to everybody. Shapes: words (w,)."""

    words: U64 = field(repr=False)


@dataclass(frozen=True, slots=True)
class Scattered:
    """Block k of the sum over members modulo 2^64, to member k alone. Shapes: words (w,); w = the sum of `sizes`."""

    words: U64 = field(repr=False)
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """The best splits that a member found for two leaves; everybody gets those of everybody.

    Shapes: numbers (2, 5), reals (2, 7): see `wire.collectives.BestSplits`.
    """

    numbers: I64 = field(repr=False)
    reals: F64 = field(repr=False)

    @property
    def message(self) -> BestSplits:
        """These as a message. Raises: MessageInvalid, should there be anything but splits."""
        return BestSplits(self.numbers, self.reals)

    def fault(self, bins: tuple[int, ...]) -> str | None:
        """Why these cannot be splits of features with so many bins each; None if they can."""
        for feature, threshold in self.numbers[:, :2].tolist():
            if feature == NO_SPLIT:
                continue
            if feature >= len(bins):
                return "split a feature that the model does not have"
            if threshold >= bins[feature]:
                return "split a feature at a bin that it does not have"
        return None


Collective: TypeAlias = Summed | Scattered | Splits

Reply: TypeAlias = U64 | tuple[Splits, ...]
"""Words of a sum, or the splits of all members in their order."""


class Engine(Protocol):
    """Pulled from one collective to the next."""

    def resume(self, reply: Reply | None) -> Collective | None:
        """Hand in the reply to the last request, None at first; the next request, None when the tree is done."""
