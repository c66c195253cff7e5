"""Who asks: brings its copy of the filter up to date, and has subjects evaluated under the platform's permits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.oprf import OprfBlind
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import filter as compact
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import blaming
from fedcredit.protocols.intersect.filters import MOST_ASKED, Room, SharedFilter, fetch, in_memory, items_for
from fedcredit.wire.membership import (
    MAX_CONSENTS,
    EvaluatedMembers,
    EvaluateMembers,
    FilterTerms,
    PermitGiven,
    PermitWanted,
    TermsWanted,
)

__all__ = ["Asked", "MembershipAsker"]

Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What came of some consents: which of them the platform takes, and whose subjects are in the table.

    Shapes: (n,) each; a subject whose consent is not taken was not asked about, and counts as absent.
    """

    taken: Bools = field(repr=False)
    present: Bools = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class MembershipAsker:
    """Learns which subjects, of those whose consents it brings, are in the table behind a question to `provider`.

    Reveals: to it, that; the rounded number of the table's subjects and, from version to version of the filter, how
    many went and came; of a subject that it asked about once, whether a later version under the same key has it. To
    the provider, the question, and at each step the number of elements. To the platform, which of the consents are
    used now, where and for which question.
    Assumes: a platform that tells the provider nothing of the blinds; a semi-honest provider; authenticated links;
    random oracles, decisional and one-more gap Diffie-Hellman.
    Raises: PeerError; DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE).
    """

    me: PartyId
    provider: PartyId
    platform: PartyId
    predicate: str
    purpose: str
    randomness: Randomness = field(repr=False)

    def terms(self) -> Steps[FilterTerms]:
        """What the provider says of the table, if this party may ask."""
        yield from send(self.provider, TermsWanted(self.predicate, self.purpose))
        return (yield from recv(self.provider, FilterTerms))

    def fetch(self, terms: FilterTerms, held: SharedFilter | None, room: Room = in_memory) -> Steps[SharedFilter]:
        """The filter as it is now, given what this party `held` of it; it lies in `room` if it is another.

        Of so many subjects as fit one session of mode unbalanced together, none looks present that is not, but with
        probability below 2^-40.
        """
        return (yield from fetch(self.provider, MOST_ASKED, terms.entries, held, room))

    def ask(self, terms: FilterTerms, current: SharedFilter, consents: Sequence[tuple[str, str]]) -> Steps[Asked]:
        """What comes of `consents`: a subject's code and its token each, at most 1024, no subject twice."""
        label = current.label
        codes = np.array([subject.encode() for subject, _ in consents], np.bytes_)
        items = items_for(codes, label.key, self.me, self.provider, MAX_CONSENTS)
        blind = OprfBlind.generate(self.randomness)
        tokens = "\n".join(token for _, token in consents).encode()
        names = (self.provider, terms.region, self.predicate, self.purpose)
        yield from send(self.platform, PermitWanted(*names, label.key, blind.to_bytes(), tokens))
        given = yield from recv(self.platform, PermitGiven)
        taken = np.frombuffer(given.taken, np.uint8) == 1
        if len(taken) != len(items):
            raise PeerError(self.platform, "membership/permit", "is for another number of consents", "SET_SIZE")
        present = np.zeros(len(items), np.bool_)
        if taken.any():
            points = blind.blind(items[taken])
            yield from send(self.provider, EvaluateMembers(given.permit, given.kid, given.signature, points))
            evaluated = (yield from recv(self.provider, EvaluatedMembers)).points
            if len(evaluated) != len(points):
                raise PeerError(self.provider, "membership/evaluate", "is of another number of elements", "SET_SIZE")
            with blaming(self.provider, "membership"):
                values = blind.finalize(items[taken], evaluated, compact.VALUE_BYTES)
            present[taken] = compact.contains(current.content, label.entries, label.bits, values)
        return Asked(taken, present)
