"""Room on the disk: how much a job may need, and whether it is there."""

from __future__ import annotations

import os
from pathlib import Path

from fedcredit.credit.binning import MAX_BIN
from fedcredit.credit.params import TreeParams
from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.errors import RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.backends import bins_of
from fedcredit.node.dealt import ROW_BYTES
from fedcredit.node.jobs.waits import disk_full
from fedcredit.node.specification import JobSpecification
from fedcredit.protocols.intersect.choice import UNBALANCED

__all__ = ["check_room", "free_bytes", "needed_bytes"]

BASE_BYTES = 32 << 20
"""Audit log, journal of the store, results: they stay far below this."""

TABLE_BYTES = 4 << 20
"""A table of statistics with the most cells there are, in all its forms."""

JOURNAL = 2
"""A checkpoint is in the store's journal before it is in the store."""

CARD = 16 << 20
"""Of a scorecard: correlations, fits, tallies, and parts of a card in one place."""

TREE_TEXT = 256
"""Of a leaf in the text of a tree."""

_ALIGNED, _MARK, _SCORES = 8, 1, 3 * 8
_LENT, _HELD = 112, 24
"""Of a filter, for each row of its table: with what it is made from, twice, or two versions of it alone."""


def needed_bytes(specification: JobSpecification, me: PartyId, rows: int) -> int:
    """A generous estimate of what the checkpoints and results of a job take at a party with so many `rows`, and its
    items while they wait for their bucket."""
    each = _ALIGNED + _MARK
    fixed = 0
    if specification.intersect_modes == {UNBALANCED}:
        lender = me != specification.label_party
        held = sum(party.rows or 0 for party in specification.parties if party.id != me)
        fixed += _LENT * rows // JOURNAL if lender else _HELD * held // JOURNAL
    for model in specification.models:
        if bins_of(model) is not None:
            # Counts and labels of pre-bins, and what is told of them; the label party has everybody's.
            columns = sum(party.features or 0 for party in specification.parties)
            fixed += columns * MAX_BIN * 32 + (CARD if model.kind == "scorecard" else 0)
            continue
        if model.kind == "logistic":
            fixed += CARD
            continue
        if model.kind == "statistics":
            # Each table is kept as it came, as JSON, and as CSV.
            params_of_tables = StatisticsParams.from_mapping(model.params)
            fixed += len(params_of_tables.table) * TABLE_BYTES
            continue
        params = TreeParams.from_mapping(model.params)
        if model.split == "horizontal":
            fixed += 2 * params.num_trees * params.max_leaves * TREE_TEXT
            continue
        leaf_bytes = 1 if params.max_leaves <= 1 << 8 else 2
        # The label party keeps the leaf of every row for every tree, and the scores; the others their splits.
        each += params.num_trees * leaf_bytes + _SCORES if me == specification.label_party else 0
        fixed += params.num_trees * params.max_leaves * 64
    return BASE_BYTES + rows * ROW_BYTES + JOURNAL * (rows * each + fixed)


def free_bytes(folder: Path) -> int:
    """Room on the disk of `folder` for this process."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def check_room(folder: Path, need: int) -> None:
    """Raises: RefusedError (DISK_FULL) with the number of bytes, unless they are free."""
    if free_bytes(folder) < need:
        raise RefusedError(disk_full(need).problems)
