"""Parties in one process, for tests and for showing how a protocol runs. No network, no authentication.

`run_network` plays roles against each other synchronously and lets the caller choose the order of delivery.
`MemoryNetwork` gives asyncio transports, so that the driver and everything above it run without sockets.
Both refuse to start unless told that nothing separates the parties: `insecure_in_process=True`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fedcredit.errors import ConfigError, FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.session import Session
from fedcredit.transport.channel import Packet, decode_packet, error_of_abort
from fedcredit.transport.limits import Limits
from fedcredit.wire.frame import Abort, check_stage

__all__ = ["Link", "MemoryNetwork", "MemoryTransport", "Outcome", "run_network"]

WINDOW_BYTES = Limits().stage_bytes
QUEUE_LIMIT = Limits().stage_frames


class Link(NamedTuple):
    """A direction between two parties."""

    sender: PartyId
    receiver: PartyId


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: each role's result, and every message as (sender, receiver, type, encoded bytes)."""

    results: dict[PartyId, Any]
    traffic: list[tuple[PartyId, PartyId, str, int]]


def run_network(
    roles: Mapping[PartyId, Steps[Any]],
    *,
    insecure_in_process: bool,
    pick: Callable[[Sequence[Link]], Link] | None = None,
    tamper: Callable[[Link, int, bytes], tuple[int, bytes]] | None = None,
    window_bytes: int = WINDOW_BYTES,
) -> Outcome:
    """Run `roles` against each other to their ends, in this thread.

    As over a network, a role gets a message when it asks for one of that sender, and is held back once `window_bytes`
    of what it sent to a peer are not taken. Every message is encoded and decoded on its way. `pick` chooses which of
    the links that can deliver does so next (the first by default), so a test can play any order; each link stays in
    order. `tamper` may change a message's number and body on its way.

    Raises: ConfigError (INSECURE) unless `insecure_in_process`; PeerError as the driver would raise it; whatever a role
    raises; FedcreditError (DEADLOCK) when every role waits for another, be it for a message or for room to send.
    """
    _refuse_unless(insecure_in_process)
    return _Simulation(roles, pick or _first, tamper or _untouched, window_bytes).run()


def _first(links: Sequence[Link]) -> Link:
    return links[0]


def _untouched(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
    return tag, body


class _Simulation:
    def __init__(
        self,
        roles: Mapping[PartyId, Steps[Any]],
        pick: Callable[[Sequence[Link]], Link],
        tamper: Callable[[Link, int, bytes], tuple[int, bytes]],
        window_bytes: int,
    ) -> None:
        self._sessions = {party: Session(steps, f"simulation/{party}") for party, steps in roles.items()}
        self._pick, self._tamper, self._window_bytes = pick, tamper, window_bytes
        self._links: dict[Link, deque[Packet]] = {}
        self._traffic: list[tuple[PartyId, PartyId, str, int]] = []

    def run(self) -> Outcome:
        try:
            for party in self._sessions:
                self._advance(party)
            while ready := self._deliverable():
                link = self._pick(ready)
                packet = self._links[link].popleft()
                session = self._sessions[link.receiver]
                session.deliver(link.sender, decode_packet(packet, session.step))
                self._advance(link.receiver)
                self._advance(link.sender)
            self._refuse_deadlock()
            return Outcome({party: session.result for party, session in self._sessions.items()}, self._traffic)
        finally:
            for session in self._sessions.values():
                session.close()

    def _advance(self, party: PartyId) -> None:
        """Run `party` until it waits for a message, for room to send, or is done."""
        session = self._sessions[party]
        while self._post(party, session) and session.advance():
            pass
        self._post(party, session)

    def _post(self, party: PartyId, session: Session[Any]) -> bool:
        """Put what `party` sends on its links. False while one of them is full."""
        while session.outbox:
            effect = session.outbox[0]
            if effect.to not in self._sessions or effect.to == party:
                raise FedcreditError(f"{party} sends to {effect.to}, which is no peer of this run")
            link, body = Link(party, effect.to), effect.message.encode()
            waiting = self._links.setdefault(link, deque())
            if waiting and sum(packet.wire_bytes for packet in waiting) + len(body) > self._window_bytes:
                return False
            session.outbox.popleft()
            self._traffic.append((*link, type(effect.message).__name__, len(body)))
            tag, body = self._tamper(link, effect.message.tag, body)
            waiting.append(Packet(party, tag, body, len(body)))
        return True

    def _deliverable(self) -> list[Link]:
        return sorted(link for link, packets in self._links.items() if packets and self._wanted(link))

    def _wanted(self, link: Link) -> bool:
        session = self._sessions[link.receiver]
        # What comes after the end is delivered too: the session refuses it.
        return session.done or (session.waiting_for is not None and session.waiting_for.sender == link.sender)

    def _refuse_deadlock(self) -> None:
        waits = []
        for party, session in self._sessions.items():
            if session.outbox:
                waits.append(f"{party} waits for room to send to {session.outbox[0].to}")
            elif session.waiting_for is not None:
                waits.append(f"{party} waits for {session.waiting_for.kind.__name__} of {session.waiting_for.sender}")
        if waits:
            raise FedcreditError(Problem("DEADLOCK", "simulation", "; ".join(waits)))


@dataclass(slots=True)
class _Job:
    """What all parties of one job share in this process."""

    failure: dict[PartyId, FedcreditError] = field(default_factory=dict)
    queues: dict[tuple[str, PartyId, PartyId], deque[Packet]] = field(default_factory=dict)
    moved: dict[tuple[str, PartyId, PartyId], int] = field(default_factory=dict)
    opened: set[tuple[str, PartyId]] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


class MemoryNetwork:
    """Links between `parties` that live on one event loop. Raises ConfigError (INSECURE) unless told that is meant."""

    def __init__(self, parties: Iterable[PartyId], *, insecure_in_process: bool) -> None:
        _refuse_unless(insecure_in_process)
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
        self, ssid: bytes, stage: str, *, peers: Collection[PartyId] | None = None, epoch: int = 0
    ) -> MemoryChannel:
        """See `Transport.open`."""
        job = self._network._job(ssid, epoch)
        if (stage, self._me) in job.opened:
            raise FedcreditError(Problem("STAGE_REUSED", check_stage(stage), "a stage is opened once"))
        job.opened.add((check_stage(stage), self._me))
        others = self._network.parties - {self._me}
        return MemoryChannel(job, self._me, stage, others if peers is None else frozenset(peers) & others)

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
            await self._job.changed.wait_for(lambda: self._failed() or len(queue) < QUEUE_LIMIT)
            self._raise_failure()
            queue.append(Packet(self._me, tag, body, len(body)))
            self._count((self._stage, self._me, to))
            self._job.changed.notify_all()
        return len(body)

    async def receive(self, sender: PartyId) -> Packet:
        """See `Channel.receive`."""
        queue = self._queue(sender, self._me)
        async with self._job.changed:
            await self._job.changed.wait_for(lambda: self._failed() or queue)
            self._raise_failure()
            self._job.changed.notify_all()
            self._count((self._stage, self._me, sender))
            return queue.popleft()

    def progress(self, peer: PartyId) -> int:
        """See `Channel.progress`."""
        return self._job.moved.get((self._stage, peer, self._me), 0)

    async def abort(self, error: FedcreditError) -> None:
        """See `Channel.abort`."""
        async with self._job.changed:
            for peer in self._peers:
                self._job.failure.setdefault(peer, error_of_abort(self._me, Abort.of(self._stage, error)))
            self._job.changed.notify_all()

    async def close(self) -> None:
        """See `Channel.close`."""
        for peer in self._peers:
            if self._job.queues.pop((self._stage, peer, self._me), None) and not self._failed():
                raise PeerError(peer, self._stage, "sent a message that nobody asked for", "UNEXPECTED_MESSAGE")

    def _queue(self, sender: PartyId, receiver: PartyId) -> deque[Packet]:
        if (receiver if sender == self._me else sender) not in self._peers:
            raise FedcreditError(f"{sender} to {receiver}: no such link in {self._stage}")
        return self._job.queues.setdefault((self._stage, sender, receiver), deque())

    def _count(self, moved: tuple[str, PartyId, PartyId]) -> None:
        self._job.moved[moved] = self._job.moved.get(moved, 0) + 1

    def _failed(self) -> bool:
        return self._me in self._job.failure

    def _raise_failure(self) -> None:
        if failure := self._job.failure.get(self._me):
            raise failure


def _refuse_unless(insecure_in_process: bool) -> None:
    if not insecure_in_process:
        raise ConfigError(
            Problem(
                "INSECURE",
                "in-process transport",
                "parties in one process can read each other's memory",
                "use transport.grpc, or say insecure_in_process=True in a test",
            )
        )
