"""LightGBM's `binary` objective: where boosting starts, gradients and hessians, the loss.

Source: LightGBM 4.7, src/objective/binary_objective.hpp, with sigmoid = 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import DataError, Problem

__all__ = ["gradients", "initial_score", "log_loss", "probability"]

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

K_EPSILON = float(np.float32(1e-15))


def initial_score(y: U8) -> float:
    """The raw score of every row before the first tree (`boost_from_average`): the log-odds of the bad rate.

    `scale_pos_weight` does not enter, as in LightGBM. Shapes: y (n,), 1 = bad.
    Raises: DataError LABEL_ONE_CLASS without at least one good and one bad row.
    """
    bad = int(np.count_nonzero(y))
    if bad in (0, y.size):
        raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only", "a model needs good and bad rows"))
    rate = min(max(bad / y.size, K_EPSILON), 1.0 - K_EPSILON)
    return math.log(rate / (1.0 - rate))


def gradients(y: U8, raw: F64, *, scale_pos_weight: float = 1.0) -> tuple[F64, F64]:
    """Gradient and hessian of the loss in each row's raw score.

    Rounded to float32 as LightGBM stores them, so that its trees can be met exactly; the loss of accuracy is far below
    that of fixed point.

    Shapes: y, raw (n,); returns two (n,) float64. Range: |gradient| <= scale_pos_weight, 0 <= hessian <= 1/4 of it.
    """
    sign = np.where(y > 0, 1.0, -1.0)
    weight = np.where(y > 0, scale_pos_weight, 1.0)
    with np.errstate(over="ignore"):  # exp(large) = inf gives the right limit, a response of 0
        response = -sign / (1.0 + np.exp(sign * raw))
    size = np.abs(response)
    gradient = (response * weight).astype(np.float32).astype(np.float64)
    hessian = (size * (1.0 - size) * weight).astype(np.float32).astype(np.float64)
    return gradient, hessian


def probability(raw: F64) -> F64:
    """The predicted probability of default, 1 / (1 + exp(-raw)). Shapes: any."""
    with np.errstate(over="ignore"):
        result: F64 = 1.0 / (1.0 + np.exp(-raw))
    return result


def log_loss(y: U8, raw: F64) -> float:
    """Mean negative log-likelihood of raw scores, without weights (`binary_logloss`). Stable for scores of any size."""
    return float(np.mean(np.logaddexp(0.0, np.where(y > 0, -raw, raw))))
