"""The audit log: what it accepts, that it survives a crash at any point, and that no tampering goes unseen."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.governance.audit import AuditBroken, Draft, Entry, Event, Head, SignedHead, check_log, listed
from fedcredit.governance.merkle import inclusion_proof, leaf_hash, verify_inclusion
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.audit_scan import read_log
from fedcredit.runtime.clock import ManualClock

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFY = KEY.public_key().verify
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def opened(folder: Path, **known: Any) -> AuditFile:
    return AuditFile(folder, "tax", sign=KEY.sign, verify=VERIFY, clock=ManualClock(NOON), **known)


def written(folder: Path, entries: int = 6) -> Head:
    with opened(folder) as log:
        for i in range(entries):
            log.append(Event.STAGE_DONE, "sme-default", stage=f"gbdt.0/tree.{i}", seconds_ms=i)
        return log.head


def test_what_is_appended_is_read_back_with_a_verified_head(tmp_path: Path) -> None:
    head = written(tmp_path)
    entries, signed = read_log(tmp_path, "tax", VERIFY)
    assert signed.head == head
    assert [entry.facts["stage"] for entry in entries] == [f"gbdt.0/tree.{i}" for i in range(6)]
    assert entries[0].time == NOON
    with opened(tmp_path, known=head) as log:
        log.append(Event.JOB_DONE, "sme-default")
        assert log.head.size == 7


def test_a_stored_entry_is_proved_against_the_signed_head(tmp_path: Path) -> None:
    head = written(tmp_path)
    lines = (tmp_path / "entries.jsonl").read_bytes().splitlines()
    leaves = [leaf_hash(line) for line in lines]
    verify_inclusion(leaves[4], 4, head.size, inclusion_proof(leaves, 4), head.root)


def test_entries_are_canonical_and_in_utc() -> None:
    east = timezone(timedelta(hours=8))
    entry = Entry(sequence=3, time=NOON.astimezone(east), event=Event.JOB_DONE, job="j", facts={"b": 1, "a": "x"})
    line = entry.encode()
    assert line == (
        b'{"event":"job_done","facts":{"a":"x","b":1},"job":"j","sequence":3,"time":"2026-05-04T12:00:00.000+00:00"}'
    )
    assert Entry.decode(line).encode() == line


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw | {"extra": 1},
        lambda raw: {k: v for k, v in raw.items() if k != "job"},
        lambda raw: raw | {"sequence": True},
        lambda raw: raw | {"sequence": 3.0},
        lambda raw: raw | {"sequence": -1},
        lambda raw: raw | {"event": "job_forgotten"},
        lambda raw: raw | {"time": "2026-05-04T12:00:00"},
        lambda raw: raw | {"time": "yesterday"},
        lambda raw: raw | {"facts": []},
        lambda raw: raw | {"facts": {"a": 0.5}},
        lambda raw: raw | {"facts": {"a": None}},
        lambda raw: raw | {"facts": {"A b": 1}},
        lambda raw: raw | {"facts": {"a": "x" * 300}},
        lambda raw: raw | {"job": 7},
    ],
)
def test_a_line_of_another_form_is_refused(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    raw = {"event": "job_done", "facts": {}, "job": "j", "sequence": 3, "time": "2026-05-04T12:00:00.000+00:00"}
    line = json.dumps(change(raw), sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(AuditBroken) as caught:
        Entry.decode(line)
    assert caught.value.code == "AUDIT_ENTRY"


@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_entry_or_head_are_typed_errors(data: bytes) -> None:
    for decode in (Entry.decode, SignedHead.decode):
        with pytest.raises(AuditBroken):
            decode(data)


def test_facts_hold_no_floats_and_no_long_text(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for facts in ({"auc": 0.8}, {"row": "x" * 257}, {"blob": b"x"}):
            with pytest.raises(AuditBroken):
                log.append(Event.JOB_DONE, "j", **facts)  # type: ignore[arg-type]
        assert log.head.size == 0


def test_every_flipped_bit_of_an_entry_is_found(tmp_path: Path) -> None:
    head = written(tmp_path, 3)
    data = (tmp_path / "entries.jsonl").read_bytes()
    for bit in range(0, len(data) * 8, 3):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuditBroken):
            check_log(bytes(changed).split(b"\n")[:-1], head)


def tampered(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / "entries.jsonl"
        file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))

    return apply


TAMPERING: dict[str, Callable[[Path], None]] = {
    "bit flip": tampered(lambda lines: [lines[0].replace(b"tree.0", b"tree.1"), *lines[1:]]),
    "delete": tampered(lambda lines: [*lines[:2], *lines[3:]]),
    "delete the last": tampered(lambda lines: lines[:-1]),
    "swap": tampered(lambda lines: [lines[1], lines[0], *lines[2:]]),
    "duplicate": tampered(lambda lines: [*lines, lines[-1], lines[-1]]),
    "truncate in a line": tampered(lambda lines: [*lines[:-1], lines[-1][:-9]]),
    "empty": tampered(lambda lines: []),
    "entries gone": lambda folder: (folder / "entries.jsonl").unlink(),
    "head gone": lambda folder: (folder / "checkpoint").unlink(),
    "head of another key": lambda folder: sign_again(folder, Ed25519PrivateKey.generate()),
    "head of another log": lambda folder: sign_again(folder, KEY, origin="bank"),
}


@pytest.mark.parametrize("kind", TAMPERING)
def test_a_tampered_log_does_not_open(tmp_path: Path, kind: str) -> None:
    written(tmp_path)
    TAMPERING[kind](tmp_path)
    with pytest.raises(AuditBroken):
        opened(tmp_path)
    with pytest.raises(AuditBroken):
        read_log(tmp_path, "tax", VERIFY)


def test_an_older_copy_of_everything_is_found_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    log = tmp_path / "audit"
    written(log, 3)
    shutil.copytree(log, tmp_path / "older")
    newer = written(log, 3)
    opened(tmp_path / "older").close()  # whole in itself
    for read in (lambda: opened(tmp_path / "older", known=newer), lambda: read_older(tmp_path, newer)):
        with pytest.raises(AuditBroken) as caught:
            read()
        assert caught.value.code == "AUDIT_ROLLED_BACK"


def test_a_rolled_back_head_is_found(tmp_path: Path) -> None:
    written(tmp_path, 2)
    old = (tmp_path / "checkpoint").read_bytes()
    newer = written(tmp_path, 3)
    (tmp_path / "checkpoint").write_bytes(old)
    with pytest.raises(AuditBroken):
        opened(tmp_path)
    with pytest.raises(AuditBroken):
        opened(tmp_path, known=newer)


def test_a_fork_is_found(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one", 3), written(tmp_path / "other", 4)
    assert one.root != other.root
    with opened(tmp_path / "fork") as log:
        for i in range(5):
            log.append(Event.STAGE_DONE, "another-job", stage=str(i))
    with pytest.raises(AuditBroken) as caught:
        opened(tmp_path / "fork", known=other)
    assert caught.value.code == "AUDIT_ROLLED_BACK"


@pytest.mark.parametrize("left", [b'{"event":"jo', b'{"event":"job_done"}\n', b"\n"])
def test_what_a_crash_left_behind_is_set_aside_and_said(tmp_path: Path, left: bytes) -> None:
    written(tmp_path, 3)
    with (tmp_path / "entries.jsonl").open("ab") as file:
        file.write(left)
    with opened(tmp_path) as log:
        assert log.head.size == 4
        log.append(Event.JOB_DONE, "j")
    entries, _ = read_log(tmp_path, "tax", VERIFY)
    assert entries[3].event is Event.LOG_RECOVERED
    assert entries[3].facts == {"unacknowledged_bytes": len(left)}
    assert (tmp_path / "unacknowledged.jsonl").read_bytes() == left.rstrip(b"\n") + b"\n"


@pytest.mark.parametrize("call", range(8))
def test_a_failure_of_any_disk_call_loses_nothing_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Append while the n-th write, fsync or rename fails; the log then takes nothing more until it is opened anew."""
    calls = iter(range(1000))

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*arguments: Any, **named: Any) -> Any:
            if next(calls) == call:
                raise OSError(28, "No space left on device")
            return real(*arguments, **named)

        return maybe

    acknowledged, refused = 0, set()
    with opened(tmp_path) as log:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", failing(os.write))
            patch.setattr(os, "fsync", failing(os.fsync))
            patch.setattr(Path, "replace", failing(Path.replace))
            for _ in range(2):
                try:
                    log.append(Event.JOB_DONE, "j", n=acknowledged)
                except ConfigError as error:
                    refused.add(error.code)
                else:
                    acknowledged += 1
        assert refused == {"AUDIT_UNAVAILABLE"}
        with pytest.raises(ConfigError):
            log.append(Event.JOB_DONE, "j")
    with opened(tmp_path) as log:
        log.append(Event.JOB_DONE, "j", n=99)
    entries, _ = read_log(tmp_path, "tax", VERIFY)
    kept = [entry.facts["n"] for entry in entries if entry.event is Event.JOB_DONE]
    assert kept[:acknowledged] == [*range(acknowledged)]
    assert kept[-1] == 99


def test_a_torn_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with opened(tmp_path) as log, monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        log.append(Event.JOB_DONE, "j")
    assert len(read_log(tmp_path, "tax", VERIFY)[0]) == 1


def test_a_second_process_cannot_open_the_log(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(ConfigError) as caught:
        opened(tmp_path)
    assert caught.value.code == "LOCKED"
    opened(tmp_path).close()


def read_older(tmp_path: Path, newer: Head) -> object:
    return read_log(tmp_path / "older", "tax", VERIFY, known=newer)


def sign_again(folder: Path, key: Ed25519PrivateKey, origin: str = "tax") -> None:
    head = SignedHead.decode((folder / "checkpoint").read_bytes()).head
    head = Head(origin, head.size, head.root)
    (folder / "checkpoint").write_bytes(SignedHead(head, key.sign(head.body())).encode())


def test_a_list_of_any_length_is_facts_that_an_entry_takes() -> None:
    assert listed("subjects", []) == {"subjects": ""}
    assert listed("subjects", ["tax=1", "bank=2"]) == {"subjects": "tax=1 bank=2"}
    words = [f"{'party' * 6}-{number:02}={number:064x}" for number in range(16)]
    facts = listed("subjects", words)
    assert len(facts) == 8
    assert " ".join(facts.values()).split() == words
    Draft(Event.JOB_ACCEPTED, "job", facts)
