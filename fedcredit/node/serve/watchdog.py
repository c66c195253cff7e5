"""Ends a process whose event loop stands still: a node that nobody can speak to must not look alive.

CPython waits without end for a thread that the system started and gave no memory to run; gRPC's own threads go on
answering the peers' pings meanwhile. Whoever looks after the process starts it again, as after a crash.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading

from fedcredit.node.serve.ending import CUT_SHORT

__all__ = ["Watchdog"]

LOOK_S, MOST_MISSED = 5.0, 18
"""A minute and a half. The looks are counted, not the time: a process that was stopped has missed none."""


class Watchdog:
    """Watches the running event loop from a thread of its own, until `stop`."""

    def __init__(self, me: str, *, look_s: float = LOOK_S, most_missed: int = MOST_MISSED) -> None:
        self._look_s, self._most_missed = look_s, most_missed
        self._beats, self._stopped = 0, threading.Event()
        self._loop = asyncio.get_running_loop()
        # Made while there is memory for it.
        self._last_words = json.dumps({"level": "error", "event": "node.stuck", "party": me}).encode() + b"\n"
        self._beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _beat(self) -> None:
        self._beats += 1
        if not self._stopped.is_set():
            self._loop.call_later(self._look_s / 2, self._beat)

    def _watch(self) -> None:
        seen, missed = 0, 0
        while not self._stopped.wait(self._look_s):
            missed = missed + 1 if self._beats == seen else 0
            seen = self._beats
            if missed >= self._most_missed:
                os.write(2, self._last_words)
                os._exit(CUT_SHORT)
