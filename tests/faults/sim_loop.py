"""An event loop whose time is made up, whose threads are not threads, and whose processes can be killed at any step.

Time jumps to the next timer as soon as nothing is left to do, so a simulated hour takes as long as its work. What a
node hands to a thread is done at once, in order. A process is a context: every callback knows whose it is, and those of
a process that was killed are never run again, not even to clean up.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import selectors
import weakref
from collections.abc import Callable
from typing import Any


class Process:
    """One life of a node. `locks` are descriptors of files that it has locked."""

    _numbers = itertools.count(1)

    def __init__(self, name: str, life: int) -> None:
        self.name, self.life, self.number = name, life, next(Process._numbers)
        self.dead = False
        self.locks: list[int] = []

    def __repr__(self) -> str:
        return f"{self.name}#{self.life}"


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Killed(BaseException):
    """Unwinds the code of a process that has just been killed."""


class Stalled(Exception):
    """Nothing will ever happen again: every task waits for another."""


class _Jumping(selectors.SelectSelector):
    """Selects nothing and lets time pass instead."""

    def __init__(self, loop: SimLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stalled
        if timeout > 0:
            self._loop.now += timeout
        return []


class SimLoop(asyncio.SelectorEventLoop):
    """See the module. `steps` counts callbacks, so that a run that spins in one moment is found."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.steps = 0
        self.graves: list[Any] = []
        super().__init__(_Jumping(self))
        self.set_exception_handler(self._unhandled)
        self.unhandled: list[str] = []
        self._owners: weakref.WeakKeyDictionary[asyncio.Task[Any], Process | None] = weakref.WeakKeyDictionary()
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None) -> Any:
        context = contextvars.copy_context() if context is None else context
        return super().call_soon(self._run_if_alive, context.get(PROCESS), callback, args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        context = contextvars.copy_context() if context is None else context
        return super().call_at(when, self._run_if_alive, context.get(PROCESS), callback, args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Do it now. The future of a process that died of it never comes."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Killed:
            self.graves.append(future)
        except StopIteration as error:
            future.set_exception(RuntimeError(f"{error!r} left a thread"))
        except BaseException as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future

    def bury(self, process: Process) -> None:
        """Never run anything of `process` again. Its tasks are kept, so that no finaliser of theirs is run either."""
        process.dead = True
        self.graves += [task for task, owner in self._owners.items() if owner is process and not task.done()]

    def in_world(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> None:
        """Call back later, on behalf of no process."""
        self.call_at(self.now + delay_s, callback, *args, context=contextvars.Context())

    def _make_task(self, loop: Any, coro: Any, context: contextvars.Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, context=context)
        self._owners[task] = (contextvars.copy_context() if context is None else context).get(PROCESS)
        return task

    def _run_if_alive(self, process: Process | None, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.steps += 1
        if process is None or not process.dead:
            with contextlib.suppress(Killed):
                callback(*args)

    def _unhandled(self, loop: Any, context: dict[str, Any]) -> None:
        self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")
