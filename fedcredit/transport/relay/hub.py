"""The relay itself, at the platform: who is there, who may call whom, and the bytes between them.

The hub brings two ends together and copies between them. It holds no key and keeps no byte: what waits, waits at the
sender. A call that cannot be brought about is refused with a code, at once or after `RelayLimits.accept_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.observe import metrics
from fedcredit.transport.relay.pipe import CLOSED, End, SocketEnd, pipe
from fedcredit.wire.relay import CALL_BYTES, RelayCall

__all__ = ["STREAM_WINDOW_BYTES", "Presence", "RelayHub", "RelayLimits"]

STREAM_WINDOW_BYTES = 1 << 20
"""For `Limits.stream_window_bytes` of a transport that serves a relay."""

Straight = Callable[[PartyId], Awaitable[SocketEnd] | None]
"""A connection to a member that need not join, because the platform itself can reach it; None for one that must."""

MayDial = Callable[[PartyId, PartyId], bool]
"""Whether a caller may call a peer. Pure and quick: it is asked for every connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """What one member may use of a relay."""

    connections: int = 32
    """Connections of one member at once, in both roles together. A pair of parties in a job needs two."""
    connections_in_all: int = 256
    accept_s: float = 12.0
    """How long a call waits for the member to be there and to take it: on a line of five seconds each way, ten."""
    idle_s: float = 60.0
    """A connection on which nothing moves. A live one has gRPC's pings every four seconds."""
    bytes_per_s: int = 0
    """What one member may send, averaged over a second; 0 for no bound."""


class Presence:
    """A member that has joined: the calls that it has yet to hear of. None: it has been replaced."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[RelayCall | None] = asyncio.Queue()


@dataclass(slots=True, eq=False)
class _Call:
    """One call between its Dial and its Accept."""

    to: PartyId
    accepted: asyncio.Future[End] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    carrying: asyncio.Task[str] | None = None


class RelayHub:
    """Calls between members. `may_dial` is asked about members only; strangers are refused before."""

    def __init__(
        self,
        is_member: Callable[[PartyId], bool],
        may_dial: MayDial,
        straight: Straight = lambda member: None,
        limits: RelayLimits | None = None,
    ) -> None:
        self.limits = limits or RelayLimits()
        self._is_member, self._may_dial, self._straight = is_member, may_dial, straight
        self._present: dict[PartyId, Presence] = {}
        self._joined = asyncio.Event()
        self._calls: dict[bytes, _Call] = {}
        self._open: Counter[PartyId] = Counter()
        self._free_at: dict[PartyId, float] = {}
        self.passed: Counter[tuple[PartyId, PartyId]] = Counter()
        """Bytes carried, both ways together, for each caller and callee."""

    @property
    def members_present(self) -> frozenset[PartyId]:
        """Who has joined and can be called."""
        return frozenset(self._present)

    def connections(self, member: PartyId) -> int:
        """Connections that `member` has now, in both roles."""
        return self._open[member]

    @contextlib.contextmanager
    def present(self, member: PartyId) -> Iterator[Presence]:
        """`member` is there while this is entered, in place of whoever was it before.

        Raises: RefusedError (NOT_A_MEMBER).
        """
        self._check_member(member)
        mine = Presence()
        if (old := self._present.get(member)) is not None:
            old.calls.put_nowait(None)
        self._present[member] = mine
        self._joined.set()
        self._joined = asyncio.Event()
        try:
            yield mine
        finally:
            if self._present.get(member) is mine:
                del self._present[member]

    async def dial(self, caller: PartyId, to: PartyId, end: End) -> str:
        """Bring `end` together with `to`'s, and carry between them; how that ended.

        Raises: RefusedError: NOT_A_MEMBER, RELAY_DENIED by the rule, QUOTA, NOT_JOINED or NOT_ACCEPTED in time.
        """
        self._check_member(caller)
        self._check_member(to)
        if caller == to or not self._may_dial(caller, to):
            raise RefusedError(Problem("RELAY_DENIED", f"relay, {caller} to {to}", "no rule lets it", "see [relay]"))
        with self._slots(caller, to), self._call(to) as (name, call):
            other = await self._reach(caller, name, call)
            try:
                failpoints.hit("relay.dial.accepted", to)
                carrying = pipe(end, other, idle_s=self.limits.idle_s, passed=lambda n: self._pass(caller, to, n))
                call.carrying = asyncio.create_task(carrying, name=f"relay {caller}->{to}")
                # The callee's side cancels it when that goes, and the caller's call has to end in good order then.
                await asyncio.wait((call.carrying,))
                return CLOSED if call.carrying.cancelled() else call.carrying.result()
            finally:
                if call.carrying is not None:
                    call.carrying.cancel()
                if isinstance(other, SocketEnd):
                    other.close()

    async def accept(self, member: PartyId, name: bytes, end: End) -> None:
        """`member` takes the call that it was told of as `name`; returns when the connection has ended.

        Raises: RefusedError (NOT_A_MEMBER, CALL_UNKNOWN): a call is taken once, in time, and by the one called.
        """
        self._check_member(member)
        call = self._calls.get(name)
        if call is None or call.to != member or call.accepted.done():
            raise RefusedError(Problem("CALL_UNKNOWN", f"relay, accept by {member}", "there is no such call"))
        call.accepted.set_result(end)
        try:
            await call.ended.wait()
        finally:
            if call.carrying is not None:
                call.carrying.cancel()

    async def _reach(self, caller: PartyId, name: bytes, call: _Call) -> End:
        code = "NOT_JOINED"
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(self.limits.accept_s):
                if call.to not in self._present and (connecting := self._straight(call.to)) is not None:
                    code = "NOT_ACCEPTED"
                    return await connecting
                while (presence := self._present.get(call.to)) is None:
                    await self._joined.wait()
                code = "NOT_ACCEPTED"
                presence.calls.put_nowait(RelayCall(name, caller))
                failpoints.hit("relay.dial.taken", call.to)
                return await call.accepted
        raise RefusedError(Problem(code, f"relay, {caller} to {call.to}", f"not within {self.limits.accept_s:g} s"))

    @contextlib.contextmanager
    def _call(self, to: PartyId) -> Iterator[tuple[bytes, _Call]]:
        name, call = secrets.token_bytes(CALL_BYTES), _Call(to)
        self._calls[name] = call
        try:
            yield name, call
        finally:
            del self._calls[name]
            call.ended.set()

    @contextlib.contextmanager
    def _slots(self, *members: PartyId) -> Iterator[None]:
        limits = self.limits
        full = [member for member in members if self._open[member] >= limits.connections]
        if full or self._open.total() >= 2 * limits.connections_in_all:
            whose = f"of {full[0]} are" if full else "in all are"
            raise RefusedError(Problem("QUOTA", "relay", f"the connections {whose} taken", "wait, or see [relay]"))
        self._open.update(members)
        self._show(members)
        try:
            yield
        finally:
            self._open.subtract(members)
            self._show(members)

    def _show(self, members: tuple[PartyId, ...]) -> None:
        for member in members:
            metrics.RELAYED_CONNECTIONS.labels(member).set(self._open[member])

    async def _pass(self, caller: PartyId, to: PartyId, n_bytes: int) -> None:
        self.passed[caller, to] += n_bytes
        metrics.RELAYED_BYTES.labels(caller, to).inc(n_bytes)
        if self.limits.bytes_per_s:
            now = asyncio.get_running_loop().time()
            # A member that was quiet may send what it saved up, for a second at most.
            free_at = max(self._free_at.get(caller, 0.0), now - 1.0)
            self._free_at[caller] = free_at + n_bytes / self.limits.bytes_per_s
            if free_at > now:
                await asyncio.sleep(free_at - now)

    def _check_member(self, member: PartyId) -> None:
        if not self._is_member(member):
            raise RefusedError(Problem("NOT_A_MEMBER", f"relay, for {member}", "is not a member", "add it to [peers]"))
