"""Lines that are slow, long or dead without a word: bytes that flow are no time-out, and silence is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psutil
import pytest
from transport_consortium import PATIENCE_S, Wire, member, platform_relay
from transport_toys import SSID, A, B, Text, flood

from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.protocols.effects import Steps, recv
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.grpc import GrpcTransport, Limits

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MIB = 1 << 20
LIMITS = Limits(drain_s=1.0)

Line = Callable[[int], Wire]


@asynccontextmanager
async def direct(line: Line) -> AsyncIterator[dict[PartyId, GrpcTransport]]:
    """A and B, with `line` before B's port and before A's."""
    authority = Authority.create()
    transports = {me: GrpcTransport(me, authority.credentials(me), limits=LIMITS) for me in (A, B)}
    for transport in transports.values():
        await transport.start()
    wires = {me: line(transport.port) for me, transport in transports.items()}
    for me, peer in ((A, B), (B, A)):
        transports[me].add_peer(peer, f"127.0.0.1:{await wires[peer].start()}")
    try:
        yield transports
    finally:
        await asyncio.gather(*(transport.close() for transport in transports.values()))
        for wire in wires.values():
            await wire.close()


@asynccontextmanager
async def relayed(line: Line) -> AsyncIterator[dict[PartyId, GrpcTransport]]:
    """A and B behind the relay, with `line` between B and the platform."""
    authority = Authority.create()
    async with platform_relay(A, B, authority=authority) as platform:
        wire = line(platform.port)
        ports = {A: platform.port, B: await wire.start()}
        members = [member(me, authority, ports[me], limits=LIMITS) for me in (A, B)]
        for (transport, side), peer in zip(members, (B, A), strict=True):
            await transport.start()
            side.start(transport)
            transport.add_peer(peer, f"relay://{peer}")
        try:
            yield {transport.me: transport for transport, _ in members}
        finally:
            await asyncio.gather(*(transport.close() for transport, _ in members))
            await asyncio.gather(*(side.close() for _, side in members))
            await wire.close()


@pytest.fixture(params=[direct, relayed])
def linked(request: pytest.FixtureRequest) -> Callable[[Line], AbstractAsyncContextManager[dict]]:
    return request.param


def take(sender: PartyId, n: int) -> Steps[int]:
    total = 0
    for _ in range(n):
        total += len((yield from recv(sender, Text)).value)
    return total


async def test_a_peer_at_100_kilobytes_a_second_is_slow_and_not_lost(linked) -> None:
    """For longer than any time-out of the link or the role; the sender is held back and keeps little."""
    n, size = 18, 100_000
    process, held = psutil.Process(os.getpid()), []

    async with linked(lambda port: Wire(port, bytes_per_s=100_000, delay_s=0.2)) as transports:
        before = process.memory_info().rss

        async def watch() -> None:
            while True:
                held.append((transports[A]._links[B]._size, process.memory_info().rss - before))
                await asyncio.sleep(0.2)

        out, into = (transports[me].open(SSID, "slow", peers=[peer]) for me, peer in ((A, B), (B, A)))

        async def send_all() -> None:
            for _ in range(n):
                await out.send(B, Text.tag, Text(os.urandom(size)).encode())

        watching = asyncio.create_task(watch())
        sending = asyncio.create_task(send_all())
        assert await drive(take(A, n), into, deadline_s=PATIENCE_S, meter=Meter()) == n * size
        await sending
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    assert max(size for size, _ in held) <= LIMITS.stage_bytes
    assert max(grown for _, grown in held) <= 64 * MIB


async def test_a_line_of_a_wide_area_carries_rounds_and_bulk(linked) -> None:
    """20 ms each way, as between cities."""
    async with linked(lambda port: Wire(port, delay_s=0.02)) as transports:
        ends = [transports[me].open(SSID, "wide", peers=[peer]) for me, peer in ((A, B), (B, A))]
        for _ in range(10):
            await ends[0].send(B, 1, b"question")
            await ends[1].receive(A)
            await ends[1].send(A, 1, b"answer")
            await ends[0].receive(B)
        bulk = [transports[me].open(SSID, "bulk", peers=[peer]) for me, peer in ((A, B), (B, A))]
        roles = (
            drive(flood(peer, 30, 500_000), end, deadline_s=PATIENCE_S, meter=Meter())
            for end, peer in zip(bulk, (B, A), strict=True)
        )
        await asyncio.gather(*roles)


async def test_a_line_that_is_dead_without_a_word_is_dialled_again(linked) -> None:
    wires: list[Wire] = []

    def line(port: int) -> Wire:
        wires.append(Wire(port))
        return wires[-1]

    async with linked(line) as transports:
        out, into = (transports[me].open(SSID, "toy", peers=[peer]) for me, peer in ((A, B), (B, A)))
        await out.send(B, 1, b"before")
        await into.receive(A)
        for wire in wires:
            wire.mute()
        await out.send(B, 2, b"into the void at first")
        # Keepalive takes up to 20 s to find out; what was sent is kept until it has arrived.
        assert bytes((await into.receive(A)).body) == b"into the void at first"
        assert sum(wire.accepted for wire in wires) > len(wires)


@pytest.mark.parametrize(("linking", "delay_s"), [(direct, 10.0), (relayed, 5.0)], ids=["direct", "relayed"])
async def test_a_line_of_seconds_is_connected_and_stays_so(
    monkeypatch: pytest.MonkeyPatch, linking: Callable[[Line], AbstractAsyncContextManager[dict]], delay_s: float
) -> None:
    """An answer takes ten seconds through the relay, twenty without it; no connection is given up on the way."""
    monkeypatch.setattr(f"{__name__}.LIMITS", Limits(lost_after_s=75, drain_s=1.0))
    wires: list[Wire] = []

    def line(port: int) -> Wire:
        wires.append(Wire(port, delay_s=delay_s))
        return wires[-1]

    async with linking(line) as transports:
        ends = [transports[me].open(SSID, "far", peers=[peer]) for me, peer in ((A, B), (B, A))]
        for _ in range(2):
            await ends[0].send(B, 1, os.urandom(100_000))
            await ends[1].receive(A)
            await ends[1].send(A, 1, b"answer")
            await ends[0].receive(B)
        assert sum(wire.accepted for wire in wires) == len(wires), "each was dialled once"
