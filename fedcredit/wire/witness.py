"""Messages with which peers have the heads of their audit logs signed by each other."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import witness_pb2
from fedcredit.wire.message import Message, MessageInvalid, blob, count

__all__ = ["MAX_HEAD_BYTES", "MAX_SIZE", "HeadSeen", "HeadShown"]

MAX_HEAD_BYTES = 512
"""Of the text of a signed head; what a head in place has room for."""

MAX_SIZE = 2**63 - 1
"""Entries of a log, as far as a store can count."""

_MAX_CERTIFICATE_BYTES = 3072
_HASH_BYTES, _SIGNATURE_BYTES = 32, 64
_MAX_PATH_BYTES = 130 * _HASH_BYTES  # two paths in a tree of 2^64 leaves


@dataclass(frozen=True, slots=True, repr=False)
class HeadShown(Message, tag=0x190, proto=witness_pb2.HeadShown):
    """A party's audit log as it stands, and that it only grew since a peer signed it.

    Reveals: to the peer, how many entries the log has at this moment, and hashes from which nothing follows about an
    entry that cannot be guessed whole.
    Assumes: mutual TLS, from the log's own party; SHA-256 is collision resistant.
    """

    head: bytes = blob(1, MAX_HEAD_BYTES)
    certificate: bytes = blob(1, _MAX_CERTIFICATE_BYTES)
    since: int = count(MAX_SIZE)
    path: bytes = blob(0, _MAX_PATH_BYTES)

    def validate(self) -> None:
        """A path is whole hashes."""
        if len(self.path) % _HASH_BYTES:
            raise MessageInvalid("HeadShown.path", "not whole hashes")

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The path, hash by hash."""
        return tuple(self.path[at : at + _HASH_BYTES] for at in range(0, len(self.path), _HASH_BYTES))


@dataclass(frozen=True, slots=True, repr=False)
class HeadSeen(Message, tag=0x191, proto=witness_pb2.HeadSeen):
    """The witness's signature over a head that was shown; or the head that it has to be proved from.

    Reveals: to the log's party, which of its own heads the witness has seen last. Nothing of the witness's own log.
    Assumes: mutual TLS, from the witness; it has kept the head durably before it signs.
    """

    signature: bytes = blob(0, _SIGNATURE_BYTES)
    certificate: bytes = blob(0, _MAX_CERTIFICATE_BYTES)
    known: bytes = blob(0, MAX_HEAD_BYTES)

    def validate(self) -> None:
        """One or the other, whole."""
        signed = len(self.signature) == _SIGNATURE_BYTES and bool(self.certificate) and not self.known
        asks = bool(self.known) and not self.signature and not self.certificate
        if not signed and not asks:
            raise MessageInvalid("HeadSeen", "neither a signature nor a head to prove from")
