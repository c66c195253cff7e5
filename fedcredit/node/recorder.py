"""Writing to the audit log from any thread, and keeping its head in the store, so that a rollback is noticed."""

from __future__ import annotations

import threading

from fedcredit.governance.audit import Event, Fact
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.store import Store

__all__ = ["Recorder"]


class Recorder:
    """The audit log of a node, one entry at a time."""

    def __init__(self, audit: AuditFile, store: Store) -> None:
        self._audit, self._store = audit, store
        self._lock = threading.Lock()

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
        with self._lock:
            head = self._audit.append(event, job, **facts).head
            self._store.heads.put(head.origin, head.size, head.root)
