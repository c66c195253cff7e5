"""Who adds up together, and the secrets of each two of them: fresh at every start of a job, and never kept.

each -> each other    MemberKey    an X25519 key, over the link that proves whose it is
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.zero_sum import Member, PairKey, framed, texts_of
from fedcredit.errors import ConfigError, FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels.masks import add_masks
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.aggregate import CHUNK_WORDS, MAX_MEMBERS, MAX_WORDS, MemberKey

__all__ = ["Group", "Mask", "agree", "chunks", "refuse_members", "refuse_repeat", "shared_key"]

U64: TypeAlias = npt.NDArray[np.uint64]

SESSION_BYTES: Final = 32
_PAIR: Final = b"fedcredit v1 aggregate pair"
_ROUND: Final = "fedcredit v1 aggregate round"


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Members that add up, the leader first, and what this member has in common with each other. Made by `agree`.

    `session`: 32 bytes that only this use in this start of the job has.
    """

    me: PartyId
    members: tuple[PartyId, ...]
    session: bytes = field(repr=False)
    _pair_keys: tuple[bytes, ...] = field(repr=False)
    _used: set[str] = field(default_factory=set, repr=False)

    @property
    def leader(self) -> PartyId:
        """Who adds up: the first member."""
        return self.members[0]

    @property
    def place(self) -> int:
        """Where this member stands among all."""
        return self.members.index(self.me)

    @property
    def others(self) -> tuple[PartyId, ...]:
        """All members but this one, in their order."""
        return tuple(member for member in self.members if member != self.me)

    def mask(self, label: str, n: int) -> Mask:
        """This member's mask for the `n` words of the round `label`.

        Raises: FedcreditError LABEL_REUSED for a label that served before: two vectors under one mask tell their
        difference.
        """
        self.use(label)
        material = framed(self.session, label.encode(), struct.pack(">Q", n))
        keys = [digest.derive(_ROUND, key + material) for key in self._pair_keys if key]
        return Mask(tuple(keys), tuple(self.place > other for other, key in enumerate(self._pair_keys) if key))

    def use(self, label: str) -> None:
        """Note that `label` has served. Raises: FedcreditError LABEL_REUSED."""
        refuse_repeat(self._used, label)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A mask of one round: the streams of some keys, of which each is added or subtracted."""

    _keys: tuple[bytes, ...] = field(repr=False)
    _subtract: tuple[bool, ...] = field(repr=False)

    def add(self, into: U64, first: int) -> None:
        """Add the mask's words from `first` on to `into`, in place, modulo 2^64."""
        add_masks(into, self._keys, self._subtract, first)


def agree(me: PartyId, members: Sequence[PartyId], session: bytes, randomness: Randomness) -> Steps[Group]:
    """Send every other member a fresh key, and have a secret in common with each.

    Reveals: nothing. Assumes: semi-honest members; links that prove who sent what; gap Diffie-Hellman on Curve25519.
    Raises: ConfigError; PeerError KEY_INVALID for a key of low order.
    Source: K. Bonawitz et al., Practical Secure Aggregation, 2017, section 4.
    """
    members = tuple(members)
    refuse_members(me, members, session)
    key = PairKey.generate(randomness)
    for other in members:
        if other != me:
            yield from send(other, MemberKey(key.public))
    pair_keys = []
    for place, other in enumerate(members):
        if other == me:
            pair_keys.append(b"")
            continue
        message = yield from recv(other, MemberKey)
        mine, theirs = Member(me, key.public), Member(other, message.public)
        pair = (mine, theirs) if members.index(me) < place else (theirs, mine)
        pair_keys.append(shared_key(key, pair, theirs, framed(_PAIR, session), "keys"))
    return Group(me, members, session, tuple(pair_keys))


def shared_key(key: PairKey, pair: tuple[Member, Member], other: Member, context: bytes, step: str) -> bytes:
    """32 bytes that this member and `other` alone have, bound to both names and keys (`pair`, by place) and `context`.

    Raises: PeerError KEY_INVALID.
    """
    try:
        secret = key.shared_with(other.public)
    except BadKey as bad:
        raise PeerError(other.name, step, str(bad), "KEY_INVALID") from bad
    info = framed(*texts_of(pair[0]), *texts_of(pair[1]), context)
    return HKDF(hashes.SHA512(), length=32, salt=None, info=info).derive(secret)


def refuse_members(me: PartyId, members: Sequence[PartyId], session: bytes) -> None:
    """Check that these can be members. Raises: ConfigError CONFIG_VALUE; FedcreditError for another session."""
    if not 2 <= len(members) <= MAX_MEMBERS or len(set(members)) != len(members):
        raise ConfigError(Problem("CONFIG_VALUE", "members", f"needs from 2 to {MAX_MEMBERS} members, each once"))
    if me not in members:
        raise FedcreditError(f"{me} is no member")
    if len(session) != SESSION_BYTES:
        raise FedcreditError(f"a session is {SESSION_BYTES} bytes")


def refuse_repeat(used: set[str], label: str) -> None:
    """Note that `label` has served. Raises: FedcreditError LABEL_REUSED."""
    if label in used:
        what = "a round of this name was summed before, and a mask serves once"
        raise FedcreditError(Problem("LABEL_REUSED", f"sum {label}", what))
    used.add(label)


def chunks(n: int) -> Iterator[slice]:
    """The words of each message, in order: the same at all members. Raises: ValueError for too many."""
    if n > MAX_WORDS:
        raise ValueError(f"a sum of {n} words, where {MAX_WORDS} are the most")
    return (slice(first, min(first + CHUNK_WORDS, n)) for first in range(0, n, CHUNK_WORDS))
