"""Carries the bytes of one connection between two ends, both ways, as fast as the slower of them takes them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio

from fedcredit import failpoints
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.relay import END, MAX_DATA_BYTES, MAX_PIECE_BYTES, data_of, piece_of

__all__ = ["CLOSED", "IDLE", "WHOLE", "End", "SocketEnd", "StreamEnd", "pipe"]

WHOLE, CLOSED, IDLE = "WHOLE", "CLOSED", "IDLE"
"""How a connection ended: both sides said so; one went away or broke the rules; nothing moved for too long."""

# What reading and writing raise once the other side is gone. `InternalError` is gRPC's word for a write to a dead call.
_GONE = (OSError, MessageInvalid, grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)

Passed = Callable[[int], Awaitable[None]]
"""Awaited with the size of each piece before it is passed on."""


class End(Protocol):
    """One end of a connection. Holds at most the piece that is being read or written."""

    async def read(self) -> bytes | None:
        """The next piece, encoded; None once the end has gone without saying END."""

    async def write(self, piece: bytes) -> None:
        """Pass `piece` on; waits while the end has no room."""


class SocketEnd:
    """A connected stream socket: pieces are what it gives at a time. `close` it at the end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family == socket.AF_UNIX:
            # Its room is the sender's buffer; a larger one makes fewer, larger pieces.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_DATA_BYTES)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._loop = sock, asyncio.get_running_loop()

    async def read(self) -> bytes | None:
        """See `End`. The end of the stream is END."""
        data = await self._loop.sock_recv(self._socket, MAX_DATA_BYTES)
        return piece_of(data) if data else END

    async def write(self, piece: bytes) -> None:
        """See `End`. Raises MessageInvalid for what is neither data nor END."""
        if piece == END:
            self._socket.shutdown(socket.SHUT_WR)
        else:
            await self._loop.sock_sendall(self._socket, data_of(piece))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    @classmethod
    async def connect(cls, host: str, port: int) -> SocketEnd:
        """One that is connected by TCP. Raises OSError."""
        loop, failure = asyncio.get_running_loop(), OSError(f"{host} has no address")
        for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                return cls(sock)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
        raise failure


class StreamEnd:
    """A gRPC stream of pieces, at either side of it. `stream` reads and writes bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def read(self) -> bytes | None:
        """See `End`. Raises MessageInvalid for a piece that is too large."""
        piece = await self._stream.read()
        if not isinstance(piece, bytes):
            return None
        if len(piece) > MAX_PIECE_BYTES:
            raise MessageInvalid("piece", f"more than {MAX_PIECE_BYTES} bytes", "TOO_LARGE")
        return piece

    async def write(self, piece: bytes) -> None:
        """See `End`."""
        await self._stream.write(piece)


async def pipe(one: End, other: End, *, idle_s: float, passed: Passed | None = None) -> str:
    """Carry pieces both ways until both ways have ended, an end is gone, or nothing moves for `idle_s`.

    Returns how it ended: WHOLE, CLOSED or IDLE. Memory: one piece each way, and what gRPC's flow control lets in.
    """
    n_moved = 0

    async def pump(source: End, sink: End) -> bool:
        nonlocal n_moved
        try:
            while (piece := await source.read()) is not None:
                failpoints.hit("relay.pump")
                if passed is not None:
                    await passed(len(piece))
                await sink.write(piece)
                n_moved += 1
                if piece == END:
                    return True
        except _GONE:
            pass
        return False

    running = {asyncio.create_task(pump(one, other)), asyncio.create_task(pump(other, one))}
    pumps = list(running)
    try:
        while running:
            before = n_moved
            done, running = await asyncio.wait(running, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
            if not all(task.result() for task in done):
                return CLOSED
            if not done and n_moved == before:
                return IDLE
        return WHOLE
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
