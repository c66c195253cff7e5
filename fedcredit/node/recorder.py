"""Writing to the audit log from any thread, and keeping its head in the store, so that a rollback is noticed.

Who comes while the disk is busy shares the next write with all others who did: a group commit. The disk then sets how
long an entry takes, not how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from fedcredit.errors import ConfigError, Problem
from fedcredit.governance.audit import MAX_BATCH, Draft, Event, Fact
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.store import Store

__all__ = ["Receipt", "Recorder"]

PATIENCE_S = 120.0
"""How long a caller waits for the disk. Later its entry may or may not be there; what waits for it must not happen."""


class Recorder:
    """The audit log of a node, for any number of threads."""

    def __init__(self, audit: AuditFile, store: Store, *, patience_s: float = PATIENCE_S) -> None:
        self._audit, self._store, self._patience_s = audit, store, patience_s
        self._collecting, self._disk = threading.Lock(), threading.Lock()
        self._open = _Batch()

    @property
    def entries(self) -> int:
        """How many there are."""
        return self._audit.head.size

    @property
    def usable(self) -> bool:
        """Whether the log takes entries. While it does not, nothing that has to be recorded may happen."""
        return self._audit.usable

    def record(self, event: Event, job: str, **facts: Fact) -> None:
        """Write an entry; it is durable when this returns. Raises ConfigError (AUDIT_UNAVAILABLE)."""
        self.submit(event, job, facts).wait()

    def submit(self, event: Event, job: str, facts: Mapping[str, Fact]) -> Receipt:
        """Line an entry up. Nothing is written before somebody waits for it, or for another one of its batch.

        Raises: AuditBroken (AUDIT_ENTRY) if it is none.
        """
        draft = Draft(event, job, facts)
        with self._collecting:
            batch = self._open
            batch.drafts.append(draft)
            if len(batch.drafts) == MAX_BATCH:
                self._open = _Batch()
        return Receipt(self, batch)

    def settle(self, batch: _Batch) -> None:
        """Return when `batch` is durable. The first who waits for it writes it, and the others wait for that one."""
        with self._collecting:
            leads, batch.led = not batch.led, True
        if leads:
            self._lead(batch)
        elif not batch.settled.wait(self._patience_s):
            raise self._slow()
        if batch.error is not None:
            raise batch.error

    def _lead(self, batch: _Batch) -> None:
        # Whatever happens here, nobody may be left waiting, or take silence for an acknowledgement.
        batch.error = ConfigError(Problem("AUDIT_UNAVAILABLE", "audit log", "writing was interrupted"))
        try:
            if self._disk.acquire(timeout=self._patience_s):
                try:
                    self._write(batch)
                finally:
                    self._disk.release()
            else:
                self._closed(batch)
                batch.error = self._slow()
        except Exception as error:  # noqa: BLE001 - it is raised again, for each who waits
            batch.error = error
        finally:
            batch.settled.set()

    def _write(self, batch: _Batch) -> None:
        head = self._audit.append_all(self._closed(batch)).head
        self._store.heads.put(head.origin, head.size, head.root)
        batch.error = None

    def _closed(self, batch: _Batch) -> list[Draft]:
        """What is in the batch, which takes no more from now on."""
        with self._collecting:
            if self._open is batch:
                self._open = _Batch()
            return batch.drafts

    def _slow(self) -> ConfigError:
        what = f"the disk did not take an entry within {self._patience_s:g} s"
        return ConfigError(Problem("AUDIT_UNAVAILABLE", "audit log", what, "look at the disk and start the node again"))


class Receipt:
    """For one entry that was handed in."""

    __slots__ = ("_batch", "_recorder")

    def __init__(self, recorder: Recorder, batch: _Batch) -> None:
        self._recorder, self._batch = recorder, batch

    def wait(self) -> None:
        """Return when the entry is durable. Raises ConfigError (AUDIT_UNAVAILABLE), or what the store says."""
        self._recorder.settle(self._batch)


class _Batch:
    """Entries that are written together. `error` counts once `settled` is set."""

    __slots__ = ("drafts", "error", "led", "settled")

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.settled = threading.Event()
        self.error: Exception | None = None
        self.led = False
