"""A server of verification that is killed in the middle of its commits, whose machine loses its power, or whose disk
fails at any of its calls.

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
from collections.abc import Iterable, Iterator
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

FILL = """\
    from fedcredit.errors import ConfigError
    facts = {f"f{number}": "x" * 250 for number in range(40)}
    try:
        for _ in range(1500):
            print(server.record("policy_changed", facts).split()[1].decode(), flush=True)
    except ConfigError as error:
        print(error.problems[0].code, flush=True)
"""

FAULTS = ["error=EIO", "error=ENOSPC", "signal=SIGKILL"]
LOG = ("entries.jsonl", "checkpoint", "checks.bin", "journal")

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture
def made(tmp_path: Path) -> Town:
    """A provider whose log was begun. Each test has its own: what it knows of consents is believed for five minutes."""
    provider = town(tmp_path)
    with provider.served():
        pass
    return provider


@contextmanager
def child(made: Town, *before: str, does: str = "") -> Iterator[tuple[subprocess.Popen[str], int | None]]:
    """A process with the server, and its port; None if it did not come so far.

    `before`: what it runs under. `does`: what it does when it has said its port.
    """
    told = {
        "folder": str(made.log),
        "snapshot": made.snapshot,
        "trust": made.trust(),
        **{name: getattr(made.keys, name).hex() for name in ("certificate", "key", "signing_key", "log_key")},
    }
    process = subprocess.Popen(
        [*before, sys.executable, "-c", CHILD.replace("    sys.stdin.read()\n", does or "    sys.stdin.read()\n")],
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
        if before and process.stdin is not None:
            # What runs under another process would outlive it, and still hold the log.
            with suppress(OSError, subprocess.TimeoutExpired):
                process.stdin.close()
                process.wait(PATIENCE_S)
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
    found, _ = made.entries()
    assert len(found) > max(acknowledged)
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


def _strace(made: Town, names: Iterable[str], call: str, fault: str, when: int) -> list[str]:
    """A command under which what is done to these files of the log fails; sockets, and Python's own files, do not."""
    files = [option for name in names for option in ("-P", str(made.log / name))]
    return ["strace", "-f", "-qq", "-o", os.devnull, *files, "-e", f"inject={call}:{fault}:when={when}+"]


def _ask_and_kill(made: Town, after: int) -> tuple[dict[int, bytes], dict[str, bytes]]:
    """What was acknowledged before the end, and what the files that are not waited for had for certain on the disk."""
    with child(made) as (process, port):
        assert port is not None
        synced = {name: (made.log / name).read_bytes() for name in ("entries.jsonl", "checkpoint")}
        enough = threading.Event()
        killer = threading.Thread(target=_kill_when, args=(enough, process))
        killer.start()
        acknowledged = _ask_until_it_ends(made, port, enough, after)
        killer.join(PATIENCE_S)
    assert len(acknowledged) >= after
    return acknowledged, synced


def _kill_when(enough: threading.Event, process: subprocess.Popen[str]) -> None:
    enough.wait(PATIENCE_S)
    process.send_signal(signal.SIGKILL)


def test_nothing_that_was_acknowledged_is_lost_when_it_is_killed(made: Town) -> None:
    for after in (1, 7, 40, 90, 200):
        acknowledged, _ = _ask_and_kill(made, after)
        _check(made, acknowledged)


def _lose_power(made: Town, synced: dict[str, bytes], keep: int) -> None:
    """Put the files back to what was synced; every page but each `keep`th is lost of what came after."""
    path = made.log / "entries.jsonl"
    data, begin = bytearray(path.read_bytes()), len(synced[path.name])
    for page in range(0, len(data), 4096):
        if not keep or page // 4096 % keep:
            lost = slice(max(page, begin), max(begin, min(page + 4096, len(data))))
            data[lost] = bytes(lost.stop - lost.start)
    path.write_bytes(data if keep else data[:begin])
    (made.log / "checkpoint").write_bytes(synced["checkpoint"])


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_nothing_that_was_acknowledged_is_lost_with_the_power(made: Town, keep: int) -> None:
    for after in (1, 30, 150):
        acknowledged, synced = _ask_and_kill(made, after)
        _lose_power(made, synced, keep)
        # Whoever looks at it before it is put right finds all of it, in the journal that the service wrote.
        found = {entry.sequence: entry.encode() for entry in made.entries()[0]}
        assert {number: found.get(number) for number in acknowledged} == acknowledged
        _check(made, acknowledged)


@needs_strace
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["pwrite64", "fsync", "fdatasync"])
def test_a_disk_that_fails_while_a_log_is_put_right_loses_nothing(made: Town, call: str, fault: str) -> None:
    acknowledged, synced = _ask_and_kill(made, 20)
    _lose_power(made, synced, 0)
    came_up = []
    for when in (1, 2, 3):
        with child(made, *_strace(made, LOG, call, fault, when)) as (_, port):
            came_up.append(port is not None)
    assert not came_up[0]
    _check(made, acknowledged)


@needs_strace
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoint"])
def test_a_sync_that_fails_behind_the_commits_ends_the_log(made: Town, name: str, fault: str) -> None:
    # While it answers, these are synced only when the journal goes on to its other half.
    before = len(made.entries()[0])
    with child(made, *_strace(made, (name,), "fdatasync", fault, 1), does=FILL) as (process, port):
        assert port is not None
        assert process.stdout is not None
        said = process.stdout.read().split()
        process.wait(PATIENCE_S)
    acknowledged = [int(size) for size in said if size.isdecimal()]
    assert acknowledged == list(range(before + 1, before + 1 + len(acknowledged)))
    assert 300 < len(acknowledged) < 1200
    assert said[len(acknowledged) :] == ([] if "SIGKILL" in fault else ["AUDIT_UNAVAILABLE"])
    with made.served():
        pass
    assert len(made.entries()[0]) >= acknowledged[-1]


@needs_strace
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["pwrite64", "fsync", "rename"])
def test_a_journal_that_cannot_be_made_is_said_and_made_later(made: Town, call: str, fault: str) -> None:
    before = len(made.entries()[0])
    (made.log / "journal").unlink()
    with child(made, *_strace(made, (".journal.new",), call, fault, 1)) as (_, port):
        assert port is None
    assert not (made.log / "journal").exists()
    with made.served():
        pass
    assert len(made.entries()[0]) == before


@needs_strace
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["write", "pwrite64", "fdatasync"])
def test_a_disk_that_fails_at_any_call_of_a_commit_loses_nothing(made: Town, call: str, fault: str) -> None:
    for when in (1, 2, 3):
        with child(made, *_strace(made, LOG, call, fault, when)) as (process, port):
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
