"""The items of a large table, dealt out to the buckets of its alignment in a file, so that one bucket is in memory at a
time.

An item is a digest under a key of the job, and says nothing to whoever does not have that. The file has no name and is
gone with the process; another start of the job deals anew.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels import digest
from fedcredit.protocols.intersect.alignment import ITEM_BYTES, item_key, refuse_size, repeated
from fedcredit.protocols.intersect.buckets import bucket_size, deal, overfull
from fedcredit.tables.scratch import Scratch

__all__ = ["ROW_BYTES", "DealtItems"]

I32: TypeAlias = npt.NDArray[np.int32]
Ids: TypeAlias = npt.NDArray[np.bytes_]
U8: TypeAlias = npt.NDArray[np.uint8]

ROW_BYTES = ITEM_BYTES + 4
"""Of the file, for each place of a bucket: the item, and the number of its row."""

_ROWS_AT_ONCE = 1 << 20


class DealtItems:
    """The items of `ids` under `session`, in `count` buckets, in a file in `folder`.

    Shapes: ids (n,). Raises: DataError (SET_EMPTY, SET_SIZE); OSError (ENOSPC) when it is made, not later.
    """

    def __init__(self, ids: Ids, session: bytes, max_rows: int, count: int, folder: Path) -> None:
        refuse_size(len(ids), max_rows)
        self.n_rows, self.size = len(ids), bucket_size(len(ids), count)
        self._filled = [0] * count
        self._file = Scratch(folder, count * self.size * ROW_BYTES)
        key = item_key(session)
        for first in range(0, len(ids), _ROWS_AT_ONCE):
            self._deal(first, digest.keyed(key, ids[first : first + _ROWS_AT_ONCE], ITEM_BYTES))

    def bucket(self, number: int) -> tuple[U8, I32]:
        """The items (m, 16) of a bucket and their rows (m,), ascending. Raises: DataError (ID_DUPLICATE)."""
        n = self._filled[number]
        items, rows = np.empty((n, ITEM_BYTES), np.uint8), np.empty(n, np.int32)
        start = number * self.size * ROW_BYTES
        self._file.read(start, items)
        self._file.read(start + self.size * ITEM_BYTES, rows)
        if (again := digest.find_repeat(items)) is not None:
            raise repeated(int(rows[again]))
        return items, rows

    def _deal(self, first: int, items: U8) -> None:
        order, edges = deal(items, len(self._filled))
        rows = (order + first).astype(np.int32)
        for number, (low, high) in enumerate(itertools.pairwise(edges)):
            done = self._filled[number]
            if done + high - low > self.size:
                raise overfull(done + int(high - low), self.size)
            start = number * self.size * ROW_BYTES
            self._file.write(start + done * ITEM_BYTES, items[order[low:high]])
            self._file.write(start + self.size * ITEM_BYTES + done * rows.itemsize, rows[low:high])
            self._filled[number] = done + int(high - low)
