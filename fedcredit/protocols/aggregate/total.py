"""Sums of all members' vectors, in rounds that need every member.

    total      each -> leader    MaskedWords    its words, under masks that cancel in the sum of all
               leader -> each    SumWords       the sum
    scattered  each -> each      MaskedWords    the receiver's block, under the same masks

No member masks itself besides: nothing of a round is ever unmasked, so there is nothing that such a mask would hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate.group import Group, chunks
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.aggregate import MaskedWords, SumWords

__all__ = ["receive_words", "refuse_words", "room_for", "scattered", "total"]

U64: TypeAlias = npt.NDArray[np.uint64]

_MOST_AHEAD: Final = 4
_AT_LEADER: Final = 64


def total(group: Group, label: str, values: U64, *, into: U64 | None = None) -> Steps[U64]:
    """The sum of all members' `values` modulo 2^64, to every member.

    Shapes: values (n,), the same n at all; returns (n,): `into` where it is given, which may be `values` itself or lie
    on disk. Units: in memory, beside these, a few MiB for each member at the leader.
    Reveals: to every member, the sum; so with two members each the other's words. To the leader nothing else.
    Assumes: semi-honest members; who tells the leader its masks leaves two at least that do not. **A member that sends
    other words than it has is not noticed.**
    Raises: FedcreditError LABEL_REUSED; PeerError SHAPE.
    """
    into = room_for(values, into)
    mask = group.mask(label, values.size)
    runs, ahead_by = list(chunks(values.size)), ahead(len(group.members))
    if group.me == group.leader:
        for run in runs:
            into[run] = values[run]
            mask.add(into[run], run.start)
            for member in group.others:
                into[run] += yield from receive_words(member, MaskedWords, run, label)
            summed = SumWords(run.start, into[run])
            for member in group.others:
                yield from send(member, summed)
        return into
    for number in range(-ahead_by, len(runs)):
        if number >= 0:
            into[runs[number]] = yield from receive_words(group.leader, SumWords, runs[number], label)
        if number + ahead_by < len(runs):
            run = runs[number + ahead_by]
            words = values[run].astype("<u8")
            mask.add(words, run.start)
            yield from send(group.leader, MaskedWords(run.start, words))
    return into


def scattered(group: Group, label: str, values: U64, sizes: Sequence[int]) -> Steps[U64]:
    """The sum of all members' `values` modulo 2^64, cut into blocks of these `sizes`: member k gets block k alone.

    Shapes: values (sum of sizes,), sizes the same at all; returns this member's block.
    Reveals: to every member, its block of the sum. Assumes, Raises: as `total`.
    """
    if len(sizes) != len(group.members) or min(sizes) < 0 or values.shape != (sum(sizes),):
        raise ValueError(f"scattered: {values.shape} words for blocks of {list(sizes)}")
    _refuse_others(values)
    mask, place = group.mask(label, values.size), group.place
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    block = values[starts[place] : starts[place] + sizes[place]].copy()
    mask.add(block, starts[place])
    runs = [list(chunks(size)) for size in sizes]
    others = [other for other in range(len(sizes)) if other != place]
    ahead_by = ahead(len(sizes))
    # Nobody is more than a few messages ahead of the slowest, so all of them fit the window of a link.
    for number in range(-ahead_by, max(map(len, runs))):
        for other in others if 0 <= number < len(runs[place]) else ():
            run = runs[place][number]
            block[run] += yield from receive_words(group.members[other], MaskedWords, run, label)
        for other in others:
            if number + ahead_by < len(runs[other]):
                run = runs[other][number + ahead_by]
                first = starts[other] + run.start
                words = values[first : starts[other] + run.stop].astype("<u8")
                mask.add(words, first)
                yield from send(group.members[other], MaskedWords(run.start, words))
    return block


def ahead(members: int) -> int:
    """How many messages a member sends before it waits for what comes back; fewer where many members do."""
    return max(1, min(_MOST_AHEAD, _AT_LEADER // members))


def receive_words(sender: PartyId, kind: type[MaskedWords] | type[SumWords], run: slice, label: str) -> Steps[U64]:
    """The words of `run`, from `sender`. Raises: PeerError SHAPE."""
    message: MaskedWords | SumWords = yield from recv(sender, kind)
    refuse_words(message, sender, run, label)
    return message.words


def refuse_words(message: MaskedWords | SumWords, sender: PartyId, run: slice, label: str) -> None:
    """Check that `message` has the words of `run`. Raises: PeerError SHAPE."""
    if message.first != run.start or message.words.size != run.stop - run.start:
        raise PeerError(sender, f"sum {label}", "sent other words than are due", "SHAPE")


def room_for(values: U64, into: U64 | None) -> U64:
    """An array like `values`: `into` where it is given. Raises: ValueError."""
    _refuse_others(values)
    if into is None:
        return np.empty_like(values)
    if into.shape != values.shape or into.dtype != values.dtype or not into.flags.writeable:
        raise ValueError(f"a sum of {values.shape} words does not fit into {into.shape} {into.dtype}")
    return into


def _refuse_others(values: U64) -> None:
    if values.ndim != 1 or values.dtype != np.uint64:
        raise ValueError(f"a sum of {values.shape} {values.dtype}, where words (n,) are due")
