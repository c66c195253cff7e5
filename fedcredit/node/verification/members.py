"""The codes of a table's subjects, each once, beside its index file: of what a private question's filter is made.

They come from the same reading as the index, so that both say the same of who is in the table. For the node's owner
alone, like the index.

Shapes: codes (n,) `S18`, in order.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels.index import TextColumn

__all__ = ["MEMBERS", "MembersFile", "n_members", "read_members"]

Codes: TypeAlias = npt.NDArray[np.bytes_]

MEMBERS: Final = ".members"
CODE_BYTES: Final = 18


class MembersFile:
    """The codes of records as they come, then a file of those that differ."""

    def __init__(self) -> None:
        self._pieces: list[Codes] = []

    def push(self, keys: TextColumn) -> None:
        """Take in the keys of some records, all of them unified social credit codes."""
        if len(keys.starts) > 1:
            self._pieces.append(np.unique(keys.letters.reshape(-1, CODE_BYTES).view(f"S{CODE_BYTES}").reshape(-1)))

    def write(self, path: Path) -> Path:
        """Write them to `path`, durably."""
        codes = np.unique(np.concatenate(self._pieces)) if self._pieces else np.empty(0, f"S{CODE_BYTES}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(codes.data if len(codes) else b"")
            file.flush()
            os.fsync(file.fileno())
        return path


def read_members(path: Path) -> Codes:
    """The codes in the file."""
    return np.fromfile(path, f"S{CODE_BYTES}")


def n_members(path: Path) -> int:
    """How many codes there are in the file."""
    return path.stat().st_size // CODE_BYTES
