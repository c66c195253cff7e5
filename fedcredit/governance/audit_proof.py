"""Proofs about an audit log as files that travel alone: they hold all that checking them takes but trust in the key.

An inclusion proof shows that one entry is in a log under a signed head. A consistency proof shows that a log under one
signed head only added to what it was under an older one. Both are JSON, canonical, and small: a log of 10^6 entries
takes 20 hashes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fedcredit.governance.audit import AuditBroken, Entry, Head, SignedHead
from fedcredit.governance.merkle import HASH_BYTES, leaf_hash, verify_consistency, verify_inclusion

__all__ = ["MAX_PROOF_BYTES", "ConsistencyProof", "InclusionProof", "Proof", "decode_proof"]

MAX_PROOF_BYTES: Final = 64 * 1024
"""A longer file is no proof; it is not even parsed."""

_INCLUSION, _CONSISTENCY = "fedcredit audit inclusion 1", "fedcredit audit consistency 1"
_MAX_PATH = 130  # two paths in a tree of 2^64 leaves

Verify: TypeAlias = Callable[[bytes, bytes], object]


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That `line` is entry `index` of the log of `signed`."""

    line: bytes
    index: int
    signed: SignedHead
    path: tuple[bytes, ...]

    @property
    def entry(self) -> Entry:
        """The entry. Raises: AuditBroken (AUDIT_ENTRY)."""
        return Entry.decode(self.line)

    def check(self, verify: Verify) -> None:
        """Check everything; `verify` checks the head's signature. Raises: AuditBroken, ProofInvalid."""
        check_signature(self.signed, verify)
        head = self.signed.head
        verify_inclusion(leaf_hash(self.line), self.index, head.size, self.path, head.root)
        if self.entry.sequence != self.index:
            raise AuditBroken("AUDIT_TAMPERED", f"entry {self.index}", "is numbered otherwise")

    def encode(self) -> bytes:
        """The proof as JSON."""
        body = {"entry": self.line.decode(), "head": self.signed.encode().decode(), "index": self.index}
        return _encode(_INCLUSION, body, self.path)


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the log of `signed` begins with that of `older`, which is not empty."""

    older: SignedHead
    signed: SignedHead
    path: tuple[bytes, ...]

    def check(self, verify: Verify) -> None:
        """Check everything; `verify` checks both signatures. Raises: AuditBroken, ProofInvalid."""
        for signed in (self.older, self.signed):
            check_signature(signed, verify)
        old, new = self.older.head, self.signed.head
        if old.origin != new.origin:
            raise AuditBroken("AUDIT_HEAD", "audit proof", "the two heads are of different logs")
        verify_consistency(old.size, old.root, new.size, new.root, self.path)

    def encode(self) -> bytes:
        """The proof as JSON."""
        body = {"head": self.signed.encode().decode(), "older": self.older.encode().decode()}
        return _encode(_CONSISTENCY, body, self.path)


Proof: TypeAlias = InclusionProof | ConsistencyProof


def decode_proof(data: bytes) -> Proof:
    """The proof in `data`, exactly as `encode` writes it; nothing is verified yet.

    Raises: AuditBroken (AUDIT_PROOF).
    """
    problem = AuditBroken("AUDIT_PROOF", "audit proof", "this is not a proof of fedcredit")
    if len(data) > MAX_PROOF_BYTES:
        raise problem
    made: Proof
    try:
        raw = json.loads(data)
        signed, path = SignedHead.decode(raw["head"].encode()), _path(raw["path"])
        if raw["proof"] == _INCLUSION:
            if type(raw["index"]) is not int:
                raise problem
            made = InclusionProof(raw["entry"].encode(), raw["index"], signed, path)
        else:
            made = ConsistencyProof(SignedHead.decode(raw["older"].encode()), signed, path)
        same = made.encode() == data
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, AuditBroken):
        raise problem from None
    if not same:
        raise problem
    return made


def check_signature(signed: SignedHead, verify: Verify) -> Head:
    """Check that a head is signed; gives the head. Raises: AuditBroken (AUDIT_HEAD)."""
    try:
        verify(signed.signature, signed.head.body())
    except Exception as error:  # each key library has its own type for it
        raise AuditBroken("AUDIT_HEAD", f"head of {signed.head.origin}", "the signature does not fit") from error
    return signed.head


def _path(raw: Any) -> tuple[bytes, ...]:
    if not isinstance(raw, list) or len(raw) > _MAX_PATH:
        raise ValueError("no path")
    path = tuple(base64.b64decode(node, validate=True) for node in raw)
    if any(len(node) != HASH_BYTES for node in path):
        raise binascii.Error("no hash")
    return path


def _encode(kind: str, body: dict[str, Any], path: Sequence[bytes]) -> bytes:
    document = body | {"path": [base64.b64encode(node).decode() for node in path], "proof": kind}
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"
