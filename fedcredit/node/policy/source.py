"""A node's policy as its file says now, so that a change counts from the next job on, without a restart."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from fedcredit import failpoints
from fedcredit.errors import ConfigError
from fedcredit.governance.audit import Event
from fedcredit.node.durable_files import replace_file
from fedcredit.node.recorder import Recorder
from fedcredit.observe import logs
from fedcredit.runtime.policy_file import PolicyFile, digest_of, load_policy

__all__ = ["PolicySource"]

_SEEN = "policy.seen"

_log = logs.get("policy")


class PolicySource:
    """Reads `policy.toml` of a node's folder, and records in the audit log when it is another than before."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        self._folder, self._recorder = folder, recorder
        self._lock = threading.Lock()
        self._kept: PolicyFile | None = None

    def current(self) -> PolicyFile:
        """The policy. Raises: ConfigError with every problem of the file: no job is let in until it is mended."""
        with self._lock:
            digest = digest_of(self._folder / "policy.toml")
            if self._kept is not None and self._kept.digest == digest:
                return self._kept
            self._kept = None
            try:
                self._kept = load_policy(self._folder)
            finally:
                usable = self._kept is not None
                self._note(self._kept.digest if self._kept is not None else digest, usable=usable)
            return self._kept

    def look(self) -> None:
        """Record a change, as a node does when it starts; a file that cannot be used is said in the log."""
        try:
            self.current()
        except ConfigError as error:
            _log.warning("policy.unusable", code=error.code)

    def _note(self, digest: str, *, usable: bool) -> None:
        seen = self._folder / _SEEN
        before = ""
        with contextlib.suppress(OSError):
            before = seen.read_text(encoding="ascii").strip()[:64]
        if before == digest:
            return
        self._recorder.record(Event.POLICY_CHANGED, "", before=before, policy=digest, usable=usable)
        failpoints.hit("policy.change.recorded")
        replace_file(seen, digest.encode("ascii") + b"\n")
