"""A department behind the relay: it dials the platform, stays, and takes the calls that come that way.

Its own server listens on a local socket that nobody else may open; a call that arrives is connected to it, byte for
byte. So the caller and this party's server speak mutual TLS with each other, as on a direct link.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import grpc
import grpc.aio

from fedcredit import failpoints
from fedcredit.ids import PartyId
from fedcredit.observe import logs
from fedcredit.transport.backoff import Backoff
from fedcredit.transport.connections import Connection
from fedcredit.transport.options import RELAY_ACCEPT, RELAY_DIAL, RELAY_JOIN, RELAY_JOINED
from fedcredit.transport.relay.pipe import WHOLE, SocketEnd, StreamEnd, pipe
from fedcredit.transport.trust import TrustRefused
from fedcredit.wire.frame import is_code
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.relay import RelayCall, RelayJoin, piece_for_call, piece_to

__all__ = ["RelayMember", "dial_through"]

_log = logs.get("relay")

if TYPE_CHECKING:
    Call: TypeAlias = grpc.aio.StreamStreamCall[bytes, bytes]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_SETTLED_S = 60.0
"""A stay at the relay that lasted this long was a good one: after it the pauses start small again."""

_IDLE_S = 90.0
"""Longer than the relay's own, which knows more."""

_HANG_UP_S = 2.0

_BROKEN = (
    grpc.aio.AioRpcError,
    grpc.aio.InternalError,
    asyncio.InvalidStateError,
    MessageInvalid,
    TrustRefused,
    OSError,
)


class RelayMember:
    """Keeps this party reachable. `channel` gives the one channel to the platform, `own_server` the local socket."""

    def __init__(self, channel: Callable[[], Connection], own_server: str) -> None:
        self._channel, self._own_server = channel, own_server
        self._task: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self.joined = asyncio.Event()
        """Set while the relay knows of us."""

    def start(self) -> None:
        """Join, and join again whenever the stream ends, until `close`."""
        self._task = asyncio.get_running_loop().create_task(self._stay(), name="relay member")

    async def close(self) -> None:
        """Leave, and hang up what is connected."""
        tasks = [*self._calls, *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stay(self) -> None:
        # With jitter, so that the departments of a platform that has restarted do not come back in step.
        loop, pauses = asyncio.get_running_loop(), Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            since = loop.time()
            try:
                await self._join()
            except _BROKEN:
                pass
            except asyncio.CancelledError:
                # So ends a call that was cut off because the platform is not believed any more; it may be again.
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
            if loop.time() - since > _SETTLED_S:
                pauses.reset()
            await asyncio.sleep(next(pauses))

    async def _join(self) -> None:
        call: Call = self._channel().stream_stream(RELAY_JOIN, None, None)(None, wait_for_ready=True)
        try:
            await call.write(RelayJoin().encode())
            if RELAY_JOINED not in tuple(await call.initial_metadata()):
                return
            failpoints.hit("relay.joined")
            self.joined.set()
            _log.info("relay.joined")
            while isinstance(data := await call.read(), bytes):
                heard = RelayCall.decode(data)
                failpoints.hit("relay.called", heard.caller)
                self._take(heard)
        finally:
            if self.joined.is_set():
                _log.info("relay.left")
            self.joined.clear()
            call.cancel()

    def _take(self, heard: RelayCall) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(heard), name=f"relay from {heard.caller}")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _carry(self, heard: RelayCall) -> None:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end = SocketEnd(sock)
        try:
            await loop.sock_connect(sock, self._own_server)
            await _through(self._channel(), RELAY_ACCEPT, piece_for_call(heard.call), end, heard.caller)
        except _BROKEN:
            pass  # The caller finds the connection closed and dials again.
        finally:
            end.close()


async def dial_through(channel: Connection, peer: PartyId, end: SocketEnd) -> None:
    """Carry `end` to `peer` by way of the relay behind `channel`, until the connection has ended; never raises."""
    with contextlib.suppress(*_BROKEN):
        await _through(channel, RELAY_DIAL, piece_to(peer), end, peer)


async def _through(channel: Connection, method: str, opening: bytes, end: SocketEnd, peer: str) -> None:
    call: Call = channel.stream_stream(method, None, None)(None)
    try:
        await call.write(opening)
        if await pipe(end, StreamEnd(call), idle_s=_IDLE_S) == WHOLE:
            # The last piece is still on its way; the relay ends the call when it has passed that on.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HANG_UP_S):
                    await call.code()
        elif call.done() and is_code(why := await call.details() or ""):
            _log.warning("relay.refused", peer=peer, code=why)
    finally:
        call.cancel()
