"""Logs whose end is in their journal: as a machine without power leaves them, for whoever looks at them offline.

The journal is written here as `log_journal.rs` describes it; that the service writes it so is shown where it runs
(`tests/faults/test_verify_log.py`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from head_nodes import NOW, TAX, Node

from fedcredit.cli.main import main
from fedcredit.governance.audit import HEAD_SLOT_BYTES, VERIFY_LOG, AuditBroken, SignedHead, origin_of
from fedcredit.kernels.digest import blake3
from fedcredit.node.audit_journal import JOURNAL
from fedcredit.node.audit_scan import CHECKPOINT, ENTRIES, Scan, scan_log
from fedcredit.node.fsck import check_audit
from fedcredit.node.store import Store
from fedcredit.runtime.clock import ManualClock

HALF, PAGE = 4 << 20, 4096
ORIGIN = origin_of(TAX, VERIFY_LOG)


@dataclass
class Log:
    """A log of answers, and what it was after each batch: its entries and its head's text."""

    node: Node
    folder: Path
    states: list[tuple[bytes, bytes]]

    def put(self, entries: bytes, checkpoint: bytes, journal: bytes | None) -> None:
        """Make the folder one that holds this."""
        (self.folder / ENTRIES).write_bytes(entries)
        (self.folder / CHECKPOINT).write_bytes(checkpoint)
        (self.folder / JOURNAL).unlink(missing_ok=True)
        if journal is not None:
            (self.folder / JOURNAL).write_bytes(journal)

    def scan(self) -> Scan:
        return scan_log(self.folder, ORIGIN, self.node.logs_verify)

    def code(self) -> str:
        """What is wrong with it."""
        try:
            self.scan()
        except AuditBroken as error:
            return error.code
        return ""

    def record(self, generation: int, batch: int, head: bytes | None = None) -> bytes:
        """The journal's record of a batch; of 0, that everything before is in place."""
        before, (after, signed) = self.states[max(batch - 1, 0)][0], self.states[batch]
        before = after if batch == 0 else before
        lines, text = after[len(before) :], head or signed
        numbers = (generation, before.count(b"\n"), len(before), len(lines), len(text))
        data = struct.pack(">8s5Q", b"\x89FCJRNL\x01", *numbers) + lines + text
        data += blake3(data)
        return data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")


def slots(one: bytes, other: bytes) -> bytes:
    """A checkpoint of two heads."""
    return one.ljust(HEAD_SLOT_BYTES, b"\0") + other.ljust(HEAD_SLOT_BYTES, b"\0")


def journal(*halves: bytes) -> bytes:
    """A journal with these records, without the zeros behind the last of them."""
    return b"".join(half.ljust(HALF, b"\0") for half in halves[:-1]) + halves[-1]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}", ManualClock(NOW))
    node = Node(TAX, tmp_path / "tax", store)
    made = Log(node, node.place(VERIFY_LOG), [])
    for batch in (3, 2, 60, 1):
        node.add(batch, VERIFY_LOG)
        made.states.append(((made.folder / ENTRIES).read_bytes(), (made.folder / CHECKPOINT).read_bytes()))
    yield made
    node.close()
    store.close()


def test_what_the_files_lack_is_read_from_the_journal(log: Log) -> None:
    (synced, old), _, (_, newer), (whole, newest) = log.states
    halves = (
        (log.record(1, 0) + log.record(1, 1) + log.record(1, 2) + log.record(1, 3),),
        (log.record(2, 3), log.record(1, 0) + log.record(1, 1) + log.record(1, 2)),
        (log.record(4, 2) + log.record(4, 3), log.record(3, 1)),
    )
    heads = (slots(old, old), slots(newest, newer), slots(old, newest), slots(newer[:70] + bytes(9), newest))
    for records in halves:
        for cut in range(len(synced), len(whole), 2600):
            for entries in (whole[:cut], whole[:cut] + bytes(len(whole) - cut - 50)):
                for checkpoint in heads:
                    log.put(entries, checkpoint, journal(*records))
                    found = log.scan()
                    assert (found.tree.size, found.signed) == (66, SignedHead.decode(newest))
                    assert (found.entry_bytes, found.rest, found.journal_bytes) == (len(whole), b"", len(whole) - cut)
        # Each line is seen once, and as it was signed.
        seen: list[bytes] = []
        log.put(synced, slots(old, old), journal(*records))
        scan_log(log.folder, ORIGIN, log.node.logs_verify, see=lambda block, _first, seen=seen: seen.append(block))
        assert b"".join(seen) == whole


def test_a_record_that_was_not_finished_or_is_not_signed_is_none(log: Log) -> None:
    (synced, old), (_, second), (long, third), _ = log.states
    good = log.record(1, 0) + log.record(1, 1)
    torn, key = log.record(1, 2), log.node.signing
    forged = SignedHead.decode(third)
    unsigned = log.record(1, 2, SignedHead(forged.head, bytes(64)).encode())
    foreign = log.record(1, 2, SignedHead(forged.head, key.sign(b"other", forged.head.body())).encode())
    for bad in (torn[:PAGE], bytes(PAGE) + torn[PAGE:], torn[:-PAGE], unsigned, foreign):
        log.put(synced, slots(old, old), journal(good + bad))
        assert log.scan().signed == SignedHead.decode(second)
    # Entries and checkpoint stand for themselves, whatever the journal is.
    for data in (journal(good + unsigned), journal(torn[:PAGE]), b"", bytes(10), None):
        log.put(long, slots(third, second), data)
        assert log.scan().signed == SignedHead.decode(third)


def test_a_log_that_was_closed_is_not_completed_and_not_believed_when_it_is_older(log: Log) -> None:
    (synced, old), (_, second), _, (whole, newest) = log.states
    closed = struct.pack(">8s5Q", b"\x89FCJRNL\x01", 2, 66, len(whole), 0, len(newest)) + newest
    data = journal(closed + blake3(closed), log.record(1, 1) + log.record(1, 2) + log.record(1, 3))
    log.put(whole, slots(newest, second), data)
    assert log.scan().journal_bytes == 0
    for entries, checkpoint in ((synced, slots(old, old)), (whole, slots(old, second)), (synced, slots(newest, old))):
        log.put(entries, checkpoint, data)
        assert log.code() == "AUDIT_TAMPERED"
    log.put(whole, slots(newest[:70], second), data)
    assert log.code() == "AUDIT_HEAD"


def test_what_was_changed_before_the_journal_begins_is_found(log: Log) -> None:
    (synced, old), _, _, (_, newest) = log.states
    data = journal(log.record(1, 1) + log.record(1, 2) + log.record(1, 3))
    for at in range(0, len(synced), 5):
        log.put(synced[:at] + bytes([synced[at] ^ 1]) + synced[at + 1 :], slots(newest, old), data)
        assert log.code() in {"AUDIT_ENTRY", "AUDIT_TAMPERED"}
    log.put(synced[:-1], slots(newest, old), data)
    assert log.code() in {"AUDIT_ENTRY", "AUDIT_TAMPERED"}
    # A journal that lacks a batch completes nothing.
    log.put(synced, slots(old, old), journal(log.record(1, 1) + log.record(1, 3)))
    assert log.code() == "AUDIT_TAMPERED"


def test_whoever_looks_at_it_is_told_that_it_was_not_closed(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (synced, old), _, _, (whole, _) = log.states
    log.put(synced, slots(old, old), journal(log.record(1, 1) + log.record(1, 2) + log.record(1, 3)))
    assert check_audit(log.node.store, log.folder, ORIGIN, lambda: log.node.logs_verify) == (66, [])
    certificate = tmp_path / "tax.crt"
    certificate.write_bytes(x509.load_der_x509_certificate(log.node.signing.certificate).public_bytes(Encoding.PEM))
    ask = ["audit", "verify", str(log.folder), "--certificate", str(certificate)]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(ask)
    assert f"{len(whole) - len(synced)} bytes of them are in the journal alone" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*ask, "--json"])
    assert json.loads(capsys.readouterr().out)["journal_bytes"] == len(whole) - len(synced)
    # What a peer is shown is the head that the journal has.
    signed, _ = log.node.own[VERIFY_LOG].for_witness(TAX)
    assert signed.head.size == 66
    log.put(synced, slots(old, old), None)
    assert log.scan().tree.size == 3
