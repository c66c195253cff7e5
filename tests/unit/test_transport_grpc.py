"""Links over mutual TLS: roles run, order and back-pressure hold, and a broken stream is only a delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from transport_consortium import PATIENCE_S, QUICK, Wire, consortium, through_platform
from transport_toys import SSID, A, B, C, Number, flood, hear, ring, say

from fedcredit.errors import ConfigError, FedcreditError, PeerError, PeerLost
from fedcredit.node.pki import Authority
from fedcredit.protocols.effects import Steps
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.grpc import GrpcTransport, Limits
from fedcredit.transport.memory import run_network

pytestmark = pytest.mark.anyio


async def until(true: Callable[..., bool]) -> None:
    """Wait for something that has no event; the test's own timeout bounds it."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def play(
    transports, roles: dict, *, stage="toy", deadline_s: float = PATIENCE_S, meters: dict | None = None
) -> dict:
    runs = {
        me: drive(
            steps,
            transports[me].open(SSID, stage, peers=set(roles) - {me}),
            deadline_s=deadline_s,
            meter=meters[me] if meters else Meter(),
        )
        for me, steps in roles.items()
    }
    return dict(zip(runs, await asyncio.gather(*runs.values(), return_exceptions=True), strict=True))


@pytest.fixture(params=[consortium, through_platform], ids=["direct", "relayed"])
def linked(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[dict]]:
    """Transports that know each other: the tests that take it hold for links through the relay as well."""
    return request.param


async def test_roles_run_as_in_the_simulator(linked) -> None:
    parties = [A, B, C]

    def roles() -> dict:
        return {me: ring(me, parties, 5, k) for k, me in enumerate(parties)}

    expected = run_network(roles(), insecure_in_process=True).results
    async with linked(*parties) as transports:
        for stage in ("one", "two"):
            assert await play(transports, roles(), stage=stage) == expected


async def test_start_up_order_does_not_matter_and_early_frames_wait(linked) -> None:
    async with linked(A, B) as transports:
        early = asyncio.create_task(
            drive(say(B, Number(7)), transports[A].open(SSID, "toy", peers=[B]), deadline_s=PATIENCE_S, meter=Meter())
        )
        await early
        late = transports[B].open(SSID, "toy", peers=[A])
        assert await drive(hear(A), late, deadline_s=PATIENCE_S, meter=Meter()) == [7]


async def test_a_peer_that_starts_later_is_waited_for() -> None:
    authority = Authority.create()
    first = GrpcTransport(A, authority.credentials(A), limits=QUICK)
    await first.start()
    spare = GrpcTransport(B, authority.credentials(B), limits=QUICK)
    await spare.start()
    address = f"127.0.0.1:{spare.port}"
    await spare.close()
    first.add_peer(B, address)
    saying = asyncio.create_task(
        drive(say(B, Number(7)), first.open(SSID, "toy", peers=[B]), deadline_s=PATIENCE_S, meter=Meter())
    )
    await asyncio.sleep(0.2)
    second = GrpcTransport(B, authority.credentials(B), listen=address, peers={A: f"127.0.0.1:{first.port}"})
    await second.start()
    heard = await drive(hear(A), second.open(SSID, "toy", peers=[A]), deadline_s=PATIENCE_S, meter=Meter())
    await saying
    assert heard == [7]
    await asyncio.gather(first.close(), second.close())


async def test_the_meter_counts_what_is_on_the_wire(linked) -> None:
    meters = {A: Meter(), B: Meter()}
    async with linked(A, B) as transports:
        await play(transports, {A: flood(B, 3, 10_000), B: flood(A, 3, 10_000)}, meters=meters)
    for me, peer in ((A, B), (B, A)):
        use = meters[me].link("toy", peer)
        assert 30_000 < use.bytes_sent < 30_600
        assert use.bytes_sent == meters[peer].link("toy", me).bytes_received
        assert (use.messages_sent, use.messages_received, use.rounds) == (3, 3, 1)


async def test_a_slow_receiver_holds_its_sender_back(linked) -> None:
    limits = Limits(stage_bytes=100_000, stage_frames=64, peer_bytes=200_000, drain_s=2.0)
    async with linked(A, B, limits=limits) as transports:
        out, into = (transports[me].open(SSID, "toy") for me in (A, B))
        sent = 0

        async def send_all() -> None:
            nonlocal sent
            for k in range(100):
                await out.send(B, 1, bytes([k]) * 10_000)
                sent += 1

        sending = asyncio.create_task(send_all())
        await until(lambda: sent >= 9)
        await asyncio.sleep(0.1)
        assert sent == 9
        assert transports[A]._links[B]._size <= limits.stage_bytes
        assert transports[B]._frames.inbox.held_bytes(A) <= limits.stage_bytes
        for k in range(100):
            packet = await into.receive(A)
            assert bytes(packet.body) == bytes([k]) * 10_000
            assert transports[A]._links[B]._size <= limits.stage_bytes
        await sending


async def test_one_stalled_stage_does_not_stop_another(linked) -> None:
    limits = Limits(stage_bytes=50_000, peer_bytes=200_000, drain_s=0.5)
    async with linked(A, B, limits=limits) as transports:
        stalled = transports[A].open(SSID, "stalled")
        blocked = asyncio.create_task(drive(flood(B, 20, 10_000), stalled, deadline_s=PATIENCE_S, meter=Meter()))
        results = await play(transports, {A: say(B, *map(Number, range(200))), B: hear(A, 200)})
        assert results[B] == list(range(200))
        blocked.cancel()
        await asyncio.gather(blocked, return_exceptions=True)


async def cut_often(wire: Wire, done: asyncio.Event) -> int:
    cuts = 0
    while not done.is_set():
        enough = wire.passed + 200_000
        await until(lambda enough=enough: wire.passed > enough or done.is_set())
        wire.cut()
        cuts += 1
    return cuts


async def test_a_stream_that_breaks_goes_on_without_loss_or_repetition() -> None:
    async with consortium(A, B) as transports:
        wire = Wire(transports[B].port)
        transports[A].add_peer(B, f"127.0.0.1:{await wire.start()}")
        out, into = (transports[me].open(SSID, "toy") for me in (A, B))
        done = asyncio.Event()
        cutting = asyncio.create_task(cut_often(wire, done))

        async def send_all() -> None:
            for k in range(200):
                await out.send(B, k + 1, bytes([k]) * 10_000)

        sending = asyncio.create_task(send_all())
        got = [await into.receive(A) for _ in range(200)]
        done.set()
        assert await cutting >= 3
        await sending
        assert [packet.tag for packet in got] == list(range(1, 201))
        assert all(bytes(packet.body) == bytes([packet.tag - 1]) * 10_000 for packet in got)
        await wire.close()


async def test_a_server_that_restarts_in_the_middle_loses_nothing() -> None:
    async with consortium(A, B) as transports:
        out, into = (transports[me].open(SSID, "toy") for me in (A, B))
        transports[B]._listen = f"127.0.0.1:{transports[B].port}"
        for k in range(10):
            await out.send(B, k + 1, bytes(1000))
        got = [(await into.receive(A)).tag for _ in range(5)]
        await transports[B]._server.stop(None)
        for k in range(10, 20):
            await out.send(B, k + 1, bytes(1000))
        await transports[B].start()
        got += [(await into.receive(A)).tag for _ in range(15)]
        assert got == list(range(1, 21))


async def test_a_peer_that_has_moved_is_dialled_where_it_is_now_and_was_named_meanwhile() -> None:
    async with consortium(A, B) as transports:
        wire = Wire(transports[B].port)
        transports[A].add_peer(B, f"127.0.0.1:{await wire.start()}")
        out, into = (transports[me].open(SSID, "toy") for me in (A, B))
        await out.send(B, 1, b"here")
        assert (await into.receive(A)).tag == 1
        assert B not in transports[A].unreachable()
        wire.held = True
        wire.cut()
        await out.send(B, 2, b"where are you")
        await until(lambda: transports[A].unreachable().get(B, 0) > 0.2)
        transports[A].add_peer(B, f"127.0.0.1:{transports[B].port}")
        assert (await into.receive(A)).tag == 2
        await until(lambda: B not in transports[A].unreachable())
        await wire.close()


async def test_silence_is_peer_lost_and_names_the_peer(linked) -> None:
    async with linked(A, B) as transports:
        results = await play(transports, {A: hear(B), B: hear(A)}, deadline_s=0.2)
    assert all(isinstance(error, PeerLost) for error in results.values())
    assert any(error.culprit == B and error.step == "toy" for error in results.values())


async def test_a_peer_that_is_not_there_is_lost_in_every_job_with_it() -> None:
    authority = Authority.create()
    alone = GrpcTransport(
        A, authority.credentials(A), peers={B: "127.0.0.1:1"}, limits=Limits(lost_after_s=0.3, drain_s=0.1)
    )
    await alone.start()
    with pytest.raises(PeerLost) as lost:
        await drive(hear(B), alone.open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter())
    assert lost.value.culprit == B
    assert "not reachable" in lost.value.reason
    await alone.close()


async def test_a_peer_that_leaves_is_noticed_by_who_waits_for_it_and_nobody_else(linked) -> None:
    async with linked(A, B, C) as transports:

        def greet() -> Steps[None]:
            yield from say(A, Number(1))
            yield from hear(A)

        done = drive(greet(), transports[B].open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter())
        needs = transports[A].open(SSID, "toy")
        # Over a stream that is not there yet, nobody could say that he leaves.
        await needs.send(B, Number.tag, Number(2).encode())
        await done
        assert bytes((await needs.receive(B)).body) == Number(1).encode()
        leaving = asyncio.create_task(transports[B].close())
        with pytest.raises(PeerLost) as lost:
            await needs.receive(B)
        assert (lost.value.culprit, lost.value.reason) == (B, "has left")
        await leaving
        other = transports[C].open(SSID, "toy", peers=[A])
        await needs.send(C, 1, b"still here")
        assert bytes((await other.receive(A)).body) == b"still here"


async def test_an_abort_passes_a_full_window_and_ends_a_blocked_sender(linked) -> None:
    limits = Limits(stage_bytes=50_000, drain_s=2.0)

    def fail_after(n: int) -> Steps[None]:
        yield from hear(A, n)
        raise PeerError(A, "toy", "private reason", "MADE_UP")

    async with linked(A, B, limits=limits) as transports:
        results = await play(transports, {A: flood(B, 50, 10_000), B: fail_after(0)})
        assert isinstance(results[A], PeerError)
        assert (results[A].culprit, results[A].code) == (B, "MADE_UP")
        assert "private" not in str(results[A])


async def test_an_abort_reaches_a_third_party_that_waits_elsewhere(linked) -> None:
    def fail() -> Steps[None]:
        raise ValueError("secret")
        yield

    async with linked(A, B, C) as transports:
        failing = drive(fail(), transports[A].open(SSID, "one"), deadline_s=PATIENCE_S, meter=Meter())
        waiting = drive(hear(A), transports[C].open(SSID, "two"), deadline_s=PATIENCE_S, meter=Meter())
        a, c = await asyncio.gather(failing, waiting, return_exceptions=True)
        assert isinstance(a, ValueError)
        assert isinstance(c, PeerError)
        assert (c.culprit, c.code) == (A, "INTERNAL")


async def test_a_message_too_many_is_refused_to_its_sender(linked) -> None:
    async with linked(A, B) as transports:
        late = transports[A].open(SSID, "toy")
        await late.send(B, Number.tag, Number(1).encode())
        assert await drive(hear(A), transports[B].open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter()) == [1]
        await late.send(B, Number.tag, Number(2).encode())
        with pytest.raises(PeerError) as refused:
            await late.receive(B)
        assert refused.value.code == "MESSAGE_AFTER_END"


async def test_forgetting_a_job_frees_it_and_what_is_under_way_arrives(linked) -> None:
    async with linked(A, B) as transports:
        await drive(say(B, Number(7)), transports[A].open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter())
        transports[A].forget(SSID)
        assert await drive(hear(A), transports[B].open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter()) == [7]
        transports[B].forget(SSID)
        await until(lambda: not transports[A]._links[B]._flows)
        assert not transports[B]._frames.inbox._jobs
        assert not transports[A]._frames.inbox._jobs


async def test_closing_delivers_what_was_sent(linked) -> None:
    async with linked(A, B) as transports:
        into = transports[B].open(SSID, "toy")
        await drive(
            say(B, *map(Number, range(100))), transports[A].open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter()
        )
        closing = asyncio.create_task(transports[A].close())
        assert await drive(hear(A, 100), into, deadline_s=PATIENCE_S, meter=Meter()) == list(range(100))
        await closing


async def test_unknown_peers_and_used_ports_are_configuration_errors() -> None:
    authority = Authority.create()
    async with consortium(A, authority=authority) as transports:
        with pytest.raises(ConfigError) as unknown:
            transports[A].open(SSID, "toy", peers=[B])
        assert unknown.value.code == "PEER_UNKNOWN"
        second = GrpcTransport(A, authority.credentials(A), listen=f"127.0.0.1:{transports[A].port}")
        with pytest.raises(ConfigError) as used:
            await second.start()
        assert used.value.code == "PORT_IN_USE"
        with pytest.raises(ConfigError):
            GrpcTransport(B, authority.credentials(A))
        channel = transports[A].open(SSID, "alone", peers=[])
        with pytest.raises(FedcreditError):
            await channel.send(B, 1, b"")
