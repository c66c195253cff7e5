"""Identifiers that benches make up. On their own, since processes that are measured have no use for a whole node."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.uscc import codes

__all__ = ["Ids", "identifiers", "identifiers_of"]

Ids: TypeAlias = npt.NDArray[np.bytes_]


def identifiers(first: int, n: int) -> Ids:
    """USCCs number `first ... first + n`: distinct, with valid check characters."""
    return identifiers_of(np.arange(first, first + n))


def identifiers_of(numbers: npt.NDArray[np.int64]) -> Ids:
    """The USCC of each number below 10^9, with valid check characters."""
    values = np.empty((len(numbers), 17), np.uint8)
    values[:, :8] = (9, 1, 1, 1, 0, 1, 0, 5)
    for place in range(9):
        values[:, 16 - place] = numbers // 10**place % 10
    return codes(values)
