"""Memory: how much a job may need, and whether this process may have it."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from pathlib import Path

from fedcredit.credit.params import TreeParams
from fedcredit.credit.statistics_groups import MAX_GROUPS
from fedcredit.errors import Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.backends import bins_of, choice_of
from fedcredit.node.jobs.control_groups import group_room, read_text
from fedcredit.node.specification import JobSpecification, ModelEntry
from fedcredit.protocols.binning.columns import BATCH_BYTES, CODE_BYTES, TREE_BYTES
from fedcredit.protocols.binning.counts import PART_ROWS
from fedcredit.protocols.intersect.buckets import BUCKET_ROWS
from fedcredit.protocols.intersect.choice import UNBALANCED
from fedcredit.protocols.statistics.cells import BLOCK_WORDS

__all__ = ["check_memory", "free_memory", "needed_memory"]

BASE_BYTES = 48 << 20
"""Threads, buffers of links, what is copied while a checkpoint is made."""

INTERSECT_BYTES = 256
"""For each row of the own table, or of its largest bucket; measured 230 at a million rows."""

FAST_ROW_BYTES = 48
"""For each row of the own table that has been through its bucket in mode `fast`: its number, its place in a list, and
the order of the result. Those that wait for theirs lie in a file."""

LENT_BYTES = 160
"""For each row of a table whose filter is made or follows it; measured 106 and 153 at a million rows, of which 64 are
pages of files."""

SIZE_BYTES = 80
"""For each row of either party where the size alone is asked for: two points, and a place in an order."""

SEED_BYTES = 16
"""Of a tree of the group-by-sum; see `docs/protocols/groupsum.md`, memory."""

CIPHERTEXT_BYTES = 768
"""Of the group-by-sum under Paillier at 3072 bits: a holder keeps one a row for the levels below the first, and one for
each sum of a level while it makes them, about twice."""

CARD_ROW_BYTES = 1_600
"""Of a scorecard, for each row while it is fitted: columns as numbers and in fixed point, shares, factors."""

SEALED_ROWS = 5
"""Ciphertexts a row that a fit under Paillier holds at once: its own vector as rows and as bytes, the other's as bytes,
as rows and as what was checked. Those of factors go a block at a time."""

NUMBER_BYTES = 36
"""Of a value of a column that is fitted as a number: as it came, put to scale, in fixed point, and a copy."""

COLUMN_BYTES = 72
"""Of a value of a horizontal model: as it came, as the key by which edges are found, coded, put to scale or as weight
of evidence, and in the engine's own table, with a copy where one is made."""

SUMS_BYTES = 256 << 20
"""Of a horizontal model: histograms of all columns, masked and summed, and what the engine keeps of them by leaf."""

LABEL_BYTES = 80
"""Of a label under ring-LWE at its owner: its number, and 22.5 bytes of a ciphertext in each of three copies."""

UNPACKED_BYTES = 150
"""Of a label under ring-LWE at who counts: 96 bytes as factors with their quotients, and 22.5 in each of two copies."""


def needed_memory(specification: JobSpecification, me: PartyId) -> int:
    """An estimate of the bytes that a job takes at `me` beside its table, if all parties have the same subjects.

    Assumes: the numbers of rows and features that every party has stated. What a party keeps to be faster, up to
    512 MiB, is not in it.
    """
    own = specification.party(me)
    if specification.layout == "horizontal":
        return BASE_BYTES + (own.rows or 0) * (own.features or 0) * COLUMN_BYTES + SUMS_BYTES
    common = min(party.rows or 0 for party in specification.parties)
    others = sum(party.features or 0 for party in specification.parties if party.id != me)
    most = 0
    for model in specification.models:
        is_label = me == specification.label_party
        # The memory of one model is free again when the next one begins.
        of_model = _BY_BACKEND[choice_of(specification, model).backend]
        most = max(most, of_model(model, common, own.features or 0, others, is_label=is_label))
        if model.kind == "scorecard":
            most = max(most, common * CARD_ROW_BYTES)
        if model.kind == "logistic":
            most = max(most, common * (CARD_ROW_BYTES + (own.features or 0) * NUMBER_BYTES))
        if model.kind in ("scorecard", "logistic") and choice_of(specification, model).backend == "paillier":
            most += common * CIPHERTEXT_BYTES * SEALED_ROWS
    rows = own.rows or 0
    intersect = rows * INTERSECT_BYTES
    if specification.intersect_choice.mode == "fast":
        intersect = min(rows, BUCKET_ROWS["fast"]) * INTERSECT_BYTES + rows * FAST_ROW_BYTES
    if specification.intersect_choice.mode == UNBALANCED and me != specification.label_party:
        intersect = rows * LENT_BYTES
    if specification.intersect.size_only:
        # A holder has all of the receiver's points at once before it may send the first one back.
        most += sum(party.rows or 0 for party in specification.parties) * SIZE_BYTES
    return BASE_BYTES + intersect + most


def _model_bytes(model: ModelEntry, rows: int, own: int, others: int, *, is_label: bool) -> int:
    if bins_of(model) is not None:
        # Columns are counted a batch at a time; what a party holds of all of them are the numbers of their bins.
        trees = min(BATCH_BYTES, rows * (others if is_label else own) * TREE_BYTES)
        return rows * own + trees
    if model.kind == "logistic":
        return 0
    if model.kind == "statistics":
        # One column at a time; values go a block at a time, each word of it masked beside it.
        return rows * (SEED_BYTES if is_label else TREE_BYTES) + 4 * 8 * BLOCK_WORDS
    depth = max(1, (TreeParams.from_mapping(model.params).max_bin - 1).bit_length())
    return rows * (others * SEED_BYTES if is_label else own * (SEED_BYTES * depth + 1))


def _sealed_bytes(model: ModelEntry, rows: int, own: int, others: int, *, is_label: bool) -> int:
    """Under Paillier: what a holder keeps; the asker has its values and a message."""
    if is_label:
        return 0
    if (bins := bins_of(model)) is not None:
        return CIPHERTEXT_BYTES * 2 * own * bins.cuts
    if model.kind == "logistic":
        return 0
    if model.kind == "statistics":
        return CIPHERTEXT_BYTES * 2 * MAX_GROUPS * MAX_GROUPS
    params = TreeParams.from_mapping(model.params)
    sums = own * params.max_bin * max(1, (1 << params.max_depth) >> 2)
    return CIPHERTEXT_BYTES * ((0 if model.hide_nodes else rows) + 2 * sums)


def _counted_bytes(model: ModelEntry, rows: int, own: int, _others: int, *, is_label: bool) -> int:
    """Under ring-LWE: ciphertexts of the labels, which a feature party unpacks, and the numbers of bins of a batch."""
    if model.kind == "logistic":
        return 0
    part = min(rows, PART_ROWS)
    if is_label:
        return rows * own + part * LABEL_BYTES
    return rows * own + min(BATCH_BYTES, rows * own * CODE_BYTES) + part * UNPACKED_BYTES


_BY_BACKEND = {"onehot": _model_bytes, "paillier": _sealed_bytes, "rlwe": _counted_bytes}


def free_memory() -> int:
    """Bytes that this process can still have: of its own limits, of its control group's, of the machine."""
    return min(_room(), default=1 << 62)


def check_memory(need: int) -> None:
    """Raises: RefusedError (MEMORY_SHORT) with the number of bytes, unless they can be had."""
    if (free := free_memory()) < need:
        what, fix = f"{need} bytes are needed, {free} can be had", "give the node more, or run fewer jobs at once"
        raise RefusedError(Problem("MEMORY_SHORT", "memory of the node", what, fix))


def _room() -> Iterator[int]:
    status = read_text(Path("/proc/self/status"))
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft, _ = resource.getrlimit(limit)
        found = re.search(rf"^{used}:\s*(\d+) kB$", status, re.MULTILINE)
        if soft != resource.RLIM_INFINITY and found is not None:
            yield max(0, soft - (int(found[1]) << 10))
    if (
        available := re.search(r"^MemAvailable:\s*(\d+) kB$", read_text(Path("/proc/meminfo")), re.MULTILINE)
    ) is not None:
        yield int(available[1]) << 10
    yield from group_room()
