"""Files that are whole or not there: written beside, synced, renamed, and the folder synced too.

They are for their owner alone unless a caller says otherwise.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.errors import ConfigError, Problem

__all__ = ["create_file", "folder_locked", "replace_file", "sync_file", "sync_folder", "write_synced"]

Between = Callable[[], None]


def replace_file(path: Path, data: bytes, mode: int = 0o600, *, written: Between | None = None) -> None:
    """Put `data` at `path`, durably, in place of what was there. `written` is called between writing and renaming."""
    fresh = _beside(path)
    write_synced(fresh, data, mode)
    if written is not None:
        written()
    fresh.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` at `path`, durably. Raises ConfigError (EXISTS) rather than overwrite anything."""
    fresh = _beside(path)
    write_synced(fresh, data, mode)
    try:
        os.link(fresh, path)
    except FileExistsError:
        problem = Problem("EXISTS", str(path), "is there already", "remove it first if it is not needed any more")
        raise ConfigError(problem) from None
    finally:
        fresh.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make what can be read at `path` survive a power cut, whoever wrote it, and its name with it."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_folder(path.parent)


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Hold `folder` against other processes that change it: a command beside a running node."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_synced(path: Path, data: bytes | Iterable[bytes], mode: int = 0o600) -> None:
    """Make a file of `data`, or of its pieces; its bytes are durable on return, its name is once its folder is synced.

    Raises: FileExistsError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(file.fileno())


def _beside(path: Path) -> Path:
    """The name under which a file is written before it is renamed; what a crash left there is removed."""
    fresh = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    return fresh
