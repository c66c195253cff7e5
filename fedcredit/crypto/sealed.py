"""Sealed messages: what one member of a group sends another by way of somebody who is not to read or change it.

Sender and recipient have a secret in common (X25519 between published keys, as for masks). From it, from both names and
keys in this order, and from a context, which names one computation alone, both derive the key of one direction; its
messages are numbered. What is opened was sealed by the other for just this context and place, whole.

Reveals: to the carrier, sizes, and who sends to whom. Assumes: gap Diffie-Hellman on Curve25519; HKDF-SHA-512 as a
pseudorandom function; AES-256-GCM; that published keys are those of their owners; that a place is sealed once.
Source: RFC 7748; RFC 5869; RFC 5116; NIST SP 800-38D.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcredit.crypto.zero_sum import Member, PairKey, framed, texts_of
from fedcredit.errors import PeerError

__all__ = ["SEAL_BYTES", "Seal"]

SEAL_BYTES: Final = 16
"""What a sealed message is longer than its content."""

_DOMAIN: Final = b"fedcredit v1 sealed"
_PLACE_BYTES: Final = 12


class Seal:
    """One direction, from `sender` to `recipient`, in one context. `key`: the own one, of either of the two.

    Raises: BadKey for a key that is none; ValueError where `key` is neither's.
    """

    def __init__(self, sender: Member, recipient: Member, key: PairKey, context: bytes) -> None:
        if key.public not in (sender.public, recipient.public) or sender.name == recipient.name:
            raise ValueError("sealed: the key is of neither, or both are one")
        other = recipient if key.public == sender.public else sender
        info = framed(_DOMAIN, *texts_of(sender), *texts_of(recipient), context)
        hkdf = HKDF(hashes.SHA512(), length=32, salt=None, info=info)
        self._cipher, self._sender = AESGCM(hkdf.derive(key.shared_with(other.public))), sender.name

    def seal(self, place: int, content: bytes | memoryview) -> bytes:
        """`content` as the message at `place`, which is sealed once and never with another content."""
        return self._cipher.encrypt(_nonce(place), content, None)

    def open(self, place: int, sealed: bytes | memoryview, step: str) -> bytes:
        """The content. Raises: PeerError (SEAL_INVALID) that names the sender, though the carrier may be to blame."""
        try:
            return self._cipher.decrypt(_nonce(place), sealed, None)
        except (InvalidTag, ValueError):
            what = "a message that was sealed by it does not open: it was changed, or is of another request or place"
            raise PeerError(self._sender, step, what, "SEAL_INVALID") from None

    def __repr__(self) -> str:
        return "Seal(...)"


def _nonce(place: int) -> bytes:
    return place.to_bytes(_PLACE_BYTES, "big")
