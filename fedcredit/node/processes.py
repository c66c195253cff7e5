"""Child processes of a local run: started together, watched together, and never left behind.

Each child has its own process group and a pipe on its standard input that ends with us, however we end. Its log goes
to a file; its standard output says when it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path

from fedcredit.errors import FedcreditError, PeerLost, Problem, rebuilt
from fedcredit.ids import PartyId

__all__ = ["Child", "Children", "read_failure"]

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 12.0


@dataclass(slots=True)
class Child:
    """One node's process. `address` is known once it is ready."""

    party: PartyId
    folder: Path
    log: Path
    process: asyncio.subprocess.Process = field(repr=False)
    address: str = ""

    @property
    def status(self) -> int | None:
        """Its exit status; negative for a signal; None while it runs."""
        return self.process.returncode


class Children:
    """The processes of a run. `stop` leaves none, whatever happened before."""

    def __init__(self) -> None:
        self._children: dict[PartyId, Child] = {}

    def __getitem__(self, party: PartyId) -> Child:
        return self._children[party]

    async def start(self, party: PartyId, folder: Path, log: Path) -> Child:
        """Start the node of `folder`; it is not ready yet."""
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "fedcredit.cli.main",
                "node",
                "up",
                str(folder),
                "--with-parent",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env=_environment(os.environ),
                start_new_session=True,
            )
        child = self._children[party] = Child(party, folder, log, process)
        return child

    async def ready(self, child: Child) -> str:
        """Wait until `child` listens; its address. Raises PeerLost or FedcreditError when it does not come up."""
        assert child.process.stdout is not None, "standard output is a pipe"
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                line = await child.process.stdout.readline()
                if not line:
                    await child.process.wait()
        except TimeoutError:
            raise PeerLost(child.party, "start", f"was not ready after {READY_TIMEOUT_S:g} s") from None
        if not line:
            raise self.failure_of(child, "start")
        child.address = str(json.loads(line)["address"])
        return child.address

    async def first_exit(self) -> Child:
        """Wait for the first of them to end."""
        waits = {asyncio.create_task(child.process.wait()): child for child in self._children.values()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[next(iter(done))]
        finally:
            for task in waits:
                task.cancel()

    async def stop(self) -> dict[PartyId, int]:
        """End all of them, politely at first; their exit statuses."""
        for child in self._children.values():
            _signal(child, signal.SIGTERM)
            _signal(child, signal.SIGCONT)  # one that stands still would not hear it
        await self._wait(STOP_TIMEOUT_S)
        for child in self._children.values():
            _signal(child, signal.SIGKILL)
        await self._wait(STOP_TIMEOUT_S)
        return {party: child.status or 0 for party, child in self._children.items()}

    def failure_of(self, child: Child, stage: str) -> FedcreditError:
        """Why `child` is gone: what it left in its folder, else that it died."""
        if (found := read_failure(child.folder)) is not None:
            return found
        status = child.status
        how = f"was killed by {signal.Signals(-status).name}" if status is not None and status < 0 else "ended"
        if status is not None and status >= 0:
            how += f" with exit status {status}"
        return PeerLost(child.party, stage, f"its process {how}; see {child.log}")

    async def _wait(self, timeout_s: float) -> None:
        running = [asyncio.create_task(c.process.wait()) for c in self._children.values() if c.status is None]
        if running:
            await asyncio.wait(running, timeout=timeout_s)
            for task in running:
                task.cancel()


def read_failure(folder: Path) -> FedcreditError | None:
    """What a node, or a job in it, wrote about its failure."""
    try:
        found = json.loads((folder / "failure.json").read_text())
        problems = [Problem(**problem) for problem in found["problems"]]
        status = int(found["exit_status"])
        if not all(isinstance(text, str) for problem in problems for text in astuple(problem)):
            return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return rebuilt(problems, status)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.status is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, number)


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what would override the files that we wrote for the children."""
    return {k: v for k, v in environment.items() if not (k.startswith("FEDCREDIT_") and "__" in k)}
