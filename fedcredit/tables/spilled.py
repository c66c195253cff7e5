"""The identifiers of a large table in a file: what is not looked at just now takes no memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.tables.scratch import Scratch

__all__ = ["SPILLED_BYTES", "SpilledIds"]

Ids: TypeAlias = npt.NDArray[np.bytes_]

SPILLED_BYTES: Final = 64 << 20
"""Identifiers that take more than this go to the spill folder, where there is one."""

_ROWS_AT_ONCE: Final = 1 << 20


class SpilledIds:
    """Room for `n_rows` identifiers of up to `width` bytes, in memory or in a file in `folder`.

    Raises: OSError (ENOSPC).
    """

    def __init__(self, n_rows: int, width: int, folder: Path | None) -> None:
        self._dtype = np.dtype(f"S{max(1, width)}")
        self._n_rows, n_bytes = n_rows, n_rows * self._dtype.itemsize
        self._array = np.zeros(0, self._dtype)
        self._file: Scratch | None = None
        if folder is not None and n_bytes > SPILLED_BYTES:
            self._file = Scratch(folder, n_bytes)
        else:
            self._array = np.zeros(n_rows, self._dtype)

    def __len__(self) -> int:
        return self._n_rows

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self._dtype.itemsize

    def put(self, first: int, ids: Ids) -> None:
        """Write `ids` to the rows from `first` on."""
        if self._file is None:
            self._array[first : first + len(ids)] = ids
        else:
            self._file.write(first * self.width, ids.astype(self._dtype, copy=False))

    def array(self) -> Ids:
        """All of them, read-only. Of a file only what is looked at takes memory, and until the array is let go."""
        if self._file is not None:
            return self._file.mapped(self._dtype, self._n_rows)
        found = self._array.view()
        found.flags.writeable = False
        return found

    def pieces(self) -> Iterator[tuple[int, Ids]]:
        """All of them in pieces, each with its first row."""
        for first in range(0, self._n_rows, _ROWS_AT_ONCE):
            yield first, self.array()[first : first + _ROWS_AT_ONCE]
