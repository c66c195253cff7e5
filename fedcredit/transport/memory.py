"""Parties in one process, for tests and for showing how a protocol runs. No network, no authentication.

`MemoryNetwork` gives asyncio transports, so that the driver and everything above it run without sockets; `run_network`,
from `transport.simulation`, plays roles against each other synchronously.
Both refuse to start unless told that nothing separates the parties: `insecure_in_process=True`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fedcredit.errors import FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.transport.channel import Packet, error_of_abort, loss_of_abort
from fedcredit.transport.limits import Limits
from fedcredit.transport.simulation import Link, Outcome, refuse_in_process, run_network
from fedcredit.wire.frame import Abort, check_stage

__all__ = ["Link", "MemoryNetwork", "MemoryTransport", "Outcome", "run_network"]

QUEUE_LIMIT = Limits().stage_frames


@dataclass(slots=True)
class _Job:
    """What all parties of one job share in this process."""

    failure: dict[PartyId, FedcreditError] = field(default_factory=dict)
    queues: dict[tuple[str, PartyId, PartyId], deque[Packet]] = field(default_factory=dict)
    moved: dict[tuple[str, PartyId, PartyId], int] = field(default_factory=dict)
    opened: set[tuple[str, PartyId]] = field(default_factory=set)
    survives: dict[PartyId, bool] = field(default_factory=dict)
    """Whether the stage that a party opened last goes on without who gives up."""
    left: dict[tuple[PartyId, PartyId], Abort] = field(default_factory=dict)
    """Of a party and a peer of it: how the peer gave up, where the party goes on."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


class MemoryNetwork:
    """Links between `parties` that live on one event loop. Raises ConfigError (INSECURE) unless told that is meant."""

    def __init__(self, parties: Iterable[PartyId], *, insecure_in_process: bool) -> None:
        refuse_in_process(insecure_in_process)
        self.parties = frozenset(parties)
        self._jobs: dict[tuple[bytes, int], _Job] = {}

    def transport(self, me: PartyId) -> MemoryTransport:
        """The links of `me`."""
        if me not in self.parties:
            raise FedcreditError(f"{me} is not on this network")
        return MemoryTransport(self, me)

    def _job(self, ssid: bytes, epoch: int) -> _Job:
        return self._jobs.setdefault((ssid, epoch), _Job())


class MemoryTransport:
    """One party's end of a `MemoryNetwork`; a `Transport`."""

    def __init__(self, network: MemoryNetwork, me: PartyId) -> None:
        self._network, self._me = network, me

    @property
    def me(self) -> PartyId:
        """This party."""
        return self._me

    def open(
        self,
        ssid: bytes,
        stage: str,
        *,
        peers: Collection[PartyId] | None = None,
        epoch: int = 0,
        survives: bool = False,
    ) -> MemoryChannel:
        """See `Transport.open`."""
        job = self._network._job(ssid, epoch)
        if (stage, self._me) in job.opened:
            raise FedcreditError(Problem("STAGE_REUSED", check_stage(stage), "a stage is opened once"))
        job.opened.add((check_stage(stage), self._me))
        job.survives[self._me] = survives
        others = self._network.parties - {self._me}
        chosen = others if peers is None else frozenset(peers) & others
        for (party, peer), abort in job.left.items():
            if party == self._me and peer in chosen and not survives:
                job.failure.setdefault(self._me, error_of_abort(peer, abort))
        return MemoryChannel(job, self._me, stage, chosen)

    def forget(self, ssid: bytes) -> None:
        """See `Transport.forget`. Peers in this process keep what they hold."""

    def expect(self, peers: Collection[PartyId]) -> None:
        """See `Transport.expect`: everybody is known here."""

    def unreachable(self) -> Mapping[PartyId, float]:
        """See `Transport.unreachable`: nobody."""
        return {}

    async def close(self) -> None:
        """See `Transport.close`: nothing is under way."""


class MemoryChannel:
    """One stage at one party of a `MemoryNetwork`; a `Channel`."""

    def __init__(self, job: _Job, me: PartyId, stage: str, peers: frozenset[PartyId]) -> None:
        self._job, self._me, self._stage, self._peers = job, me, stage, peers
        self._without: set[PartyId] = set()

    @property
    def me(self) -> PartyId:
        """This party."""
        return self._me

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self._stage

    async def send(self, to: PartyId, tag: int, body: bytes) -> int:
        """See `Channel.send`."""
        queue = self._queue(self._me, to)
        async with self._job.changed:
            await self._job.changed.wait_for(lambda: self._failed(to) or len(queue) < QUEUE_LIMIT)
            self._raise_failure(to)
            queue.append(Packet(self._me, tag, body, len(body)))
            self._count((self._stage, self._me, to))
            self._job.changed.notify_all()
        return len(body)

    async def receive(self, sender: PartyId) -> Packet:
        """See `Channel.receive`."""
        queue = self._queue(sender, self._me)
        async with self._job.changed:
            await self._job.changed.wait_for(lambda: self._failed(sender) or queue)
            self._raise_failure(None if queue else sender)
            self._job.changed.notify_all()
            self._count((self._stage, self._me, sender))
            return queue.popleft()

    def progress(self, peer: PartyId) -> int:
        """See `Channel.progress`."""
        return self._job.moved.get((self._stage, peer, self._me), 0)

    def lose(self, peer: PartyId) -> None:
        """See `Channel.lose`."""
        self._without.add(peer)

    async def abort(self, error: FedcreditError) -> None:
        """See `Channel.abort`."""
        abort = Abort.of(self._stage, error)
        survivable = loss_of_abort(self._me, self._stage, abort) is not None
        async with self._job.changed:
            for peer in self._peers:
                if survivable and self._job.survives.get(peer, True):
                    self._job.left[peer, self._me] = abort
                else:
                    self._job.failure.setdefault(peer, error_of_abort(self._me, abort))
            self._job.changed.notify_all()

    async def close(self) -> None:
        """See `Channel.close`."""
        for peer in self._peers:
            unread = self._job.queues.pop((self._stage, peer, self._me), None)
            if unread and not self._failed() and peer not in self._without:
                raise PeerError(peer, self._stage, "sent a message that nobody asked for", "UNEXPECTED_MESSAGE")

    def _queue(self, sender: PartyId, receiver: PartyId) -> deque[Packet]:
        if (receiver if sender == self._me else sender) not in self._peers:
            raise FedcreditError(f"{sender} to {receiver}: no such link in {self._stage}")
        return self._job.queues.setdefault((self._stage, sender, receiver), deque())

    def _count(self, moved: tuple[str, PartyId, PartyId]) -> None:
        self._job.moved[moved] = self._job.moved.get(moved, 0) + 1

    def _failed(self, peer: PartyId | None = None) -> bool:
        return self._me in self._job.failure or (self._me, peer) in self._job.left

    def _raise_failure(self, peer: PartyId | None) -> None:
        if failure := self._job.failure.get(self._me):
            raise failure
        if (
            peer
            and (abort := self._job.left.get((self._me, peer)))
            and (loss := loss_of_abort(peer, self._stage, abort))
        ):
            raise loss
