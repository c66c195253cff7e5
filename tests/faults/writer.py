"""A process that writes what a node writes, once per line of its input, each time in a child that may be hurt.

A line is what to do and a folder. The child warms up, says `ready PID` and waits for the file `go`. To `write` is one
checkpoint, its entry in the audit log, one update of a job, and the end; a `batch` is many entries written together,
and the end; to `start` is to open what a crash has left, and the end. It says what was done only after the call has
returned, by a system call (writev) that nothing else uses and that is never made to fail.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.errors import FedcreditError
from fedcredit.governance.audit import Event, Head
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Holder, Store
from fedcredit.runtime.clock import SystemClock

__all__ = ["BATCH", "KEY", "LOG", "NOW", "STATE", "opened"]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = "tax"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATE = bytes(range(256)) * 40
"""A checkpoint of some pages."""
BATCH = [f"batch.{number}" for number in range(40)]
"""Entries that are handed in together; with more bytes than a page."""

_PATIENCE_S = 300


def opened(folder: Path, holder: Holder | None = None) -> tuple[Store, AuditFile]:
    """Store and audit log in `folder`, as a node opens them."""
    store = Store.at(folder / "store.sqlite", holder=holder)
    kept = store.heads.of(LOG)
    audit = AuditFile(
        folder / "audit",
        LOG,
        sign=KEY.sign,
        verify=KEY.public_key().verify,
        clock=SystemClock(),
        known=None if kept is None else Head(LOG, *kept),
    )
    return store, audit


def say(*words: object) -> None:
    """One line of output."""
    os.writev(1, [(" ".join(map(str, words)) + "\n").encode()])


Steps = dict[str, Callable[[], object]]


def to_start(folder: Path) -> Steps:
    """A node's start after a crash."""
    for held in opened(folder / "warm"):
        held.close()
    open_now: list[Store | AuditFile] = []

    def close() -> None:
        for held in open_now:
            held.close()

    return {"open": lambda: open_now.extend(opened(folder)), "close": close}


def to_write(folder: Path) -> Steps:
    """What a node writes when a stage is done and then a peer is lost."""
    store, audit = opened(folder)
    recorder = Recorder(audit, store)

    def close() -> None:
        store.close()
        audit.close()

    # Whatever is loaded or connected at the first use is so before anything counts.
    store.stages.finish("job", "warm", STATE, NOW)
    recorder.record(Event.STAGE_DONE, "job", stage="warm")
    store.jobs.wait("other", "PEER_LOST", "bank")
    return {
        "checkpoint": lambda: store.stages.finish("job", "align", STATE, NOW),
        "entry": lambda: recorder.record(Event.STAGE_DONE, "job", stage="align"),
        "update": lambda: store.jobs.wait("job", "PEER_LOST", "bank"),
        "close": close,
    }


def to_write_a_batch(folder: Path) -> Steps:
    """What a node writes when several entries come at once."""
    store, audit = opened(folder)
    recorder = Recorder(audit, store)

    def close() -> None:
        store.close()
        audit.close()

    store.stages.finish("job", "warm", STATE, NOW)
    recorder.record(Event.STAGE_DONE, "job", stage="warm")
    receipts = [recorder.submit(Event.STAGE_DONE, "job", {"stage": stage}) for stage in BATCH]

    def batch() -> None:
        for receipt in receipts:
            receipt.wait()

    return {"batch": batch, "close": close}


def run(steps: Steps, folder: Path) -> None:
    """Take the steps when told to, and say how each of them went."""
    say("ready", os.getpid())
    deadline = time.monotonic() + _PATIENCE_S
    while not (folder / "go").exists():
        if time.monotonic() > deadline:
            return
        time.sleep(0.002)
    for name, step in steps.items():
        try:
            step()
            say("did", name)
        except FedcreditError as error:
            say("refused", name, error.code)


STEPS = {"write": to_write, "batch": to_write_a_batch, "start": to_start}


def main() -> None:
    """A child for each line of standard input, one after the other."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                what, _, place = line.strip().partition(" ")
                folder = Path(place)
                run(STEPS[what](folder), folder)
            except BaseException:  # noqa: BLE001 - a child says what it died of, whatever it was
                say("bug", traceback.format_exc().replace("\n", " | "))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
