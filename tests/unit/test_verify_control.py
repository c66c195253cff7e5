"""The control plane of questions while tables are read: what does not wait for them, and how reading them ends."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from unit.test_verify_serving import section, written

from fedcredit.governance.consent.bulletin import Bulletin, BulletinBody, BulletinHead
from fedcredit.ids import PartyId
from fedcredit.node.verification import control, kept_indexes
from fedcredit.node.verification.building import Built, build
from fedcredit.node.verification.control import Verification
from fedcredit.node.verification.plane import Identity
from fedcredit.node.verification.state import ServingState
from fedcredit.runtime.clock import SystemClock
from fedcredit.transport.trust import Trust

POLICY = '[policy]\ntime_zone = "UTC"\n'


class Heard:
    """A service that takes whatever it is handed, and answers nobody."""

    port = 1

    def __init__(self) -> None:
        self.snapshots: list[Mapping[str, Any]] = []

    def swap(self, snapshot: str) -> None:
        """Keep it."""
        self.snapshots.append(json.loads(snapshot))

    def identify(self, identity: Identity) -> None:
        """Nobody calls."""

    def stats(self) -> Mapping[str, Any]:
        """A log that is empty."""
        return {"log": {"size": 0, "root": ""}}

    def well(self) -> bool:
        """Always."""
        return True

    def stop(self, grace_s: float) -> None:
        """Nothing is under way."""


class Log:
    """What was recorded."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def record(self, *_event: object, **_facts: object) -> None:
        """Who waits for the disk."""
        self.threads.append(threading.current_thread())


def verification(folder: Path, plane: Heard, log: Log) -> Verification:
    (folder / "policy.toml").write_text(POLICY)
    limits = SimpleNamespace(memory_mib=256, threads=1)
    config = SimpleNamespace(verify=section(folder), folder=folder, me=PartyId("water"), limits=limits)
    credentials = SimpleNamespace(certificate=b"", private_key=b"")
    keyring = SimpleNamespace(
        trust=Trust({}), credentials=credentials, subscribe=lambda _: None, unsubscribe=lambda _: None
    )
    made: Any = Verification
    return cast(Verification, made(config, keyring, SystemClock(), None, log, lambda _snapshot, _identity: plane))


def bulletin(revoked: str) -> Bulletin:
    body = BulletinBody.of([], [revoked])
    return Bulletin(BulletinHead(PartyId("platform"), 1, 1, hashlib.sha256(body.to_bytes()).digest()), body)


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not what():  # noqa: ASYNC110 - threads change it
            await asyncio.sleep(0.01)


def test_a_revocation_does_not_wait_for_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    plane, log = Heard(), Log()
    begun, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any, **named: Any) -> Built:
        made = build(*arguments, **named)
        begun.set()
        assert go_on.wait(60)
        return made

    monkeypatch.setattr(control, "build", slow)
    monkeypatch.setattr(control, "LOOK_S", 0.01)
    name = hashlib.sha256(b"a consent").hexdigest()[:32]

    async def story() -> None:
        one = verification(tmp_path, plane, log)
        await one.start()
        try:
            await until(begun.is_set)
            one.hear(bulletin(name))
            await until(lambda: plane.snapshots)
            assert (plane.snapshots[-1]["revoked"], plane.snapshots[-1]["indexes"]) == ([name], {})
            assert not one.well()
            go_on.set()
            await until(one.well)
            await until(lambda: plane.snapshots[-1]["indexes"])
        finally:
            go_on.set()
            await one.stop(60)

    asyncio.run(story())
    # What was made while something else was handed over is there.
    assert all(Path(path).exists() for path in plane.snapshots[-1]["indexes"].values())
    assert threading.main_thread() not in log.threads
    assert len(log.threads) == 2


def test_a_disk_that_fails_is_said_as_a_table_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    calls = list[int]()

    def fails(*_arguments: Any, **_named: Any) -> Built:
        calls.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(control, "build", fails)
    monkeypatch.setattr(control, "LOOK_S", 0.01)

    async def story() -> None:
        one = verification(tmp_path, Heard(), Log())
        await one.start()
        try:
            await until(lambda: (state := ServingState.read(tmp_path)) is not None and state.problems)
            for _ in range(20):
                await one._look()
        finally:
            await one.stop(60)

    asyncio.run(story())
    state = ServingState.read(tmp_path)
    assert state is not None
    assert [(problem.code, problem.what) for problem in state.problems] == [("INTERNAL", "OSError")]
    assert len(calls) == 1, "tables are not read again at once"


def test_a_table_that_is_being_read_is_given_up_where_the_node_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    plane, log = Heard(), Log()
    begun, ended = threading.Event(), threading.Event()
    unheard = list[Mapping[str, Any]]()

    def slow(*arguments: Any, give_up: Callable[[], bool], **named: Any) -> Built:
        def asked() -> bool:
            begun.set()
            while not give_up():
                assert not ended.wait(0.01)
            return True

        try:
            return build(*arguments, give_up=asked, **named)
        finally:
            ended.set()

    monkeypatch.setattr(control, "build", slow)

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: unheard.append(said))
        one = verification(tmp_path, plane, log)
        await one.start()
        await until(begun.is_set)
        left = tmp_path / "verify" / "indexes" / "water_fee.0123456789ab.index.new"
        left.touch()
        await one.stop(60)
        assert ended.is_set(), "no thread is left behind"
        assert list(left.parent.iterdir()) == [], "neither what was begun nor what a process before left is there"

    asyncio.run(story())
    gc.collect()
    assert (plane.snapshots, log.threads, unheard) == ([], [], [])


def test_a_process_goes_on_with_the_indexes_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    monkeypatch.setattr(kept_indexes, "SETTLED_NS", -(10**18))
    monkeypatch.setattr(control, "LOOK_S", 0.01)
    go_on = threading.Event()

    def slow(*arguments: Any, **named: Any) -> Built:
        assert go_on.wait(60)
        return build(*arguments, **named)

    async def first(plane: Heard) -> None:
        one = verification(tmp_path, plane, Log())
        await one.start()
        await until((tmp_path / "verify" / "indexes" / "kept.json").exists)
        await one.stop(60)

    async def second(plane: Heard) -> None:
        monkeypatch.setattr(control, "build", slow)
        one = verification(tmp_path, plane, Log())
        try:
            await one.start()
            assert one.well()
            (known,) = plane.snapshots
            assert known["indexes"] == before.snapshots[-1]["indexes"]
            assert known["questions"] == before.snapshots[-1]["questions"] != []
            go_on.set()
            # The tables are read all the same, and what was served until then goes.
            await until(lambda: plane.snapshots[-1]["indexes"] != known["indexes"])
            await until(lambda: not any(Path(path).exists() for path in known["indexes"].values()))
        finally:
            go_on.set()
            await one.stop(60)

    before, after = Heard(), Heard()
    asyncio.run(first(before))
    asyncio.run(second(after))
    assert all(Path(path).exists() for path in after.snapshots[-1]["indexes"].values())
