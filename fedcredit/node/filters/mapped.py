"""Large files that are filled in place: reserved under another name, mapped, synced, renamed. Whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import FedcreditError, Problem
from fedcredit.node.durable_files import sync_folder

__all__ = ["MappedRoom", "alone_in", "mapped", "reserve"]

U8: TypeAlias = npt.NDArray[np.uint8]

WAIT_S = 30.0
"""What another job may take with the same filter before this one gives up."""


def mapped(path: Path, size: int) -> U8 | None:
    """The bytes of a file, read where they lie; None unless it is there with just this size."""
    with contextlib.suppress(OSError):
        if size and path.stat().st_size == size:
            return np.memmap(path, np.uint8, "r")
    return None


def reserve(path: Path, size: int) -> U8:
    """A new file of `size` bytes, mapped to be written; for its owner alone. Raises: OSError where there is no room."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # Reserved, not only as long: a write to a mapped file that finds no room cannot be refused.
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
    return np.memmap(path, np.uint8, "r+")


class MappedRoom:
    """Room for one file in a folder: `room(size)` to be filled, then `keep` under its name."""

    def __init__(self, folder: Path) -> None:
        self._fresh = folder / ".filter.new"
        self._made: U8 | None = None

    def __call__(self, size: int) -> U8:
        """So many writeable bytes of a file. Raises: OSError."""
        self._made = reserve(self._fresh, size)
        return self._made

    def keep(self, path: Path) -> None:
        """Make what was filled durable as `path`. Without effect where no room was asked for."""
        if self._made is None:
            return
        keep_synced(self._fresh, self._made, path)
        self._made = None


def keep_synced(fresh: Path, content: U8, path: Path) -> None:
    """Make the mapped file `fresh` durable, under the name `path`."""
    if isinstance(content, np.memmap):
        content.flush()
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold `folder` against other jobs and commands. Raises: FedcreditError (FILTER_BUSY) after half a minute."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                what, fix = "is in use by another job", "run this one when that is done"
                where = f"filter {'/'.join(folder.parts[-3:])}"
                raise FedcreditError(Problem("FILTER_BUSY", where, what, fix)) from None
        time.sleep(0.1)
