"""One tree at a member: its engine runs from collective to collective, and each is a masked sum or a show of splits.

all -> leader -> all    masked words, and their sum      rows, loss (`protocols.aggregate.total`)
each -> each            masked blocks of histograms      member k adds up block k (`protocols.aggregate.scattered`)
each -> each            BestSplits                       after each block of histograms

Every sum has a label of its own, the tree's and its number in the tree, so no mask serves twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import Group, scattered, total
from fedcredit.protocols.collectives.requests import Engine, Reply, Scattered, Splits, Summed
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.collectives import BestSplits

__all__ = ["EngineMember"]


@dataclass(frozen=True, slots=True, eq=False)
class EngineMember:
    """Carries the collectives of `engine` for one tree. `bins`: how many bins each feature has, missing ones included.

    Reveals: to each member, the totals over all members, the total histograms of the features whose splits it looks for
    in this tree, and everybody's best splits. Of another member's rows, what follows from these and its own: with two
    members, that is the other's sums.
    Assumes: semi-honest members; what is said of sums in `protocols.aggregate`.
    """

    group: Group
    label: str
    bins: tuple[int, ...]
    engine: Engine = field(repr=False)

    def steps(self) -> Steps[int]:
        """Run the engine to the end of its tree; how many collectives that took. Raises: PeerError (SHAPE)."""
        reply: Reply | None = None
        done = 0
        while (request := self.engine.resume(reply)) is not None:
            label = f"{self.label}/{done}"
            if isinstance(request, Summed):
                reply = yield from total(self.group, label, request.words)
            elif isinstance(request, Scattered):
                reply = yield from scattered(self.group, label, request.words, request.sizes)
            else:
                reply = yield from self._show(request)
            done += 1
        return done

    def _show(self, mine: Splits) -> Steps[tuple[Splits, ...]]:
        others = [member for member in self.group.members if member != self.group.me]
        message = mine.message
        for other in others:
            yield from send(other, message)
        shown: dict[PartyId, Splits] = {self.group.me: mine}
        for other in others:
            theirs = yield from recv(other, BestSplits)
            splits = Splits(theirs.numbers, theirs.reals)
            if (fault := splits.fault(self.bins)) is not None:
                raise PeerError(other, self.label, fault, "SHAPE")
            shown[other] = splits
        return tuple(shown[member] for member in self.group.members)
