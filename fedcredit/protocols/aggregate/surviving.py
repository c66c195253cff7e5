"""A sum over the members that are left: who is lost on the way does not end it, as long as the threshold is left.

    1  each -> each other   Deal          a fresh key, and shares of that key and of a seed
    2  each -> leader       DealsHeld     whose deals it holds
       leader -> each       MembersLeft   who sends words: members that hold each other's deals
    3  each -> leader       MaskedWords   its words, under masks with all these and one of its own
       leader -> each       MembersLeft   whose words are all there: the sum is over them
    4  each -> leader       SecretShares  of the seeds of these, of the keys of the others
       leader -> each       SumWords      the sum

A member masks itself besides, so that words that come late, when its other masks were taken off, say nothing.
Source: K. Bonawitz et al., Practical Secure Aggregation, 2017, figure 4, for semi-honest parties.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.zero_sum import PairKey
from fedcredit.errors import PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate.dealing import KEY, SEED, Dealt, Round, recovered, refuse_deal, refuse_shares
from fedcredit.protocols.aggregate.group import Mask, chunks
from fedcredit.protocols.aggregate.total import refuse_words, room_for
from fedcredit.protocols.effects import Lost, Steps, recv, recv_or_lost, send, send_or_lost
from fedcredit.wire.aggregate import (
    GO_ON,
    SEND_WORDS,
    SHOW_SHARES,
    Deal,
    DealsHeld,
    MaskedWords,
    MembersLeft,
    SecretShares,
    SumWords,
)
from fedcredit.wire.message import Message

__all__ = ["LeftOut", "Survived", "SurvivingSum", "TooFewLeft"]

U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

_LEADER: Final = 0
# A member that waits for another may be the reason that a third waits for it; each wait holds those that it contains.
_DEAL_PATIENCE: Final = 2
_REPORT_PATIENCE: Final = _DEAL_PATIENCE + 1
# Messages of words that members send before the leader asks for more: all of them together, and each of them.
_UNASKED_IN_ALL: Final = 96
_UNASKED: Final = 14


class TooFewLeft(PeerLost):
    """Less than the threshold of members are left. `lost`: all that are not; the culprit is the first of them."""

    def __init__(self, lost: tuple[PartyId, ...], step: str, reason: str) -> None:
        super().__init__(lost[0], step, reason)
        self.lost = lost

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.lost, self.step, self.reason)


class LeftOut(PeerLost):
    """The leader, who is the culprit, took this member for lost, and goes on without it."""


@dataclass(frozen=True, slots=True)
class Survived:
    """A sum, and whose words are in it, the leader first."""

    words: U64 = field(repr=False)
    members: tuple[PartyId, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SurvivingSum:
    """One member's part in a sum that survives the loss of others, but of the leader. Shapes: values (n,), as `total`.

    `into`: where the sum goes, may be `values` itself; `scratch` (n,): where the leader keeps what it has of one
    member's words until it has them all. Both may lie on disk.
    Reveals: to every member, the sum over who is left, and who is. To the leader besides, when each was lost.
    Assumes: semi-honest members; links that prove who sent what and hide it; less than the threshold of members tell
    the leader their shares, itself among them; two that are left do not tell it their masks. **A leader that lies to
    some about who is left** gets no member's words as long as twice the threshold is more than the number of members
    plus that of those in league with it, itself among them. A member that sends other words than it has is not noticed.
    Raises: PeerError; TooFewLeft; LeftOut; PeerLost of the leader.
    """

    round: Round
    values: U64 = field(repr=False)
    into: U64 | None = field(default=None, repr=False)
    scratch: U64 | None = field(default=None, repr=False)

    def steps(self, randomness: Randomness) -> Steps[Survived]:
        """Take part, as the leader or as another member."""
        if self.values.size != self.round.n_words:
            raise ValueError(f"{self.round.step}: {self.values.size} words of {self.round.n_words}")
        into = room_for(self.values, self.into)
        own = Dealt.fresh(self.round, randomness)
        deals = yield from self._deal(own)
        deals[self.round.place] = own.to(self.round.place)
        if self.round.place == _LEADER:
            return (yield from _Leading(self.round, own, deals, into, self.scratch).steps(self.values))
        return (yield from _Following(self.round, own, deals, into).steps(self.values))

    def _deal(self, own: Dealt) -> Steps[dict[int, Deal]]:
        """Everybody's deals. The leader is dealt to last: whom it has heard of, the others have, or soon will."""
        of = self.round
        for other in (*(place for place in of.others if place != _LEADER), *([_LEADER] if of.place else [])):
            yield from send_or_lost(of.members[other], own.to(other))
        deals: dict[int, Deal] = {}
        for other in of.others:
            deal = yield from recv_or_lost(of.members[other], Deal, patience=_DEAL_PATIENCE)
            if isinstance(deal, Lost):
                if other == _LEADER:
                    raise PeerLost(deal.peer, of.step, deal.reason)
                continue
            refuse_deal(of, other, deal)
            # A key of low order is known for one before anybody masks anything with it.
            of.mask_key(own.key, of.place, deal.public, other)
            deals[other] = deal
        return deals


@dataclass(frozen=True, slots=True, eq=False)
class _Following:
    """A member that does not lead, from its second message on.

    Reveals: as `SurvivingSum`. Assumes: as `SurvivingSum`.
    """

    of: Round
    own: Dealt
    deals: dict[int, Deal]
    into: U64

    def steps(self, values: U64) -> Steps[Survived]:
        of, leader = self.of, self.of.members[_LEADER]
        yield from send(leader, DealsHeld(_flags(of, self.deals)))
        masking = yield from self._hear(SEND_WORDS, self.deals)
        mask = self._mask(masking)
        for number, run in enumerate(chunks(values.size)):
            if number == _unasked(of) and masking != (yield from self._hear(GO_ON, masking)):
                raise PeerError(leader, of.step, "named other members than before", "MEMBERS_INVALID")
            words = values[run].astype("<u8")
            mask.add(words, run.start)
            yield from send(leader, MaskedWords(run.start, words))
        left = yield from self._hear(SHOW_SHARES, masking)
        shares = [self.deals[dealer].shares[which] for dealer, which in _wanted(masking, left).items()]
        yield from send(leader, SecretShares(np.stack(shares)))
        for run in chunks(values.size):
            message = yield from recv(leader, Message, patience=_patience(of))
            if isinstance(message, MembersLeft):
                self._read(message)
            if not isinstance(message, SumWords):
                what = f"sent {type(message).__name__} where SumWords was due"
                raise PeerError(leader, of.step, what, "UNEXPECTED_MESSAGE")
            refuse_words(message, leader, run, of.label)
            self.into[run] = message.words
        return Survived(self.into, _names(of, left))

    def _hear(self, step: int, among: Collection[int]) -> Steps[set[int]]:
        """Who is left, by the leader's word, of those `among` whom they have to be."""
        of, leader = self.of, self.of.members[_LEADER]
        message = yield from recv(leader, MembersLeft, patience=_patience(of))
        left = self._read(message)
        if message.step != step:
            raise PeerError(leader, of.step, "named who is left at another step than is due", "UNEXPECTED_MESSAGE")
        if not left <= set(among) or _LEADER not in left or len(left) < of.threshold:
            raise PeerError(leader, of.step, "named members that cannot be those left", "MEMBERS_INVALID")
        return left

    def _read(self, message: MembersLeft) -> set[int]:
        left = _places(self.of, message, self.of.members[_LEADER])
        if self.of.place not in left:
            raise LeftOut(self.of.members[_LEADER], self.of.step, "goes on without this party")
        return left

    def _mask(self, masking: Collection[int]) -> Mask:
        of = self.of
        others = [other for other in sorted(masking) if other != of.place]
        keys = [of.mask_key(self.own.key, of.place, self.deals[other].public, other) for other in others]
        own = of.self_mask_key(self.own.seed, of.place)
        return Mask((*keys, own), (*(of.place > other for other in others), False))


@dataclass(frozen=True, slots=True, eq=False)
class _Leading:
    """The leader, from its second step on.

    Reveals: as `SurvivingSum`. Assumes: as `SurvivingSum`.
    """

    of: Round
    own: Dealt
    deals: dict[int, Deal]
    into: U64
    scratch: U64 | None

    def steps(self, values: U64) -> Steps[Survived]:
        of = self.of
        masking = yield from self._who_can_mask()
        yield from self._announce(of.others, SEND_WORDS, masking)
        left = yield from self._add_up(values, masking)
        yield from self._announce([place for place in masking if place != _LEADER], SHOW_SHARES, left)
        wanted = _wanted(masking, left)
        shares = yield from self._shares(left, wanted)
        mask = self._to_remove(wanted, recovered(of, wanted, shares, self.deals))
        for run in chunks(values.size):
            part = self.into[run]
            mask.add(part, run.start)
            summed = SumWords(run.start, part)
            for place in sorted(shares.keys() - {_LEADER}):
                yield from send_or_lost(of.members[place], summed)
        yield from self._announce(sorted(left - shares.keys()), SHOW_SHARES, set(shares))
        return Survived(self.into, _names(of, left))

    def _who_can_mask(self) -> Steps[set[int]]:
        """Members that all hold each other's deals."""
        of = self.of
        held: dict[int, set[int]] = {_LEADER: set(self.deals)}
        for place in sorted(self.deals.keys() - {_LEADER}):
            report = yield from recv_or_lost(of.members[place], DealsHeld, patience=_REPORT_PATIENCE)
            if not isinstance(report, Lost):
                held[place] = _places(of, report, of.members[place])
        left = set(held)
        # Where a link between two of them is down, who lacks most goes; of equals the last one.
        while lacking := {one: n for one in left if (n := sum(not _linked(held, one, other) for other in left))}:
            left.discard(max(lacking, key=lambda one: (one != _LEADER, lacking[one], one)))
        return self._enough(left)

    def _add_up(self, values: U64, masking: Collection[int]) -> Steps[set[int]]:
        """Add the words of each member once all of them are there. Who is lost before that is not in the sum."""
        of, runs = self.of, list(chunks(values.size))
        left = {_LEADER}
        if self.into is not values:
            self.into[:] = values
        scratch = room_for(values, self.scratch) if runs else values
        for place in sorted(set(masking) - {_LEADER}):
            for number, run in enumerate(runs):
                if number == _unasked(of):
                    yield from self._announce([place], GO_ON, masking)
                message = yield from recv_or_lost(of.members[place], MaskedWords)
                if isinstance(message, Lost):
                    break
                refuse_words(message, of.members[place], run, of.label)
                scratch[run] = message.words
            else:
                np.add(self.into, scratch, out=self.into)
                left.add(place)
        return self._enough(left)

    def _shares(self, left: set[int], wanted: dict[int, int]) -> Steps[dict[int, U8]]:
        """The shares of everybody who is still there."""
        of = self.of
        shares = {_LEADER: np.stack([self.deals[dealer].shares[which] for dealer, which in wanted.items()])}
        for place in sorted(left - {_LEADER}):
            message = yield from recv_or_lost(of.members[place], SecretShares)
            if not isinstance(message, Lost):
                refuse_shares(of, place, message.shares, wanted, self.deals)
                shares[place] = message.shares
        self._enough(set(shares))
        return shares

    def _to_remove(self, wanted: dict[int, int], secrets: list[bytes]) -> Mask:
        """What is to be added to the sum so that all masks are off: the leader's own among them."""
        of = self.of
        left = [place for place, which in wanted.items() if which == SEED]
        keys, subtract = [], []
        for place, (which, secret) in zip(wanted, zip(wanted.values(), secrets, strict=True), strict=True):
            if which == SEED:
                keys += [of.self_mask_key(secret, place), of.mask_key(self.own.key, 0, self.deals[place].public, place)]
                subtract += [True, False]
                continue
            lost = PairKey.from_bytes(secret)
            keys += [of.mask_key(lost, place, self.deals[other].public, other) for other in left]
            subtract += [other < place for other in left]
        return Mask(tuple(keys), tuple(subtract))

    def _announce(self, to: Collection[int], step: int, left: Collection[int]) -> Steps[None]:
        message = MembersLeft(step, _flags(self.of, left))
        for place in to:
            yield from send_or_lost(self.of.members[place], message)

    def _enough(self, left: set[int]) -> set[int]:
        of = self.of
        if len(left) < of.threshold:
            lost = tuple(name for place, name in enumerate(of.members) if place not in left)
            what = (
                f"{', '.join(lost)} lost: {len(left)} of {len(of.members)} members are left, {of.threshold} are needed"
            )
            raise TooFewLeft(lost, of.step, what)
        return left


def _wanted(masking: Collection[int], left: Collection[int]) -> dict[int, int]:
    """Which secret of each member the shares are of; of the leader none is needed, since its words never left it."""
    return {dealer: SEED if dealer in left else KEY for dealer in sorted(set(masking) - {_LEADER})}


def _linked(held: dict[int, set[int]], one: int, other: int) -> bool:
    return other in held[one] and one in held[other]


def _unasked(of: Round) -> int:
    return max(1, min(_UNASKED, _UNASKED_IN_ALL // len(of.members)))


def _patience(of: Round) -> int:
    """How long a member waits for the leader, who may have to wait for each other one."""
    return _REPORT_PATIENCE * len(of.members)


def _flags(of: Round, left: Collection[int]) -> U8:
    flags = np.zeros(len(of.members), np.uint8)
    flags[list(left)] = 1
    return flags


def _places(of: Round, message: DealsHeld | MembersLeft, sender: PartyId) -> set[int]:
    if len(message.members) != len(of.members):
        raise PeerError(sender, of.step, "spoke of another number of members", "SHAPE")
    return set(np.flatnonzero(message.members).tolist())


def _names(of: Round, left: Collection[int]) -> tuple[PartyId, ...]:
    return tuple(of.members[place] for place in sorted(left))
