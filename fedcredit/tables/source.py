"""The file behind a table: opened once, safely, and read as the same bytes by everybody.

The path is walked without following links, the file has to be a regular one below its root, and from then on only the
open descriptor counts: swapping the path under a reader changes nothing. What the kernel says about the file (size,
times, inode) is compared before and after reading; the fingerprint, a hash of its bytes, is compared between steps.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from fedcredit.errors import DataError
from fedcredit.tables.problems import refuse
from fedcredit.tables.spec import Limits, TableSpec

__all__ = ["CHUNK_BYTES", "SourceFile"]

CHUNK_BYTES = 1 << 20

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "rar",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}


class SourceFile:
    """A table's file, open for reading.

    Raises: DataError with `PATH_OUTSIDE`, `PATH_SYMLINK`, `PATH_MISSING`, `PATH_DENIED`, `PATH_NOT_FILE`,
    `LIMIT_FILE_BYTES`, `LIMIT_COMPRESSED`.
    """

    def __init__(self, spec: TableSpec, limits: Limits) -> None:
        self.name = spec.title
        self._fd = _open(spec.path, spec.root)
        try:
            self._seen = self._look()
            if self.size > limits.max_file_bytes:
                raise refuse(
                    "LIMIT_FILE_BYTES",
                    self.name,
                    f"{self.size} bytes, the limit is {limits.max_file_bytes}",
                    "split the table or raise the limit",
                )
            head = os.pread(self._fd, 8, 0)
            for magic, kind in _COMPRESSED.items():
                if head.startswith(magic):
                    raise refuse("LIMIT_COMPRESSED", self.name, f"is {kind}", "unpack it to plain CSV or Parquet")
            self.is_parquet = head.startswith((b"PAR1", b"PARE"))
        except DataError:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._seen[2]

    @property
    def seen(self) -> tuple[int, ...]:
        """What the kernel said when the file was opened: device, inode, size, times of the last change, twice."""
        return self._seen

    @property
    def engine_path(self) -> str:
        """The descriptor as a path: holds no character that SQL or a glob could read anything into."""
        return f"/proc/self/fd/{self._fd}"

    def fingerprint(self, each: Callable[[bytes], None] | None = None) -> bytes:
        """SHA-256 of the file, streamed; `each` sees every chunk on its way. Raises DATASET_CHANGED."""
        digest = hashlib.sha256()
        offset = 0
        while chunk := os.pread(self._fd, CHUNK_BYTES, offset):
            digest.update(chunk)
            if each is not None:
                each(chunk)
            offset += len(chunk)
        self.check_unchanged()
        return digest.digest()

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`."""
        return os.pread(self._fd, end - start, start)

    def check_unchanged(self) -> None:
        """Raise DATASET_CHANGED if the kernel reports another size, time or inode than when the file was opened."""
        if self._look() != self._seen:
            raise refuse(
                "DATASET_CHANGED", self.name, "the file changed while it was read", "read a finished copy of it"
            )

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _look(self) -> tuple[int, ...]:
        s = os.fstat(self._fd)
        return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns


class Utf8Check:
    """Passes chunks of a file on as UTF-8 text, or refuses them with the line of the first wrong byte.

    `encoding` is the declared one. The text goes to `sink`; the chunks of a UTF-8 file as they are.
    """

    def __init__(self, name: str, encoding: str, sink: Callable[[bytes], object]) -> None:
        self._name, self._encoding, self._sink = name, encoding, sink
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._lines = 0
        self._first = True

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        """Take the next chunk. Raises CSV_ENCODING, CSV_MALFORMED."""
        if self._first and chunk:
            self._first = False
            if self._encoding == "utf-8" and chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise refuse("CSV_ENCODING", self._name, "is UTF-16", "declare encoding = 'utf-16'")
        plain = self._encoding == "utf-8" and chunk.isascii() and not self._decoder.getstate()[0]
        try:
            text = "" if plain else self._decoder.decode(chunk, last)
        except UnicodeDecodeError as error:
            line = self._lines + error.object[: error.start].count(b"\n") + 1
            raise refuse(
                "CSV_ENCODING", f"{self._name}, line {line}", f"bytes that are not {self._encoding}", self._hint(chunk)
            ) from None
        out = chunk if self._encoding == "utf-8" else text.encode()
        if (nul := out.find(b"\0")) >= 0:
            line = self._lines + out[:nul].count(b"\n") + 1
            raise refuse(
                "CSV_MALFORMED",
                f"{self._name}, line {line}",
                "a NUL byte",
                "export as text; UTF-16 has to be declared as encoding",
            )
        self._lines += out.count(b"\n")
        self._sink(out)

    def _hint(self, chunk: bytes) -> str:
        if self._encoding == "utf-8":
            try:
                # The decoder is incremental: a character cut by the end of the chunk is no error.
                codecs.getincrementaldecoder("gb18030")("strict").decode(chunk)
            except UnicodeDecodeError:
                return "export as UTF-8"
            return "it could be gb18030: declare encoding = 'gb18030', or export as UTF-8"
        return "declare the encoding the file has, or export as UTF-8"


def nameless_file(folder: Path | None) -> IO[bytes]:
    """A file without a name for text in another encoding: in memory, or in `folder`; gone with its descriptor."""
    if folder is None:
        return os.fdopen(os.memfd_create("fedcredit-table", os.MFD_CLOEXEC), "w+b")
    return tempfile.TemporaryFile(dir=folder)


def _open(path: Path, root: Path | None) -> int:
    name = path.name
    if ".." in path.parts:
        raise refuse("PATH_OUTSIDE", name, "the path holds '..'", "name the file by a plain path")
    if root is not None:
        return _open_below(path, root)
    try:
        return _checked(os.open(path, _FLAGS), name)
    except OSError as error:
        raise _path_problem(error, name) from None


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _open_below(path: Path, root: Path) -> int:
    """Open `path` from `root` one folder at a time, so that no link on the way is followed."""
    name = path.name
    if path.is_absolute():
        if not path.is_relative_to(root.absolute()):
            raise refuse("PATH_OUTSIDE", name, "the file lies outside the party's folder", "move it there")
        path = path.relative_to(root.absolute())
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in _folders(path):
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
        return _checked(os.open(name, _FLAGS, dir_fd=opened[-1]), name)
    except OSError as error:
        raise _path_problem(error, name) from None
    finally:
        for fd in opened:
            os.close(fd)


def _folders(path: Path) -> Iterator[str]:
    yield from path.parts[:-1]


def _checked(fd: int, name: str) -> int:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise refuse("PATH_NOT_FILE", name, "is a folder, device, pipe or socket", "name a regular file")
    return fd


def _path_problem(error: OSError, name: str) -> DataError:
    match error.errno:
        case errno.ELOOP:
            return refuse("PATH_SYMLINK", name, "is a symbolic link", "name the file itself")
        case errno.ENOTDIR:
            # O_DIRECTORY on a link that is not followed says ENOTDIR as well.
            return refuse("PATH_SYMLINK", name, "a folder on the way is a link or no folder", "name the file itself")
        case errno.ENOENT:
            return refuse("PATH_MISSING", name, "there is no such file")
        case errno.EACCES | errno.EPERM:
            return refuse("PATH_DENIED", name, "may not be read by this user", "grant read permission")
        case errno.ENXIO | errno.ENODEV | errno.EISDIR:
            return refuse("PATH_NOT_FILE", name, "is a folder, device, pipe or socket", "name a regular file")
        case _:
            return refuse("PATH_UNREADABLE", name, os.strerror(error.errno or 0))
