"""What members of a horizontal job agree on before any model: that their columns are the same, and how many rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fedcredit.errors import DataError, Problem
from fedcredit.estimators import Federation
from fedcredit.estimators.horizontal_schema import agree_schema
from fedcredit.estimators.noised_sums import PrivacySpend
from fedcredit.estimators.sums import Sums
from fedcredit.node.figures import RowCounts
from fedcredit.node.horizontal.noise import ROWS, ROWS_SENSITIVITY, noise_of
from fedcredit.node.specification import JobSpecification
from fedcredit.runtime.state import StageRunner, StageState
from fedcredit.tables import Rows

__all__ = ["accepts_two", "in_common_order", "members_rows"]

MAX_ROWS = 1 << 40


@dataclass(frozen=True, slots=True)
class MemberRows(StageState):
    """Rows of all members: to train on, held out, and how many of each are bad."""

    schema = "member-rows/1"
    train: int
    test: int
    train_bads: int
    test_bads: int


def accepts_two(specification: JobSpecification) -> bool:
    """Whether the job, which every party's policy has let in, says that two parties may add up."""
    return specification.aggregate is not None and specification.aggregate.two_parties == "accept"


async def members_rows(
    specification: JobSpecification,
    federation: Federation,
    train: Rows,
    test: Rows,
    step: StageRunner,
    privacy: PrivacySpend | None = None,
) -> RowCounts:
    """How many rows all members have, once all have the same columns.

    Raises: DataError (COLUMNS_DIFFER, SPLIT_EMPTY), PeerLost, PeerError.
    """

    async def work() -> MemberRows:
        if specification.layout == "horizontal":
            await agree_schema(federation, train.columns, "columns")
        noise, accepted = noise_of(privacy, ROWS, federation), accepts_two(specification)
        sums = await Sums.begin(federation, "rows", two_parties_accepted=accepted, noise=noise)
        own = np.array([n for of in (train, test) for n in (_rows(of), _bads(of))], np.int64)
        of_all = await sums.integers("count", own, bound=MAX_ROWS, sensitivity=ROWS_SENSITIVITY)
        if noise is not None:
            of_all = np.maximum(of_all, 0)
        train_rows, train_bads, test_rows, test_bads = of_all.tolist()
        return MemberRows(train_rows, test_rows, train_bads, test_bads)

    found = await step("rows", MemberRows, work)
    if specification.split is not None and not found.test:
        what = "holds out no rows of any party"
        raise DataError(Problem("SPLIT_EMPTY", "split", what, "choose another split"))
    return RowCounts(found.train + found.test, found.train, found.test)


def in_common_order(rows: Rows) -> Rows:
    """The same rows, columns in the order of their names: every member has them in some order of its own."""
    return replace(rows, columns=dict(sorted(rows.columns.items())))


def _rows(rows: Rows) -> int:
    if rows.label is not None:
        return rows.label.size
    return next((column.values.size for column in rows.columns.values()), 0)


def _bads(rows: Rows) -> int:
    return 0 if rows.label is None else int(np.count_nonzero(rows.label))
