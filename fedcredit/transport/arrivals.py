"""What an inbox knows of a job, its stages and their senders. No behaviour but that of a record."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.transport.channel import Packet, loss_of_abort
from fedcredit.wire.frame import Abort, Receipt

__all__ = ["Flow", "Held", "Job", "Stage"]


@dataclass(slots=True)
class Flow:
    """Frames of one sender in one stage. `hashes` are those of the last ones: all that may rightly come again."""

    hashes: deque[bytes]
    next_seq: int = 0
    taken: int = 0
    unreported_bytes: int = 0
    queue: deque[Packet] = field(default_factory=deque)
    queued_bytes: int = 0
    refused: str = ""


@dataclass(slots=True)
class Stage:
    """`peers` is None until the stage is opened here. `lost` are peers that went away and have not come back.

    `survives`: a peer that gives up for a reason of its own is lost to it; `without` are those it goes on without.
    """

    ssid: bytes
    epoch: int
    name: str
    peers: frozenset[PartyId] | None = None
    closed: bool = False
    flows: dict[PartyId, Flow] = field(default_factory=dict)
    lost: dict[PartyId, FedcreditError] = field(default_factory=dict)
    survives: bool = False
    without: set[PartyId] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def mark_left(self, peer: PartyId, abort: Abort) -> None:
        """Note that `peer` gave up, for who waits for it."""
        if self.peers and peer in self.peers and (loss := loss_of_abort(peer, self.name, abort)):
            self.lost[peer] = loss
            self.changed.set()

    def receipt(self, flow: Flow) -> Receipt:
        return Receipt(self.ssid, self.epoch, self.name, flow.taken, flow.refused)


@dataclass(slots=True)
class Job:
    """One job at its present start. `ended` is why it cannot go on; `peers` take part in its open stages.

    `left` are peers that gave it up, which it has survived so far; `survives` is what the stage opened last said.
    """

    on_end: Callable[[], None]
    epoch: int = 0
    peers: set[PartyId] = field(default_factory=set)
    stages: dict[tuple[int, str], Stage] = field(default_factory=dict)
    ended: FedcreditError | None = None
    survives: bool = False
    left: dict[PartyId, Abort] = field(default_factory=dict)

    def leave(self, peer: PartyId, abort: Abort) -> bool:
        """Go on though `peer` gave up. False where a stage at work needs it, or where somebody is to blame."""
        at_work = [stage for stage in self.stages.values() if stage.peers is not None and not stage.closed]
        survives = all(stage.survives for stage in at_work if stage.peers and peer in stage.peers)
        if not (survives and self.survives) or loss_of_abort(peer, abort.stage, abort) is None:
            return False
        self.left[peer] = abort
        for stage in at_work:
            stage.mark_left(peer, abort)
        self.on_end()
        return True

    def end(self, error: FedcreditError) -> None:
        self.ended = self.ended or error
        for stage in self.stages.values():
            stage.changed.set()
        self.on_end()


@dataclass(slots=True)
class Held:
    """What one peer has lying here, and how many frames of it in a row did not fit their hash."""

    stages: int = 0
    size: int = 0
    corrupt: int = 0
