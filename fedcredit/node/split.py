"""The split stage: which aligned rows every party keeps out of training."""

from __future__ import annotations

import asyncio
import hashlib

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification
from fedcredit.protocols.split import SplitFollower, SplitLeader
from fedcredit.runtime.config import SplitSection
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.tables import Table
from fedcredit.tables.split import KEY_BYTES, holdout_mask, out_of_time_mask
from fedcredit.transport.channel import Transport

__all__ = ["holdout_key", "split"]

Mask = npt.NDArray[np.bool_]


async def split(
    specification: JobSpecification,
    me: PartyId,
    table: Table,
    rows: npt.NDArray[np.int64],
    epoch: int,
    transport: Transport,
    meter: Meter,
    peer_timeout_s: float,
    leader: PartyId | None = None,
    stage: str = "split",
) -> Mask:
    """Which of the aligned `rows` are held out; none where the job does not say so.

    `leader`: whose subjects they are, the label party's unless it is given; its stage is then called after `stage`.
    Shapes: rows (n,) row numbers of this party's file; returns (n,).
    Raises: DataError (SPLIT_EMPTY) when a side has no rows.
    """
    way = specification.split
    if way is None:
        # Nothing is judged by rows that it has not seen.
        return np.zeros(rows.size, bool)
    if specification.layout == "horizontal":
        return _own(specification, table, rows, way)
    if way.holdout is not None:
        test = holdout_mask(table.ids()[rows], way.holdout, holdout_key(specification))
    else:
        leads = specification.label_party if leader is None else leader
        peers = tuple(party for party in (leads, *specification.feature_parties) if party != me)
        channel = transport.open(specification.hash, stage, peers=peers, epoch=epoch)
        if me == leads:
            steps = SplitLeader(peers, await asyncio.to_thread(_later, table, rows, way)).steps()
        else:
            steps = SplitFollower(leads, rows.size).steps()
        test = await drive(steps, channel, deadline_s=peer_timeout_s, meter=meter)
    if test.all() or not test.any():
        what = "leaves no rows to train on" if test.all() else "holds out no rows"
        raise DataError(Problem("SPLIT_EMPTY", "split", what, "choose another split"))
    return test


def _own(specification: JobSpecification, table: Table, rows: npt.NDArray[np.int64], way: SplitSection) -> Mask:
    """Everybody's rows are its own, and so is what it holds out: by chance that may be none, but not all."""
    if way.holdout is not None:
        test = holdout_mask(table.ids()[rows], way.holdout, holdout_key(specification))
    else:
        test = _later(table, rows, way)
    if test.all():
        raise DataError(Problem("SPLIT_EMPTY", "split", "leaves no rows of this party to train on", "choose another"))
    return test


def holdout_key(specification: JobSpecification) -> bytes:
    """Keys the hash of identifiers: the same at every party, and in every run of a job with this name and seed."""
    text = f"fedcredit/v1/holdout\0{specification.job.name}\0{specification.job.seed}"
    return hashlib.sha256(text.encode()).digest()[:KEY_BYTES]


def _later(table: Table, rows: npt.NDArray[np.int64], way: SplitSection) -> Mask:
    time = table.read(rows).time
    assert time is not None, "the table was opened with its time column"
    assert way.start is not None, "time and from go together"
    try:
        return out_of_time_mask(time, way.start)
    except ValueError as error:
        fix = "from is a number, or a date as 2006-01-31; every row needs a time"
        raise DataError(Problem("SPLIT_TIME", "split.time", str(error), fix)) from None
