"""A minimum over coefficients that must not cross zero, from minima over some of them: which are held at zero.

A coefficient is *held* at 0 or *free*. At the minimum over the free ones, it *breaks the conditions* of a minimum with
signs if it is free and on the wrong side, or held and the gradient would take it to the right side (Karush, Kuhn and
Tucker). Those that break them change from free to held and back, all at once while that makes them fewer, else the last
one alone, until none does: then the minimum is the one with signs, which is unique where the function is convex.

Source: J. Kim, H. Park: Fast nonnegative matrix factorization: an active-set-like method and comparisons, SIAM J. Sci.
Comput. 33 (2011), section 4 (block principal pivoting); K. Murty, Opsearch 11 (1974) (the last one alone).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.glm import inverse

__all__ = ["Pivots", "SignedBlock"]

Bool = NDArray[np.bool_]
F64 = NDArray[np.float64]

PATIENCE: Final = 3
"""How often all change at once without getting fewer."""
MAX_CHANGES: Final = 40


class Pivots:
    """Decides, of the coefficients of all parties that break the conditions, which ones change."""

    def __init__(self) -> None:
        self._least, self._left, self.changes = np.inf, PATIENCE, 0

    def flips(self, broken: Bool) -> Bool:
        """Which ones change; none once none breaks the conditions. Raises: FloatingPointError if there is no end."""
        count = int(np.count_nonzero(broken))
        if not count:
            return broken
        self.changes += 1
        if self.changes > MAX_CHANGES:
            raise FloatingPointError("coefficients go on changing between held and free")
        if count < self._least:
            self._least, self._left = count, PATIENCE
        elif self._left:
            self._left -= 1
        else:
            alone = np.zeros_like(broken)
            alone[np.flatnonzero(broken)[-1]] = True
            return alone
        return broken


@dataclass(frozen=True, slots=True, eq=False)
class SignedBlock:
    """One party's coefficients, their signs and its own curvature at the start; which of them are held.

    Shapes: signs (d,), 1 not below 0, -1 not above 0, 0 free; curvature (d, d), of the function that is minimised.
    """

    signs: F64 = field(repr=False)
    curvature: F64 = field(repr=False)
    held: Bool = field(repr=False)

    @classmethod
    def free(cls, signs: F64, curvature: F64) -> Self:
        """With nothing held."""
        return cls(signs, curvature, np.zeros(signs.size, bool))

    def broken(self, values: F64, gradient: F64, tolerance: float) -> Bool:
        """Which break the conditions at the minimum over the free ones.

        A held one stays held while its gradient is within `tolerance` of 0, in units of its own standard error, so that
        noise does not have it change for ever. Shapes: all (d,).
        """
        wrong = ~self.held & (self.signs * values < 0)
        pulled = self.held & (-self.signs * gradient > tolerance * np.sqrt(np.diag(self.curvature)))
        return wrong | pulled

    def flipped(self, flips: Bool) -> Self:
        """With some changed from free to held and back."""
        return type(self)(self.signs, self.curvature, self.held ^ flips)

    def start(self, values: F64) -> F64:
        """The coefficients, those that are held at 0."""
        return np.where(self.held, 0.0, values)

    def inverse(self) -> F64 | None:
        """Where the inverse of the curvature starts: zero for those that are held, so that none of them moves.

        None if it has none.
        """
        at = np.flatnonzero(~self.held)
        found = np.zeros_like(self.curvature)
        part = inverse(self.curvature[np.ix_(at, at)])
        if part is None:
            return None
        found[np.ix_(at, at)] = part
        return found
