"""Room on a disk for what does not fit into memory: a file without a name, gone when nobody holds it any more."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.tables.source import nameless_file

__all__ = ["Scratch"]

Array: TypeAlias = npt.NDArray[Any]


class Scratch:
    """`n_bytes` bytes in `folder`, for this process alone.

    Raises: OSError (ENOSPC) when it is made, not later: its room is taken then. A mapped file that finds no room on its
    disk would end the process.
    """

    def __init__(self, folder: Path, n_bytes: int) -> None:
        with nameless_file(folder) as file:
            self._fd = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._fd)
        if n_bytes:
            os.posix_fallocate(self._fd, 0, n_bytes)

    def write(self, offset: int, array: Array) -> None:
        """Put the bytes of `array` at `offset`."""
        left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        while left:
            done = os.pwrite(self._fd, left, offset)
            left, offset = left[done:], offset + done

    def read(self, offset: int, array: Array) -> None:
        """Fill the contiguous `array` with the bytes from `offset` on."""
        left = array.reshape(-1).view(np.uint8).data
        while left:
            done = os.preadv(self._fd, [left], offset)
            left, offset = left[done:], offset + done

    def mapped(self, dtype: np.dtype[Any], n: int) -> Array:
        """The first `n` items, read-only: what is looked at takes memory until the array is let go."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            return np.memmap(file, dtype, "r", shape=(n,)).view(np.ndarray)
