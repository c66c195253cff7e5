"""One of a node's own audit logs, as its peers are shown it, and what they have signed of it."""

from __future__ import annotations

import threading
from pathlib import Path

from cryptography import x509

from fedcredit import failpoints
from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.governance.audit import AuditBroken, Head, SignedHead
from fedcredit.ids import PartyId
from fedcredit.node.audit_journal import JOURNAL
from fedcredit.node.audit_places import LogPlace, read_witnessed
from fedcredit.node.audit_scan import CHECKPOINT, WITNESSED, Scan
from fedcredit.node.durable_files import replace_file, sync_file
from fedcredit.node.signing import AUDIT_HEAD, AUDIT_WITNESS, SigningIdentity
from fedcredit.wire.witness import HeadSeen, HeadShown

__all__ = ["OwnLog"]


class OwnLog:
    """The log in `folder`. Reading it takes time that grows with its length: call from a thread."""

    def __init__(self, folder: Path, signing: SigningIdentity, log: str = "") -> None:
        self._folder, self._signing = folder, signing
        self._place = LogPlace(folder, signing.me, x509.load_der_x509_certificate(signing.certificate), log)
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._read: tuple[float, Scan] | None = None

    @property
    def is_there(self) -> bool:
        """Whether anything was ever written to it."""
        return (self._folder / CHECKPOINT).exists()

    def for_witness(
        self, witness: PartyId, known: SignedHead | None = None, *, since: float | None = None
    ) -> tuple[SignedHead, HeadShown]:
        """The log's head, and what shows `witness` that it follows the last one signed by it, or `known`.

        The log is checked first: what is not whole is not shown. One that was read later than `since`, by the
        monotonic clock, is not read again until `forget`: many witnesses are shown one head at a time.
        Raises: AuditBroken: AUDIT_ROLLED_BACK when it does not follow; ConfigError (AUDIT_UNAVAILABLE).
        """
        found = self._scan(since)
        before = self._last(witness) if known is None else known.head
        path: tuple[bytes, ...] = ()
        size = 0
        if before is not None and before.size > 0:
            tree = found.leaves.tree(before.size) if before.size <= len(found.leaves) else None
            if tree is None or tree.root != before.root:
                what = f"does not begin with the {before.size} entries that {witness} has signed"
                raise AuditBroken("AUDIT_ROLLED_BACK", f"audit log {self._place.origin}", what, "restore the log")
            path, size = found.leaves.consistency(before.size), before.size
        return found.signed, HeadShown(found.signed.encode(), self._signing.certificate, size, b"".join(path))

    def forget(self) -> None:
        """Let go of the log as it was read last."""
        self._read = None

    def _scan(self, since: float | None) -> Scan:
        with self._reading:
            if self._read is not None and since is not None and self._read[0] >= since:
                return self._read[1]
            begun = self._signing.clock.monotonic()
            found = self._place.scan()
            self._settle()
            self._read = None if since is None else (begun, found)
            return found

    def _settle(self) -> None:
        """Make the head that was read durable: its writer may be about to. What a crash could undo is not shown."""
        try:
            sync_file(self._folder / CHECKPOINT)
            if (self._folder / JOURNAL).exists():
                sync_file(self._folder / JOURNAL)
        except OSError as error:
            raise self._unavailable(error) from error

    def check_known(self, witness: PartyId, reply: HeadSeen) -> SignedHead:
        """The head of this log that a witness says it has signed last. Raises: PeerError if it is none."""
        try:
            known = SignedHead.decode(reply.known)
            if known.head.origin != self._place.origin or known.head.size < 0:
                raise AuditBroken("AUDIT_HEAD", "audit head", "is of another log")
        except AuditBroken as error:
            raise PeerError(witness, "audit head", error.problems[0].what, error.code) from None
        return known

    def is_ours(self, known: SignedHead) -> bool:
        """Whether a head has our own signature, by the key that we have now."""
        try:
            self._signing.verify_own(AUDIT_HEAD, known.signature, known.head.body())
        except Exception:  # noqa: BLE001 - each key library has its own type for it
            return False
        return True

    def keep(self, witness: PartyId, signed: SignedHead, reply: HeadSeen) -> None:
        """Keep a witness's signature, durably, after checking it.

        Raises: PeerError; ConfigError (AUDIT_UNAVAILABLE), AuditBroken (AUDIT_WITNESS).
        """
        body = signed.head.body()
        self._signing.verify(witness, reply.certificate, AUDIT_WITNESS, reply.signature, body)
        failpoints.hit("witness.line.made", witness)
        with self._writing:
            try:
                kept = read_witnessed(self._folder).signed_by(witness, signed, reply.signature)
                replace_file(self._folder / WITNESSED, kept.encode())
            except OSError as error:
                raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> ConfigError:
        what = error.strerror or "cannot be written"
        return ConfigError(Problem("AUDIT_UNAVAILABLE", str(self._folder), what, "look at the disk"))

    def _last(self, witness: PartyId) -> Head | None:
        found = read_witnessed(self._folder).of(witness)
        return None if found is None else found.signed.head
