"""Keys and ciphertexts on ring-LWE on their way, alike for every protocol that computes under encryption.

Bytes of ciphertexts and of answers move in chunks; how many are due follows from public numbers, so that nothing is
allocated by a size that a peer names. What is in them is checked where they are read: `crypto.rlwe`.

Reveals: nothing but sizes. Assumes: ring learning with errors.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.rlwe_checks import BadKey
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.binning import SealedCounts, SealedLabels
from fedcredit.wire.encryption import MAX_CHUNK_BYTES, Encrypted, EncryptionKey

__all__ = ["receive_bytes", "receive_key", "send_bytes", "send_key"]

U8: TypeAlias = npt.NDArray[np.uint8]
Chunk: TypeAlias = Encrypted | SealedLabels | SealedCounts


def send_key(to: PartyId, key: rlwe.PublicKey) -> Steps[None]:
    """Send a public key."""
    yield from send(to, EncryptionKey(key.to_bytes().tobytes()))


def receive_key(sender: PartyId, step: str) -> Steps[rlwe.PublicKey]:
    """A peer's public key, checked. Raises: PeerError with the code of what is wrong with it."""
    got = yield from recv(sender, EncryptionKey)
    try:
        return rlwe.PublicKey.from_bytes(np.frombuffer(got.key, np.uint8))
    except BadKey as bad:
        raise bad.of_peer(sender, step) from None


def send_bytes(to: PartyId, flat: U8, kind: type[Chunk] = Encrypted) -> Steps[None]:
    """Send bytes in chunks, as messages of `kind`."""
    for first in range(0, flat.size, MAX_CHUNK_BYTES):
        yield from send(to, kind(first, flat[first : first + MAX_CHUNK_BYTES].tobytes()))


def receive_bytes(sender: PartyId, size: int, step: str, kind: type[Chunk] = Encrypted) -> Steps[U8]:
    """Receive `size` bytes in chunks of `kind`. Raises: PeerError SHAPE."""
    flat = np.empty(size, np.uint8)
    for first in range(0, size, MAX_CHUNK_BYTES):
        got = yield from recv(sender, kind)
        part = flat[first : first + MAX_CHUNK_BYTES]
        if got.first != first or len(got.data) != part.size:
            raise PeerError(sender, step, "sent another run of bytes than is due", "SHAPE")
        part[:] = np.frombuffer(got.data, np.uint8)
    return flat
