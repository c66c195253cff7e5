"""The relay: one connection a member, who may call whom, what it may use; a fault of it is a delay and no more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transport_consortium import PATIENCE_S, PLATFORM, QUICK, Wire, member, platform_relay
from transport_toys import SSID, A, B, C, hear

from fedcredit import failpoints
from fedcredit.errors import ConfigError, PeerLost, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.observe import metrics
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.grpc import GrpcTransport, Limits
from fedcredit.transport.options import RELAY_ACCEPT, RELAY_DIAL, RELAY_JOIN
from fedcredit.transport.relay.hub import STREAM_WINDOW_BYTES, RelayHub, RelayLimits
from fedcredit.transport.relay.pipe import CLOSED, IDLE, WHOLE, SocketEnd, pipe
from fedcredit.transport.relay.routes import LocalSockets, Routes
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.relay import (
    END,
    MAX_DATA_BYTES,
    RelayJoin,
    call_of,
    data_of,
    piece_for_call,
    piece_of,
    piece_to,
    target_of,
)

pytestmark = pytest.mark.anyio

Status = grpc.StatusCode


async def until(true: Callable[..., bool]) -> None:
    """Wait for something that has no event; the test's own timeout bounds it."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


# -- pieces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 127, 128, (1 << 14) - 1, 1 << 14, MAX_DATA_BYTES])
def test_data_comes_out_as_it_went_in(n: int) -> None:
    data = bytes(range(256)) * (n // 256) + bytes(n % 256)
    assert data_of(piece_of(data)) == data


@given(st.binary(max_size=40))
def test_what_is_no_piece_is_refused_and_nothing_else_happens(data: bytes) -> None:
    for read in (data_of, call_of, target_of):
        with contextlib.suppress(MessageInvalid):
            read(data)


@pytest.mark.parametrize(
    ("read", "piece"),
    [
        (data_of, END),
        (data_of, b""),
        (data_of, b"\x1a"),
        (data_of, b"\x1a\x00"),
        (data_of, b"\x1a\x05abcd"),
        (data_of, b"\x1a\x03abcd"),
        (data_of, b"\x1a\xff\xff\xff\xff"),
        (data_of, piece_to(A)),
        (data_of, piece_of(bytes(MAX_DATA_BYTES)) + b"x"),
        (target_of, piece_for_call(bytes(16))),
        (target_of, piece_to(PartyId("../tax"))),
        (target_of, b"\x0a" + bytes([100]) + b"a" * 100),
        (call_of, piece_for_call(bytes(15))),
        (call_of, piece_of(bytes(16))),
        (call_of, b"\xff\xff"),
    ],
)
def test_a_bad_piece_is_refused(read: Callable[[bytes], object], piece: bytes) -> None:
    with pytest.raises(MessageInvalid):
        read(piece)


# -- one pipe ------------------------------------------------------------------------------------------------------


def pair() -> tuple[SocketEnd, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return SocketEnd(ours), theirs


async def test_each_way_ends_by_itself() -> None:
    loop = asyncio.get_running_loop()
    (one, left), (other, right) = pair(), pair()
    piping = asyncio.create_task(pipe(one, other, idle_s=20))
    await loop.sock_sendall(left, b"question")
    left.shutdown(socket.SHUT_WR)
    assert await loop.sock_recv(right, 100) == b"question"
    assert await loop.sock_recv(right, 100) == b""
    await loop.sock_sendall(right, b"late answer")
    right.close()
    assert await loop.sock_recv(left, 100) == b"late answer"
    assert await loop.sock_recv(left, 100) == b""
    assert await piping == WHOLE
    for end in (one, other, left):
        end.close()


async def test_a_pipe_on_which_nothing_moves_or_whose_end_breaks_is_over() -> None:
    class Gone:
        async def read(self) -> bytes | None:
            return None

        async def write(self, piece: bytes) -> None:
            raise grpc.aio.InternalError

    (one, left), (other, right) = pair(), pair()
    assert await pipe(one, other, idle_s=0.05) == IDLE
    assert await pipe(one, Gone(), idle_s=20) == CLOSED
    for end in (one, other, left, right):
        end.close()


# -- members -------------------------------------------------------------------------------------------------------


async def test_a_member_has_one_connection_and_no_port() -> None:
    authority = Authority.create()
    async with platform_relay(A, B, authority=authority) as platform:
        wires = [Wire(platform.port), Wire(platform.port)]
        members = [member(me, authority, await wire.start()) for me, wire in zip((A, B), wires, strict=True)]
        before = {c.laddr.port for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN}
        for (transport, side), peer in zip(members, (B, A), strict=True):
            await transport.start()
            side.start(transport)
            transport.add_peer(peer, f"relay://{peer}")
        a, b = (transport.open(SSID, "toy") for transport, _ in members)
        await a.send(B, 1, b"there")
        await b.send(A, 1, b"and back")
        assert bytes((await b.receive(A)).body) == b"there"
        assert bytes((await a.receive(B)).body) == b"and back"
        after = {c.laddr.port for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert before == after
        assert [wire.accepted for wire in wires] == [1, 1]
        assert {transport.port for transport, _ in members} == {0}
        for transport, side in members:
            await transport.close()
            await side.close()
        for wire in wires:
            await wire.close()


async def test_the_platform_reaches_a_member_through_itself() -> None:
    async def who(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return context.auth_context()["x509_subject_alternative_name"][0]

    authority = Authority.create()
    async with platform_relay(B, authority=authority) as platform:
        transport, side = member(B, authority, platform.port)
        handler = {"Who": grpc.unary_unary_rpc_method_handler(who)}
        transport._services = (grpc.method_handlers_generic_handler("toy", handler),)
        await transport.start()
        side.start(transport)
        call = platform.connection(B).unary_unary("/toy/Who", None, None)
        assert b"platform" in await call(b"", timeout=20, wait_for_ready=True)
        await transport.close()
        await side.close()


async def test_a_party_that_listens_is_dialled_by_one_that_may_only_dial_out() -> None:
    """And the other way round: each by the way that the other one has."""
    authority = Authority.create()
    async with platform_relay(A, B, authority=authority) as platform:
        (bank, bank_side), (tax, tax_side) = (member(me, authority, platform.port) for me in (A, B))
        bank._listen = "127.0.0.1:0"
        tax_side.route._all_through = False
        await bank.start()
        await tax.start()
        bank_side.start(bank)
        tax_side.start(tax)
        bank.add_peer(B, "relay://tax")
        tax.add_peer(A, f"127.0.0.1:{bank.port}")
        a, b = (transport.open(SSID, "toy") for transport in (bank, tax))
        await a.send(B, 1, b"relayed")
        await b.send(A, 1, b"direct")
        assert bytes((await b.receive(A)).body) == b"relayed"
        assert bytes((await a.receive(B)).body) == b"direct"
        await asyncio.gather(bank.close(), tax.close())
        await asyncio.gather(bank_side.close(), tax_side.close())


async def test_a_party_that_may_reach_the_platform_alone_dials_one_that_listens_and_joins_nothing() -> None:
    authority, sides = Authority.create(), []
    async with platform_relay(B, authority=authority, sides=sides) as platform:
        bank = GrpcTransport(A, authority.credentials(A), limits=QUICK)
        tax, side = member(B, authority, platform.port)
        await bank.start()
        await tax.start()
        side.start(tax)
        platform.add_peer(A, f"127.0.0.1:{bank.port}")
        bank.add_peer(B, "127.0.0.1:1")
        tax.add_peer(A, f"127.0.0.1:{bank.port}")
        into, out = (transport.open(SSID, "toy") for transport in (bank, tax))
        await out.send(A, 1, b"by way of the platform")
        assert bytes((await into.receive(B)).body) == b"by way of the platform"
        assert sides[0].hub.passed[B, A] > 0
        carried = metrics.REGISTRY.get_sample_value("fedcredit_relayed_bytes_total", {"caller": B, "to": A})
        assert carried is not None
        assert carried >= sides[0].hub.passed[B, A]
        connected = metrics.REGISTRY.get_sample_value("fedcredit_relayed_connections", {"peer": A})
        assert connected == sides[0].hub.connections(A) > 0
        await asyncio.gather(bank.close(), tax.close())
        await side.close()


# -- faults --------------------------------------------------------------------------------------------------------


async def exchange(transports: dict[PartyId, GrpcTransport], n: int, between: Callable[[int], None]) -> None:
    """Send `n` messages from A to B and check every one; `between` is called after each."""
    out, into = (transports[me].open(SSID, "toy") for me in (A, B))

    async def send_all() -> None:
        for k in range(n):
            await out.send(B, k + 1, bytes([k % 256]) * 10_000)

    sending = asyncio.create_task(send_all())
    for k in range(n):
        packet = await into.receive(A)
        assert (packet.tag, bytes(packet.body)) == (k + 1, bytes([k % 256]) * 10_000)
        between(k)
    await sending


async def test_a_connection_to_the_relay_that_breaks_is_a_delay() -> None:
    authority = Authority.create()
    async with platform_relay(A, B, authority=authority) as platform:
        wire = Wire(platform.port)
        port = await wire.start()
        async with joined(authority, port, A, B) as transports:
            await exchange(transports, 200, lambda k: wire.cut() if k in (50, 100) else None)
        assert wire.accepted >= 4
        await wire.close()


@asynccontextmanager
async def joined(authority: Authority, port: int, *parties: PartyId) -> AsyncIterator[dict[PartyId, GrpcTransport]]:
    """Members of a relay at `port`, with nothing to listen on."""
    members = [member(me, authority, port, limits=Limits(lost_after_s=40, drain_s=0.5)) for me in parties]
    for transport, side in members:
        await transport.start()
        side.start(transport)
        for peer in parties:
            transport.add_peer(peer, f"relay://{peer}")
    try:
        yield {transport.me: transport for transport, _ in members}
    finally:
        await asyncio.gather(*(transport.close() for transport, _ in members))
        await asyncio.gather(*(side.close() for _, side in members))


async def test_a_platform_that_restarts_is_a_delay() -> None:
    authority = Authority.create()
    async with contextlib.AsyncExitStack() as stack:
        first = contextlib.AsyncExitStack()
        platform = await first.enter_async_context(platform_relay(A, B, authority=authority))
        address = f"127.0.0.1:{platform.port}"
        transports = await stack.enter_async_context(joined(authority, platform.port, A, B))
        out, into = (transports[me].open(SSID, "toy") for me in (A, B))
        await out.send(B, 1, b"before")
        assert bytes((await into.receive(A)).body) == b"before"
        await first.aclose()
        await out.send(B, 2, b"meanwhile")
        await stack.enter_async_context(platform_relay(A, B, authority=authority, listen=address))
        await out.send(B, 3, b"after")
        assert [bytes((await into.receive(A)).body) for _ in range(2)] == [b"meanwhile", b"after"]


@pytest.mark.parametrize("name", [name for name in failpoints.NAMES if name.startswith("relay.")])
async def test_an_error_at_any_place_of_the_relay_is_a_delay(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached = os.environ.get(failpoints.REACHED, str(tmp_path / "reached"))
    monkeypatch.setattr(failpoints, "_plan", None)
    failpoints.load({failpoints.ALLOW: "1", failpoints.PLAN: f"{name}=error(EIO)@1", failpoints.REACHED: reached})
    authority = Authority.create()
    async with (
        platform_relay(A, B, authority=authority) as platform,
        joined(authority, platform.port, A, B) as transports,
    ):
        await exchange(transports, 20, lambda k: None)
    (rule,) = failpoints._plan._rules
    assert rule.seen > 1


async def test_keys_renewed_at_both_ends_lose_nothing_of_what_is_relayed() -> None:
    authority = Authority.create()
    async with (
        platform_relay(A, B, authority=authority) as platform,
        joined(authority, platform.port, A, B) as transports,
    ):

        def renew(k: int) -> None:
            if k % 20 == 0:
                for transport in (*transports.values(), platform):
                    transport._keyring.replace(credentials=authority.credentials(transport.me))

        await exchange(transports, 100, renew)


async def test_a_member_that_is_away_is_waited_for_and_then_lost() -> None:
    authority = Authority.create()
    relay_limits = RelayLimits(accept_s=0.2)
    async with platform_relay(A, B, authority=authority, relay_limits=relay_limits) as platform:
        transport, side = member(A, authority, platform.port, limits=Limits(lost_after_s=1.0, drain_s=0.1))
        await transport.start()
        side.start(transport)
        transport.add_peer(B, "relay://tax")
        with pytest.raises(PeerLost) as lost:
            await drive(hear(B), transport.open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter())
        assert lost.value.culprit == B
        assert "not reachable" in lost.value.reason
        await transport.close()
        await side.close()


async def test_a_receiver_that_stands_still_holds_its_sender_back_at_the_relay() -> None:
    """The relay takes in a window and a few pieces for a callee that reads nothing; the callee's own gRPC some MiB."""
    authority, sides = Authority.create(), []
    async with platform_relay(A, B, authority=authority, sides=sides) as platform:
        bank, tax = (GrpcTransport(me, authority.credentials(me)) for me in (A, B))
        bank_channel, tax_channel = (
            transport.connection(PLATFORM, f"127.0.0.1:{platform.port}") for transport in (bank, tax)
        )
        join = tax_channel.stream_stream(RELAY_JOIN, None, None)(timeout=50)
        await join.write(RelayJoin().encode())
        await join.initial_metadata()
        dialled = bank_channel.stream_stream(RELAY_DIAL, None, None)(timeout=50)
        await dialled.write(piece_to(B))
        taken = tax_channel.stream_stream(RELAY_ACCEPT, None, None)(timeout=50)
        await taken.write(piece_for_call((await join.read())[2:18]))
        n_sent = 0

        async def send_all() -> None:
            nonlocal n_sent
            while True:
                await dialled.write(piece_of(bytes(MAX_DATA_BYTES)))
                n_sent += 1

        sending = asyncio.create_task(send_all())
        seen = -1
        while seen != n_sent or not sides[0].hub.passed[A, B]:
            seen = n_sent
            await asyncio.sleep(0.5)
        passed = sides[0].hub.passed[A, B]
        assert 0 < passed <= 8 << 20
        assert n_sent * MAX_DATA_BYTES - passed <= STREAM_WINDOW_BYTES + 4 * MAX_DATA_BYTES
        for _ in range(n_sent):
            assert len(data_of(await taken.read())) == MAX_DATA_BYTES
        await until(lambda: n_sent > seen)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        for call in (dialled, taken, join):
            call.cancel()
        await asyncio.gather(bank.close(), tax.close())


# -- rules and quotas ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def desk(**settings: object) -> AsyncIterator[Callable[[PartyId, str, bytes], object]]:
    """A relay with members A and B; what is yielded makes one call as a party, and gives the call's end."""
    authority = Authority.create()
    async with platform_relay(A, B, authority=authority, **settings) as platform:
        transports: list[GrpcTransport] = []

        async def call(who: PartyId, method: str, *pieces: bytes) -> tuple[Status, str]:
            transport = GrpcTransport(who, authority.credentials(who), limits=QUICK)
            transports.append(transport)
            stream = transport.connection(PLATFORM, f"127.0.0.1:{platform.port}").stream_stream(method, None, None)
            made = stream(timeout=60)
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                for piece in pieces:
                    await made.write(piece)
                while isinstance(await made.read(), bytes):
                    pass
            return await made.code(), await made.details()

        yield call
        await asyncio.gather(*(transport.close() for transport in transports))


@pytest.mark.parametrize(
    ("who", "method", "piece", "end"),
    [
        (C, RELAY_JOIN, b"", (Status.PERMISSION_DENIED, "NOT_A_MEMBER")),
        (C, RELAY_DIAL, piece_to(A), (Status.PERMISSION_DENIED, "NOT_A_MEMBER")),
        (C, RELAY_ACCEPT, piece_for_call(bytes(16)), (Status.PERMISSION_DENIED, "NOT_A_MEMBER")),
        (A, RELAY_DIAL, piece_to(C), (Status.PERMISSION_DENIED, "NOT_A_MEMBER")),
        (A, RELAY_DIAL, piece_to(A), (Status.PERMISSION_DENIED, "RELAY_DENIED")),
        (A, RELAY_DIAL, piece_to(B), (Status.UNAVAILABLE, "NOT_JOINED")),
        (A, RELAY_DIAL, piece_of(b"data"), (Status.INVALID_ARGUMENT, "MESSAGE_INVALID")),
        (A, RELAY_DIAL, b"\xff" * 100, (Status.INVALID_ARGUMENT, "TOO_LARGE")),
        (A, RELAY_ACCEPT, piece_for_call(bytes(16)), (Status.NOT_FOUND, "CALL_UNKNOWN")),
        (A, RELAY_ACCEPT, piece_for_call(b"short"), (Status.INVALID_ARGUMENT, "MESSAGE_INVALID")),
    ],
)
async def test_the_relay_refuses_with_a_code(
    who: PartyId, method: str, piece: bytes, end: tuple, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fedcredit.relay")
    async with desk(relay_limits=RelayLimits(accept_s=0.1)) as call:
        assert await call(who, method, piece) == end
    assert "relay.refused" in caplog.text


async def test_the_platform_may_narrow_who_calls_whom() -> None:
    limits, may_dial = RelayLimits(accept_s=0.1), {A: frozenset({B})}
    async with desk(relay_limits=limits, may_dial=may_dial) as call:
        assert (await call(A, RELAY_DIAL, piece_to(B)))[1] == "NOT_JOINED"
        assert (await call(B, RELAY_DIAL, piece_to(A)))[1] == "RELAY_DENIED"


class Still:
    """An end that neither gives nor takes."""

    async def read(self) -> bytes | None:
        await asyncio.Event().wait()
        return None

    async def write(self, piece: bytes) -> None:
        await asyncio.Event().wait()


def hub(**limits: float) -> RelayHub:
    return RelayHub({A, B, C}.__contains__, lambda caller, to: True, limits=RelayLimits(**limits))


async def test_a_member_has_so_many_connections_and_gets_them_back() -> None:
    relay = hub(connections=2)
    with relay.present(B) as presence, relay.present(C):
        dials = [asyncio.create_task(relay.dial(A, B, Still())) for _ in range(2)]
        names = [(await presence.calls.get()).call for _ in dials]
        with pytest.raises(RefusedError) as refused:
            await relay.dial(A, C, Still())
        assert refused.value.code == "QUOTA"
        assert "social" not in str(refused.value)
        accepting = asyncio.create_task(relay.accept(B, names[0], Still()))
        await until(lambda: relay._calls[names[0]].carrying is not None)
        with pytest.raises(RefusedError, match="CALL_UNKNOWN"):
            await relay.accept(B, names[0], Still())
        with pytest.raises(RefusedError, match="CALL_UNKNOWN"):
            await relay.accept(C, names[1], Still())
        accepting.cancel()
        for dial in dials:
            dial.cancel()
        await asyncio.gather(accepting, *dials, return_exceptions=True)
        assert [relay.connections(party) for party in (A, B, C)] == [0, 0, 0]
        assert not relay._calls
        again = asyncio.create_task(relay.dial(A, B, Still()))
        await presence.calls.get()
        again.cancel()


async def test_there_is_a_bound_for_all_members_together() -> None:
    relay = hub(connections_in_all=1)
    with relay.present(B) as presence:
        dial = asyncio.create_task(relay.dial(A, B, Still()))
        await presence.calls.get()
        with pytest.raises(RefusedError, match="QUOTA"):
            await relay.dial(C, B, Still())
        dial.cancel()


async def test_a_member_that_goes_while_it_is_called_or_connected_frees_the_caller() -> None:
    relay = hub(accept_s=0.1)
    with pytest.raises(RefusedError, match="NOT_JOINED"):
        await relay.dial(A, B, Still())
    with relay.present(B) as presence:
        with pytest.raises(RefusedError, match="NOT_ACCEPTED"):
            await relay.dial(A, B, Still())
        await presence.calls.get()
        dial = asyncio.create_task(relay.dial(A, B, Still()))
        accepting = asyncio.create_task(relay.accept(B, (await presence.calls.get()).call, Still()))
        await until(lambda: any(call.carrying for call in relay._calls.values()))
        accepting.cancel()
        assert await dial == CLOSED
        assert relay.connections(A) == 0


async def test_a_caller_that_comes_first_waits_and_a_second_join_takes_over() -> None:
    relay = hub(accept_s=20)
    dial = asyncio.create_task(relay.dial(A, B, Still()))
    await asyncio.sleep(0)
    with relay.present(B) as presence:
        assert (await presence.calls.get()).caller == A
        with relay.present(B) as second:
            assert await presence.calls.get() is None
            assert relay.members_present == {B}
            dial.cancel()
            again = asyncio.create_task(relay.dial(A, B, Still()))
            assert (await second.calls.get()).caller == A
            again.cancel()


async def test_a_member_that_sends_too_fast_is_slowed_down_and_nobody_else() -> None:
    relay = hub(bytes_per_s=1_000_000)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(15):
        await relay._pass(A, B, 100_000)
    assert loop.time() - began > 0.3
    began = loop.time()
    await relay._pass(C, B, 100_000)
    assert loop.time() - began < 0.3


# -- routes --------------------------------------------------------------------------------------------------------


async def test_a_relayed_address_becomes_a_private_socket_and_others_stay(tmp_path: Path) -> None:
    async def carry(peer: PartyId, end: SocketEnd) -> None:
        await end.write(piece_of(peer.encode()))

    sockets = LocalSockets(carry)
    route = Routes(sockets, relay=PLATFORM, all_through=False)
    path = Path(route(B, "relay://tax").removeprefix("unix:"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert route(B, "relay://tax") == f"unix:{path}"
    assert route(A, "bank.example:7443") == "bank.example:7443"
    reader, writer = await asyncio.open_unix_connection(path)
    assert await reader.read() == b"tax"
    writer.close()
    through = Routes(sockets, relay=PLATFORM, all_through=True)
    assert through(A, "bank.example:7443").startswith("unix:")
    assert through(PLATFORM, "platform.example:7443") == "platform.example:7443"
    for peer, address in ((B, "relay://bank"), (B, "relay://tax:7443"), (PLATFORM, "relay://platform")):
        with pytest.raises(ConfigError, match="ADDRESS_INVALID"):
            route(peer, address)
    await sockets.close()
    assert not path.parent.exists()


async def test_a_path_too_long_for_a_socket_and_a_relay_that_is_not_set_up_are_configuration_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    sockets = LocalSockets(lambda peer, end: asyncio.sleep(0))
    with pytest.raises(ConfigError, match="SOCKET_PATH"):
        sockets.to(B)
    await sockets.close()
    transport = GrpcTransport(A, Authority.create().credentials(A), peers={B: "relay://tax"})
    with pytest.raises(ConfigError, match="RELAY_MISSING"):
        transport.connection(B)
