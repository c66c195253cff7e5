"""A table split among members who have all of its columns, and the same columns in one place."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scorecard_cases import levels, numbers

from fedcredit.tables import Column

__all__ = ["Split", "made", "rows_of", "sba_by_year"]

BANK = Path(__file__).resolve().parents[3] / "shared" / "data" / "sba" / "bank.csv"

Columns = dict[str, Column]


def rows_of(columns: Mapping[str, Column], rows: np.ndarray) -> Columns:
    return {name: replace(column, values=column.values[rows]) for name, column in columns.items()}


@dataclass(frozen=True)
class Split:
    """Columns, labels, and of each row the member that has it."""

    columns: Columns
    y: np.ndarray
    owner: np.ndarray
    held: np.ndarray

    @property
    def members(self) -> int:
        return int(self.owner.max()) + 1

    def train(self, member: int | None = None) -> tuple[Columns, np.ndarray]:
        """The rows to train on, of one member or all together."""
        return self._rows(~self.held & self._of(member))

    def test(self, member: int | None = None) -> tuple[Columns, np.ndarray]:
        """The rows held out."""
        return self._rows(self.held & self._of(member))

    def _rows(self, at: np.ndarray) -> tuple[Columns, np.ndarray]:
        rows = np.flatnonzero(at)
        # All together in the order of the members, as if their tables were put one below the other.
        rows = rows[np.argsort(self.owner[rows], kind="stable")]
        return rows_of(self.columns, rows), self.y[rows]

    def _of(self, member: int | None) -> np.ndarray:
        return np.ones(self.y.size, bool) if member is None else self.owner == member


def made(shares: Sequence[float] = (0.7, 0.25, 0.05), n: int = 6000, seed: int = 0, **special: Any) -> Split:
    """Amounts, codes, levels, missing values, split points by hand, a twin and noise, at members of these shares.

    Later members have worse rows: the bad rate rises from one to the next. `without_bad`: a member without a bad row.
    """
    rng = np.random.default_rng(seed)
    own, salary, turnover, pressure = rng.normal(size=(4, n))
    codes = np.where(rng.random(n) < 0.15, -999.0, rng.normal(size=n))
    gone = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    branch = rng.integers(0, 5, n)
    owner = np.searchsorted(np.cumsum(shares), rng.random(n))
    z = -1.5 - 0.9 * own - 0.8 * turnover - 0.7 * (codes == -999.0) - 0.5 * (branch % 3) + 0.6 * np.isnan(gone)
    z = z - 0.6 * pressure + 0.5 * owner
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    if (without := special.get("without_bad")) is not None:
        y[owner == without] = 0
    by_hand = special.get("by_hand", False)
    splits = (-1.5, -0.5, 0.0, 0.5, 1.5)

    def amount(name: str, values: np.ndarray, **more: Any) -> Column:
        return numbers(name, values, **({"splits": splits} if by_hand else {}), **more)

    columns = [
        amount("turnover", turnover),
        amount("own", own),
        amount("salary", salary),
        amount("codes", codes, special=(-999.0, -1.0)),
        amount("gone", gone),
        levels("branch", branch, tuple("abcde")),
        amount("one value", np.ones(n)),
        amount("twin", turnover + 0.1 * rng.normal(size=n)),
        numbers("pressure", np.round(pressure, 2), splits=(-1.0, 0.0, 0.25, 1.0, 7.0)),
    ]
    return Split({c.name: c for c in columns}, y, owner, rng.random(n) < 0.3)


def sba_by_year(members: int) -> Split:
    """Loans of the bank beside the checkout: each member has some neighbouring years of approval. Skips without it."""
    if not BANK.exists():
        pytest.skip("shared/data/sba/bank.csv is not beside this checkout")
    with BANK.open(newline="") as file:
        rows = list(csv.DictReader(file))
    years = np.array([int(row["approval_year"]) for row in rows])
    cuts = {3: [1999, 2003], 5: [1997, 1999, 2003, 2005]}[members]
    left_out = ("uscc", "default", "approval_year")
    columns = {
        name: numbers(name, [float(row[name] or "nan") for row in rows]) for name in rows[0] if name not in left_out
    }
    y = np.array([int(row["default"]) for row in rows], np.uint8)
    held = np.random.default_rng(0).random(y.size) < 0.3
    return Split(columns, y, np.searchsorted(cuts, years), held)
