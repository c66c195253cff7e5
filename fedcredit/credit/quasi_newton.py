"""A minimum over coefficients that several parties keep to themselves: L-BFGS of which only dot products are seen.

Each party keeps a `Block`: its own coefficients, gradients and their history. The label party keeps a `Search`: what
the dot products of all blocks add up to. A direction is a combination of vectors that each party has of its own,

    d = sum_j on_s[j] s_j + sum_j on_hy[j] H y_j - H g      s_j: the moves so far, y_j: how each changed the gradient g

with factors that follow from dot products alone (two loops over the history). H, where the inverse of the curvature
starts, is block-diagonal: each party inverts its own X' W X at the start, where W is one number or known to it.

A step is judged by its slope, the new gradient along the direction, and not by the function: near the minimum slopes
still have digits where differences of the function are lost in noise. On a convex function a slope that is not much
above zero is a step that did not overshoot; otherwise the secant gives a shorter one.

    round   Search.plan -> all: factors, size;   Block.try_step;   gradient there, by whatever protocol
            Block.products -> Search.judge: accepted, or a shorter size for the same direction

Source: J. Nocedal, Math. Comp. 35 (1980); by dot products: W. Chen, Z. Wang, J. Zhou, NIPS 2014.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["HISTORY", "Block", "Plan", "Search", "products_length"]

F64 = NDArray[np.float64]

HISTORY: Final = 10
"""Moves that are remembered."""
OVERSHOT: Final = 0.5
"""A step is too long if the slope at its end is above this share of the slope at its start, turned round."""
SHORTEST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Plan:
    """A direction as everybody is told it. Shapes: on_s, on_hy (m,) for m remembered moves, the oldest first."""

    on_s: F64 = field(repr=False)
    on_hy: F64 = field(repr=False)


def products_length(moves: int) -> int:
    """How many numbers `Block.products` has, after so many accepted moves with the one that is tried."""
    m = min(moves, HISTORY)
    return 2 + 5 * m


class Block:
    """One party's coefficients. `inverse` (d, d) is H, the inverse of its own curvature at the start; d may be 0."""

    def __init__(self, start: F64, gradient: F64, inverse: F64) -> None:
        self.values = start
        self._gradient, self._inverse = gradient, inverse
        self._s: list[F64] = []
        self._y: list[F64] = []
        self._hy: list[F64] = []
        self._direction = np.zeros_like(start)
        self._tried = start
        self._found = gradient

    @property
    def gradient(self) -> F64:
        """The gradient at the coefficients."""
        return self._gradient

    def direct(self, plan: Plan) -> None:
        """Take up a new direction. Raises: ValueError for factors of another number of moves."""
        if plan.on_s.shape != (len(self._s),) or plan.on_hy.shape != plan.on_s.shape:
            raise ValueError(f"Block: a direction of {plan.on_s.size} moves, where {len(self._s)} are remembered")
        d = -self._inverse @ self._gradient
        for s, hy, on_s, on_hy in zip(self._s, self._hy, plan.on_s, plan.on_hy, strict=True):
            d += on_s * s + on_hy * hy
        self._direction = d

    def try_step(self, size: float) -> F64:
        """The coefficients one step of `size` along the direction."""
        self._tried = self.values + size * self._direction
        return self._tried

    def found(self, gradient: F64) -> None:
        """Take the gradient at the coefficients that were tried."""
        self._found = gradient

    def products(self) -> F64:
        """What the label party needs to judge the step and, if it accepts, to plan the next: see `Search.judge`.

        The slope along the direction; g H g; then for the history as it would be, m moves, five rows of m: s_j g,
        y_j H g, and of the last move s y_j, s_j y, y H y_j.
        """
        s, y, hy = self._with_tried()
        g = self._found
        hg = self._inverse @ g
        rows = [np.array([a @ g for a in s]), np.array([a @ hg for a in y])]
        rows += [np.array([s[-1] @ a for a in y]), np.array([a @ y[-1] for a in s]), np.array([y[-1] @ a for a in hy])]
        return np.concatenate([[self._direction @ g, g @ hg], *rows])

    def first_products(self) -> F64:
        """At the start there is no move: no slope, and g H g."""
        return np.array([0.0, self._gradient @ self._inverse @ self._gradient])

    def accept(self) -> None:
        """The tried coefficients are the coefficients now."""
        self._s, self._y, self._hy = self._with_tried()
        self.values, self._gradient = self._tried, self._found

    def _with_tried(self) -> tuple[list[F64], list[F64], list[F64]]:
        y = self._found - self._gradient
        s = [*self._s, self._tried - self.values][-HISTORY:]
        return s, [*self._y, y][-HISTORY:], [*self._hy, self._inverse @ y][-HISTORY:]


class Search:
    """The label party's books: sums of dot products over all blocks, and how the search stands."""

    def __init__(self, first: F64) -> None:
        """`first` is the sum of all `Block.first_products`."""
        self.steps = 0
        """Accepted steps."""
        self.size = 1.0
        self._ghg = float(first[1])
        self._sg = self._yhg = np.zeros(0)
        self._sy = self._yhy = np.zeros((0, 0))
        self.plan = Plan(np.zeros(0), np.zeros(0))
        self.slope = -self._ghg

    @property
    def gap(self) -> float:
        """About twice what the function is above its minimum, by the better of two curvatures.

        Where the function is a log-likelihood, the root of it says how far the coefficients are from the estimate, in
        standard errors. Shapes: a number, not below 0.
        """
        return max(self._ghg, -self.slope, 0.0)

    def judge(self, products: F64) -> bool:
        """Take the sum of all `Block.products` of a step: True if it is accepted, and `plan` is the next direction.

        Otherwise `size` is shorter, for the same direction. Raises: FloatingPointError if no step is short enough, or
        numbers are not finite: then there is no minimum that this search can find.
        """
        m = min(self.steps + 1, HISTORY)
        if products.shape != (2 + 5 * m,) or not np.isfinite(products).all():
            raise FloatingPointError("products are not finite, or of another number of moves")
        slope = float(products[0])
        if slope > -OVERSHOT * self.slope:
            # The slope rises along the step: where a straight line between its ends meets zero.
            self.shorten(self.slope / (self.slope - slope))
            return False
        self._take(products, m)
        self.steps, self.size = self.steps + 1, 1.0
        self._plan()
        return True

    def shorten(self, share: float) -> None:
        """Try a shorter step, at least a hundredth and at most half. Raises: FloatingPointError."""
        self.size *= min(max(share, 0.01), 0.5)
        if self.size < SHORTEST:
            raise FloatingPointError("no step along the direction is short enough")

    def _take(self, products: F64, m: int) -> None:
        self._ghg = float(products[1])
        self._sg, self._yhg, s_last, last_y, yhy = products[2:].reshape(5, m)
        keep = slice(1, None) if self.steps + 1 > HISTORY else slice(None)
        sy, hy = self._sy[keep, keep], self._yhy[keep, keep]
        self._sy = np.block([[sy, last_y[:-1, None]], [s_last[None]]])
        self._yhy = np.block([[hy, yhy[:-1, None]], [yhy[None]]])

    def _plan(self) -> None:
        """The two loops, over factors in place of vectors: q = g - sum on_y y, then r = H q + sum on_s s."""
        m = self._sg.size
        on_y, on_s = np.zeros(m), np.zeros(m)
        curved = np.diag(self._sy)
        # What noise bent the wrong way is no curvature.
        usable = curved > 1e-12 * np.sqrt(np.abs(np.diag(self._yhy)) * np.abs(curved))
        for j in reversed(range(m)):
            if usable[j]:
                on_y[j] = (self._sg[j] - self._sy[j] @ on_y) / curved[j]
        for j in range(m):
            if usable[j]:
                y_r = self._yhg[j] - self._yhy[j] @ on_y + self._sy[:, j] @ on_s
                on_s[j] = on_y[j] - y_r / curved[j]
        self.plan = Plan(-on_s, on_y)
        # The slope g d of the new direction, from the same products.
        self.slope = float(-self._ghg + self._yhg @ on_y - self._sg @ on_s)
        if not self.slope < 0:
            self.plan = Plan(np.zeros(m), np.zeros(m))
            self.slope = -self._ghg
