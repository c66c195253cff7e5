"""What an audit log says and when it is whole. Pure: `fedcredit.node.audit_file` keeps it on disk.

A log is a list of entries, one line of canonical JSON each, and a signed head: the size and root of the Merkle tree
over those lines (`fedcredit.governance.merkle`). An entry says what happened in which job and when; it holds numbers,
names and hashes, never a row's value or a person's identifier. A head that another party kept convicts a log that
was rolled back or rewritten, even with a valid signature.

Entries that came at the same time are written together, as one batch under one head; each says how many of its batch
come after it, so that what a crash left of a batch is told from entries that somebody added.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from json.encoder import encode_basestring_ascii

from fedcredit.errors import DataError, Problem
from fedcredit.governance.leaves import Leaves
from fedcredit.governance.merkle import HASH_BYTES, Tree, leaf_hash
from fedcredit.kernels.log import first_bad

__all__ = [
    "BULK_BYTES",
    "HEAD_SLOT_BYTES",
    "MAX_BATCH",
    "MAX_LINE_BYTES",
    "VERIFY_LOG",
    "AuditBroken",
    "Draft",
    "Entry",
    "Event",
    "Fact",
    "Head",
    "SignedHead",
    "check_block",
    "check_log",
    "check_tree",
    "continues",
    "heads_in",
    "is_interrupted_batch",
    "line_of",
    "listed",
    "origin_of",
    "stamp",
]

Fact = str | int | bool

MAX_LINE_BYTES = 16 * 1024
"""A longer entry is refused: an entry names what happened, it does not carry it."""

BULK_BYTES = 64 * 1024
"""From so many bytes of lines on they are checked natively; below, starting the threads for it takes longer."""

HEAD_SLOT_BYTES = 4096
"""A checkpoint that is written in place has two places of so many bytes; the newer head is written over the older."""

MAX_BATCH = 4096
"""Entries that are written together at most, and so the most that a crash can leave unacknowledged."""

VERIFY_LOG = "verify"
"""The log of a node's answers to single questions, which has a writer, and so a name, of its own."""

_quoted = encode_basestring_ascii
"""A text as JSON in ASCII: the one part of an entry's form that is not obvious, and the standard library's."""
_MAX_END_BYTES = 128  # what a line has beside a draft's `begin` is shorter
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MAX_TEXT = 256


class AuditBroken(DataError):
    """The log is not what was signed. Codes: AUDIT_ENTRY, _HEAD, _TAMPERED, _ROLLED_BACK, _WITNESS."""

    default_code = "AUDIT_TAMPERED"

    def __init__(self, code: str, where: str, what: str, fix: str = "") -> None:
        super().__init__(Problem(code, where, what, fix))


class Event(StrEnum):
    """What can be recorded."""

    JOB_ACCEPTED = "job_accepted"  # facts: the hash of the specification, the purpose, what was accepted to leak
    JOB_REFUSED = "job_refused"  # facts: the code; the rule and the policy's hash, or who refused
    JOB_PENDING = "job_pending"  # waits for a person of this party; facts: the rule and the policy's hash
    JOB_APPROVED = "job_approved"  # facts: who said yes
    JOB_ADMITTED = "job_admitted"  # facts: the rule, the policy's hash, the submitter, who approved, what noise costs
    POLICY_CHANGED = "policy_changed"  # facts: the hash of the file before and now, and whether it can be used
    TRUST_CHANGED = "trust_changed"  # facts: what of which peer, before and now: pins, certificates, members
    STAGE_DONE = "stage_done"
    JOB_RESUMED = "job_resumed"  # facts: the epoch, how many checkpoints were kept, and how many parties are left out
    FILTER_ASKED = "filter_asked"  # facts: who looks identifiers up, how many, under which key, in which start
    RESULT_RELEASED = "result_released"
    JOB_DONE = "job_done"
    JOB_FAILED = "job_failed"
    CONSENT_GRANTED = "consent_granted"  # facts: the consent's and its token's hash, whose word, for whom and what
    CONSENT_REVOKED = "consent_revoked"  # facts: the consent's hash, by whom; never the subject, nor its hash
    VERIFIED = "verified"  # facts: who asked what for what, about whom (a keyed tag), the answer's hash and outcome
    VERIFY_REFUSED = "verify_refused"  # the same, and why; what a caller made up is not repeated
    MEMBERSHIP_PERMITTED = (
        "membership_permitted"  # facts: to whom, for whose table, of how many consents; the permit's hash
    )
    MEMBERSHIP_ASKED = "membership_asked"  # facts: who asks of how many subjects, for what, under which permit and key
    VERIFY_BATCH = "verify_batch"  # facts: how many, the answers' hash, where in checks.bin each of them stands
    SERVING_CHANGED = "serving_changed"  # facts: what questions are answered from: the snapshot's hash, index files
    HEAD_FORKED = "head_forked"  # a peer showed a head that does not follow the one kept of it; facts: both, signed
    MODEL_CHANGED = "model_changed"  # facts: what happened to which version of a model, by whom; hashes, never a part
    SCORE_ANSWERED = "score_answered"  # facts: who had parts of which scores, how many; the request's and rows' hashes
    SCORE_REFUSED = "score_refused"  # a request of which nothing was answered; facts: who, of which model, the code
    LOG_RECOVERED = "log_recovered"  # a crash: what was never acknowledged was set aside, what was lacking put in place


_EVENT_NAMES = tuple(event.value.encode() for event in Event)


def listed(name: str, words: Iterable[str]) -> dict[str, str]:
    """Facts that list words, none of which is long: `name`, then `name_2` and so on where one text is too short."""
    texts = [""]
    for word in words:
        if texts[-1] and len(texts[-1]) + 1 + len(word) > _MAX_TEXT:
            texts.append("")
        texts[-1] = f"{texts[-1]} {word}".lstrip()
    return {name if number == 1 else f"{name}_{number}": text for number, text in enumerate(texts, 1)}


@dataclass(frozen=True, slots=True)
class Draft:
    """What will be an entry once its place and time are known. `facts` are counts, names and hashes.

    `begin` is its line as far as it does not depend on them.
    Raises: AuditBroken (AUDIT_ENTRY) where a field is not of that kind, or all of them are too long.
    """

    event: Event
    job: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    begin: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.job, str) or len(self.job) > _MAX_TEXT:
            raise AuditBroken("AUDIT_ENTRY", "audit log", "the job's name is no short text")
        for name, value in self.facts.items():
            # A float would make the canonical form a matter of taste, and data rarely come as anything else.
            if not _NAME.fullmatch(name) or not isinstance(value, Fact) or len(str(value)) > _MAX_TEXT:
                raise AuditBroken("AUDIT_ENTRY", "audit log", f"{name[:40]!r} is not a short text, integer or flag")
        facts = ",".join([f'"{name}":{_fact(self.facts[name])}' for name in sorted(self.facts)])
        begin = f'{{"event":"{self.event.value}","facts":{{{facts}}},"job":{_quoted(self.job)}'
        # What cannot be read again must not be written.
        if len(begin) > MAX_LINE_BYTES - _MAX_END_BYTES:
            raise AuditBroken("AUDIT_ENTRY", "audit log", f"an entry of more than {MAX_LINE_BYTES} bytes")
        object.__setattr__(self, "begin", begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened. `facts` are counts, names and hashes in lower-case hexadecimal.

    `more` is how many entries were written after it in the same batch.
    Raises: AuditBroken (AUDIT_ENTRY) where a field is not of that kind.
    """

    sequence: int
    time: datetime
    event: Event
    job: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    more: int = 0

    def __post_init__(self) -> None:
        # bool and float compare equal to integers but are written differently.
        if type(self.sequence) is not int or self.sequence < 0:
            raise AuditBroken("AUDIT_ENTRY", "audit log", "a sequence number is not a natural number")
        if type(self.more) is not int or not 0 <= self.more < MAX_BATCH:
            raise AuditBroken("AUDIT_ENTRY", f"entry {self.sequence}", "is of no batch that can be")
        if self.time.tzinfo is None:
            raise AuditBroken("AUDIT_ENTRY", f"entry {self.sequence}", "its time has no zone")
        Draft(self.event, self.job, self.facts)

    def encode(self) -> bytes:
        """The entry as one line without its end: JSON with sorted keys and no spaces, in ASCII."""
        return line_of(Draft(self.event, self.job, self.facts).begin, self.sequence, self.more, stamp(self.time))

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
                more=raw.get("more", 0),
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


def heads_in(data: bytes) -> list[SignedHead]:
    """The signed heads in a `checkpoint`, newest first: one text, or two at places of their own.

    Both of two must be signed heads, since a disk writes a place whole or not at all. Raises AuditBroken (AUDIT_HEAD).
    """
    if len(data) != 2 * HEAD_SLOT_BYTES:
        return [SignedHead.decode(data)]
    places = data[:HEAD_SLOT_BYTES], data[HEAD_SLOT_BYTES:]
    one, other = (SignedHead.decode(place.rstrip(b"\0")) for place in places)
    if one.head.origin != other.head.origin or (one.head.size == other.head.size and one.head != other.head):
        raise AuditBroken("AUDIT_HEAD", "audit log", "the checkpoint holds heads of two logs")
    return sorted((one, other), key=lambda signed: -signed.head.size)


def origin_of(party: str, log: str = "") -> str:
    """The name of a log in its heads: the party's own for its node's log, PARTY/verify for that of `VERIFY_LOG`.

    A party signs all its logs with one key. Had they one name, a head of one would pass for a fork of the other.
    """
    return f"{party}/{log}" if log else party


def check_log(lines: Iterable[bytes], head: Head) -> Tree:
    """Check that `lines` are the entries that `head` stands for, and return their tree.

    Raises: AuditBroken. AUDIT_ENTRY names the first line that cannot be one; AUDIT_TAMPERED says that a line was
    changed, removed, added or moved.
    """
    tree = Tree()
    for index, line in enumerate(lines):
        _check_line(line, index)
        tree = tree.append(leaf_hash(line))
    check_tree(tree, head)
    return tree


def check_block(block: bytes, first: int) -> Leaves:
    """The leaf hashes of many lines at once, each with its line feed, after checking them as `check_log` does.

    `first` is the number of the first one. Raises: AuditBroken (AUDIT_ENTRY, AUDIT_TAMPERED).
    """
    bad = first_bad(block, first, max_line=MAX_LINE_BYTES, max_text=_MAX_TEXT, max_batch=MAX_BATCH, events=_EVENT_NAMES)
    if bad is not None:
        _check_line(block.split(b"\n")[bad], first + bad)
        # The two readers of the form disagree about this line; what either refuses is refused.
        raise AuditBroken("AUDIT_ENTRY", f"entry {first + bad}", "a line is not an entry in canonical form")
    return Leaves.of(block)


def check_tree(tree: Tree, head: Head) -> None:
    """Check that `tree` is the one that `head` stands for. Raises: AuditBroken (AUDIT_TAMPERED)."""
    if tree.size != head.size:
        raise AuditBroken("AUDIT_TAMPERED", "audit log", f"{tree.size} entries where {head.size} were signed")
    if tree.root != head.root:
        raise AuditBroken("AUDIT_TAMPERED", "audit log", "the entries lead to another root than the signed one")


def continues(leaves: Leaves, older: Head) -> None:
    """Check that a log's leaf hashes begin with those of a head kept elsewhere.

    Raises: AuditBroken (AUDIT_ROLLED_BACK) if the log is shorter, or is another one.
    """
    if len(leaves) < older.size:
        what = f"{len(leaves)} entries, but {older.size} were signed before"
    elif leaves.tree(older.size).root != older.root:
        what = f"its first {older.size} entries are not those signed before"
    else:
        return
    raise AuditBroken("AUDIT_ROLLED_BACK", f"audit log of {older.origin}", what, "restore the log from its backup")


def is_interrupted_batch(rest: bytes, size: int) -> bool:
    """Whether what follows the `size` entries of a log can be what a crash left of one batch, and so of nothing that
    was acknowledged.

    A disk may have kept any part of what was not synced; so lines that cannot be read count as lost. Those that can
    must be of one and the same batch, the one that comes next, and no more than it has.
    """
    lines = rest.removesuffix(b"\n").split(b"\n")
    if len(lines) == 1:
        return True
    ends, last = set(), size - 1
    for line in lines[: MAX_BATCH + 1]:
        try:
            entry = Entry.decode(line)
        except AuditBroken:
            continue
        if entry.sequence <= last:
            return False
        last = entry.sequence
        ends.add(entry.sequence + entry.more + 1)
    return len(ends) == 1 and len(lines) <= min(ends.pop() - size, MAX_BATCH)


def line_of(begin: str, sequence: int, more: int, time: str) -> bytes:
    """The line of an entry, from its `Draft.begin` and what depends on its place."""
    of_batch = f',"more":{more}' if more else ""
    return f'{begin}{of_batch},"sequence":{sequence},"time":"{time}"}}'.encode()


def stamp(time: datetime) -> str:
    """A moment as entries have it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _check_line(line: bytes, index: int) -> None:
    if Entry.decode(line).sequence != index:
        raise AuditBroken("AUDIT_TAMPERED", f"entry {index}", "out of sequence: an entry was removed, added or moved")


def _fact(value: Fact) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
