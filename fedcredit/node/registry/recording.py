"""From a node's store to its audit log: each change of a model, once it is durable."""

from __future__ import annotations

import threading

from fedcredit import failpoints
from fedcredit.governance.audit import Event, Fact
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Store

__all__ = ["ModelRecord"]


class ModelRecord:
    """The audit log, as far as it is about models. From any thread."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store, self._recorder = store, recorder
        self._lock = threading.Lock()

    def catch_up(self) -> None:
        """Write what the store has and the log not yet: after each change, and at a start what a crash has left.

        Raises: ConfigError (AUDIT_UNAVAILABLE, STORE_*).
        """
        with self._lock:
            for change in self._store.model_changes.unrecorded():
                self.note(change.name, **change.facts)
                failpoints.hit("model.change.recorded", change.name)
                self._store.model_changes.recorded(change)

    def note(self, name: str, **facts: Fact) -> None:
        """Write of a change that was made elsewhere. Raises: ConfigError (AUDIT_UNAVAILABLE)."""
        self._recorder.record(Event.MODEL_CHANGED, "", model=name, **facts)
