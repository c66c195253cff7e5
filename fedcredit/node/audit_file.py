"""A party's audit log on disk: `entries.jsonl`, one entry a line, and `checkpoint`, the signed head.

`append` returns when entry and head are durable, so whatever waits for it has been recorded. A crash leaves at most
one line that was never acknowledged; it is set aside when the log is next opened. Anything else that does not match
the signed head is tampering, and the log refuses to open.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fedcredit.errors import ConfigError, Problem
from fedcredit.governance.audit import AuditBroken, Entry, Event, Fact, Head, SignedHead, check_log, continues
from fedcredit.governance.merkle import Tree, leaf_hash
from fedcredit.node.durable_files import replace_file
from fedcredit.runtime.clock import Clock

__all__ = ["AuditFile", "Verifier", "read_log"]

Signer = Callable[[bytes], bytes]
Verifier = Callable[[bytes, bytes], object]
"""Called with signature and body, as by `cryptography`'s public keys; raises on a bad signature."""

_ENTRIES, _CHECKPOINT, _SET_ASIDE = "entries.jsonl", "checkpoint", "unacknowledged.jsonl"


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
        if self._failed:
            raise self._unavailable("an earlier entry could not be written")
        line = Entry(sequence=self._tree.size, time=self._clock.now(), event=event, job=job, facts=facts).encode()
        tree = self._tree.append(leaf_hash(line))
        try:
            _write_all(self._entries, line + b"\n")
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
        there = (self._folder / _CHECKPOINT).exists() and (self._folder / _ENTRIES).exists()
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
            if not (folder / _CHECKPOINT).exists() and not (folder / _ENTRIES).exists():
                self._write_head(Tree())
            lines, torn = _read(folder, verify, self._origin)
            self._tree = check_log(lines, _head(folder, verify, self._origin))
            if known is not None:
                continues([leaf_hash(line) for line in lines], known)
            self._entries = os.open(folder / _ENTRIES, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except BaseException:
            os.close(self._lock)
            raise
        try:
            if torn:
                self._set_aside(torn, sum(len(line) + 1 for line in lines))
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
        replace_file(self._folder / _CHECKPOINT, signed.encode())
        return signed

    def _set_aside(self, torn: bytes, acknowledged_bytes: int) -> None:
        with (self._folder / _SET_ASIDE).open("ab") as file:
            file.write(torn.rstrip(b"\n") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._entries, acknowledged_bytes)
        self.append(Event.LOG_RECOVERED, "", unacknowledged_bytes=len(torn))


def read_log(folder: Path, origin: str, verify: Verifier, known: Head | None = None) -> tuple[list[Entry], SignedHead]:
    """The verified entries of the log in `folder` and its head; opens nothing for appending. Raises AuditBroken."""
    lines, _ = _read(folder, verify, origin)
    signed = SignedHead.decode((folder / _CHECKPOINT).read_bytes())
    check_log(lines, signed.head)
    if known is not None:
        continues([leaf_hash(line) for line in lines], known)
    return [Entry.decode(line) for line in lines], signed


def _read(folder: Path, verify: Verifier, origin: str) -> tuple[list[bytes], bytes]:
    # The acknowledged lines, and what one interrupted append left behind them.
    head = _head(folder, verify, origin)
    entries = folder / _ENTRIES
    data = entries.read_bytes() if entries.exists() else b""
    *lines, last = data.split(b"\n")
    acknowledged, rest = lines[: head.size], [*lines[head.size :], *([last] if last else [])]
    if len(rest) > 1:
        raise AuditBroken("AUDIT_TAMPERED", str(entries), f"{len(lines)} entries where {head.size} were signed")
    return acknowledged, data[sum(len(line) + 1 for line in acknowledged) :]


def _head(folder: Path, verify: Verifier, origin: str) -> Head:
    checkpoint = folder / _CHECKPOINT
    if not checkpoint.exists():
        raise AuditBroken("AUDIT_TAMPERED", str(checkpoint), "the signed head is gone")
    signed = SignedHead.decode(checkpoint.read_bytes())
    if signed.head.origin != origin:
        raise AuditBroken("AUDIT_HEAD", str(checkpoint), f"the log of another origin than {origin}")
    try:
        verify(signed.signature, signed.head.body())
    except Exception as error:  # each key library has its own type for it
        raise AuditBroken("AUDIT_HEAD", str(checkpoint), "the signature does not fit") from error
    return signed.head


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
