"""One event loop for whoever calls us from a program that has none: a script, a notebook.

gRPC keeps one queue of events in a process. What is in it for a loop that was closed meanwhile is raised in another
one, so a loop of its own for each call will not do; nor will the caller's, which may be running.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["run"]

T = TypeVar("T")

PUT_AWAY_S: Final = 10.0
"""How long work that is interrupted has to hang up."""

_lock = threading.Lock()
_running: asyncio.AbstractEventLoop | None = None


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises, done on a thread beside; blocks until then. May be called from a running loop.

    An interrupt from the keyboard ends the work first.
    """
    ended = threading.Event()

    async def whole() -> T:
        try:
            return await work
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(whole(), _loop())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        ended.wait(PUT_AWAY_S)
        raise


def _loop() -> asyncio.AbstractEventLoop:
    global _running
    with _lock:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(target=_running.run_forever, name="fedcredit", daemon=True).start()
        return _running
