"""Parties over gRPC in one test process, a hostile client, and a network between them that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.transport.grpc import Credentials, GrpcTransport, Limits
from fedcredit.transport.identity import party_host
from fedcredit.transport.options import ACCEPTED, CARRY

QUICK = Limits(lost_after_s=5.0, drain_s=0.2)


class Wire:
    """A TCP relay to a port. `cut` breaks what is connected; `held` lets nothing new through."""

    def __init__(self, port: int) -> None:
        self._to, self.held, self.passed = port, False, 0
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.held:
            writer.transport.abort()
            return
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, other_writer]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pump(reader, other_writer), self._pump(other_reader, writer))
        for end in (writer, other_writer):
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.passed += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def consortium(
    *parties: PartyId, limits: Limits = QUICK, authority: Authority | None = None
) -> AsyncIterator[dict[PartyId, GrpcTransport]]:
    """Transports of `parties` that know each other, closed at the end."""
    authority = authority or Authority.create()
    transports = {me: GrpcTransport(me, authority.credentials(me), limits=limits) for me in parties}
    try:
        for transport in transports.values():
            await transport.start()
        for transport in transports.values():
            for other in transports.values():
                transport.add_peer(other.me, f"127.0.0.1:{other.port}")
        yield transports
    finally:
        await asyncio.gather(*(transport.close() for transport in transports.values()))


async def knock(
    port: int, own: Credentials | None, whom: PartyId, frames: Sequence[bytes] = (), method: str = CARRY, **options: int
) -> tuple[grpc.StatusCode, str]:
    """Send `frames` with the certificate `own` (None: without TLS). Returns how the call ended."""
    settings = [
        ("grpc.ssl_target_name_override", party_host(whom)),
        ("grpc.enable_retries", 0),
        *((f"grpc.{name}", value) for name, value in options.items()),
    ]
    target = f"127.0.0.1:{port}"
    if own is None:
        channel = grpc.aio.insecure_channel(target, options=settings)
    else:
        secure = grpc.ssl_channel_credentials(own.authorities, own.private_key or None, own.certificate or None)
        channel = grpc.aio.secure_channel(target, secure, options=settings)
    async with channel:
        call = channel.stream_stream(method, None, None)(timeout=3)
        try:
            # As a sender of ours would: a client in the middle of a write loses the status.
            if ACCEPTED in tuple(await call.initial_metadata()):
                for data in frames:
                    await call.write(data)
                await call.done_writing()
            while isinstance(await call.read(), bytes):
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        finally:
            if not call.done():
                call.cancel()
        return await call.code(), await call.details() or ""
