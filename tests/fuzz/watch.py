"""Watches the processes of a run: says how far each decoder is, and ends one that hangs on an input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from fuzz.engine import Slate
from fuzz.report import Line

__all__ = ["Board", "child"]

INPUT_HANGS_S = 60.0
"""A process that stays at one input for longer has hung; a bound of its own holds every input that ends."""

STARTS_S = 300.0
"""As long may a process take until its first input."""


class Board:
    """Prints where the decoders stand, every so many seconds. `waiting` is inputs by decoder."""

    def __init__(
        self, out: Path, waiting: dict[str, int], every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out, self._counts, self._every = out, waiting, every_s
        self._clock, self._start, self._ended, self._findings = clock, clock(), set[str](), 0
        self._before: dict[str, tuple[float, int]] = {}
        for name in waiting:
            (out / f"{name}.slate").unlink(missing_ok=True)  # of a run that was stopped
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Board:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """End all that runs."""
        self.stopped.set()

    def done(self, line: Line) -> None:
        """Note that a decoder is through."""
        self._ended.add(line["decoder"])
        self._findings += len(line["findings"])
        rate = line["inputs"] / max(0.1, line["seconds"])
        text = f"{line['decoder']}: {line['inputs']} inputs, {rate:.0f}/s, {len(line['findings'])} findings"
        print(f"{text}; {len(self._ended)} of {len(self._counts)} decoders", flush=True)

    def progress(self) -> str:
        """Where the decoders stand; rates are of the time since the last call."""
        now, parts, tried = self._clock(), list[str](), sum(self._counts[name] for name in self._ended)
        for name in self._counts.keys() - self._ended:
            if (done := Slate.tried(self._out / f"{name}.slate")) > 0:
                text = f"{name} {done}/{self._counts[name]}"
                if name in self._before and (passed := now - self._before[name][0]) > 0:
                    text += f" {(done - self._before[name][1]) / passed:.0f}/s"
                self._before[name] = now, done
                parts.append(text)
                tried += done
        left = (sum(self._counts.values()) - tried) * (now - self._start) / tried / 60 if tried else None
        ahead = "starting" if left is None else f"about {left:.0f} min left"
        return f"{'; '.join([*sorted(parts), f'{self._findings} findings'])}; {ahead}"

    def _run(self) -> None:
        while not self.stopped.wait(self._every):
            print(f"  {self.progress()}", flush=True)


def child(command: list[str], slate: Path, board: Board) -> tuple[int, str, str]:
    """Run `command` until it ends, hangs or the board stops: its status, output and errors."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment) as process:
        tried, since = -1, time.monotonic()
        while True:
            try:
                stdout, stderr = process.communicate(timeout=1.0)
                return process.returncode, stdout, stderr
            except subprocess.TimeoutExpired:
                now = Slate.tried(slate)
                if now != tried:
                    tried, since = now, time.monotonic()
                limit = INPUT_HANGS_S if tried > 0 else STARTS_S
                if board.stopped.is_set():
                    process.kill()
                elif time.monotonic() - since > limit:
                    process.send_signal(signal.SIGABRT)  # which writes where it stands
