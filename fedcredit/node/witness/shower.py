"""Shows a node's audit heads to its peers: to those of a job when it ends, to members once a day.

A peer that is away is asked again until it is back; nothing else waits for it. Every call has a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from fedcredit.errors import FedcreditError, PeerError, PeerLost
from fedcredit.governance.audit import AuditBroken, SignedHead
from fedcredit.ids import PartyId
from fedcredit.node.jobs.waits import PASSING
from fedcredit.node.rpc import ControlClient
from fedcredit.node.witness.own_log import OwnLog
from fedcredit.observe import logs, metrics
from fedcredit.runtime.clock import Clock
from fedcredit.transport.backoff import Backoff
from fedcredit.wire.witness import HeadSeen, HeadShown

__all__ = ["DAY_S", "HeadShower"]

DAY_S: Final = 86_400.0
LOOK_S: Final = 60.0
CALL_S: Final = 30.0
"""What a witness may take to answer: a write to its disk, over the slowest line."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 600.0
AT_ONCE: Final = 4
"""Peers that are called at a time; each call may read the whole log."""

_AGAIN = PASSING | {"QUOTA"}

_log = logs.get("witness")


class HeadShower:
    """Lives on the node's event loop. `reach` gives the way to a peer's `Witness`, `members` who is shown it daily.

    `own` are the node's logs by name: "" is that of its jobs.
    """

    def __init__(
        self,
        own: Mapping[str, OwnLog],
        reach: Callable[[PartyId], ControlClient],
        members: Callable[[], Collection[PartyId]],
        clock: Clock,
    ) -> None:
        self._own, self._reach, self._members, self._clock = own, reach, members, clock
        self._due: dict[PartyId, dict[str, float]] = {}
        self._told: dict[PartyId, float] = {}
        self._tasks: dict[PartyId, asyncio.Task[None]] = {}
        self._daily: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(AT_ONCE)

    def start(self) -> None:
        """Begin to look, once a minute, whether a day has gone by for a member; at first it has for all of them."""
        self._daily = asyncio.get_running_loop().create_task(self._look(), name="witnesses")

    async def stop(self) -> None:
        """Show no more. What was due is due again after the next start, to members and to peers of the last day."""
        tasks = [task for task in (self._daily, *self._tasks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def show(self, peers: Iterable[PartyId], names: Collection[str] = ("",)) -> None:
        """Show the logs of these names to `peers`, soon, and again until each has answered."""
        now = self._clock.monotonic()
        for peer in peers:
            self._due.setdefault(peer, {}).update(dict.fromkeys(names, now))
            if peer not in self._tasks:
                self._tasks[peer] = asyncio.get_running_loop().create_task(self._see_to(peer), name=f"show {peer}")

    async def _look(self) -> None:
        while True:
            try:
                now = self._clock.monotonic()
                for peer in await asyncio.to_thread(self._members):
                    if now - self._told.get(peer, -DAY_S) >= DAY_S:
                        self._told[peer] = now
                        self.show([peer], [*self._own])
            except Exception as error:  # noqa: BLE001 - whoever cannot be told today is told tomorrow
                _log.error("witness.unasked", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def _see_to(self, peer: PartyId) -> None:
        pauses = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        due = self._due[peer]
        try:
            while due:
                name = min(due)
                since = due.pop(name)  # a job that ends from here on makes it due anew
                try:
                    async with self._room:
                        await self._show(name, peer, since)
                    pauses.reset()
                except FedcreditError as error:
                    if not isinstance(error, PeerLost) and error.code not in _AGAIN:
                        self._say(name, peer, error)
                        continue
                    due.setdefault(name, since)
                    _log.info("witness.away", peer=peer, code=error.code)
                    await asyncio.sleep(next(pauses))
                except Exception as bug:  # noqa: BLE001 - the others, and the next time, must not suffer from it
                    _log.error("witness.bug", peer=peer, error=type(bug).__name__, places=logs.places(bug))
        finally:
            del self._tasks[peer]
            if not self._tasks:
                for own in self._own.values():
                    own.forget()

    async def _show(self, name: str, peer: PartyId, since: float) -> None:
        own = self._own[name]
        if not await asyncio.to_thread(lambda: own.is_there):
            return
        known: SignedHead | None = None
        for _ in range(2):
            signed, shown = await asyncio.to_thread(self._prepared, own, peer, known, since)
            reply = await self._reach(peer).call("Show", shown, HeadSeen, timeout_s=CALL_S, attempts=1)
            if not reply.known:
                await asyncio.to_thread(own.keep, peer, signed, reply)
                metrics.AUDIT_WITNESSED.labels(name or "jobs", peer).set(signed.head.size)
                _log.info("witness.signed", peer=peer, entries=signed.head.size)
                return
            known = own.check_known(peer, reply)
        # It asked for a proof from a head, got it, and asks for one from yet another.
        raise PeerError(peer, "audit head", "asks for proof after proof", "AUDIT_HEAD")

    def _prepared(
        self, own: OwnLog, peer: PartyId, known: SignedHead | None, since: float
    ) -> tuple[SignedHead, HeadShown]:
        try:
            return own.for_witness(peer, known, since=since)
        except AuditBroken:
            if known is not None and not own.is_ours(known):
                raise PeerError(peer, "audit head", "is none that was signed here", "AUDIT_HEAD") from None
            raise

    def _say(self, name: str, peer: PartyId, error: FedcreditError) -> None:
        """What a person has to know: our own log does not follow what a witness has signed, or it says so."""
        if error.code in ("AUDIT_FORK", "AUDIT_ROLLED_BACK"):
            metrics.AUDIT_HEADS_REFUSED.labels(peer).inc()
        # A party of a run on one machine does not know the way to its platform, and need not.
        quiet = _log.info if error.code == "PEER_UNKNOWN" else _log.warning
        tell = _log.error if error.code.startswith("AUDIT_") else quiet
        tell("witness.refused", peer=peer, code=error.code, kind=name or "jobs")
