"""The journal of a log of answers: the end of the log once more, in a file that its writer waits for alone.

The log's own files may lack some of it, or have it in part, when the machine has lost its power. Whoever reads the log
then reads the journal's lines in their place. Format and reasons: `log_journal.rs` in `fedcredit/native/serve`.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Final

from fedcredit.governance.audit import AuditBroken, SignedHead
from fedcredit.kernels import digest

__all__ = ["JOURNAL", "Overlaid", "Tail", "Verifier", "read_tail", "tail_in"]

Verifier = Callable[[bytes, bytes], object]
"""Called with signature and body, as by `cryptography`'s public keys; raises on a bad signature."""

JOURNAL = "journal"

_HALF_BYTES: Final = 4 << 20
_PAGE_BYTES: Final = 4096
_MAGIC: Final = b"\x89FCJRNL\x01"
_HEADER: Final = struct.Struct(">8s5Q")
_HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log as its journal has it: `lines`, from byte `at` and entry `first` on, and the newest head.

    Without lines, the log was closed: all of it is in its own files.
    """

    first: int
    at: int
    lines: bytes
    signed: SignedHead


@dataclass(frozen=True, slots=True)
class _Record:
    generation: int
    first: int
    at: int
    lines: bytes
    signed: SignedHead

    def follows(self, before: _Record) -> bool:
        return self.first == before.signed.head.size and self.at == before.at + len(before.lines)


def read_tail(folder: Path, origin: str, verify: Verifier) -> Tail | None:
    """What the journal in `folder` has of the log of `origin`, as `tail_in` says; None if there is none.

    Raises: OSError.
    """
    path = folder / JOURNAL
    if not path.exists():
        return None
    with path.open("rb") as file:
        return tail_in(file.read(2 * _HALF_BYTES), origin, verify)


def tail_in(data: bytes, origin: str, verify: Verifier) -> Tail | None:
    """The end of the log of `origin` in a journal's bytes; None if nothing in them is signed.

    A record that was never finished is none. Whether the lines are those that the head stands for is for the reader of
    the log to check.
    """
    halves = data[:_HALF_BYTES], data[_HALF_BYTES:]
    found = sorted((record for half in halves for record in _records(half)), key=lambda record: record.generation)
    while found and not _is_signed(found[-1].signed, origin, verify):
        found.pop()
    if not found:
        return None
    # What this head is signed over proves whatever comes before it.
    chain = [found[-1]]
    for before, record in reversed(list(pairwise(found))):
        if not record.lines or not record.follows(before):
            break
        chain.append(before)
    lines = b"".join(record.lines for record in reversed(chain))
    return Tail(chain[-1].first, chain[-1].at, lines, chain[0].signed)


class Overlaid:
    """The entries in `file`, read from the beginning, with the lines of `tail` where they belong.

    `lacking` is how many bytes of them the file did not have, from the first that differs on, as far as was read.
    """

    def __init__(self, file: IO[bytes], tail: Tail | None) -> None:
        self._file, self._position = file, 0
        self._at, self._lines = (-1, b"") if tail is None else (tail.at, tail.lines)
        self.lacking = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        pieces = []
        while size and (piece := self._piece(size)):
            pieces.append(piece)
            size -= len(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        if self._position < self._at:
            return self._file.read(min(size, self._at - self._position))
        there = self._file.read(size)
        within = self._position - self._at
        if not self._lines or within >= len(self._lines):
            return there
        piece = self._lines[within : within + size]
        if not there.startswith(piece):
            differs = bisect_left(range(len(piece) + 1), True, key=lambda end: there[:end] != piece[:end])
            self.lacking += len(piece) - differs + 1
        # The file goes on behind the lines, whatever of them it has.
        self._file.seek(self._position + len(piece))
        return piece


def _records(half: bytes) -> Iterator[_Record]:
    at = 0
    while at < len(half):
        length = 0
        if half.startswith(_MAGIC, at) and len(half) - at >= _HEADER.size:
            _, generation, first, begin, lines, head = _HEADER.unpack_from(half, at)
            middle, end = at + _HEADER.size + lines, at + _HEADER.size + lines + head
            hashed = half[at:end]
            if half[end : end + _HASH_BYTES] == digest.blake3(hashed):
                length = len(hashed) + _HASH_BYTES
                try:
                    signed = SignedHead.decode(half[middle:end])
                except AuditBroken:
                    pass
                else:
                    block = half[at + _HEADER.size : middle]
                    if first + block.count(b"\n") == signed.head.size and (not block or block.endswith(b"\n")):
                        yield _Record(generation, first, begin, block, signed)
        at += -(-max(length, 1) // _PAGE_BYTES) * _PAGE_BYTES


def _is_signed(signed: SignedHead, origin: str, verify: Verifier) -> bool:
    if signed.head.origin != origin:
        return False
    try:
        verify(signed.signature, signed.head.body())
    except Exception:  # noqa: BLE001 - each key library has its own type for it
        return False
    return True
