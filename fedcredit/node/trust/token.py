"""A one-time token: the platform's leave for one party to join. A file of mode 0600, handed over by a safe way.

It holds the platform's authority, so that the party can tell the platform from an impostor, and a secret, of which the
platform keeps the hash alone.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.node.pki import check_authority, read_secret
from fedcredit.transport.identity import CERTIFICATE_ERRORS

__all__ = ["TokenFile"]

_FORMAT = "fedcredit-token/1"


@dataclass(frozen=True, slots=True)
class TokenFile:
    """What `party` needs to join `platform`. `enrol` and `node` are host:port of its two ports."""

    platform: PartyId
    authority: x509.Certificate = field(repr=False)
    enrol: str
    node: str
    party: PartyId
    kind: str
    expires: datetime
    secret: bytes = field(repr=False)

    @property
    def hash(self) -> bytes:
        """What the platform keeps of the secret."""
        return hashlib.sha256(self.secret).digest()

    @staticmethod
    def new_secret() -> bytes:
        """256 fresh bits."""
        return secrets.token_bytes(32)

    def to_bytes(self) -> bytes:
        """The file's content."""
        value = {
            "format": _FORMAT,
            "platform": self.platform,
            "enrol": self.enrol,
            "node": self.node,
            "party": self.party,
            "kind": self.kind,
            "expires": self.expires.isoformat(timespec="seconds"),
            "authority": self.authority.public_bytes(Encoding.PEM).decode(),
            "secret": self.secret.hex(),
        }
        return (json.dumps(value, indent=2) + "\n").encode()

    @classmethod
    def read(cls, path: Path, now: datetime) -> TokenFile:
        """A token from its file. Raises ConfigError (KEY_MISSING, KEY_EXPOSED, TOKEN_INVALID, TOKEN_EXPIRED)."""
        try:
            value = json.loads(read_secret(path))
            if value["format"] != _FORMAT:
                raise ValueError("format")
            platform = party_id(value["platform"])
            authority = x509.load_pem_x509_certificate(value["authority"].encode())
            check_authority(authority, platform, now)
            found = cls(
                platform,
                authority,
                str(value["enrol"]),
                str(value["node"]),
                party_id(value["party"]),
                str(value["kind"]),
                datetime.fromisoformat(value["expires"]).astimezone(UTC),
                bytes.fromhex(value["secret"]),
            )
        except (*CERTIFICATE_ERRORS, KeyError, AttributeError, OverflowError, RecursionError):
            problem = Problem("TOKEN_INVALID", str(path), "is not a token", "ask the platform for a new one")
            raise ConfigError(problem) from None
        if found.expires <= now:
            what = f"was good until {found.expires:%F %T} UTC"
            raise ConfigError(Problem("TOKEN_EXPIRED", str(path), what, "ask the platform for a new one"))
        return found
