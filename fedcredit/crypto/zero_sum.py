"""Masks that cancel: each member of a group adds its own to what it sends, and they vanish in the sum over all members.

Any two members have a secret in common (X25519 between published keys). From it and from a context, which names one
computation alone, both derive one stream; who is named first adds it, the other subtracts it. To who lacks a member's
secrets, that member's mask looks uniform, unless all other members tell: so of several sums that some members hide
together, others learn the sum and nothing else. A mask serves once: a context must never come again with other values.

Reveals: nothing. Assumes: gap Diffie-Hellman on Curve25519; HKDF-SHA-512 and AES-256 as pseudorandom functions; that
published keys are those of their owners; two members at least who do not tell.
Shapes: n rows; masks of words (n,) modulo 2^64, of scalars modulo the order of ristretto255.
Source: K. Bonawitz et al., Practical Secure Aggregation, 2017, section 4; RFC 7748; RFC 5869.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.randomness import KeyedRandomness, Randomness
from fedcredit.kernels import elgamal

__all__ = ["PAIR_KEY_BYTES", "Member", "PairKey", "ZeroSum", "framed", "texts_of"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

PAIR_KEY_BYTES: Final = 32
_MAX_KEPT: Final = 256
_DOMAIN: Final = b"fedcredit v1 zero-sum masks"


@dataclass(frozen=True, slots=True, eq=False)
class PairKey:
    """A member's X25519 key. Make one with `generate`; it never leaves its owner."""

    public: bytes
    """32 bytes, published."""
    _secret: bytes = field(repr=False)
    _key: X25519PrivateKey = field(repr=False)
    _shared: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def generate(cls, randomness: Randomness) -> PairKey:
        """A fresh key."""
        return cls.from_bytes(randomness.bytes(PAIR_KEY_BYTES))

    @classmethod
    def from_bytes(cls, secret: bytes) -> PairKey:
        """The key that `to_bytes` gave. Raises: BadKey for another length."""
        if len(secret) != PAIR_KEY_BYTES:
            raise BadKey(f"{len(secret)} bytes are no X25519 secret")
        key = X25519PrivateKey.from_private_bytes(secret)
        return cls(key.public_key().public_bytes_raw(), secret, key)

    def to_bytes(self) -> bytes:
        """The secret itself, for its owner's private file."""
        return self._secret

    def shared_with(self, public: bytes) -> bytes:
        """The secret in common with the owner of `public`. Raises: BadKey, also for points of low order."""
        # Kept, since the same few parties meet in every request, and a single score would mostly be waiting for this.
        if (known := self._shared.get(public)) is not None:
            return known
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise BadKey("it is no X25519 key, or one of low order") from None
        if len(self._shared) >= _MAX_KEPT:
            self._shared.clear()
        self._shared[public] = shared
        return shared


@dataclass(frozen=True, slots=True)
class Member:
    """Who takes part, and with which key."""

    name: str
    public: bytes = field(repr=False)


class ZeroSum:
    """One member's masks for one context. With no other member, they are zero.

    `members`: all, in one order for all of them; `key`: that of the member at `place`. Raises: BadKey; ValueError.
    """

    def __init__(self, members: Sequence[Member], place: int, key: PairKey, context: bytes) -> None:
        if not 0 <= place < len(members) or members[place].public != key.public:
            raise ValueError("zero-sum masks: the key is not of this member")
        if len({member.name for member in members}) != len(members):
            raise ValueError("zero-sum masks: a member is named twice")
        self._pairs: list[tuple[bytes, bool]] = []
        for other, member in enumerate(members):
            if other != place:
                first, second = sorted((place, other))
                info = framed(_DOMAIN, *texts_of(members[first]), *texts_of(members[second]), context)
                hkdf = HKDF(hashes.SHA512(), length=32, salt=None, info=info)
                self._pairs.append((hkdf.derive(key.shared_with(member.public)), place > other))

    def words(self, values: U64, first: int) -> U64:
        """Values of the rows from `first` on, masked modulo 2^64. Shapes: (n,) in, (n,) out."""
        total = values.copy()
        for stream, (_, negative) in zip(self._streams("words", first), self._pairs, strict=True):
            mask = stream.words(len(values))
            total += -mask if negative else mask
        return total

    def scalars(self, values: I64, first: int, extra: U8) -> U8:
        """Values of the rows from `first` on, masked modulo the group's order, and `extra` added besides: (n, 32).

        Shapes: values (n,) int64; extra (n, 64), uniform bytes or zeros.
        """
        masks = [stream.array(len(values), elgamal.MASK_BYTES) for stream in self._streams("scalars", first)]
        signs = [negative for _, negative in self._pairs]
        return elgamal.masked(values, np.stack([*masks, extra]), [*signs, False])

    def _streams(self, use: str, first: int) -> list[Randomness]:
        return [KeyedRandomness(key, f"{use} from {first}") for key, _ in self._pairs]

    def __repr__(self) -> str:
        return "ZeroSum(...)"


def texts_of(member: Member) -> tuple[bytes, bytes]:
    """What a derivation is bound to of a member."""
    return member.name.encode(), member.public


def framed(*parts: bytes) -> bytes:
    """All parts in one text; lengths keep two lists from having the same."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)
