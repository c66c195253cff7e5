"""Columns of a fit over the rows of several banks: put to mean 0 and mean square 1 over all rows, held bank by bank.

A department does that where it is, since it has all rows. Banks agree on means and second moments by sums over all of
them (`PooledMoments`), before a fit begins.

Reveals: nothing: nobody sends anything here. Assumes: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.glm import independent
from fedcredit.crypto import rlwe
from fedcredit.errors import DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.linear.columns import PREPARED_BYTES, OwnColumns
from fedcredit.protocols.linear.shape import LinearShape
from fedcredit.protocols.mixed.shape import MixedShape

__all__ = ["PooledMoments", "bank_columns", "department_columns"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I32: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class PooledMoments:
    """Of the banks' common columns over the rows of all banks: means (d,), and mean products about them (d, d)."""

    mean: F64 = field(repr=False)
    covariance: F64 = field(repr=False)

    @classmethod
    def none(cls) -> PooledMoments:
        """Those of no columns."""
        return cls(np.zeros(0), np.zeros((0, 0)))

    @property
    def spread(self) -> F64:
        """(d,) root mean squares about the means."""
        spread: F64 = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return spread

    @property
    def flat(self) -> Bool:
        """(d,) which columns have one value only, as far as sums can tell."""
        flat: Bool = self.spread <= 1e-7 * np.maximum(np.abs(self.mean), 1e-7)
        return flat

    def refuse(self, *, dependent: bool) -> None:
        """Raises: DataError COLUMN_CONSTANT, COLUMN_DEPENDENT, unless a penalty decides between `dependent` ones."""
        problems = [
            Problem("COLUMN_CONSTANT", f"column {j}", "has one value only", "drop the column")
            for j in np.flatnonzero(self.flat)
        ]
        if not problems and not dependent:
            follows = np.flatnonzero(~independent(self.correlation))
            what = "follows from columns before it"
            problems = [Problem("COLUMN_DEPENDENT", f"column {j}", what, "drop the column") for j in follows]
        if problems:
            raise DataError(problems)

    @property
    def correlation(self) -> F64:
        """(d, d) mean products of the columns put to mean square 1; 0 with a column of one value."""
        flat = self.flat
        spread = np.where(flat, 1.0, self.spread)
        found = np.where(flat[:, None] | flat, 0.0, self.covariance / spread[:, None] / spread)
        np.fill_diagonal(found, 1.0)
        return np.clip(found, -1.0, 1.0)


def bank_columns(shape: LinearShape, X: F64, pooled: PooledMoments) -> OwnColumns:
    """A bank's rows of the common columns, with ones before them. Shapes: X (n, d). Raises: DataError VALUE_INVALID."""
    if X.shape != (shape.n_rows, pooled.mean.size):
        raise ValueError(f"bank_columns: columns {X.shape} of {shape.n_rows} rows")
    if not np.isfinite(X).all():
        raise DataError(Problem("VALUE_INVALID", "columns", "have values that are no finite numbers", "bin them"))
    scaled = np.concatenate([np.ones((1, shape.n_rows)), ((X - pooled.mean) / pooled.spread).T])
    moments = np.eye(1 + pooled.mean.size)
    moments[1:, 1:] = pooled.correlation
    numbers = np.ascontiguousarray(np.rint(np.ldexp(scaled, shape.bits.column)), np.int32)
    return OwnColumns(shape, numbers, pooled.mean, pooled.spread, moments, _summed(shape, numbers))


def department_columns(shape: MixedShape, X: F64) -> tuple[OwnColumns, dict[PartyId, OwnColumns]]:
    """A department's columns over all rows, and the rows of each bank. Shapes: X (total, d).

    Raises: as `OwnColumns.of`.
    """
    whole = OwnColumns.of(shape.whole, X, ones=False, dependent=True)
    return whole, dict(_parts(shape, whole))


def _parts(shape: MixedShape, whole: OwnColumns) -> Iterator[tuple[PartyId, OwnColumns]]:
    for bank, at in shape.slices().items():
        part = shape.part(bank)
        numbers = np.ascontiguousarray(whole.numbers[:, at])
        yield bank, replace(whole, shape=part, numbers=numbers, summed=_summed(part, numbers))


def _summed(shape: LinearShape, numbers: I32) -> rlwe.Limbs:
    summed = rlwe.Limbs(numbers, shape.bits.limbs, shape.bits.limb)
    return summed.prepare() if summed.prepared_bytes <= PREPARED_BYTES else summed
