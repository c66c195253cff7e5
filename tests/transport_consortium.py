"""Parties over gRPC in one test process, a hostile client, and a network between them that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.transport.grpc import Credentials, GrpcTransport, Limits
from fedcredit.transport.identity import party_host
from fedcredit.transport.options import ACCEPTED, CARRY
from fedcredit.transport.relay.hub import STREAM_WINDOW_BYTES, RelayLimits
from fedcredit.transport.relay.sides import MemberSide, PlatformSide

PLATFORM = PartyId("platform")
QUICK = Limits(drain_s=0.5)
"""For tests in which nobody is lost, however busy the machine."""

PATIENCE_S = 60.0
"""Bounds what hangs. Nothing that works comes near it."""


class Wire:
    """A TCP relay to a port. `cut` breaks what is connected; `held` lets nothing new through.

    `mute` swallows what comes from now on over what is connected now, and closes nothing. `bytes_per_s` and `delay_s`
    make a slow line of it, each way.
    """

    def __init__(self, port: int, *, bytes_per_s: float = 0.0, delay_s: float = 0.0) -> None:
        self._rate, self._delay_s, self._mute = bytes_per_s, delay_s, 0
        self._to, self.held, self.passed, self.accepted = port, False, 0, 0
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mute(self) -> None:
        self._mute = self.accepted

    async def close(self) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.held:
            writer.transport.abort()
            return
        number = self.accepted
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            # Who is dialled has closed already, as the other end of a wire may.
            writer.transport.abort()
            return
        self._writers += [writer, other_writer]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pump(number, reader, other_writer), self._pump(number, other_reader, writer))
        for end in (writer, other_writer):
            end.transport.abort()

    async def _pump(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, free_at = asyncio.get_running_loop(), 0.0
        while data := await reader.read(1 << (12 if self._rate else 16)):
            if number <= self._mute:
                continue
            self.passed += len(data)
            if self._rate:
                free_at = max(free_at, loop.time()) + len(data) / self._rate
                await asyncio.sleep(free_at - loop.time())
            if self._delay_s:
                loop.call_later(self._delay_s, writer.write, data)
            else:
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


@asynccontextmanager
async def through_platform(
    *parties: PartyId,
    limits: Limits = QUICK,
    authority: Authority | None = None,
    relay_limits: RelayLimits | None = None,
    may_dial: Mapping[PartyId, frozenset[PartyId]] | None = None,
    port: int | None = None,
) -> AsyncIterator[dict[PartyId, GrpcTransport]]:
    """As `consortium`, but no party listens on a port: what they say to each other goes through the platform.

    `port` is where the parties find the platform, if not where it is: something in between.
    """
    authority = authority or Authority.create()
    async with platform_relay(*parties, authority=authority, relay_limits=relay_limits, may_dial=may_dial) as platform:
        members = [member(me, authority, port or platform.port, limits=limits) for me in parties]
        try:
            for transport, side in members:
                await transport.start()
                side.start(transport)
                for peer in parties:
                    transport.add_peer(peer, f"relay://{peer}")
            yield {transport.me: transport for transport, _ in members}
        finally:
            await asyncio.gather(*(transport.close() for transport, _ in members))
            await asyncio.gather(*(side.close() for _, side in members))


@asynccontextmanager
async def platform_relay(
    *parties: PartyId,
    authority: Authority,
    relay_limits: RelayLimits | None = None,
    may_dial: Mapping[PartyId, frozenset[PartyId]] | None = None,
    listen: str = "127.0.0.1:0",
    sides: list[PlatformSide] | None = None,
) -> AsyncIterator[GrpcTransport]:
    """The transport of a platform that serves a relay to `parties`."""
    side = PlatformSide(PLATFORM, may_dial=may_dial, limits=relay_limits)
    if sides is not None:
        sides.append(side)
    peers = {party: f"relay://{party}" for party in parties}
    transport = GrpcTransport(
        PLATFORM,
        authority.credentials(PLATFORM),
        listen=listen,
        peers=peers,
        route=side.route,
        services=side.services,
        limits=dataclasses.replace(QUICK, stream_window_bytes=STREAM_WINDOW_BYTES, calls_per_peer=64),
    )
    await transport.start()
    side.start(transport)
    try:
        yield transport
    finally:
        await transport.close()
        await side.close()


def member(
    me: PartyId, authority: Authority, port: int, *, limits: Limits = QUICK, reachable: bool = True
) -> tuple[GrpcTransport, MemberSide]:
    """A party that uses the relay of the platform at `port`, not started yet."""
    side = MemberSide(PLATFORM, f"127.0.0.1:{port}", reachable=reachable, all_through=True)
    transport = GrpcTransport(
        me,
        authority.credentials(me),
        listen=None,
        local=side.local,
        route=side.route,
        limits=limits,
    )
    return transport, side


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
        call = channel.stream_stream(method, None, None)(timeout=PATIENCE_S)
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
