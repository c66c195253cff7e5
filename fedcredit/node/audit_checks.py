"""What a log of answers has beside its entries: `checks.bin`, the checks of batches, piece by piece.

The entry of a batch says where its checks lie and what their SHA-256 is, so that the signed head stands for them, too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from fedcredit.governance.audit import AuditBroken, Entry, Event

__all__ = ["CHECKS", "BatchChecks"]

CHECKS = "checks.bin"

_BEGIN: Final = f'{{"event":"{Event.VERIFY_BATCH.value}"'.encode()
_MOST_BYTES: Final = 64 << 20
_PIECE_BYTES: Final = 1 << 20


class BatchChecks:
    """Looks at the checks of the batches in the log in `folder`; hand `see` to the scan of the log, for its entries in
    order. What follows the last of them is of a batch that was never acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._path, self._end = folder / CHECKS, 0

    def see(self, block: bytes, first: int) -> None:
        """Check those of a block of lines. Raises: AuditBroken (AUDIT_TAMPERED), OSError."""
        if _BEGIN not in block:
            return
        for number, line in enumerate(block.split(b"\n"), first):
            if line.startswith(_BEGIN):
                self._check(Entry.decode(line), number)

    def _check(self, entry: Entry, number: int) -> None:
        at, size, expected = (entry.facts.get(name) for name in ("checks_at", "checks_bytes", "checks_hash"))
        if type(size) is not int or at != self._end or not 0 <= size <= _MOST_BYTES or self._digest(size) != expected:
            what = "the checks of its batch are not those that were signed"
            raise AuditBroken("AUDIT_TAMPERED", f"entry {number}, {CHECKS}", what)
        self._end += size

    def _digest(self, size: int) -> str:
        """The SHA-256 of the next `size` bytes; of fewer, where there are not so many."""
        digest, left = hashlib.sha256(), size
        if not self._path.exists():
            return ""
        with self._path.open("rb") as file:
            file.seek(self._end)
            while left and (piece := file.read(min(left, _PIECE_BYTES))):
                digest.update(piece)
                left -= len(piece)
        return digest.hexdigest() if not left else ""
