"""The folder `trust/` of a node: one file for each party that it believes, and what the platform said last.

    trust/pins/tax.pem          the authority that alone can name tax
    trust/distrusted/bank       not believed any more, whatever the platform says; the file says why
    trust/directory.json        the platform's directory, signed
    trust/platform.json         which platform, and where it was when this party joined

Every file is whole or not there, so a node that is killed at any point finds its pins again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit import failpoints
from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.node.durable_files import folder_locked, replace_file, sync_folder
from fedcredit.node.pki import check_authority
from fedcredit.node.signing import verify_with
from fedcredit.node.trust.directory import DIRECTORY, REVOKED, Directory
from fedcredit.transport.identity import CERTIFICATE_ERRORS, IdentityInvalid
from fedcredit.transport.trust import Pin, Trust, TrustRefused
from fedcredit.wire.enrol import EnrolReply

__all__ = ["Joined", "TrustFolder", "fingerprint"]

_MAX_FILE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Joined:
    """The platform that a party has joined. `address` is that of its own port."""

    platform: PartyId
    address: str


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in groups of four, to be read out over a telephone."""
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    return " ".join(digest[k : k + 4] for k in range(0, len(digest), 4))


class TrustFolder:
    """Reads and changes `trust/` of the node in `folder`. `me` and `own` are always believed."""

    def __init__(self, folder: Path, me: PartyId, own: x509.Certificate) -> None:
        self.path, self._me, self._own = folder / "trust", me, own

    def create(self) -> None:
        """Make the folder, if it is not there."""
        for folder in (self.path, self.path / "pins", self.path / "distrusted"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self.path)

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes whenever a file in the folder does."""
        found = []
        for path in sorted([*self.path.glob("*.json"), *self.path.glob("pins/*"), *self.path.glob("distrusted/*")]):
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def pins(self) -> dict[PartyId, x509.Certificate]:
        """The pinned authorities. Raises ConfigError (TRUST_INVALID) with every file that is not what it must be."""
        problems: list[Problem] = []
        found = {}
        for path in sorted(self.path.glob("pins/*.pem")):
            try:
                party = party_id(path.stem)
                certificate = x509.load_pem_x509_certificate(path.read_bytes())
                check_authority(certificate, party, certificate.not_valid_before_utc)
                found[party] = certificate
            except (ConfigError, OSError, *CERTIFICATE_ERRORS):
                fix = "remove it, and pin the party again"
                problems.append(Problem("TRUST_INVALID", str(path), "is not an authority of this party", fix))
        if problems:
            raise ConfigError(problems)
        return found

    def pin(self, party: PartyId, authority: x509.Certificate) -> None:
        """Believe `authority` for `party` from now on, in place of what was believed before."""
        check_authority(authority, party)
        with folder_locked(self.path):
            path = self.path / "pins" / f"{party}.pem"
            replace_file(path, authority.public_bytes(Encoding.PEM))
            failpoints.hit("trust.pin.written", party)

    def trust_again(self, party: PartyId) -> None:
        """Take back `distrust`."""
        with folder_locked(self.path):
            (self.path / "distrusted" / party).unlink(missing_ok=True)
            sync_folder(self.path / "distrusted")

    def distrust(self, party: PartyId, reason: str) -> None:
        """Believe nothing of `party` any more."""
        with folder_locked(self.path):
            replace_file(self.path / "distrusted" / party, reason.encode() + b"\n")
            failpoints.hit("trust.distrust.written", party)

    def distrusted(self) -> dict[PartyId, str]:
        """Parties that are not believed by this party's own decision, and why."""
        return {PartyId(p.name): p.read_text().strip() for p in self.path.glob("distrusted/*") if p.name[0] != "."}

    def withdraw(self, not_before: int) -> None:
        """Keep that this party's own leaves made before `not_before` (seconds since 1970) count no more."""
        replace_file(self.path / "withdrawn", b"%d\n" % not_before)
        failpoints.hit("trust.withdrawal.kept", self._me)

    def withdrawn(self) -> int | None:
        """What `withdraw` kept."""
        try:
            return int((self.path / "withdrawn").read_text())
        except (OSError, ValueError):
            return None

    def joined(self) -> Joined | None:
        """The platform that was joined, if any. Raises ConfigError (TRUST_INVALID)."""
        path = self.path / "platform.json"
        if not path.exists():
            return None
        try:
            value = json.loads(path.read_bytes()[:_MAX_FILE_BYTES])
            return Joined(party_id(value["platform"]), str(value["address"]))
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            raise ConfigError(Problem("TRUST_INVALID", str(path), "cannot be read", "enrol the party again")) from None

    def join(self, joined: Joined) -> None:
        """Keep which platform was joined."""
        text = json.dumps({"platform": joined.platform, "address": joined.address}, indent=2)
        replace_file(self.path / "platform.json", text.encode() + b"\n")
        failpoints.hit("trust.platform.kept", joined.platform)

    def directory(self, platform: PartyId) -> Directory | None:
        """The directory that was kept last, its signature checked anew. Raises ConfigError, PeerError."""
        path = self.path / "directory.json"
        if not path.exists():
            return None
        try:
            value = json.loads(path.read_bytes()[:_MAX_FILE_BYTES])
            reply = EnrolReply(*(bytes.fromhex(value[key]) for key in ("directory", "signature", "certificate")))
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            raise ConfigError(Problem("TRUST_INVALID", str(path), "cannot be read", "enrol the party again")) from None
        return self.verify(reply, platform)

    def verify(self, reply: EnrolReply, platform: PartyId) -> Directory:
        """The directory in `reply`. Raises PeerError (DIRECTORY_INVALID) unless the pinned platform signed it."""
        try:
            signer = x509.load_der_x509_certificate(reply.certificate)
            pinned = self._own if platform == self._me else self.pins()[platform]
            # The directory is believed as long as the platform is; its key is checked, and whose it is.
            named = Trust({platform: Pin((pinned,))}).check_signer(signer, signer.not_valid_before_utc)
            if named != platform:
                raise ValueError("another party's")
            verify_with(signer, DIRECTORY, reply.signature, reply.directory)
        except (*CERTIFICATE_ERRORS, KeyError, InvalidSignature, TrustRefused, IdentityInvalid):
            raise PeerError(platform, "directory", "is not signed by the platform", "DIRECTORY_INVALID") from None
        return Directory.parse(reply.directory, platform)

    def keep(self, reply: EnrolReply, platform: PartyId, *, pin_new: bool) -> list[tuple[str, PartyId]]:
        """Take a newer directory in place of the last one; new members are pinned if `pin_new`.

        Gives what a person should look at, as code and party: members that changed their authority (TRUST_CHANGED),
        and ones that wait to be confirmed (TRUST_NEW).
        Raises: PeerError (DIRECTORY_INVALID, DIRECTORY_ROLLBACK).
        """
        found, last = self.verify(reply, platform), self.directory(platform)
        if last is not None:
            found.check_follows(last.serial)
        fields = ("directory", "signature", "certificate")
        text = json.dumps({field: getattr(reply, field).hex() for field in fields})
        replace_file(self.path / "directory.json", text.encode())
        failpoints.hit("trust.directory.kept", str(found.serial))
        pins, notes = self.pins(), list[tuple[str, PartyId]]()
        for member in found.members:
            if member.party in (self._me, platform):
                continue
            if (pinned := pins.get(member.party)) is None:
                if pin_new and member.state != REVOKED:
                    self.pin(member.party, member.authority)
                elif member.state != REVOKED:
                    notes.append(("TRUST_NEW", member.party))
            elif pinned != member.authority:
                notes.append(("TRUST_CHANGED", member.party))
        return notes

    def trust(self) -> Trust:
        """Whom this party believes. Raises ConfigError, PeerError."""
        pins = {party: Pin((certificate,)) for party, certificate in self.pins().items()}
        joined = self.joined()
        if (directory := self.directory(self._me if joined is None else joined.platform)) is not None:
            for member in directory.members:
                if (pin := pins.get(member.party)) is not None:
                    refused = "PEER_REVOKED" if member.state == REVOKED else ""
                    pins[member.party] = Pin(pin.authorities, member.not_before, refused)
        for party in self.distrusted():
            pins[party] = Pin(pins[party].authorities if party in pins else (), refused="PEER_DISTRUSTED")
        # A party that is revoked still knows its own signatures.
        return Trust(pins | {self._me: Pin((self._own,))})
