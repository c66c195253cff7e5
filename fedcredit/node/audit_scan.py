"""Reading an audit log from disk, and checking it, whatever its length: in pieces, with 32 bytes kept for an entry.

Nothing here writes. A log may be read while its node adds to it, and after a machine lost its power: what only the
journal has is read there.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedcredit.governance.audit import (
    HEAD_SLOT_BYTES,
    MAX_BATCH,
    MAX_LINE_BYTES,
    AuditBroken,
    Entry,
    Head,
    SignedHead,
    check_block,
    check_tree,
    continues,
    heads_in,
    is_interrupted_batch,
)
from fedcredit.governance.leaves import Leaves
from fedcredit.governance.merkle import Tree
from fedcredit.node.audit_journal import Overlaid, Tail, Verifier, read_tail

__all__ = ["CHECKPOINT", "ENTRIES", "WITNESSED", "Scan", "Verifier", "read_log", "scan_log"]

ENTRIES, CHECKPOINT, WITNESSED = "entries.jsonl", "checkpoint", "witnessed"

_BLOCK_BYTES = 8 << 20
_REST_BYTES = MAX_BATCH * (MAX_LINE_BYTES + 1)
_HEAD_BYTES = 2 * HEAD_SLOT_BYTES + 1
_LOOKS = 5
"""A head that is written in place can be read half written; at the next look it is whole."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A log that was found whole. `rest` is what an interrupted batch left after the last signed entry.

    `journal_bytes` of its lines are in the journal alone: it was not closed, and starting its node puts them in place.
    """

    signed: SignedHead
    leaves: Leaves
    tree: Tree
    entry_bytes: int
    rest: bytes
    journal_bytes: int = 0


def scan_log(
    folder: Path,
    origin: str,
    verify: Verifier,
    known: Head | None = None,
    *,
    see: Callable[[bytes, int], object] = lambda _block, _first: None,
) -> Scan:
    """Check the log of `origin` in `folder`: signature, every entry, the tree, and that it continues `known`.

    `see` gets the checked lines block by block with the number of the first, before the log as a whole is known to be
    whole. Raises: AuditBroken; OSError.
    """
    # First of all: what a running node writes to it later is in the other files by the time they are read.
    tail = read_tail(folder, origin, verify)
    signed, older = _newest_head(folder, origin, verify, tail)
    path, size = folder / ENTRIES, signed.head.size
    parts: list[Leaves] = []
    found = length = 0
    with path.open("rb") if path.exists() else io.BytesIO() as entries:
        file = Overlaid(entries, tail)
        data = b""
        while found < size and (read := file.read(_BLOCK_BYTES)):
            data += read
            block = _lines(data[: data.rfind(b"\n") + 1], size - found)
            if block:
                parts.append(check_block(block, found))
                see(block, found)
            elif len(data) > MAX_LINE_BYTES:
                break  # no entry is that long
            found, length, data = sum(map(len, parts)), length + len(block), data[len(block) :]
        rest = data + file.read(_REST_BYTES + 1)
    leaves = Leaves.joined(parts)
    tree = leaves.tree()
    check_tree(tree, signed.head)
    for head in older:
        check_tree(leaves.tree(head.size), head)
    if rest and not (len(rest) <= _REST_BYTES and is_interrupted_batch(rest, size)):
        # A running node signs on while its log is read. What came after the head that was read here is not judged.
        if _signed_head(folder, origin, verify).head.size <= size:
            raise AuditBroken("AUDIT_TAMPERED", str(path), f"more entries than the {size} that were signed")
        rest = b""
    if known is not None:
        continues(leaves, known)
    return Scan(signed, leaves, tree, length, rest, file.lacking)


def read_log(folder: Path, origin: str, verify: Verifier, known: Head | None = None) -> tuple[list[Entry], SignedHead]:
    """The verified entries of the log in `folder` and its head. Raises: AuditBroken; OSError."""
    entries: list[Entry] = []

    def see(block: bytes, _first: int) -> None:
        entries.extend(map(Entry.decode, block.split(b"\n")[:-1]))

    signed = scan_log(folder, origin, verify, known, see=see).signed
    return entries, signed


def _lines(block: bytes, most: int) -> bytes:
    """The first `most` lines of `block`, which are often all of them."""
    if block.count(b"\n") <= most:
        return block
    at = 0
    for _ in range(most):
        at = block.index(b"\n", at) + 1
    return block[:at]


def _newest_head(folder: Path, origin: str, verify: Verifier, tail: Tail | None) -> tuple[SignedHead, list[Head]]:
    """The head that the log must lead to, of `checkpoint` or of the journal, and another that it goes through."""
    try:
        kept = _signed_head(folder, origin, verify)
    except AuditBroken as error:
        # A disk that loses its power while a head is written may have half of it; the journal has it whole.
        if tail is None or not tail.lines or error.code != "AUDIT_HEAD":
            raise
        return tail.signed, []
    if tail is None:
        return kept, []
    if kept.head.size < tail.first:
        what = "is older than it was when the journal went on from it"
        raise AuditBroken("AUDIT_TAMPERED", str(folder / CHECKPOINT), what)
    newest, other = (kept, tail.signed) if kept.head.size >= tail.signed.head.size else (tail.signed, kept)
    return newest, [other.head]


def _signed_head(folder: Path, origin: str, verify: Verifier) -> SignedHead:
    checkpoint = folder / CHECKPOINT
    if not checkpoint.exists():
        raise AuditBroken("AUDIT_TAMPERED", str(checkpoint), "the signed head is gone")
    heads = _heads(checkpoint)
    for signed in heads:
        if signed.head.origin != origin:
            raise AuditBroken("AUDIT_HEAD", str(checkpoint), f"the log of another origin than {origin}")
        try:
            verify(signed.signature, signed.head.body())
        except Exception as error:  # each key library has its own type for it
            raise AuditBroken("AUDIT_HEAD", str(checkpoint), "the signature does not fit") from error
    return heads[0]


def _heads(checkpoint: Path) -> list[SignedHead]:
    for look in range(_LOOKS):
        with checkpoint.open("rb") as file:
            data = file.read(_HEAD_BYTES)
        try:
            return heads_in(data)
        except AuditBroken:
            if look == _LOOKS - 1:
                raise
    raise AssertionError("unreachable")
