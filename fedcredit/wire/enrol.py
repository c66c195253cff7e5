"""Messages with which a party joins a platform and follows its directory."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import enrol_pb2
from fedcredit.wire.message import Message, blob, count, text

__all__ = ["MAX_DIRECTORY_BYTES", "EnrolReply", "EnrolRequest", "FetchRequest", "WithdrawRequest"]

MAX_DIRECTORY_BYTES = 2 << 20
"""A thousand members of two kilobytes each."""

MAX_NAME = 64
MAX_CERTIFICATE = 8 << 10


@dataclass(frozen=True, slots=True, repr=False)
class EnrolRequest(Message, tag=0x140, proto=enrol_pb2.EnrolRequest):
    """Let me in. Reveals: the party's name, kind, address and public keys. Assumes: TLS to the platform."""

    secret: bytes = blob(32)
    party: str = text(MAX_NAME)
    kind: str = text(MAX_NAME)
    address: str = text(255)
    authority: bytes = blob(1, MAX_CERTIFICATE)
    request: bytes = blob(1, MAX_CERTIFICATE)
    signer: bytes = blob(1, MAX_CERTIFICATE)
    proof: bytes = blob(8, 80)


@dataclass(frozen=True, slots=True, repr=False)
class EnrolReply(Message, tag=0x141, proto=enrol_pb2.EnrolReply):
    """The directory. Reveals: who is a member, and where. Assumes: TLS; the platform's Ed25519 key."""

    directory: bytes = blob(0, MAX_DIRECTORY_BYTES)
    signature: bytes = blob(0, 64)
    certificate: bytes = blob(0, MAX_CERTIFICATE)


@dataclass(frozen=True, slots=True, repr=False)
class FetchRequest(Message, tag=0x142, proto=enrol_pb2.FetchRequest):
    """Is there a newer directory? Reveals: which one the caller has. Assumes: mutual TLS, from a member."""

    serial: int = count(2**53)
    wait_ms: int = count(60_000)


@dataclass(frozen=True, slots=True, repr=False)
class WithdrawRequest(Message, tag=0x143, proto=enrol_pb2.WithdrawRequest):
    """My earlier certificates count no more. Reveals: that, and since when. Assumes: the authority's key is safe."""

    not_before: int = count(2**40)
    proof: bytes = blob(8, 80)
