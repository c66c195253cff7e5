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

from fedcredit.errors import ConfigError, FedcreditError, PeerError, PeerLost, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.session import Session
from fedcredit.transport.channel import Packet, decode_packet, error_of_abort, loss_of_abort
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
    """What came of a run: each role's result, and every message as (sender, receiver, type, encoded bytes).

    `lost`: the roles that fell silent, or could not go on without one that did, and by which error.
    """

    results: dict[PartyId, Any]
    traffic: list[tuple[PartyId, PartyId, str, int]]
    lost: dict[PartyId, PeerLost] = field(default_factory=dict)


def run_network(
    roles: Mapping[PartyId, Steps[Any]],
    *,
    insecure_in_process: bool,
    pick: Callable[[Sequence[Link]], Link] | None = None,
    tamper: Callable[[Link, int, bytes], tuple[int, bytes]] | None = None,
    window_bytes: int = WINDOW_BYTES,
    silent: Mapping[PartyId, int] | None = None,
    cut: Collection[Link] = (),
    at_once: bool = False,
) -> Outcome:
    """Run `roles` against each other to their ends, in this thread.

    As over a network, a role gets a message when it asks for one of that sender, and is held back once `window_bytes`
    of what it sent to a peer are not taken. Every message is encoded and decoded on its way. `pick` chooses which of
    the links that can deliver does so next (the first by default), so a test can play any order; each link stays in
    order. `tamper` may change a message's number and body on its way.

    `silent` has parties that fall silent, each after so many messages, and over the links `cut` nothing passes: whoever
    waits for one of these is told that it is lost when nothing else can happen any more, or, with `at_once`, before all
    else. A role that cannot go on then falls silent too; `Outcome.lost` says why.

    Raises: ConfigError (INSECURE) unless `insecure_in_process`; PeerError as the driver would raise it; whatever a role
    raises; FedcreditError (DEADLOCK) when every role waits for another, be it for a message or for room to send.
    """
    _refuse_unless(insecure_in_process)
    faults = _Faults(silent or {}, frozenset(cut), at_once)
    return _Simulation(roles, pick or _first, tamper or _untouched, window_bytes, faults).run()


def _first(links: Sequence[Link]) -> Link:
    return links[0]


def _untouched(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
    return tag, body


@dataclass(frozen=True, slots=True)
class _Faults:
    silent: Mapping[PartyId, int]
    cut: frozenset[Link]
    at_once: bool

    def __bool__(self) -> bool:
        return bool(self.silent or self.cut)


class _Simulation:
    def __init__(
        self,
        roles: Mapping[PartyId, Steps[Any]],
        pick: Callable[[Sequence[Link]], Link],
        tamper: Callable[[Link, int, bytes], tuple[int, bytes]],
        window_bytes: int,
        faults: _Faults,
    ) -> None:
        self._faults = faults
        self._left = dict(faults.silent)
        self._lost: dict[PartyId, PeerLost] = {}
        self._sessions = {party: Session(steps, f"simulation/{party}") for party, steps in roles.items()}
        self._pick, self._tamper, self._window_bytes = pick, tamper, window_bytes
        self._links: dict[Link, deque[Packet]] = {}
        self._traffic: list[tuple[PartyId, PartyId, str, int]] = []

    def run(self) -> Outcome:
        try:
            for party in self._sessions:
                self._advance(party)
            while (self._faults.at_once and self._lose()) or (ready := self._deliverable()) or self._lose():
                if not (ready := self._deliverable()):
                    continue
                link = self._pick(ready)
                packet = self._links[link].popleft()
                session = self._sessions[link.receiver]
                session.deliver(link.sender, decode_packet(packet, session.step))
                self._advance(link.receiver)
                self._advance(link.sender)
            self._refuse_deadlock()
            results = {party: session.result for party, session in self._sessions.items()}
            return Outcome(results, self._traffic, self._lost)
        finally:
            for session in self._sessions.values():
                session.close()

    def _advance(self, party: PartyId) -> None:
        """Run `party` until it waits for a message, for room to send, or is done."""
        session = self._sessions[party]
        try:
            while party not in self._lost and self._post(party, session) and session.advance():
                pass
            self._post(party, session)
        except PeerLost as error:
            if not self._faults:
                raise
            self._fall_silent(party, error)

    def _fall_silent(self, party: PartyId, error: PeerLost) -> None:
        self._lost[party] = error
        self._sessions[party].outbox.clear()
        self._sessions[party].close()

    def _lose(self) -> bool:
        """Tell one role that it waits in vain, be it for a message or for room to send. False if none does."""
        for party, session in self._sessions.items():
            if party in self._lost or session.done:
                continue
            if session.outbox:
                peer, or_lost = session.outbox[0].to, session.outbox[0].or_lost
            elif (waiting := session.waiting_for) is not None:
                peer, or_lost = waiting.sender, waiting.or_lost
                if self._links.get(Link(peer, party)):
                    continue
            else:
                continue
            if peer in self._lost or Link(peer, party) in self._faults.cut or Link(party, peer) in self._faults.cut:
                self._tell(party, session, peer, or_lost)
                return True
        return False

    def _tell(self, party: PartyId, session: Session[Any], peer: PartyId, or_lost: bool) -> None:
        if or_lost:
            session.lose(peer, "is silent")
            self._links.pop(Link(peer, party), None)
            self._advance(party)
        else:
            self._fall_silent(party, PeerLost(peer, session.step, "is silent"))

    def _post(self, party: PartyId, session: Session[Any]) -> bool:
        """Put what `party` sends on its links. False while one of them is full."""
        while session.outbox:
            effect = session.outbox[0]
            if effect.to not in self._sessions or effect.to == party:
                raise FedcreditError(f"{party} sends to {effect.to}, which is no peer of this run")
            if self._left.get(party) == 0:
                self._fall_silent(party, PeerLost(party, session.step, "fell silent"))
                return False
            link, body = Link(party, effect.to), effect.message.encode()
            waiting = self._links.setdefault(link, deque())
            if waiting and sum(packet.wire_bytes for packet in waiting) + len(body) > self._window_bytes:
                if not session.has_lost(effect.to):
                    return False
                waiting.clear()
            session.outbox.popleft()
            self._left[party] = self._left.get(party, -1) - 1
            if link in self._faults.cut:
                continue
            self._traffic.append((*link, type(effect.message).__name__, len(body)))
            tag, body = self._tamper(link, effect.message.tag, body)
            waiting.append(Packet(party, tag, body, len(body)))
        return True

    def _deliverable(self) -> list[Link]:
        return sorted(link for link, packets in self._links.items() if packets and self._wanted(link))

    def _wanted(self, link: Link) -> bool:
        session = self._sessions[link.receiver]
        if link.receiver in self._lost:
            return False
        # What comes after the end is delivered too: the session refuses it.
        return session.done or (session.waiting_for is not None and session.waiting_for.sender == link.sender)

    def _refuse_deadlock(self) -> None:
        waits = []
        for party, session in self._sessions.items():
            if party in self._lost:
                continue
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
    survives: dict[PartyId, bool] = field(default_factory=dict)
    """Whether the stage that a party opened last goes on without who gives up."""
    left: dict[tuple[PartyId, PartyId], Abort] = field(default_factory=dict)
    """Of a party and a peer of it: how the peer gave up, where the party goes on."""
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
                if survivable and self._job.survives.get(peer):
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
