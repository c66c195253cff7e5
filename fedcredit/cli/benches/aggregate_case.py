"""One sum of `fedcredit bench aggregate`: its parties, what they add up, and who is lost when."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate.dealing import Round, default_threshold
from fedcredit.protocols.aggregate.surviving import SurvivingSum
from fedcredit.protocols.effects import Send, Steps
from fedcredit.wire.aggregate import CHUNK_WORDS

__all__ = ["Case", "FellSilent", "Taken", "until_lost"]

F64: TypeAlias = npt.NDArray[np.float64]
U64: TypeAlias = npt.NDArray[np.uint64]

WORD_BYTES: Final = 8
_BITS: Final = 44
"""Places behind the point: sums of 2^17 numbers below 4 stay within a word."""


class FellSilent(FedcreditError):
    """This party was to be lost here."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a party ends with: the sum as numbers, and how many parties are in it."""

    total: F64 = field(repr=False)
    members: int


@dataclass(frozen=True, slots=True)
class Case:
    """`before` parties are lost before their masked vector, `after` others between it and the unmasking."""

    parties: int
    length: int
    before: int = 0
    after: int = 0

    @classmethod
    def from_json(cls, text: str) -> Case:
        """What `to_json` gave."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @property
    def threshold(self) -> int:
        """How many have to be left, for us and for the peer."""
        return default_threshold(self.parties)

    @property
    def names(self) -> tuple[PartyId, ...]:
        """All parties, the leader first; those that are lost come next."""
        return tuple(PartyId(f"city{place}") for place in range(self.parties))

    @property
    def pairs(self) -> int:
        """Pairs of parties."""
        return self.parties * (self.parties - 1) // 2

    @property
    def plain_bytes(self) -> int:
        """Of the same vectors to the leader, and of their sum to who is left, unmasked and with nothing around them."""
        others = self.parties - 1 - self.before
        return WORD_BYTES * self.length * (others + others - self.after)

    def stays(self, place: int) -> bool:
        """Whether the party at `place` is there at the end."""
        return not 1 <= place <= self.before + self.after

    def values(self, place: int) -> F64:
        """What the party at `place` adds."""
        return np.random.default_rng(place).uniform(-1, 1, self.length)

    def check(self, taken: Taken) -> None:
        """Raise FedcreditError unless it is the sum of all whose masked vectors came."""
        places = [place for place in range(self.parties) if not 1 <= place <= self.before]
        expected = np.zeros(self.length)
        for place in places:
            expected += self.values(place)
        if taken.members != len(places) or np.abs(taken.total - expected).max() > len(places) * 2.0**-_BITS:
            raise FedcreditError("bench aggregate: the sum is not that of the vectors")

    def sends(self, place: int) -> int | None:
        """How many messages the party at `place` sends before it is lost; None if it stays.

        It deals to each other and says whose deals it has; then come its words, and then its shares.
        """
        if self.stays(place):
            return None
        words = 0 if place <= self.before else -(-self.length // CHUNK_WORDS)
        return self.parties + words

    def role(self, place: int, session: bytes, label: str, values: F64) -> Steps[Taken]:
        """The party at `place`, from its numbers to their sum."""
        scaled = values * 2.0**_BITS
        words = np.rint(scaled, out=scaled).astype(np.int64).view(np.uint64)
        del scaled
        of = Round(self.names[place], self.names, session, label, self.threshold, self.length)
        # The words are nobody else's: the sum may take their place.
        survived = yield from SurvivingSum(of, words, into=words).steps(SystemRandomness())
        total = np.multiply(survived.words.view(np.int64), 2.0**-_BITS, dtype=np.float64)
        return Taken(total, len(survived.members))


def until_lost(steps: Steps[Taken], sends: int | None) -> Steps[Taken]:
    """The same role, that raises FellSilent in place of its next message once it sent so many."""
    reply: Any = None
    sent = 0
    while True:
        try:
            effect = steps.send(reply)
        except StopIteration as stop:
            return cast(Taken, stop.value)
        if isinstance(effect, Send):
            if sent == sends:
                raise FellSilent("was to be lost here")
            sent += 1
        reply = yield effect
