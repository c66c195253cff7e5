"""This party's place in a consortium: who takes part, over which links, within which job."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeVar

from fedcredit.crypto.randomness import Randomness, SystemRandomness
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.runtime.sessions import session_id
from fedcredit.transport.channel import Transport

__all__ = ["Federation"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """What an estimator needs of the world. Every party runs the same calls in the same order, each on its own data.

        federation = Federation(me=tax, label_party=bank, feature_parties=(tax, water), transport=..., ssid=...)
        await GradientBoosting(num_trees=30).fit(federation, columns)          # at a department
        await GradientBoosting(num_trees=30).fit(federation, columns, label)   # at the bank

    `ssid` is 32 bytes that all parties agree on and no other job has: the hash of the signed specification.
    `epoch` counts the starts of the job: one that goes on after it was interrupted has a new one, at all parties.
    `kept_secret`: 32 bytes that this party keeps through all starts of the job and nobody else knows; what has to come
    out alike after an interruption is drawn by it.
    Units: `deadline_s` bounds each wait for a peer that shows no sign of life.
    """

    me: PartyId
    label_party: PartyId
    feature_parties: tuple[PartyId, ...]
    transport: Transport = field(repr=False)
    ssid: bytes = field(repr=False)
    epoch: int = 0
    deadline_s: float = 600.0
    meter: Meter = field(repr=False, default_factory=Meter)
    randomness: Randomness = field(repr=False, default_factory=SystemRandomness)
    kept_secret: bytes | None = field(repr=False, default=None)

    @property
    def is_label_party(self) -> bool:
        """Whether the label is here."""
        return self.me == self.label_party

    @property
    def members(self) -> tuple[PartyId, ...]:
        """All parties, where all have the same columns: the label party first, who leads sums over them."""
        return (self.label_party, *self.feature_parties)

    @property
    def partners(self) -> tuple[PartyId, ...]:
        """Those this party speaks with: all feature parties from the label party, the label party from the others."""
        return self.feature_parties if self.is_label_party else (self.label_party,)

    def beside(self, feature_parties: Collection[PartyId]) -> tuple[PartyId, ...]:
        """Whom this feature party speaks with in a stage of the label party and these feature parties."""
        return (self.label_party, *(party for party in feature_parties if party != self.me))

    def session(self, name: str) -> bytes:
        """A session of its own for the model `name` in this start of the job."""
        return session_id(self.ssid, self.epoch, name)

    async def run(
        self, stage: str, steps: Steps[T], *, peers: Collection[PartyId] | None = None, survives: bool = False
    ) -> T:
        """Run this party's role in `stage` to its result, with `peers`, by default `partners`.

        `survives`: peers that give up for reasons of their own are lost to the role, and do not end the job.
        Raises: PeerLost, PeerError, and what the role raises.
        """
        peers = self.partners if peers is None else peers
        channel = self.transport.open(self.ssid, stage, peers=peers, epoch=self.epoch, survives=survives)
        return await drive(steps, channel, deadline_s=self.deadline_s, meter=self.meter)
