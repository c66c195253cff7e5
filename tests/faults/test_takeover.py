"""F18, where the lock on the folder does not help: two folders, one store, as after a copied machine or a failover."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from raw_store import run

from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority, write_keys
from fedcredit.runtime.toml import dump

PLATFORM = PartyId("platform")
PATIENCE_S = 300

Start = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start(empty_store_url: str) -> Iterator[Start]:
    """Starts a node of a folder, on the one store."""
    nodes: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fedcredit.cli.main", "node", "up", str(folder)]
        environment = {**os.environ, "FEDCREDIT_STORE__URL": empty_store_url}
        pipe = subprocess.PIPE
        nodes.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
        return nodes[-1]

    yield start
    for node in nodes:
        node.kill()
        node.communicate(timeout=PATIENCE_S)


def folder_of(place: Path, authority: Authority) -> Path:
    write_keys(place / "keys", PLATFORM, authority)
    sections = {
        "party": {"id": PLATFORM, "kind": "platform"},
        "listen": {"host": "127.0.0.1", "port": 0},
        "identity": {"authorities": "keys/authorities.pem"},
    }
    (place / "party.toml").write_text(dump(sections))
    return place


def ready(node: subprocess.Popen[str]) -> bool:
    assert node.stdout is not None
    line = node.stdout.readline()
    return line != "" and json.loads(line)["pid"] == node.pid


def stop_between_writes(node: subprocess.Popen[str], url: str) -> None:
    """Let a node stand still just after it has said that it lives: not in the middle of that, with its store locked."""

    def expires() -> float:
        return float(run(url, "SELECT expires FROM leases")[0][0])

    before, deadline = expires(), time.monotonic() + PATIENCE_S
    while expires() == before:
        assert time.monotonic() < deadline, "it says that it lives now and then"
        time.sleep(0.02)
    time.sleep(0.2)
    node.send_signal(signal.SIGSTOP)
    status = Path(f"/proc/{node.pid}/status")
    while "State:\tT" not in status.read_text():
        assert time.monotonic() < deadline, "it stands still"
        time.sleep(0.005)


@pytest.mark.slow
def test_the_older_of_two_instances_stops(start: Start, empty_store_url: str, tmp_path: Path) -> None:
    authority = Authority.create()
    first, second = (folder_of(tmp_path / name, authority) for name in ("first", "second"))
    older = start(first)
    assert ready(older)
    refused = start(second)
    _, said = refused.communicate(timeout=PATIENCE_S)
    assert refused.returncode == 78
    assert f"LOCKED: store: process {older.pid} on {socket.gethostname()}" in said

    # The older one stands still past its time; that it has passed is said here, so that nobody has to wait for it.
    stop_between_writes(older, empty_store_url)
    run(empty_store_url, "UPDATE leases SET expires = 0")
    newer = start(second)
    assert ready(newer)
    older.send_signal(signal.SIGCONT)
    _, said = older.communicate(timeout=PATIENCE_S)
    assert older.returncode == 78
    assert "LEASE_LOST" in said
    assert json.loads((first / "failure.json").read_text())["problems"][0]["code"] == "LEASE_LOST"
    assert newer.poll() is None
    (fence,) = run(empty_store_url, "SELECT fence FROM leases")
    newer.send_signal(signal.SIGTERM)
    assert newer.wait(PATIENCE_S) == 0
    assert run(empty_store_url, "SELECT fence, instance FROM leases") == [(*fence, "")]
