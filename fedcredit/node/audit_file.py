"""A party's audit log on disk: `entries.jsonl`, one entry a line, and `checkpoint`, the signed head.

`append` returns when entry and head are durable, so whatever waits for it has been recorded. Entries that came at the
same time are one batch: one write, one signature. A crash leaves at most one batch that was never acknowledged; it is
set aside when the log is next opened. Anything else that does not match the signed head is tampering, and the log
refuses to open.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fedcredit.errors import ConfigError, Problem
from fedcredit.governance.audit import MAX_BATCH, Draft, Event, Fact, Head, SignedHead, line_of, stamp
from fedcredit.governance.merkle import Tree, leaf_hash
from fedcredit.node.audit_scan import CHECKPOINT, ENTRIES, Scan, Verifier, scan_log
from fedcredit.node.durable_files import replace_file
from fedcredit.runtime.clock import Clock

__all__ = ["AuditFile"]

Signer = Callable[[bytes], bytes]

_SET_ASIDE = "unacknowledged.jsonl"


class AuditFile:
    """The log in `folder`, open for appending by this process alone. Use as a context manager.

    `origin` names the log in its heads, e.g. the party. `known` is a head of this log kept elsewhere, if there is one.
    Raises: AuditBroken if the log was tampered with; ConfigError (LOCKED) if another process has it open.
    """

    def __init__(
        self, folder: Path, origin: str, *, sign: Signer, verify: Verifier, clock: Clock, known: Head | None = None
    ) -> None:
        self._folder, self._origin, self._sign, self._clock = folder, origin, sign, clock
        self._failed = False
        self._lock = self._entries = -1
        self._tree = Tree()
        try:
            self._open(verify, known)
        except OSError as error:
            raise self._unavailable(error.strerror or "cannot be read") from error

    def append(self, event: Event, job: str, **facts: Fact) -> SignedHead:
        """Record `event`. When this returns, the entry is on disk and in the signed head returned.

        Raises: ConfigError (AUDIT_UNAVAILABLE) if the disk refuses. What is on it is then settled by opening the log
        again, so this one takes no more entries: what cannot be recorded must not happen.
        """
        return self.append_all([Draft(event, job, facts)])

    def append_all(self, drafts: Sequence[Draft]) -> SignedHead:
        """Record all of `drafts`, in order, as one batch: when this returns they are on disk and in the head returned.

        It costs the disk what one entry costs it. Raises as `append` does, and then none of them was acknowledged;
        ValueError unless there are 1 to MAX_BATCH.
        """
        if not 0 < len(drafts) <= MAX_BATCH:
            raise ValueError(f"a batch of {len(drafts)} entries")
        if self._failed:
            raise self._unavailable("an earlier entry could not be written")
        time, first, last = stamp(self._clock.now()), self._tree.size, len(drafts) - 1
        lines = [line_of(draft.begin, first + i, last - i, time) for i, draft in enumerate(drafts)]
        tree = self._tree.append(*map(leaf_hash, lines))
        try:
            _write_all(self._entries, b"\n".join(lines) + b"\n")
            os.fsync(self._entries)
            head = self._write_head(tree)
        except OSError as error:
            self._failed = True
            raise self._unavailable(error.strerror or "cannot be written") from error
        self._tree = tree
        return head

    @property
    def head(self) -> Head:
        """The log as it stands."""
        return Head(self._origin, self._tree.size, self._tree.root)

    @property
    def usable(self) -> bool:
        """Whether the next entry can be hoped to be written: none has failed, and the log is still there."""
        there = (self._folder / CHECKPOINT).exists() and (self._folder / ENTRIES).exists()
        return there and not self._failed and os.access(self._folder, os.W_OK)

    def close(self) -> None:
        """Let another process open the log."""
        for descriptor in (self._entries, self._lock):
            # Every entry was synced when it was appended; what closing reports can take nothing of that back.
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, verify: Verifier, known: Head | None) -> None:
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._take_lock()
            if not (folder / CHECKPOINT).exists() and not (folder / ENTRIES).exists():
                self._write_head(Tree())
            found = scan_log(folder, self._origin, verify, known)
            self._tree = found.tree
            self._entries = os.open(folder / ENTRIES, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except BaseException:
            os.close(self._lock)
            raise
        try:
            if found.rest:
                self._set_aside(found)
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                Problem("LOCKED", str(self._folder), "another process has this audit log open", "stop that process")
            ) from None

    def _unavailable(self, reason: str) -> ConfigError:
        fix = "make room on the disk and start the node again"
        return ConfigError(Problem("AUDIT_UNAVAILABLE", str(self._folder), reason, fix))

    def _write_head(self, tree: Tree) -> SignedHead:
        head = Head(self._origin, tree.size, tree.root)
        signed = SignedHead(head, self._sign(head.body()))
        replace_file(self._folder / CHECKPOINT, signed.encode())
        return signed

    def _set_aside(self, found: Scan) -> None:
        with (self._folder / _SET_ASIDE).open("ab") as file:
            file.write(found.rest.removesuffix(b"\n") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._entries, found.entry_bytes)
        self.append(Event.LOG_RECOVERED, "", unacknowledged_bytes=len(found.rest))


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
