"""Audit logs in bulk: leaf hashes of many lines, the levels of the Merkle tree over them, and the form of entries.

Everything runs on all cores and without the GIL. Source: RFC 9162, section 2.1.1 (SHA-256).
Shapes: n lines or nodes; hashes are (n, 32) uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = ["HASH_BYTES", "first_bad", "leaves", "level_up"]

U8: TypeAlias = npt.NDArray[np.uint8]

HASH_BYTES: Final = 32


def leaves(lines: bytes) -> U8:
    """The leaf hash of every line. Shapes: n lines, each with its line feed; returns (n, 32). Raises: ValueError."""
    return _native.log_leaves(lines)


def level_up(nodes: U8) -> U8:
    """The level of a tree above `nodes`; a last node without a sibling rises unchanged.

    Shapes: nodes (n, 32); returns (ceil(n / 2), 32). Raises: ValueError.
    """
    if nodes.dtype != np.uint8 or nodes.ndim != 2 or nodes.shape[1] != HASH_BYTES:
        raise ValueError(f"nodes: got {nodes.shape} {nodes.dtype}, not (n, {HASH_BYTES}) uint8")
    return _native.log_level_up(np.ascontiguousarray(nodes))


def first_bad(
    lines: bytes, first: int, *, max_line: int, max_text: int, max_batch: int, events: Sequence[bytes]
) -> int | None:
    """The first line that is not the canonical form of an entry with the sequence number of its place; None if all are.

    `first` is the first line's number. The form is that of `fedcredit.governance.audit.Entry`, whose limits and names
    of events these are. Shapes: n lines, each with its line feed. Raises: ValueError.
    """
    if first < 0:
        raise ValueError(f"first: {first} is negative")
    return _native.log_first_bad(lines, first, max_line, max_text, max_batch, list(events))
