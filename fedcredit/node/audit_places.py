"""Audit logs for who looks at them without their node: where they lie, whose they are, and with which key to check.

A log lies in a node's folder, in a folder of its own with the certificate of its party's signing key, or with those of
the other parties in the result of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from fedcredit.errors import ConfigError, Problem
from fedcredit.governance.audit import (
    HEAD_SLOT_BYTES,
    VERIFY_LOG,
    AuditBroken,
    Head,
    SignedHead,
    continues,
    heads_in,
    origin_of,
)
from fedcredit.governance.audit_proof import (
    MAX_PROOF_BYTES,
    ConsistencyProof,
    InclusionProof,
    Proof,
    check_signature,
    decode_proof,
)
from fedcredit.governance.witness import MAX_FILE_BYTES, Witnessed, WitnessedHeads
from fedcredit.ids import PartyId
from fedcredit.node.audit_checks import BatchChecks
from fedcredit.node.audit_scan import CHECKPOINT, WITNESSED, Scan, scan_log
from fedcredit.node.pki import load_certificate
from fedcredit.node.signing import AUDIT_WITNESS, verify_audit_head, verify_with
from fedcredit.runtime.config import load_party
from fedcredit.transport.identity import CERTIFICATE_ERRORS, IdentityInvalid, read_party

__all__ = [
    "LogPlace",
    "check_witness",
    "find_logs",
    "find_one",
    "read_head",
    "read_proof",
    "read_witnessed",
    "signer_of",
]

CERTIFICATE = "signing.crt"
PARTY, AUDIT, VERIFY = "party.toml", "audit", "verify"
_MAX_HEAD_BYTES = 2 * HEAD_SLOT_BYTES


@dataclass(frozen=True, slots=True)
class LogPlace:
    """The log in `folder`, of the party that `certificate` names; `log` says which of its logs."""

    folder: Path
    party: PartyId
    certificate: x509.Certificate
    log: str = ""

    @property
    def origin(self) -> str:
        """The log's name in its heads."""
        return origin_of(self.party, self.log)

    def scan(self, known: Sequence[SignedHead] = (), see: Callable[[bytes, int], object] | None = None) -> Scan:
        """Check the log, with the checks of its batches, and that it continues each of the heads kept elsewhere.

        Raises: AuditBroken (AUDIT_*), ConfigError (AUDIT_UNAVAILABLE).
        """
        sees = [] if see is None else [see]
        if self.log == VERIFY_LOG:
            sees.append(BatchChecks(self.folder).see)

        def all_see(block: bytes, first: int) -> None:
            for one in sees:
                one(block, first)

        try:
            found = scan_log(self.folder, self.origin, self.verify, see=all_see)
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        for signed in known:
            continues(found.leaves, self.check_head(signed))
        return found

    def witnessed(self, found: Scan) -> WitnessedHeads:
        """What peers have signed of the log, which `scan` has found: each a head of this log that the log continues.

        Whether the peers' own signatures are theirs is not checked: see `check_witness`. Raises: AuditBroken.
        """
        heads = read_witnessed(self.folder)
        for one in heads.heads:
            continues(found.leaves, self.check_head(one.signed))
        return heads

    def prove(self, index: int) -> InclusionProof:
        """The proof that entry `index` is in the log, after checking the log. Raises as `scan` does; AUDIT_PROOF."""
        lines: list[bytes] = []

        def see(block: bytes, first: int) -> None:
            if first <= index < first + block.count(b"\n"):
                lines.append(block.split(b"\n")[index - first])

        found = self.scan(see=see)
        return InclusionProof(lines[-1] if lines else b"", index, found.signed, found.leaves.inclusion(index))

    def prove_since(self, older: SignedHead) -> ConsistencyProof:
        """The proof that the log only added to what it was at `older`. Raises as `scan` does; AUDIT_PROOF."""
        found = self.scan([older])
        return ConsistencyProof(older, found.signed, found.leaves.consistency(older.head.size))

    def check_head(self, signed: SignedHead) -> Head:
        """Check that a head is this log's, and signed with its party's key. Raises AuditBroken (AUDIT_HEAD)."""
        if signed.head.origin != self.origin:
            what = f"is the head of another log than {self.origin}'s"
            raise AuditBroken("AUDIT_HEAD", f"head of {signed.head.origin}", what)
        return check_signature(signed, self.verify)

    def verify(self, signature: bytes, body: bytes) -> None:
        """Check a head's signature. Raises InvalidSignature or TypeError."""
        verify_audit_head(self.certificate, signature, body)


def find_logs(place: Path, certificate: Path | None = None) -> list[LogPlace]:
    """The logs at `place`, checked with `certificate` or, without one, with those that lie there.

    `place` is a node's folder, with the log of its verification if there is one, or `verify` in it for that one alone;
    a folder with a `checkpoint`, or a folder with such folders in it or in its `audit/`.
    Raises: ConfigError (AUDIT_MISSING, KEY_MISSING, KEY_INVALID, SIGNING_KEY).
    """
    if (place / PARTY).exists():
        own = certificate or _own_certificate(place)
        served = place / VERIFY / AUDIT
        also = [_place(served, own, VERIFY_LOG)] if (served / CHECKPOINT).exists() else []
        return [_place(place / AUDIT, own, ""), *also]
    if place.name == VERIFY and (place.parent / PARTY).exists():
        return [_place(place / AUDIT, certificate or _own_certificate(place.parent), VERIFY_LOG)]
    if (place / CHECKPOINT).exists():
        return [_place(place, certificate or place / CERTIFICATE)]
    found = sorted({path.parent for pattern in ("*/", "audit/*/") for path in place.glob(pattern + CHECKPOINT)})
    if not found:
        fix = "name a node's folder, the result of a run, or a folder with `checkpoint` and `entries.jsonl`"
        raise ConfigError(Problem("AUDIT_MISSING", str(place), "there is no audit log", fix))
    return [_place(folder, certificate or folder / CERTIFICATE) for folder in found]


def find_one(place: Path, certificate: Path | None = None) -> LogPlace:
    """The one log at `place`; of a node, its own.

    Raises: as `find_logs` does, and ConfigError (AUDIT_MISSING) if there are several.
    """
    found = find_logs(place, certificate)
    if len(found) > 1 and not (place / PARTY).exists():
        names = ", ".join(str(log.folder) for log in found)
        raise ConfigError(Problem("AUDIT_MISSING", str(place), "there are several audit logs", f"name one: {names}"))
    return found[0]


def signer_of(certificate: Path, signed: SignedHead) -> LogPlace:
    """For proofs that lie nowhere: whose `certificate` it is, and which of its logs `signed` is a head of.

    Raises: ConfigError as `find_logs` does.
    """
    log = VERIFY_LOG if signed.head.origin.endswith(f"/{VERIFY_LOG}") else ""
    return _place(certificate.parent, certificate, log)


def read_head(path: Path) -> SignedHead:
    """A head that was kept: a copy of a `checkpoint`. Raises: AuditBroken (AUDIT_HEAD), ConfigError."""
    return heads_in(_bounded(path, _MAX_HEAD_BYTES))[0]


def read_proof(path: Path) -> Proof:
    """A proof from its file; nothing is verified yet. Raises: AuditBroken (AUDIT_PROOF), ConfigError."""
    return decode_proof(_bounded(path, MAX_PROOF_BYTES))


def read_witnessed(folder: Path) -> WitnessedHeads:
    """What peers have signed of the log in `folder`; nothing is verified yet.

    Raises: AuditBroken (AUDIT_WITNESS), ConfigError (AUDIT_UNAVAILABLE).
    """
    path = folder / WITNESSED
    return WitnessedHeads.decode(_bounded(path, MAX_FILE_BYTES)) if path.exists() else WitnessedHeads()


def check_witness(certificate: Path, name: str, heads: WitnessedHeads) -> Witnessed | None:
    """The last head that `name` has signed, by the key of `certificate`; None if it has signed none.

    Raises: AuditBroken (AUDIT_WITNESS) if the signature does not fit, ConfigError.
    """
    witness = _place(certificate.parent, certificate, "")
    if witness.party != name:
        fix = f"give the certificate of {name}'s signing key"
        raise ConfigError(Problem("SIGNING_KEY", str(certificate), f"is that of {witness.party}", fix))
    if (found := heads.of(name)) is None:
        return None
    try:
        verify_with(witness.certificate, AUDIT_WITNESS, dict(found.by)[name], found.signed.head.body())
    except (InvalidSignature, TypeError):
        what = "its signature does not fit"
        raise AuditBroken("AUDIT_WITNESS", f"witness {name} of {found.signed.head.origin}", what) from None
    return found


def _own_certificate(node: Path) -> Path:
    try:
        config = load_party(node)
    except ConfigError:
        # A copy of the folder has neither keys nor table, and none is needed to check.
        usual = node / "keys" / CERTIFICATE
        if usual.exists():
            return usual
        raise
    return config.path(config.identity.signing_certificate)


def _place(folder: Path, path: Path, log: str | None = None) -> LogPlace:
    """The log in `folder`, checked with the certificate at `path`. Without `log`, its head says which of them it is."""
    certificate = load_certificate(path)
    log = _log_in(folder) if log is None else log
    try:
        party = read_party(certificate, signer=True)
        verify_audit_head(certificate, bytes(64), b"")
    except InvalidSignature:
        return LogPlace(folder, party, certificate, log)
    except (*CERTIFICATE_ERRORS, IdentityInvalid):
        pass
    fix = f"give the party's {CERTIFICATE} with --certificate"
    raise ConfigError(Problem("SIGNING_KEY", str(path), "is not the certificate of a party's signing key", fix))


def _log_in(folder: Path) -> str:
    try:
        with (folder / CHECKPOINT).open("rb") as file:
            _, _, log = file.readline(_MAX_HEAD_BYTES).rstrip(b"\n").partition(b"/")
    except OSError:
        return ""
    return VERIFY_LOG if log == VERIFY_LOG.encode() else ""


def _bounded(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(Problem("AUDIT_UNAVAILABLE", str(path), error.strerror or "cannot be read"))
