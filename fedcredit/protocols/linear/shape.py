"""The public frame of a joint logistic regression: who takes part, how many rows, and where the binary points are.

All numbers on shares are whole numbers modulo the prime t of the encryption, about 2^54; a sum is right if it is below
t / 2 in size. So the binary points follow from the number of rows: by the inequality of Cauchy and Schwarz a sum over n
rows of a column of mean square 1 times residuals within [-1, 1] is at most n, and so on for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.rlwe import SLOTS
from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.parties import refuse_parties
from fedcredit.wire.linear import MAX_PARTIES, MAX_ROWS

__all__ = ["MAX_INFORMATION_COLUMNS", "ROWS_A_COLUMN", "Bits", "Encryption", "LinearShape"]

F64: TypeAlias = npt.NDArray[np.float64]

Encryption: TypeAlias = Literal["rlwe", "paillier"]

SUM_BITS: Final = 53
"""Sums are below 2^53, which is below t / 2."""
MAX_INFORMATION_COLUMNS: Final = 40
"""Columns of all parties together, for which the information matrix, and so standard errors, can be had."""
ROWS_A_SUM: Final = 20
"""A party needs so many rows for each sum of its gradient, of which each limb of a column has one: from sums over
fewer, residuals could be solved for. What is left then is measured in `docs/attacks.md`."""
ROWS_A_COLUMN: Final = 2 * ROWS_A_SUM
"""Rows for each column of a party with standard errors, when a column is summed in two limbs."""
MAX_GRADIENTS: Final = 100
BATCH_NUMBERS: Final = 1 << 22
SUMS_AT_ONCE: Final = 64
"""Inner products that are computed and sent together: 4 MiB."""
PAILLIER_ROWS: Final = 1024
"""Rows whose ciphertexts travel together: 9 MiB at 3072 bits, of 11 a row."""
PAILLIER_VECTORS: Final = 16
"""Vectors whose numbers of a row share a ciphertext."""


@dataclass(frozen=True, slots=True)
class Bits:
    """Binary digits behind the point, for sums over so many rows."""

    limb: int
    """Of a limb of a column: columns are summed in limbs, so that they may be finer than one sum has room for."""
    limbs: int
    probability: int
    """Of a shared probability: those of A's factor and of H's together."""
    slope: int
    """Of a shared p (1 - p)."""
    likelihood: int
    """Of a row's part of the log-likelihood."""

    @classmethod
    def of(cls, n_rows: int, limbs: int) -> Bits:
        """The finest that no sum can overflow."""
        room = SUM_BITS - (n_rows - 1).bit_length()
        limb = 7 if limbs > 1 else min(max((room - 14) // 2, 11), 14)
        # A slope is at most 1/4, and so may be what a penalty adds: one more digit. A row's part of the likelihood is
        # below 32: five less.
        return cls(limb, limbs, min(room - limb, 34), min(room + 1 - 2 * limb, 30), min(room - 5, 40))

    @property
    def column(self) -> int:
        """Of a column."""
        return self.limb * self.limbs


@dataclass(frozen=True, slots=True)
class LinearShape:
    """What all parties know before they begin. `peers` are the feature parties, the partner H first.

    `inference`: whether the information matrix is computed at the end, for standard errors; the label party gets it.
    Sums are then in two limbs, and some digits finer.
    `encryption`: what numbers are encrypted with.
    `sign`: which side of 0 the coefficients of all columns must not leave: 1 not below it, -1 not above it, 0 any.
    Reveals: nothing: all of it is public. Assumes: all parties were told the same.
    Raises: ConfigError CONFIG_VALUE, DataError ROWS_TOO_MANY.
    """

    label: PartyId
    peers: tuple[PartyId, ...]
    n_rows: int
    inference: bool = True
    sign: int = 0
    encryption: Encryption = "rlwe"

    def __post_init__(self) -> None:
        parties = (self.label, *self.peers)
        refuse_parties(parties, MAX_PARTIES)
        if self.sign not in (-1, 0, 1):
            raise ConfigError(Problem("CONFIG_VALUE", "sign", "must be -1, 0 or 1"))
        if not 1 <= self.n_rows <= MAX_ROWS:
            what = f"{self.n_rows} rows, where from 1 to {MAX_ROWS} can be summed exactly"
            raise DataError(Problem("ROWS_TOO_MANY", self.step, what, "fit a sample of the rows"))

    @property
    def step(self) -> str:
        """How errors name this fit."""
        return f"logistic regression over {', '.join(self.peers)}"

    @property
    def partner(self) -> PartyId:
        """The feature party that holds the other share."""
        return self.peers[0]

    @property
    def further(self) -> tuple[PartyId, ...]:
        """Feature parties that hold no share."""
        return self.peers[1:]

    @property
    def bits(self) -> Bits:
        """Where the binary points are."""
        return Bits.of(self.n_rows, 2 if self.inference else 1)

    @property
    def column_bits(self) -> int:
        """Binary digits of the largest number of a column in fixed point: one of mean square 1 is at most root n."""
        return self.bits.column + (self.n_rows.bit_length() + 1) // 2 + 1

    @property
    def vectors_at_once(self) -> int:
        """Vectors that are sealed together."""
        return PAILLIER_VECTORS if self.encryption == "paillier" else 1

    def blocks(self) -> Iterator[slice]:
        """The rows, by ciphertexts."""
        size = PAILLIER_ROWS if self.encryption == "paillier" else SLOTS
        for first in range(0, self.n_rows, size):
            yield slice(first, min(first + size, self.n_rows))

    def batches(self, count: int) -> Iterator[slice]:
        """`count` columns, by how many are worked on at a time: the same at all parties."""
        step = max(1, BATCH_NUMBERS // self.n_rows)
        for first in range(0, count, step):
            yield slice(first, min(first + step, count))

    def runs(self, sums: int) -> Iterator[slice]:
        """`sums` inner products, by how many travel together: the same at all parties."""
        step = SUMS_AT_ONCE
        if self.encryption == "paillier":
            # Columns are taken as whole numbers there.
            step = min(step, max(1, BATCH_NUMBERS // self.n_rows))
        for first in range(0, sums, step):
            yield slice(first, min(first + step, sums))

    def refuse_penalty(self, penalty: F64) -> None:
        """Check the penalty of columns put to mean square 1. Raises: DataError PENALTY_TOO_LARGE."""
        if self.inference and (penalty > self.n_rows / 4).any():
            what = f"weighs more in some column than a quarter of {self.n_rows} rows, so sums have no room"
            raise DataError(
                Problem("PENALTY_TOO_LARGE", self.step, what, "set a smaller l2, or fit without standard errors")
            )

    def refuse_columns(self, columns: tuple[int, ...]) -> None:
        """Check the numbers of columns of all parties, the label party first. Raises: DataError."""
        a_column = ROWS_A_SUM * self.bits.limbs
        problems = [
            Problem("ROWS_TOO_FEW", party, f"{d} columns need {a_column * d} rows", "bring fewer columns")
            for party, d in zip((self.label, *self.peers), columns, strict=True)
            if self.n_rows < a_column * d
        ]
        if self.inference and sum(columns) > MAX_INFORMATION_COLUMNS:
            what = f"{sum(columns)} columns of all parties; standard errors are for {MAX_INFORMATION_COLUMNS} at most"
            fix = "select columns first, or fit without standard errors"
            problems.append(Problem("INFORMATION_TOO_LARGE", self.step, what, fix))
        if problems:
            raise DataError(problems)
