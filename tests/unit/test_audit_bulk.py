"""Audit logs of many entries: checked in bulk as they are one by one, written in batches, and no change goes unseen."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.governance import audit
from fedcredit.governance.audit import (
    MAX_BATCH,
    MAX_LINE_BYTES,
    AuditBroken,
    Draft,
    Entry,
    Event,
    Head,
    SignedHead,
    check_block,
    check_log,
    is_interrupted_batch,
)
from fedcredit.governance.leaves import Leaves
from fedcredit.governance.merkle import (
    ProofInvalid,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_of,
    verify_consistency,
    verify_inclusion,
)
from fedcredit.kernels import log as kernel
from fedcredit.node import audit_scan
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.audit_scan import read_log, scan_log
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Store
from fedcredit.runtime.clock import ManualClock

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFY = KEY.public_key().verify
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
FEWER = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
NO_REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)

texts = st.text(st.characters(codec=None), max_size=20)
names = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
facts = st.dictionaries(names, st.one_of(texts, st.integers(-(10**30), 10**30), st.booleans()), max_size=4)
entries = st.builds(
    Entry,
    sequence=st.integers(0, 2**40),
    time=st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)),
    event=st.sampled_from(Event),
    job=texts,
    facts=facts,
    more=st.integers(0, MAX_BATCH - 1),
)


@pytest.fixture(autouse=True)
def _natively(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is short is checked by the native kernels here, too. `test_governance_audit` is about what is not."""
    monkeypatch.setattr(audit, "BULK_BYTES", 0)
    monkeypatch.setattr("fedcredit.governance.leaves.BULK_ROWS", 0)


def opened(folder: Path, known: Head | None = None) -> AuditFile:
    return AuditFile(folder, "tax", sign=KEY.sign, verify=VERIFY, clock=ManualClock(NOON), known=known)


def drafts(n: int, first: int = 0) -> list[Draft]:
    return [Draft(Event.STAGE_DONE, "job", {"n": first + i}) for i in range(n)]


def written(folder: Path, batches: tuple[int, ...]) -> Head:
    with opened(folder) as log:
        for n in batches:
            log.append_all(drafts(n, log.head.size))
        return log.head


def laid(folder: Path, batches: tuple[int, ...], differs: int = -1) -> Head:
    """As `written`, but nothing is synced, for tests of many examples. Entry `differs` is another one."""
    folder.mkdir(exist_ok=True)
    mores = [more for n in batches for more in reversed(range(n))]
    lines = [
        Entry(
            sequence=i, time=NOON, event=Event.STAGE_DONE, job="job", facts={"n": -1 if i == differs else i}, more=more
        ).encode()
        for i, more in enumerate(mores)
    ]
    head = Head("tax", len(lines), tree_of(map(leaf_hash, lines)).root)
    (folder / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / "checkpoint").write_bytes(SignedHead(head, KEY.sign(head.body())).encode())
    return head


def test_what_is_laid_for_tests_is_what_is_written(tmp_path: Path) -> None:
    assert laid(tmp_path / "laid", (2, 3)) == written(tmp_path / "written", (2, 3))


def is_entry(line: bytes) -> bool:
    try:
        Entry.decode(line)
    except AuditBroken:
        return False
    return True


def is_entry_in_bulk(line: bytes, sequence: int) -> bool:
    try:
        check_block(line + b"\n", sequence)
    except AuditBroken:
        return False
    return True


@NO_REUSE
@given(entry=entries)
def test_what_is_written_is_canonical_json_and_an_entry_in_bulk(entry: Entry) -> None:
    line = entry.encode()
    raw = json.loads(line)
    assert json.dumps(raw, sort_keys=True, separators=(",", ":")).encode() == line
    assert is_entry_in_bulk(line, entry.sequence)
    assert not is_entry_in_bulk(line, entry.sequence + 1)


@NO_REUSE
@given(entry=entries, data=st.data())
def test_the_form_read_in_bulk_is_the_form_read_one_by_one(entry: Entry, data: st.DataObject) -> None:
    """A changed line is an entry to both readers or to neither; the bulk one never says yes where the other says no."""
    line = bytearray(entry.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(line) - 1))
        piece = data.draw(st.sampled_from([b"", b"0", b"9", b'"', b"\\", b"\\u0041", b"-", b",", b"e", b"\x7f", b"}"]))
        line[at : at + data.draw(st.integers(0, 2))] = piece
        if not line:
            return
    changed = bytes(line)
    alone = is_entry(changed) and Entry.decode(changed).sequence == entry.sequence
    bad = kernel.first_bad(
        changed + b"\n",
        entry.sequence,
        max_line=MAX_LINE_BYTES,
        max_text=256,
        max_batch=MAX_BATCH,
        events=[event.value.encode() for event in Event],
    )
    assert (bad is None) == (alone and b"\n" not in changed)


@pytest.mark.parametrize(
    "text",
    ["", "x" * 256, "\U0001f600" * 256, "\ud800", "\udc00\ud800", "\x7f", "\x00\x1f", '\\"/', "中文", "\u2028"],
)
def test_texts_at_the_edge_are_entries_to_both(text: str) -> None:
    line = Entry(sequence=0, time=NOON, event=Event.JOB_DONE, job=text, facts={"a": text}).encode()
    assert is_entry(line)
    assert is_entry_in_bulk(line, 0)


def test_a_text_or_line_that_is_too_long_is_neither_written_nor_read() -> None:
    line = Entry(sequence=0, time=NOON, event=Event.JOB_DONE, job="x" * 256).encode()
    assert not is_entry_in_bulk(line.replace(b"xx", b"xxx", 1), 0)
    # All that a name may be, 256 astral characters each, is far more than a line may hold.
    many = {f"a{i}": "\U0001f600" * 256 for i in range(6)}
    with pytest.raises(AuditBroken, match="more than 16384 bytes"):
        Draft(Event.JOB_DONE, "j", many)


@NO_REUSE
@given(n=st.integers(0, 40), data=st.data())
def test_trees_and_proofs_in_bulk_are_those_of_the_textbook(n: int, data: st.DataObject) -> None:
    lines = [b"entry %d" % i for i in range(n)]
    one_by_one = [leaf_hash(line) for line in lines]
    bulk = Leaves.joined([Leaves.of(b"".join(line + b"\n" for line in lines))])
    assert [row.tobytes() for row in bulk.rows] == one_by_one
    size = data.draw(st.integers(0, n))
    assert bulk.tree(size) == tree_of(one_by_one[:size])
    if size:
        index, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
        assert bulk.inclusion(index, size) == inclusion_proof(one_by_one[:size], index)
        assert bulk.consistency(first, size) == consistency_proof(one_by_one[:size], first)
        verify_inclusion(one_by_one[index], index, size, bulk.inclusion(index, size), bulk.tree(size).root)
        roots = bulk.tree(first).root, bulk.tree(size).root
        verify_consistency(first, roots[0], size, roots[1], bulk.consistency(first, size))
    with pytest.raises(ProofInvalid):
        bulk.tree(n + 1)


def test_long_and_short_logs_are_checked_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laid(tmp_path, (7, 2000))
    found = scan_log(tmp_path, "tax", VERIFY)
    proofs = found.leaves.inclusion(1500), found.leaves.consistency(900)
    monkeypatch.undo()
    for least in (audit.BULK_BYTES, 1 << 30):
        monkeypatch.setattr(audit, "BULK_BYTES", least)
        again = scan_log(tmp_path, "tax", VERIFY)
        assert again.tree == found.tree
        assert (again.leaves.inclusion(1500), again.leaves.consistency(900)) == proofs


def test_kernels_refuse_what_is_no_line_or_node() -> None:
    for wrong in (np.zeros((2, 31), np.uint8), np.zeros((2, 32), np.int8), np.zeros(64, np.uint8)):
        with pytest.raises(ValueError, match="nodes"):
            kernel.level_up(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no end"):
        kernel.leaves(b"a\nb")
    with pytest.raises(ValueError, match="negative"):
        kernel.first_bad(b"", -1, max_line=1, max_text=1, max_batch=1, events=[])


def test_a_batch_is_read_back_and_says_of_each_entry_how_many_follow(tmp_path: Path) -> None:
    head = written(tmp_path, (1, 3, 2))
    found, signed = read_log(tmp_path, "tax", VERIFY)
    assert signed.head == head
    assert [entry.more for entry in found] == [0, 2, 1, 0, 1, 0]
    assert [entry.facts["n"] for entry in found] == [*range(6)]
    assert b'"more"' not in (tmp_path / "entries.jsonl").read_bytes().splitlines()[0]


def test_a_batch_has_a_bound(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for n in (0, MAX_BATCH + 1):
            with pytest.raises(ValueError, match="a batch of"):
                log.append_all(drafts(n))
        log.append_all(drafts(MAX_BATCH))
    assert read_log(tmp_path, "tax", VERIFY)[1].head.size == MAX_BATCH


def test_a_log_longer_than_a_block_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = written(tmp_path, (40, 1, 60))
    with (tmp_path / "entries.jsonl").open("ab") as file:
        file.write(b'{"event":"jo')
    lines = (tmp_path / "entries.jsonl").read_bytes().splitlines()[:101]
    for block in (1, 100, 1000, 5000):
        monkeypatch.setattr(audit_scan, "_BLOCK_BYTES", block)
        seen: list[bytes] = []

        def see(part: bytes, first: int, seen: list[bytes] = seen) -> None:
            assert first == len(seen)
            seen.extend(part.splitlines())

        found = scan_log(tmp_path, "tax", VERIFY, head, see=see)
        assert (found.tree.root, found.rest, seen) == (head.root, b'{"event":"jo', lines)
        assert found.entry_bytes == sum(len(line) + 1 for line in lines)


@pytest.mark.parametrize("left", range(1, 400, 7))
def test_any_beginning_of_a_batch_that_a_crash_left_is_set_aside(tmp_path: Path, left: int) -> None:
    """No entry of it was acknowledged, and what comes next is recorded in its place."""
    written(tmp_path / "whole", (2, 4))
    head = (tmp_path / "whole" / "checkpoint").read_bytes()
    written(tmp_path / "whole", (5,))
    log = tmp_path / "log"
    shutil.copytree(tmp_path / "whole", log)
    (log / "checkpoint").write_bytes(head)
    data = (log / "entries.jsonl").read_bytes()
    begin = sum(len(line) for line in data.splitlines(keepends=True)[:6])
    (log / "entries.jsonl").write_bytes(data[: begin + left])
    with opened(log) as again:
        again.append_all(drafts(2, 7))
    found, _ = read_log(log, "tax", VERIFY)
    assert [entry.event for entry in found[6:]] == [Event.LOG_RECOVERED, Event.STAGE_DONE, Event.STAGE_DONE]
    assert found[6].facts == {"unacknowledged_bytes": min(left, len(data) - begin)}


def test_pages_that_the_disk_never_wrote_do_not_keep_a_node_from_starting(tmp_path: Path) -> None:
    """After a power cut, any part of a batch that was not synced may be zeros."""
    written(tmp_path, (2,))
    head = (tmp_path / "checkpoint").read_bytes()
    written(tmp_path, (200,))
    (tmp_path / "checkpoint").write_bytes(head)
    data = bytearray((tmp_path / "entries.jsonl").read_bytes())
    data[4096:8192] = bytes(4096)
    (tmp_path / "entries.jsonl").write_bytes(data)
    with opened(tmp_path) as log:
        assert log.head.size == 3


def test_entries_that_somebody_added_are_no_interrupted_batch() -> None:
    def lines(*batches: int, first: int = 6) -> bytes:
        mores = [more for n in batches for more in reversed(range(n))]
        made = (
            Entry(sequence=first + i, time=NOON, event=Event.JOB_DONE, job="j", more=more)
            for i, more in enumerate(mores)
        )
        return b"".join(entry.encode() + b"\n" for entry in made)

    assert is_interrupted_batch(lines(3), 6)
    assert is_interrupted_batch(lines(3)[:-20], 6)
    assert is_interrupted_batch(lines(1), 6)
    assert not is_interrupted_batch(lines(1, 1), 6)  # a head that was rolled back by two writes
    assert not is_interrupted_batch(lines(3, 2), 6)
    assert not is_interrupted_batch(lines(3, first=2), 6)  # entries that the log has already
    assert not is_interrupted_batch(lines(2) + b"x\n", 6)
    assert not is_interrupted_batch(b"x\nx\n", 6)
    assert not is_interrupted_batch(b"\n" * (MAX_BATCH + 2), 6)


def flip(data: bytes, draw: Callable[..., Any]) -> bytes:
    bit = draw(st.integers(0, len(data) * 8 - 1))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def mutate_entries(kind: str, data: bytes, draw: Callable[..., Any]) -> bytes:
    lines = data.splitlines(keepends=True)
    at = draw(st.integers(0, len(lines) - 2))
    if kind == "flip":
        return flip(data, draw)
    if kind == "delete":
        del lines[draw(st.integers(0, len(lines) - 1))]
    elif kind == "swap":
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    elif kind == "repeat":
        lines.insert(at, lines[at])
    elif kind == "truncate":
        return data[: draw(st.integers(0, len(data) - 1))]
    elif kind == "rewrite":
        lines[at] = lines[at].replace(b'"job":"job"', b'"job":"jab"')
    return b"".join(lines)


@FEWER
@pytest.mark.parametrize("kind", ["flip", "delete", "swap", "repeat", "truncate", "rewrite"])
@given(data=st.data(), batches=st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_every_change_of_the_entries_is_found(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject, batches: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    laid(folder, tuple(batches))
    before = (folder / "entries.jsonl").read_bytes()
    after = mutate_entries(kind, before, data.draw)
    assert after != before
    (folder / "entries.jsonl").write_bytes(after)
    with pytest.raises(AuditBroken):
        scan_log(folder, "tax", VERIFY)
    with pytest.raises(AuditBroken):
        opened(folder)


@FEWER
@given(data=st.data())
def test_every_flipped_bit_of_the_head_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("log")
    laid(folder, (3,))
    (folder / "checkpoint").write_bytes(flip((folder / "checkpoint").read_bytes(), data.draw))
    with pytest.raises(AuditBroken):
        scan_log(folder, "tax", VERIFY)


@FEWER
@given(kept=st.integers(1, 8), more=st.integers(1, 8), data=st.data())
def test_a_rollback_and_a_fork_are_found_by_any_later_head(
    tmp_path_factory: pytest.TempPathFactory, kept: int, more: int, data: st.DataObject
) -> None:
    """The node that holds the key rewrites its log and signs it anew: a head that another has kept convicts it."""
    folder = tmp_path_factory.mktemp("log")
    honest = laid(folder / "honest", (kept, more))
    laid(folder / "rolled", (kept,))
    fork_at, longer = data.draw(st.integers(0, kept + more - 1)), data.draw(st.integers(0, 3))
    laid(folder / "forked", (kept, more, longer), differs=fork_at)
    for name in ("rolled", "forked"):
        scan_log(folder / name, "tax", VERIFY)  # whole in itself
        with pytest.raises(AuditBroken) as caught:
            scan_log(folder / name, "tax", VERIFY, honest)
        assert caught.value.code == "AUDIT_ROLLED_BACK"


def test_a_log_that_grows_while_it_is_read_is_whole_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node signs three batches more between the head and the entries; then one that nobody signed is no excuse."""
    written(tmp_path, (2, 2))
    log = opened(tmp_path)
    head = audit_scan._signed_head

    def then_it_grows(*arguments: Any) -> SignedHead:
        signed = head(*arguments)
        monkeypatch.setattr(audit_scan, "_signed_head", head)
        for n in (3, 3, 3):
            log.append_all(drafts(n))
        return signed

    monkeypatch.setattr(audit_scan, "_signed_head", then_it_grows)
    found = scan_log(tmp_path, "tax", VERIFY)
    assert (found.tree.size, found.rest) == (4, b"")
    assert scan_log(tmp_path, "tax", VERIFY).tree.size == 13
    log.close()
    old = (tmp_path / "checkpoint").read_bytes()
    written(tmp_path, (1, 1))
    (tmp_path / "checkpoint").write_bytes(old)
    with pytest.raises(AuditBroken, match="more entries than the 13"):
        scan_log(tmp_path, "tax", VERIFY)


def test_the_entries_of_before_there_were_batches_are_read(tmp_path: Path) -> None:
    """A log as the first version wrote it, byte by byte."""
    lines = [
        b'{"event":"job_accepted","facts":{"purpose":"research"},"job":"j","sequence":0,'
        b'"time":"2026-05-04T12:00:00.000+00:00"}',
        b'{"event":"job_done","facts":{},"job":"j","sequence":1,"time":"2026-05-04T12:00:01.500+00:00"}',
    ]
    head = Head("tax", 2, tree_of(map(leaf_hash, lines)).root)
    assert base64.b64encode(head.root) == b"aXtCUDnmStY4QVvxEUAKtPrm9n5A7ymOoKxeFCBYKi0="
    (tmp_path / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (tmp_path / "checkpoint").write_bytes(SignedHead(head, KEY.sign(head.body())).encode())
    check_log(lines, head)
    with opened(tmp_path) as log:
        log.append_all(drafts(2))
    assert len(read_log(tmp_path, "tax", VERIFY)[0]) == 4


@pytest.fixture
def recorder(tmp_path: Path) -> Any:
    store = Store.at(tmp_path / "store.sqlite")
    with opened(tmp_path / "audit") as log:
        yield Recorder(log, store)
    store.close()


def test_threads_share_writes_and_each_entry_is_durable_when_its_call_returns(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, each = 16, 20
    batches: list[int] = []
    append_all, begin = AuditFile.append_all, threading.Barrier(threads)

    def counted(self: AuditFile, some: list[Draft]) -> SignedHead:
        batches.append(len(some))
        return append_all(self, some)

    monkeypatch.setattr(AuditFile, "append_all", counted)
    failed: list[BaseException] = []

    def work(me: int) -> None:
        try:
            begin.wait(60)
            for i in range(each):
                recorder.record(Event.STAGE_DONE, "job", me=me, i=i)
                signed = SignedHead.decode((tmp_path / "audit" / "checkpoint").read_bytes())
                lines = (tmp_path / "audit" / "entries.jsonl").read_bytes().splitlines()[: signed.head.size]
                assert any(f'"facts":{{"i":{i},"me":{me}}}'.encode() in line for line in lines)
        except BaseException as error:  # noqa: BLE001 - looked at below, in the test's own thread
            failed.append(error)

    workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert not failed
    found, signed = read_log(tmp_path / "audit", "tax", VERIFY)
    assert sorted((entry.facts["me"], entry.facts["i"]) for entry in found) == [
        (me, i) for me in range(threads) for i in range(each)
    ]
    assert sum(batches) == threads * each > len(batches)
    assert recorder.entries == signed.head.size


def test_what_is_submitted_is_written_when_somebody_waits_for_any_of_it(tmp_path: Path, recorder: Recorder) -> None:
    receipts = [recorder.submit(Event.STAGE_DONE, "job", {"n": n}) for n in range(MAX_BATCH + 3)]
    assert recorder.entries == 0
    receipts[1].wait()
    assert recorder.entries == MAX_BATCH
    receipts[-1].wait()
    for receipt in receipts:
        receipt.wait()
    assert [entry.facts["n"] for entry in read_log(tmp_path / "audit", "tax", VERIFY)[0]] == [*range(MAX_BATCH + 3)]


def test_a_draft_that_is_none_harms_nobody_else(recorder: Recorder) -> None:
    receipt = recorder.submit(Event.STAGE_DONE, "job", {"n": 1})
    with pytest.raises(AuditBroken):
        recorder.record(Event.STAGE_DONE, "job", auc=0.5)  # type: ignore[arg-type]
    receipt.wait()
    assert recorder.entries == 1


def test_who_waits_for_a_write_that_fails_is_told_each(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (recorder.submit(Event.STAGE_DONE, "job", {"n": n}) for n in range(2))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fedcredit.node.audit_file.os.fsync", full)
        for receipt in (first, second):
            with pytest.raises(ConfigError) as caught:
                receipt.wait()
            assert caught.value.code == "AUDIT_UNAVAILABLE"
    assert not recorder.usable
    with pytest.raises(ConfigError):
        recorder.record(Event.JOB_DONE, "job")


def test_a_disk_that_stands_still_acknowledges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(tmp_path / "store.sqlite")
    with opened(tmp_path / "audit") as log:
        recorder = Recorder(log, store, patience_s=0.05)
        stands, goes_on = threading.Event(), threading.Event()
        append_all = AuditFile.append_all

        def stuck(self: AuditFile, some: list[Draft]) -> SignedHead:
            stands.set()
            assert goes_on.wait(60)
            return append_all(self, some)

        monkeypatch.setattr(AuditFile, "append_all", stuck)
        receipt = recorder.submit(Event.STAGE_DONE, "job", {"n": 0})
        leader = threading.Thread(target=receipt.wait)
        leader.start()
        assert stands.wait(60)
        for late in (receipt.wait, lambda: recorder.record(Event.STAGE_DONE, "job", n=1)):
            with pytest.raises(ConfigError) as caught:
                late()
            assert caught.value.code == "AUDIT_UNAVAILABLE"
        goes_on.set()
        leader.join(60)
        receipt.wait()
        assert recorder.entries == 1
    store.close()


def test_times_are_those_of_the_write(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    with AuditFile(tmp_path, "tax", sign=KEY.sign, verify=VERIFY, clock=clock) as log:
        log.append_all(drafts(2))
        clock.advance(1.5)
        log.append_all(drafts(1))
    assert [entry.time - NOON for entry in read_log(tmp_path, "tax", VERIFY)[0]] == [
        timedelta(0),
        timedelta(0),
        timedelta(seconds=1.5),
    ]
