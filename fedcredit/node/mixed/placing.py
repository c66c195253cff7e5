"""Whose subjects a party's rows are, where several banks have labels: found bank by bank, one after the other.

Each bank and all departments find the subjects that they have in common as in any job; banks learn nothing of one
another. A department then has the rows of one bank after those of another, in the order of the job. Every party keeps a
record of each of these stages, also of those that it has no part in, so that all can go on from the same one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.estimators.mixed_frame import BankRows
from fedcredit.ids import PartyId
from fedcredit.node.align import Aligned, Aligner
from fedcredit.node.jobs.stages import Split
from fedcredit.node.specification import JobSpecification
from fedcredit.runtime.state import StageRunner
from fedcredit.tables import Table

__all__ = ["Placed", "place"]

I64: TypeAlias = npt.NDArray[np.int64]
SplitBank: TypeAlias = Callable[[I64, PartyId, str], Awaitable[npt.NDArray[np.bool_]]]
"""Which of a bank's aligned rows are held out: rows, the bank, the stage's name."""

_NO_ROWS: I64 = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Row numbers of this party's file, to train on and held out; `banks` says how many of them are each bank's, which
    a bank knows of itself alone.

    Shapes: train (n,), test (m,).
    """

    train: I64 = field(repr=False)
    test: I64 = field(repr=False)
    banks: BankRows


async def place(
    specification: JobSpecification,
    me: PartyId,
    table: Table,
    aligner: Callable[[PartyId, str], Aligner],
    split: SplitBank,
    step: StageRunner,
) -> Placed:
    """Align and split with every bank in turn. Raises: RefusedError (INTERSECTION_TOO_SMALL), DataError, PeerLost."""
    train: dict[PartyId, I64] = {}
    test: dict[PartyId, I64] = {}
    for number, bank in enumerate(specification.members):
        stage, takes_part = f"align.{number}", me == bank or me in specification.feature_parties
        if takes_part:
            rows = (await aligner(bank, stage).align(table.ids)).rows
        else:
            rows = (await step(stage, Aligned, _nothing_aligned)).rows
        hold_out = partial(_held_out, rows, bank, f"split.{number}", split, takes_part=takes_part)
        held = (await step(f"split.{number}", Split, hold_out)).test
        if takes_part:
            train[bank], test[bank] = rows[~held], rows[held]
    return Placed(_joined(train), _joined(test), BankRows(_sizes(train), _sizes(test)))


async def _held_out(rows: I64, bank: PartyId, stage: str, split: SplitBank, *, takes_part: bool) -> Split:
    return Split(await split(rows, bank, stage) if takes_part else np.zeros(0, bool))


async def _nothing_aligned() -> Aligned:
    return Aligned(_NO_ROWS)


def _joined(of_banks: Mapping[PartyId, I64]) -> I64:
    return np.concatenate([*of_banks.values(), _NO_ROWS])


def _sizes(of_banks: Mapping[PartyId, I64]) -> dict[PartyId, int]:
    return {bank: rows.size for bank, rows in of_banks.items()}
