"""A server of verification that is killed in the middle of its commits, or whose disk fails at any of its calls.

Nothing that was acknowledged is lost, and it goes on afterwards.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from verify_server import OWING, QUESTION, Town, asked, town

from fedcredit.governance.audit import Event
from fedcredit.wire.verification import Kind, VerifyReply
from fedcredit.wire.verified import Check, VerifyBatchReply, VerifyBatchRequest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300
CALLERS = 4

CHILD = """
import json, sys
from pathlib import Path
from fedcredit.kernels.serving import Keys, Server, ServerSettings
told = json.loads(sys.stdin.readline())
keys = Keys(*(bytes.fromhex(told[name]) for name in ("certificate", "key", "signing_key", "log_key")))
settings = ServerSettings("127.0.0.1:0", Path(told["folder"]), threads=1)
print("go", flush=True)
with Server(settings, told["snapshot"], told["trust"], keys) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return town(tmp_path_factory.mktemp("town"))


@contextmanager
def child(made: Town, *before: str) -> Iterator[tuple[subprocess.Popen[str], int | None]]:
    """A process with the server, and its port; None if it did not come so far. `before`: what it runs under."""
    told = {
        "folder": str(made.log),
        "snapshot": made.snapshot,
        "trust": made.trust(),
        **{name: getattr(made.keys, name).hex() for name in ("certificate", "key", "signing_key", "log_key")},
    }
    process = subprocess.Popen(
        [*before, sys.executable, "-c", CHILD],
        env={"PYTHONPATH": f"{ROOT}", "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "go\n"
        port = process.stdout.readline()
        yield process, int(port) if port else None
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _check(made: Town, acknowledged: dict[int, bytes]) -> None:
    """The log is whole, has all that was acknowledged where it was said to be, and takes more."""
    with made.served() as server, made.bank(server.port) as bank:
        reply = VerifyReply.decode(bank.call("Verify", asked(OWING, made.consent())))
        acknowledged = {**acknowledged, reply.proof.sequence: reply.proof.entry}
    made.entries()
    lines = (made.log / "entries.jsonl").read_bytes().split(b"\n")
    assert [number for number, entry in acknowledged.items() if lines[number] != entry] == []


def _ask_until_it_ends(made: Town, port: int, enough: threading.Event, after: int) -> dict[int, bytes]:
    acknowledged: dict[int, bytes] = {}

    def ask(number: int) -> None:
        consent = made.consent()
        with made.bank(port) as bank:
            try:
                for count in itertools.count():
                    if number == 0 and count % 5 == 4:
                        checks = tuple(Check(OWING, 0, 0) for _ in range(50))
                        batch = VerifyBatchRequest((consent,), "financing", os.urandom(16), checks, (Kind(QUESTION),))
                        proof = VerifyBatchReply.decode(bank.call("VerifyBatch", batch.encode())).proof
                    else:
                        proof = VerifyReply.decode(bank.call("Verify", asked(OWING, consent))).proof
                    acknowledged[proof.sequence] = proof.entry
                    if len(acknowledged) >= after:
                        enough.set()
            except grpc.RpcError:
                enough.set()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    return acknowledged


def _kill_when(enough: threading.Event, process: subprocess.Popen[str]) -> None:
    enough.wait(PATIENCE_S)
    process.send_signal(signal.SIGKILL)


def test_nothing_that_was_acknowledged_is_lost_when_it_is_killed(made: Town) -> None:
    for after in (1, 7, 40, 90, 200):
        with child(made) as (process, port):
            assert port is not None
            enough = threading.Event()
            killer = threading.Thread(target=_kill_when, args=(enough, process))
            killer.start()
            acknowledged = _ask_until_it_ends(made, port, enough, after)
            killer.join(PATIENCE_S)
        assert len(acknowledged) >= after
        _check(made, acknowledged)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=SIGKILL"])
@pytest.mark.parametrize("call", ["write", "pwrite64", "fdatasync"])
def test_a_disk_that_fails_at_any_call_of_a_commit_loses_nothing(made: Town, call: str, fault: str) -> None:
    for when in (1, 2, 3):
        # Only what is done to the files of the log fails; sockets, and Python's own files, are left alone.
        files = [
            option for name in ("entries.jsonl", "checkpoint", "checks.bin") for option in ("-P", str(made.log / name))
        ]
        strace = ["strace", "-f", "-qq", "-o", os.devnull, *files, "-e", f"inject={call}:{fault}:when={when}+"]
        with child(made, *strace) as (process, port):
            acknowledged = {} if port is None else _ask_until_it_ends(made, port, threading.Event(), 1)
            if "SIGKILL" in fault:
                assert process.wait(PATIENCE_S) != 0
        _check(made, acknowledged)


def test_a_recovery_is_in_the_log(made: Town) -> None:
    entries = made.entries()[0]
    assert all(re.fullmatch("[a-z_]+", entry.event) for entry in entries)
    with (made.log / "entries.jsonl").open("ab") as log:
        log.write(b'{"event":"verified"')
    with made.served():
        pass
    assert made.entries()[0][-1].event is Event.LOG_RECOVERED
    assert len(made.entries()[0]) == len(entries) + 1
