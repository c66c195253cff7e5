"""The parts of durable jobs: which checkpoints are common, what is waited for, room on the disk, results by rename."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerError, PeerLost, Problem, RefusedError, rebuilt
from fedcredit.ids import PartyId
from fedcredit.node.events import EventLog
from fedcredit.node.jobs.checkpoints import common, digest_of, parse_listing, to_bytes
from fedcredit.node.jobs.peers import NAME_AFTER_S, STOPPED_S, PeerWatch, Slowness
from fedcredit.node.jobs.result import MANIFEST, discard_partial, write_result
from fedcredit.node.jobs.room import check_room, free_bytes
from fedcredit.node.jobs.waits import reason_to_wait
from fedcredit.transport.memory import MemoryNetwork, MemoryTransport

BANK, TAX = PartyId("bank"), PartyId("tax")


def test_the_common_beginning_is_what_all_kept_from_the_same_epoch() -> None:
    long = (("validate", 0), ("align", 0), ("gbdt/tree.0", 1), ("gbdt/tree.1", 1))
    assert common([long, long]) == long
    assert common([long, long[:2]]) == long[:2]
    assert common([long, (*long[:2], ("gbdt/tree.0", 2))]) == long[:2]
    assert common([long, ()]) == ()
    assert common([long, (("align", 0),)]) == ()


def test_a_listing_reads_back_and_its_digest_binds_it() -> None:
    listing = (("validate", 0), ("align", 3))
    assert parse_listing(TAX, to_bytes(listing)) == listing
    assert digest_of(listing) != digest_of(listing[:1]) != digest_of((("validate", 1),))
    for data in (b"{}1", b'[["a"]]', b'[["a", "b"]]', b"[1]", b'[["a", true]]', b"\xff"):
        with pytest.raises(PeerError, match="MESSAGE_INVALID"):
            parse_listing(TAX, data)


def test_what_is_waited_for_and_what_ends_a_job() -> None:
    lost = PeerLost("tax", "align", "gone")
    assert reason_to_wait(lost) is lost
    for code in ("CANCELLED", "STALE_EPOCH", "STORE_FULL", "INTERRUPTED"):
        told = reason_to_wait(PeerError("tax", "align", "ended the job", code))
        assert isinstance(told, PeerLost)
        assert told.culprit == "tax"
    for full in (OSError(errno.ENOSPC, "x"), ConfigError(Problem("STORE_FULL", "store", "x"))):
        found = reason_to_wait(full)
        assert found is not None
        assert found.code == "DISK_FULL"
    for end in (
        PeerError("tax", "align", "x", "SEQUENCE"),
        RefusedError(Problem("CANCELLED", "job", "x")),
        DataError(Problem("DATASET_CHANGED", "t", "x")),
        OSError(errno.EIO, "x"),
        ValueError("x"),
    ):
        assert reason_to_wait(end) is None


def test_an_error_is_rebuilt_from_its_problems_and_status() -> None:
    for error in (PeerLost("tax", "align", "gone"), PeerError("tax", "a", "b", "C"), FedcreditError("x")):
        again = rebuilt(error.problems, error.exit_status)
        assert (type(again), again.problems) == (type(error), error.problems)


def test_room_is_checked_and_the_missing_bytes_are_named(tmp_path: Path) -> None:
    check_room(tmp_path, free_bytes(tmp_path) // 2)
    need = free_bytes(tmp_path) * 2
    with pytest.raises(RefusedError, match=rf"DISK_FULL.*{need} bytes are needed"):
        check_room(tmp_path, need)


def test_a_result_appears_whole_and_once(tmp_path: Path) -> None:
    folder, released = tmp_path / "job", list[tuple[str, int]]()
    (folder / "result.partial" / "model").mkdir(parents=True)
    (folder / "result.partial" / "model" / "half").write_bytes(b"written before a crash")

    def fail(manifest: str, files: int) -> None:
        raise OSError(errno.ENOSPC, "no room for the audit entry")

    files = {"metrics.json": b"{}", "model/m/model.json": b"[1]"}
    with pytest.raises(OSError, match="no room"):
        write_result(folder, files, fail)
    assert not (folder / "result").exists()
    listed = write_result(folder, files, lambda manifest, n: released.append((manifest, n)))
    assert [name for name, _, _ in listed] == ["metrics.json", "model/m/model.json", MANIFEST]
    assert {p.name for p in folder.iterdir()} == {"result"}
    entries = json.loads((folder / "result" / MANIFEST).read_text())
    assert [entry["path"] for entry in entries] == ["metrics.json", "model/m/model.json"]
    # After a crash the same result is found, not written anew, and not released twice.
    assert write_result(folder, {"metrics.json": b"other figures"}, fail) == listed
    assert (folder / "result" / "metrics.json").read_bytes() == b"{}"
    assert len(released) == 1
    discard_partial(folder)


def test_a_large_file_of_a_result_comes_in_pieces(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    listed = write_result(folder, {"aligned.csv": iter([b"uscc\r\n", b"", b"1\r\n"])}, lambda manifest, n: None)
    assert listed[0] == ("aligned.csv", hashlib.sha256(b"uscc\r\n1\r\n").digest(), 9)
    assert (folder / "result" / "aligned.csv").read_bytes() == b"uscc\r\n1\r\n"


class Away(MemoryTransport):
    """A transport that says who is away."""

    def __init__(self) -> None:
        super().__init__(MemoryNetwork([BANK, TAX], insecure_in_process=True), BANK)
        self.away: dict[PartyId, float] = {}

    def unreachable(self) -> dict[PartyId, float]:
        return self.away


@pytest.mark.anyio
async def test_a_peer_that_is_out_of_reach_is_named_once_and_so_is_its_return() -> None:
    transport, log = Away(), EventLog(BANK, "job")
    watch = PeerWatch(transport, [TAX], log, lambda: "align", dict, 30.0)
    for seconds in (0.0, NAME_AFTER_S / 2, NAME_AFTER_S, NAME_AFTER_S + 7, 0.0, 0.0):
        transport.away = {TAX: seconds} if seconds else {}
        watch.look()
    log.state("succeeded")
    told = [(e.kind, e.stage, e.culprit, e.done) async for e in log.watch() if e.kind != "state"]
    assert told == [("waiting", "align", "tax", 2), ("back", "align", "tax", 9)]


def said_of(waits: list[float], after_s: float = 10.0) -> list[tuple[int, float]]:
    """What is said, and when, of a peer that is waited for so much of each second."""
    slowness, waited, said = Slowness(after_s), 0.0, []
    for second, share in enumerate(waits):
        waited += share
        if (told := slowness.take(second, waited)) is not None:
            said.append((second, round(told, 6)))
    return said


def test_a_peer_that_keeps_others_waiting_is_named_and_named_again_when_that_has_doubled() -> None:
    assert said_of([0.0] * 5 + [1.0] * 45) == [(14, 10.0), (24, 20.0), (44, 40.0)]
    assert said_of([0.0] * 5 + [1.0] * 12 + [0.0] * 30) == [(14, 10.0), (32, 0.0)]


def test_many_short_waits_count_as_one_long_one() -> None:
    """As on a line of a long way, where every answer takes long."""
    (second, seconds), *_ = said_of([0.0, *[0.9, 0.9, 0.0] * 20])
    assert (second, seconds) == (17, 10.8)
    assert said_of([0.4] * 100) == [], "most of the time goes elsewhere"


@pytest.mark.anyio
async def test_a_live_peer_that_is_slow_is_named_unless_this_party_itself_was_stopped() -> None:
    transport, log = Away(), EventLog(BANK, "job")
    now, waited = [0.0], {TAX: 0.0}
    watch = PeerWatch(transport, [TAX], log, lambda: "align", lambda: waited, 10.0, now=lambda: now[0])

    def second(waiting: float = 1.0, takes: float = 1.0) -> None:
        now[0] += takes
        waited[TAX] += waiting
        watch.look()

    second(STOPPED_S * 10, STOPPED_S * 10)  # this party did not run
    for _ in range(12):
        second()
    transport.away = {TAX: 0.5}
    second()  # out of reach is another matter
    log.state("succeeded")
    told = [(e.kind, e.stage, e.culprit, e.done) async for e in log.watch() if e.kind != "state"]
    assert told == [("slow", "align", "tax", 10), ("caught_up", "align", "tax", 0)]
