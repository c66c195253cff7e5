"""The platform's directory: who is a member, by which authority, where, and whether it still is. Signed, numbered.

A party takes a directory only with the platform's signature and a number that is not smaller than that of the one it
has, so that nobody can bring back an older one. It tells whom to believe anew; it can never change what a party
believes of a member that it has pinned already, except that it may be revoked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.node.canonical_json import canonical
from fedcredit.node.pki import check_authority
from fedcredit.runtime.state import state_invalid
from fedcredit.transport.address import is_address
from fedcredit.transport.identity import CERTIFICATE_ERRORS
from fedcredit.wire.enrol import MAX_DIRECTORY_BYTES

__all__ = ["ACTIVE", "DIRECTORY", "REVOKED", "Directory", "MemberRecord"]

DIRECTORY = b"fedcredit/v1/directory"
"""The use of a signature over a directory."""

ACTIVE, REVOKED = "active", "revoked"
MAX_MEMBERS = 1000
_FORMAT = 1
_UNREADABLE = (*CERTIFICATE_ERRORS, LookupError, AttributeError, ArithmeticError, OSError, RecursionError)
"""What JSON of a wrong form, dates without end and strange certificates raise."""
_KEYS = {"id", "kind", "authority", "address", "state", "not_before"}


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One member. `address` is host:port or relay://id; leaves made before `not_before` are withdrawn."""

    party: PartyId
    kind: str
    authority: x509.Certificate = field(repr=False)
    address: str
    state: str = ACTIVE
    not_before: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in a directory and in the platform's store."""
        return {
            "id": self.party,
            "kind": self.kind,
            "authority": self.authority.public_bytes(Encoding.PEM).decode(),
            "address": self.address,
            "state": self.state,
            "not_before": None if self.not_before is None else int(self.not_before.timestamp()),
        }

    @classmethod
    def parse(cls, data: bytes) -> MemberRecord:
        """A record as the store has it. Raises FedcreditError (STATE_INVALID)."""
        try:
            return cls.from_json(json.loads(data))
        except (*_UNREADABLE, ConfigError):
            raise state_invalid("a member cannot be read") from None

    @classmethod
    def from_json(cls, value: Any) -> MemberRecord:
        """A record that holds together. Raises ConfigError, and what reading raises."""
        party = party_id(value["id"])
        authority = x509.load_pem_x509_certificate(value["authority"].encode())
        # Its dates count when it is used: one that has ended must not make the whole directory unreadable.
        check_authority(authority, party, authority.not_valid_before_utc)
        address, kind, state, before = (value[key] for key in ("address", "kind", "state", "not_before"))
        if not isinstance(address, str) or not is_address(address, party) or state not in (ACTIVE, REVOKED):
            raise ValueError("member")
        if kind not in ("provider", "institution") or set(value) != _KEYS:
            raise ValueError("member")
        withdrawn = None if before is None else datetime.fromtimestamp(int(before), UTC)
        return cls(party, kind, authority, address, state, withdrawn)


@dataclass(frozen=True, slots=True)
class Directory:
    """All members of `platform` as of number `serial`."""

    platform: PartyId
    serial: int
    members: tuple[MemberRecord, ...]

    @classmethod
    def of(cls, platform: PartyId, serial: int, members: Iterable[MemberRecord]) -> Directory:
        """A directory of `members`, by name."""
        return cls(platform, serial, tuple(sorted(members, key=lambda member: member.party)))

    def to_bytes(self) -> bytes:
        """What is signed."""
        members = [member.to_json() for member in self.members]
        return canonical({"format": _FORMAT, "platform": self.platform, "serial": self.serial, "members": members})

    @classmethod
    def parse(cls, data: bytes, platform: PartyId) -> Directory:
        """A directory that `platform` has signed. Raises PeerError (DIRECTORY_INVALID) naming the platform."""
        try:
            if len(data) > MAX_DIRECTORY_BYTES:
                raise ValueError("size")
            value = json.loads(data)
            if value["format"] != _FORMAT or value["platform"] != platform or len(value["members"]) > MAX_MEMBERS:
                raise ValueError("head")
            members = [MemberRecord.from_json(member) for member in value["members"]]
            found = cls.of(platform, int(value["serial"]), members)
            if found.to_bytes() != data or len({member.party for member in members}) != len(members):
                raise ValueError("form")
        except (*_UNREADABLE, ConfigError):
            raise PeerError(platform, "directory", "is not a directory of this platform", "DIRECTORY_INVALID") from None
        return found

    def check_follows(self, serial: int) -> None:
        """See that this one is not older than number `serial`. Raises PeerError (DIRECTORY_ROLLBACK)."""
        if self.serial < serial:
            what = f"number {self.serial} is older than {serial}, which was seen before"
            raise PeerError(self.platform, "directory", what, "DIRECTORY_ROLLBACK")

    def member(self, party: PartyId) -> MemberRecord:
        """The record of `party`. Raises ConfigError (MEMBER_UNKNOWN)."""
        for member in self.members:
            if member.party == party:
                return member
        raise ConfigError(
            Problem("MEMBER_UNKNOWN", party, "is no member of this platform", "see `fedcredit party trust`")
        )
