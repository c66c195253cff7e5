"""Roles played against each other in one thread, in an order that the caller chooses, with faults that it chooses."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fedcredit.errors import ConfigError, FedcreditError, PeerLost, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.session import Session
from fedcredit.transport.channel import Packet, decode_packet
from fedcredit.transport.limits import Limits

__all__ = ["Link", "Outcome", "refuse_in_process", "run_network"]

WINDOW_BYTES = Limits().stage_bytes


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
    refuse_in_process(insecure_in_process)
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
        self._ready: dict[PartyId, list[Link]] = {}
        self._touched: set[PartyId] = set()
        self._traffic: list[tuple[PartyId, PartyId, str, int]] = []

    def run(self) -> Outcome:
        try:
            for party, session in self._sessions.items():
                if self._left.get(party) == 0:
                    self._fall_silent(party, PeerLost(party, session.step, "was silent from the beginning"))
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
        self._touched.add(party)
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
        self._touched.add(party)
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
            link, body = Link(party, effect.to), effect.message.encode()
            waiting = self._links.setdefault(link, deque())
            if waiting and sum(packet.wire_bytes for packet in waiting) + len(body) > self._window_bytes:
                if not session.has_lost(effect.to):
                    return False
                waiting.clear()
            session.outbox.popleft()
            if link not in self._faults.cut:
                self._traffic.append((*link, type(effect.message).__name__, len(body)))
                tag, body = self._tamper(link, effect.message.tag, body)
                waiting.append(Packet(party, tag, body, len(body)))
                self._touched.add(effect.to)
            self._left[party] = self._left.get(party, -1) - 1
            if self._left[party] == 0:
                self._fall_silent(party, PeerLost(party, session.step, "fell silent"))
                return False
        return True

    def _deliverable(self) -> list[Link]:
        for party in self._touched:
            self._ready[party] = [] if party in self._lost else self._wanted(party)
        self._touched.clear()
        return sorted(itertools.chain.from_iterable(self._ready.values()))

    def _wanted(self, party: PartyId) -> list[Link]:
        session = self._sessions[party]
        # What comes after the end is delivered too: the session refuses it.
        waiting = session.waiting_for
        senders = self._sessions if session.done else () if waiting is None else (waiting.sender,)
        return [link for sender in senders if self._links.get(link := Link(sender, party))]

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


def refuse_in_process(insecure_in_process: bool) -> None:
    """Check that parties are meant to share a process. Raises: ConfigError INSECURE."""
    if not insecure_in_process:
        raise ConfigError(
            Problem(
                "INSECURE",
                "in-process transport",
                "parties in one process can read each other's memory",
                "use transport.grpc, or say insecure_in_process=True in a test",
            )
        )
