"""What an audit log says and when it is whole. Pure: `fedcredit.node.audit_file` keeps it on disk.

A log is a list of entries, one line of canonical JSON each, and a signed head: the size and root of the Merkle tree
over those lines (`fedcredit.governance.merkle`). An entry says what happened in which job and when; it holds numbers,
names and hashes, never a row's value or a person's identifier. A head that another party kept convicts a log that
was rolled back or rewritten, even with a valid signature.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fedcredit.errors import DataError, Problem
from fedcredit.governance.merkle import HASH_BYTES, Tree, leaf_hash, tree_of

__all__ = ["MAX_LINE_BYTES", "AuditBroken", "Entry", "Event", "Fact", "Head", "SignedHead", "check_log", "continues"]

Fact = str | int | bool

MAX_LINE_BYTES = 16 * 1024
"""A longer entry is refused: an entry names what happened, it does not carry it."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MAX_TEXT = 256


class AuditBroken(DataError):
    """The log is not what was signed. Codes: AUDIT_ENTRY, AUDIT_HEAD, AUDIT_TAMPERED, AUDIT_ROLLED_BACK."""

    default_code = "AUDIT_TAMPERED"

    def __init__(self, code: str, where: str, what: str, fix: str = "") -> None:
        super().__init__(Problem(code, where, what, fix))


class Event(StrEnum):
    """What can be recorded."""

    JOB_ACCEPTED = "job_accepted"  # facts: the hash of the specification, the purpose, what was accepted to leak
    JOB_REFUSED = "job_refused"  # facts: the code; the rule and the policy's hash, or who refused
    JOB_PENDING = "job_pending"  # waits for a person of this party; facts: the rule and the policy's hash
    JOB_APPROVED = "job_approved"  # facts: who said yes
    JOB_ADMITTED = "job_admitted"  # facts: the rule, the policy's hash, the submitter, who approved
    POLICY_CHANGED = "policy_changed"  # facts: the hash of the file before and now, and whether it can be used
    TRUST_CHANGED = "trust_changed"  # facts: what of which peer, before and now: pins, certificates, members
    STAGE_DONE = "stage_done"
    JOB_RESUMED = "job_resumed"  # facts: the epoch, how many checkpoints were kept
    FILTER_ASKED = "filter_asked"  # facts: who looks identifiers up, how many, under which key, in which start
    RESULT_RELEASED = "result_released"
    JOB_DONE = "job_done"
    JOB_FAILED = "job_failed"
    LOG_RECOVERED = "log_recovered"  # a crash left an entry that was never acknowledged; it was set aside


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened. `facts` are counts, names and hashes in lower-case hexadecimal.

    Raises: AuditBroken (AUDIT_ENTRY) where a field is not of that kind.
    """

    sequence: int
    time: datetime
    event: Event
    job: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # bool and float compare equal to integers but are written differently.
        if type(self.sequence) is not int or self.sequence < 0:
            raise AuditBroken("AUDIT_ENTRY", "audit log", "a sequence number is not a natural number")
        if self.time.tzinfo is None or not isinstance(self.job, str) or len(self.job) > _MAX_TEXT:
            raise AuditBroken("AUDIT_ENTRY", f"entry {self.sequence}", "time without zone, or no short job name")
        for name, value in self.facts.items():
            # A float would make the canonical form a matter of taste, and data rarely come as anything else.
            if not _NAME.fullmatch(name) or not isinstance(value, Fact) or len(str(value)) > _MAX_TEXT:
                raise AuditBroken(
                    "AUDIT_ENTRY", f"entry {self.sequence}", f"{name[:40]!r} is not a short text, integer or flag"
                )

    def encode(self) -> bytes:
        """The entry as one line without its end: JSON with sorted keys and no spaces, in ASCII."""
        return _canonical(
            {
                "event": self.event.value,
                "facts": dict(self.facts),
                "job": self.job,
                "sequence": self.sequence,
                "time": self.time.astimezone(UTC).isoformat(timespec="milliseconds"),
            }
        )

    @classmethod
    def decode(cls, line: bytes) -> Entry:
        """The entry in `line`, which must be exactly what `encode` writes. Raises AuditBroken (AUDIT_ENTRY)."""
        problem = AuditBroken("AUDIT_ENTRY", "audit log", "a line is not an entry in canonical form")
        if len(line) > MAX_LINE_BYTES:
            raise problem
        try:
            raw = json.loads(line)
            entry = cls(
                sequence=raw["sequence"],
                time=datetime.fromisoformat(raw["time"]),
                event=Event(raw["event"]),
                job=raw["job"],
                facts=raw["facts"],
            )
            same = entry.encode() == line
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise problem from None
        if not same:
            raise problem
        return entry


@dataclass(frozen=True, slots=True)
class Head:
    """A log at one moment: whose it is, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    def body(self) -> bytes:
        """The bytes that are signed: three lines, as in the tlog-checkpoint format of C2SP."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head with its origin's signature over `head.body()`. The signature is checked by who knows the key."""

    head: Head
    signature: bytes = field(repr=False)

    def encode(self) -> bytes:
        """The body, an empty line, and the signature in base64 behind its signer's name."""
        signature = base64.b64encode(self.signature).decode()
        return self.head.body() + f"\n\N{EM DASH} {self.head.origin} {signature}\n".encode()

    @classmethod
    def decode(cls, data: bytes) -> SignedHead:
        """The signed head in `data`, exactly as `encode` writes it. Raises AuditBroken (AUDIT_HEAD)."""
        problem = AuditBroken("AUDIT_HEAD", "audit log", "the checkpoint is not a signed head")
        try:
            origin, size, root, _, signed, _ = data.decode().split("\n")
            _, _, signature = signed.split(" ")
            head = Head(origin, int(size), base64.b64decode(root, validate=True))
            made = cls(head, base64.b64decode(signature, validate=True))
        except (ValueError, binascii.Error):
            raise problem from None
        if made.encode() != data or len(head.root) != HASH_BYTES:
            raise problem
        return made


def check_log(lines: Iterable[bytes], head: Head) -> Tree:
    """Check that `lines` are the entries that `head` stands for, and return their tree.

    Raises: AuditBroken. AUDIT_ENTRY names the first line that cannot be one; AUDIT_TAMPERED says that a line was
    changed, removed, added or moved.
    """
    tree = Tree()
    for index, line in enumerate(lines):
        if Entry.decode(line).sequence != index:
            raise AuditBroken(
                "AUDIT_TAMPERED", f"entry {index}", "out of sequence: an entry was removed, added or moved"
            )
        tree = tree.append(leaf_hash(line))
    if tree.size != head.size:
        raise AuditBroken("AUDIT_TAMPERED", "audit log", f"{tree.size} entries where {head.size} were signed")
    if tree.root != head.root:
        raise AuditBroken("AUDIT_TAMPERED", "audit log", "the entries lead to another root than the signed one")
    return tree


def continues(leaves: Sequence[bytes], older: Head) -> None:
    """Check that a log's leaf hashes begin with those of a head kept elsewhere.

    Raises: AuditBroken (AUDIT_ROLLED_BACK) if the log is shorter, or is another one.
    """
    if len(leaves) < older.size:
        what = f"{len(leaves)} entries, but {older.size} were signed before"
    elif tree_of(leaves[: older.size]).root != older.root:
        what = f"its first {older.size} entries are not those signed before"
    else:
        return
    raise AuditBroken("AUDIT_ROLLED_BACK", f"audit log of {older.origin}", what, "restore the log from its backup")


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
