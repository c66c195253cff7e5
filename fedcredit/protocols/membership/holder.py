"""Who has the table: lends its filter, and evaluates elements that the platform's permit covers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect import UnbalancedHolder
from fedcredit.protocols.intersect.alignment import blaming
from fedcredit.protocols.intersect.filters import FilterKey, SharedFilter, publish
from fedcredit.wire.intersect import FilterHeld
from fedcredit.wire.membership import EvaluatedMembers, EvaluateMembers, FilterTerms, TermsWanted

__all__ = ["MembershipHolder"]


@dataclass(frozen=True, slots=True)
class MembershipHolder:
    """Answers `requester`, of whose subjects it learns how many there are, and no more.

    Reveals: to it, which question the requester has in mind, the version of the filter that it has, and how many
    elements it has evaluated. To the requester, the rounded number of subjects, about how many of them went and came
    since that version, and which of those with a permit the table has.
    Assumes: a platform that permits elements of consented subjects alone; one-more gap Diffie-Hellman and a random
    oracle; authenticated links. Nothing of the requester.
    Raises: PeerError for points that are none.
    """

    me: PartyId
    requester: PartyId

    def terms(self, region: str, entries: int) -> Steps[TermsWanted]:
        """Say what there is, to who may ask for it."""
        wanted = yield from recv(self.requester, TermsWanted)
        yield from send(self.requester, FilterTerms(region, entries))
        return wanted

    def lend(
        self, held: FilterHeld, pieces: Iterable[tuple[int, int]], versions: Callable[[], Sequence[SharedFilter]]
    ) -> Steps[None]:
        """Work through `pieces`, then bring the requester to the first of `versions`; the others are older ones."""
        yield from UnbalancedHolder(self.me, self.requester, 0).tell(pieces)
        current, *older = versions()
        yield from publish(self.requester, held, current, older)

    def answer(self, key: FilterKey, admit: Callable[[EvaluateMembers], None]) -> Steps[None]:
        """Evaluate the elements of one message, once `admit` has let its permit through."""
        asked = yield from recv(self.requester, EvaluateMembers)
        admit(asked)
        with blaming(self.requester, "membership"):
            evaluated = key.oprf.blind_evaluate(asked.points)
        yield from send(self.requester, EvaluatedMembers(evaluated))
