"""Two secrets of one round, and their shares at the other members.

Any `threshold` members give back either: the seed of its self-mask, where its words are in the sum, or its secret key,
where they are not. Never both: the two together take all masks off its words.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.secret_sharing import BadShares, combine, split
from fedcredit.crypto.zero_sum import Member, PairKey, framed
from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.protocols.aggregate.group import refuse_members, shared_key
from fedcredit.wire.aggregate import CHECK_BYTES, SECRET_BYTES, Deal

__all__ = [
    "KEY",
    "SEED",
    "Dealt",
    "Round",
    "default_threshold",
    "least_threshold",
    "recovered",
    "refuse_deal",
    "refuse_shares",
    "refuse_threshold",
]

U8: TypeAlias = npt.NDArray[np.uint8]

SEED: Final = 0
KEY: Final = 1
"""Which of a member's two secrets."""

_PAIR: Final = b"fedcredit v1 aggregate surviving pair"
_SELF: Final = "fedcredit v1 aggregate self-mask"
_CHECK: Final = "fedcredit v1 aggregate share"


def default_threshold(members: int) -> int:
    """How many of so many have to be left where nobody said: more than two thirds."""
    return 2 * members // 3 + 1 if members > 2 else members


def least_threshold(members: int) -> int:
    """The fewest that may be left: three, and so many that twice these are more than all and one that lies to them."""
    return max(3, (members + 1) // 2 + 1)


def refuse_threshold(threshold: int, members: int) -> None:
    """Check that a leader that lies alone cannot have both secrets of a member.

    Each member answers once, with a share of one of the two; the leader's own shares serve for both. And of less than
    three members' sum each learns too much. Raises: ConfigError AGGREGATE_THRESHOLD.
    """
    least = least_threshold(members)
    if not least <= threshold <= members:
        what = f"a sum over {members} members cannot go on with {threshold} of them"
        raise ConfigError(Problem("AGGREGATE_THRESHOLD", "threshold", what, f"choose from {least} to {members}"))


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What all members know of a round before it begins, the leader first.

    Reveals: nothing: all of it is public. Assumes: all members were told the same.
    Raises: ConfigError AGGREGATE_THRESHOLD, CONFIG_VALUE.
    """

    me: PartyId
    members: tuple[PartyId, ...]
    session: bytes = field(repr=False)
    label: str
    threshold: int
    n_words: int

    def __post_init__(self) -> None:
        refuse_members(self.me, self.members, self.session)
        refuse_threshold(self.threshold, len(self.members))

    @property
    def step(self) -> str:
        """How errors name this round."""
        return f"sum {self.label}"

    @property
    def place(self) -> int:
        """Where this member stands among all."""
        return self.members.index(self.me)

    @property
    def others(self) -> tuple[int, ...]:
        """The places of all other members."""
        return tuple(place for place in range(len(self.members)) if place != self.place)

    @property
    def context(self) -> bytes:
        """What every key of this round is bound to."""
        return framed(self.session, self.label.encode(), struct.pack(">QI", self.n_words, self.threshold))

    def mask_key(self, key: PairKey, mine: int, public: bytes, other: int) -> bytes:
        """The key of the mask that the members at places `mine` and `other` have in common.

        Raises: PeerError KEY_INVALID of the other.
        """
        at = Member(self.members[mine], key.public), Member(self.members[other], public)
        pair = at if mine < other else (at[1], at[0])
        return shared_key(key, pair, at[1], framed(_PAIR, self.context), self.step)

    def self_mask_key(self, seed: bytes, place: int) -> bytes:
        """The key of the self-mask of the member at `place`."""
        return digest.derive(_SELF, seed + framed(self.members[place].encode(), self.context))


@dataclass(frozen=True, slots=True, eq=False)
class Dealt:
    """A member's own secrets of one round, and what it sends to each other. Make one with `fresh`.

    Reveals: to less than the threshold of members, nothing of either secret. Assumes: links that hide what is dealt.
    """

    key: PairKey
    seed: bytes = field(repr=False)
    _shares: U8 = field(repr=False)
    _checks: U8 = field(repr=False)

    @classmethod
    def fresh(cls, of: Round, randomness: Randomness) -> Dealt:
        """New secrets, and shares of both for every member."""
        key, seed = PairKey.generate(randomness), randomness.bytes(SECRET_BYTES)
        secrets = np.frombuffer(seed + key.to_bytes(), np.uint8).reshape(2, SECRET_BYTES)
        shares = split(secrets, len(of.members), of.threshold, randomness)
        checks = np.stack(
            [
                [_check(of, of.place, holder, which, shares[holder, which]) for which in (SEED, KEY)]
                for holder in range(len(of.members))
            ]
        )
        return cls(key, seed, shares, checks)

    def to(self, holder: int) -> Deal:
        """What the member at place `holder` gets; also what this one keeps, at its own place."""
        return Deal(self.key.public, self._shares[holder], self._checks)


def refuse_deal(of: Round, dealer: int, deal: Deal) -> None:
    """Check that `deal` has shares that its own hashes are of. Raises: PeerError SHAPE, SHARE_INVALID."""
    culprit = of.members[dealer]
    if len(deal.checks) != len(of.members):
        raise PeerError(culprit, of.step, "dealt for another number of members", "SHAPE")
    for which in (SEED, KEY):
        if not _fits(of, dealer, of.place, which, deal.shares[which], deal.checks):
            raise PeerError(culprit, of.step, "dealt a share that is not what it says", "SHARE_INVALID")


def refuse_shares(of: Round, holder: int, shares: U8, wanted: Mapping[int, int], deals: Mapping[int, Deal]) -> None:
    """Check that the member at `holder` sent the shares that it was dealt. Raises: PeerError SHAPE, SHARE_INVALID.

    `wanted`: which secret of each dealer, in the order of shares.
    """
    culprit = of.members[holder]
    if len(shares) != len(wanted):
        raise PeerError(culprit, of.step, "sent shares of another number of members", "SHAPE")
    for share, (dealer, which) in zip(shares, wanted.items(), strict=True):
        if not _fits(of, dealer, holder, which, share, deals[dealer].checks):
            raise PeerError(culprit, of.step, "sent another share than it was dealt", "SHARE_INVALID")


def recovered(of: Round, wanted: Mapping[int, int], shares: Mapping[int, U8], deals: Mapping[int, Deal]) -> list[bytes]:
    """The wanted secret of each dealer, from the shares of each holder.

    Raises: PeerError SHARE_INVALID of a dealer whose shares fit no secret, or another key than it published.
    """
    places, rows = list(shares), np.stack(list(shares.values()))
    try:
        secrets = [row.tobytes() for row in combine(places, rows, of.threshold)]
    except BadShares:
        for row, dealer in enumerate(wanted):
            _refuse_differing(of, dealer, places, rows[:, row : row + 1])
        raise
    for secret, (dealer, which) in zip(secrets, wanted.items(), strict=True):
        if which == KEY and PairKey.from_bytes(secret).public != deals[dealer].public:
            raise PeerError(of.members[dealer], of.step, "dealt shares of another key than its own", "SHARE_INVALID")
    return secrets


def _refuse_differing(of: Round, dealer: int, places: Sequence[int], shares: U8) -> None:
    try:
        combine(places, shares, of.threshold)
    except BadShares as bad:
        raise bad.of_peer(of.members[dealer], of.step) from bad


def _fits(of: Round, dealer: int, holder: int, which: int, share: U8, checks: U8) -> bool:
    return np.array_equal(_check(of, dealer, holder, which, share), checks[holder, which])


def _check(of: Round, dealer: int, holder: int, which: int, share: U8) -> U8:
    """A hash that only this share, of this dealer at this holder in this round, has."""
    place = struct.pack(">III", dealer, holder, which)
    return np.frombuffer(digest.derive(_CHECK, framed(share.tobytes(), place, of.context), CHECK_BYTES), np.uint8)
