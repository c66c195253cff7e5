"""What a fit under Paillier takes: for telling minutes from days before it begins. Nothing else hangs on it.

Seconds are processor time of both parties together, on the machine of `benchmarks/results/linear.json` with AVX-512.
Reveals: nothing; numbers of rows and columns are in the job. Assumes: nothing.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CORES", "seconds_of_fit"]

CORES: Final = 2
"""Cores that share the work, in what is told to people."""

GRADIENTS: Final = 20
"""Of a fit, at most, as a rule: `docs/protocols/linear.md`, the search."""

_ROW_S: Final = 8.5e-3
"""For a row and gradient: 11 ciphertexts of factors, their products, a third of an answer, two shares."""
_COLUMN_S: Final = 8e-6
"""For a row, column, limb and key: a product or two."""
_WEIGHED_S: Final = 6e-4
"""For a row and limb of a column of every party but the last: weighed, blinded and decrypted, several at once."""


def seconds_of_fit(rows: int, columns: tuple[int, ...], *, inference: bool) -> float:
    """Processor seconds of one fit over columns of these parties, the label party first."""
    limbs = 2 if inference else 1
    total = (GRADIENTS + 2) * rows * (_ROW_S + 2 * _COLUMN_S * limbs * sum(columns))
    if inference:
        pairs = sum(d * (d + 1) // 2 for d in columns)
        weighed = sum(columns[:-1])
        total += rows * 2 * limbs * (_WEIGHED_S * weighed + _COLUMN_S * 2 * (pairs + limbs * weighed * max(columns)))
    return total
