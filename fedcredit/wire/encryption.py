"""Messages of every protocol that computes under encryption on ring-LWE: `docs/protocols/rlwe.md`.

Reveals: of every message, its size, which follows from public numbers of rows and columns.
Assumes: all parties are semi-honest; the link authenticates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedcredit.wire._gen import encryption_pb2 as pb
from fedcredit.wire.message import Message, blob, count

__all__ = ["MAX_CHUNK_BYTES", "Encrypted", "EncryptionKey"]

MAX_CHUNK_BYTES: Final = 1 << 20
MAX_KEY_BYTES: Final = 1 << 20
MAX_STREAM: Final = 1 << 40


@dataclass(frozen=True, slots=True, repr=False)
class EncryptionKey(Message, tag=0x72, proto=pb.EncryptionKey):
    """A party's public key, for this session.

    Reveals: nothing. Assumes: ring learning with errors.
    """

    key: bytes = blob(1, MAX_KEY_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class Encrypted(Message, tag=0x76, proto=pb.Encrypted):
    """A run of bytes of ciphertexts, or of answers computed from them.

    Reveals: nothing to who has not the key; to the key's owner, of an answer, the numbers that it was made of, under
    masks if the computing party added any. Assumes: ring learning with errors; the noise of an answer is drowned.
    """

    first: int = count(MAX_STREAM)
    data: bytes = blob(1, MAX_CHUNK_BYTES)
