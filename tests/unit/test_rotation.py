"""Keys that are renewed, and peers that are revoked, while frames and calls are under way over real TLS."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from transport_consortium import PATIENCE_S, QUICK
from transport_toys import SSID, A, B, C

from fedcredit.errors import ConfigError, FedcreditError, PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.node.rpc import error_of_status
from fedcredit.transport.grpc import GrpcTransport, Keyring, Limits
from fedcredit.transport.trust import Pin, Trust, TrustRefused

pytestmark = pytest.mark.anyio

ECHO, HANG, FLOOD = "/toy/Echo", "/toy/Hang", "/toy/Flood"


class Toy(grpc.GenericRpcHandler):
    """Answers a call at once, another one never, a third without end."""

    def __init__(self) -> None:
        self.flooded = 0
        self.on_first: Callable[[], None] | None = None

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """The handler."""

        async def echo(data: bytes, context: Any) -> bytes:
            await asyncio.sleep(0.002)
            return data

        async def hang(data: bytes, context: Any) -> Any:
            yield data
            await asyncio.Event().wait()

        async def flood(data: bytes, context: Any) -> Any:
            if self.on_first is not None:
                asyncio.get_running_loop().call_soon(self.on_first)  # While the first reply is being written.
            while True:
                self.flooded += 1
                yield data

        if details.method in (HANG, FLOOD):
            return grpc.unary_stream_rpc_method_handler(hang if details.method == HANG else flood)
        return grpc.unary_unary_rpc_method_handler(echo) if details.method == ECHO else None


class Town:
    """Parties that each have an authority of their own, and pin each other's."""

    def __init__(self, *parties: PartyId, limits: Limits = QUICK) -> None:
        self.authorities = {party: Authority.create() for party in parties}
        pins = {party: Pin((authority.certificate,)) for party, authority in self.authorities.items()}
        self.keyrings = {me: Keyring(me, self.fresh(me), Trust(pins)) for me in parties}
        self.toys = {me: Toy() for me in parties}
        self.transports = {
            me: GrpcTransport(me, keyring, services=[self.toys[me]], limits=limits)
            for me, keyring in self.keyrings.items()
        }

    def fresh(self, party: PartyId) -> Any:
        """A new leaf of `party`."""
        return self.authorities[party].credentials(party, lifetime=timedelta(hours=1))

    async def __aenter__(self) -> Town:
        for transport in self.transports.values():
            await transport.start()
        for transport in self.transports.values():
            for other in self.transports.values():
                transport.add_peer(other.me, f"127.0.0.1:{other.port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(transport.close() for transport in self.transports.values()))

    def pins(self, me: PartyId, **changed: Pin) -> Trust:
        """The pins of `me` with some of them changed."""
        trust = self.keyrings[me].trust
        return Trust({party: trust.pin(party) for party in trust.parties} | {PartyId(k): v for k, v in changed.items()})


class Load:
    """Calls and frames, without a pause, in both directions between two parties; counts what was done."""

    def __init__(self, town: Town, one: PartyId, two: PartyId) -> None:
        self.calls = self.frames = 0
        self._town, self._stop = town, asyncio.Event()
        self._tasks = [asyncio.create_task(work) for work in self._work(one, two)]

    def _work(self, one: PartyId, two: PartyId) -> Any:
        for me, peer in ((one, two), (two, one)):
            yield self._call(me, peer)
            yield self._carry(me, peer)

    async def _call(self, me: PartyId, peer: PartyId) -> None:
        echo = self._town.transports[me].connection(peer).unary_unary(ECHO)
        while not self._stop.is_set():
            assert await echo(b"%d" % self.calls, timeout=PATIENCE_S) is not None
            self.calls += 1

    async def _carry(self, me: PartyId, peer: PartyId) -> None:
        out = self._town.transports[me].open(SSID, f"from-{me}", peers=[peer])
        into = self._town.transports[peer].open(SSID, f"from-{me}", peers=[me])
        sent = asyncio.Queue[int](maxsize=64)

        async def send() -> None:
            k = 0
            while not self._stop.is_set():
                await sent.put(k)
                await out.send(peer, k % 1000 + 1, k.to_bytes(4, "big") * 500)
                k += 1
            await sent.put(-1)

        sending = asyncio.create_task(send())
        while (k := await sent.get()) >= 0:
            packet = await into.receive(me)
            assert (packet.tag, bytes(packet.body)) == (k % 1000 + 1, k.to_bytes(4, "big") * 500)
            self.frames += 1
        await sending

    async def end(self) -> None:
        """Stop; raises what went wrong in any of them."""
        self._stop.set()
        await asyncio.gather(*self._tasks)


@pytest.mark.slow
async def test_a_hundred_rotations_under_load_fail_no_call_and_lose_no_frame() -> None:
    async with Town(A, B) as town:
        load = Load(town, A, B)
        shown = set()
        for k in range(100):
            me = (A, B)[k % 2]
            town.keyrings[me].replace(credentials=town.fresh(me))
            shown.add(town.keyrings[me].credentials.certificate)
            calls, frames = load.calls, load.frames
            while load.calls < calls + 3 or load.frames < frames + 3:
                await asyncio.sleep(0.002)
                assert not any(task.done() for task in load._tasks)
        await load.end()
        assert len(shown) == 100
        # Channels of old certificates are gone once their calls have ended.
        await asyncio.sleep(0)
        assert all(not c._retired for t in town.transports.values() for c in t._connections.values())


async def test_a_call_that_runs_stays_and_new_ones_use_the_new_certificate() -> None:
    async with Town(A, B) as town:
        connection = town.transports[A].connection(B)
        hanging = connection.unary_stream(HANG)(b"first", timeout=30)
        assert await hanging.read() == b"first"
        town.keyrings[A].replace(credentials=town.fresh(A))
        assert await connection.unary_unary(ECHO)(b"second", timeout=PATIENCE_S) == b"second"
        assert not hanging.done()
        assert len(connection._retired) == 1
        hanging.cancel()
        while connection._retired:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def refused(work: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await work
    return error.value.code(), error.value.details() or ""


async def test_a_revoked_peer_is_cut_off_at_once_in_both_directions() -> None:
    # The one that is revoked is not told; its job ends when it has not reached us for so long.
    async with Town(A, B, C, limits=dataclasses.replace(QUICK, lost_after_s=5.0)) as town:
        theirs = town.transports[B].connection(A).unary_stream(HANG)(b"x", timeout=30)
        ours = town.transports[A].connection(B).unary_stream(HANG)(b"x", timeout=30)
        others = town.transports[C].connection(A).unary_stream(HANG)(b"x", timeout=30)
        for call in (theirs, ours, others):
            assert await call.read() == b"x"
        stage, next_stage = (town.transports[A].open(SSID, name, peers=[B, C]) for name in ("one", "two"))
        far = town.transports[B].open(SSID, "one", peers=[A])
        await far.send(A, 1, b"before")
        assert bytes((await stage.receive(B)).body) == b"before"

        pin = Pin((town.authorities[B].certificate,), refused="PEER_REVOKED")
        town.keyrings[A].replace(trust=town.pins(A, **{B: pin}))

        assert await refused(theirs.read()) == (grpc.StatusCode.UNAUTHENTICATED, "PEER_REVOKED")
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await ours.read()
        for channel in (stage, next_stage):
            with pytest.raises(PeerError) as lost:
                await channel.receive(B)
            assert (lost.value.culprit, lost.value.code) == (B, "PEER_REVOKED")
        with pytest.raises(TrustRefused):
            town.transports[A].connection(B).unary_unary(ECHO)(b"x", timeout=PATIENCE_S)
        # Its next handshake finds no authority of its own any more.
        town.transports[B].connection(A).hang_up()
        status, _ = await refused(town.transports[B].connection(A).unary_unary(ECHO)(b"x", timeout=PATIENCE_S))
        assert status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
        assert not others.done()
        assert await town.transports[C].connection(A).unary_unary(ECHO)(b"x", timeout=PATIENCE_S) == b"x"
        with pytest.raises(FedcreditError):
            await far.receive(A)


async def test_a_stream_does_not_outlive_its_certificate() -> None:
    async with Town(A, B) as town:
        stream = town.transports[A].connection(B).unary_stream(HANG)(b"x", timeout=30)
        assert await stream.read() == b"x"
        later = datetime.now(UTC) + timedelta(hours=2)
        town.keyrings[B].now = lambda: later
        town.transports[B]._gate.look_again()
        assert await refused(stream.read()) == (grpc.StatusCode.UNAVAILABLE, "TLS_EXPIRED")


@pytest.mark.parametrize("reads", ["nothing", "all"])
async def test_a_stream_that_is_cut_off_while_it_sends_says_so(reads: str) -> None:
    """gRPC itself would drop the call in the middle of a message and leave the caller to its deadline."""
    async with Town(A, B) as town:
        stream = town.transports[B].connection(A).unary_stream(FLOOD)(b"x" * 65_536, timeout=60)
        assert len(await stream.read()) == 65_536
        gate, toy = town.transports[A]._gate, town.toys[A]
        sent = -1
        while reads == "nothing" and sent != (sent := toy.flooded):  # noqa: ASYNC110 - until the line is full
            await asyncio.sleep(0.2)
        pin = Pin((town.authorities[B].certificate,), refused="PEER_REVOKED")
        town.keyrings[A].replace(trust=town.pins(A, **{B: pin}))

        async def all_of_it() -> None:
            while await stream.read() is not grpc.aio.EOF:
                pass

        async with asyncio.timeout(PATIENCE_S):
            assert await refused(all_of_it()) == (grpc.StatusCode.UNAUTHENTICATED, "PEER_REVOKED")
        while gate._open:  # noqa: ASYNC110 - the caller may know before the handler has put all away
            await asyncio.sleep(0.005)
        assert not gate._calls[B]


async def test_a_stream_that_is_cut_off_in_its_first_message_says_so() -> None:
    """Headers that are on their way are not sent again with the status, which gRPC would refuse to send then."""
    async with Town(A, B) as town:
        pin = Pin((town.authorities[B].certificate,), refused="PEER_REVOKED")
        town.toys[A].on_first = lambda: town.keyrings[A].replace(trust=town.pins(A, **{B: pin}))
        stream = town.transports[B].connection(A).unary_stream(FLOOD)(b"x" * 65_536, timeout=60)

        async def all_of_it() -> None:
            while await stream.read() is not grpc.aio.EOF:
                pass

        async with asyncio.timeout(PATIENCE_S):
            assert await refused(all_of_it()) == (grpc.StatusCode.UNAUTHENTICATED, "PEER_REVOKED")
        assert town.toys[A].flooded == 1


async def test_a_link_outlives_a_clock_that_goes_back_and_is_set_right() -> None:
    async with Town(A, B) as town:
        out, into = (town.transports[me].open(SSID, "one", peers=[peer]) for me, peer in ((A, B), (B, A)))
        await out.send(B, 1, b"before")
        assert bytes((await into.receive(A)).body) == b"before"
        town.keyrings[B].now = lambda: datetime.now(UTC) - timedelta(hours=1)
        town.transports[B]._gate.look_again()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await town.transports[A].connection(B).unary_unary(ECHO)(b"x", timeout=PATIENCE_S)
        away = error_of_status(B, "Echo", error.value)
        assert isinstance(away, PeerLost)
        assert (away.culprit, away.reason) == (B, "has a clock by which our certificate is not valid yet")
        await out.send(B, 2, b"while it is wrong")
        while not town.transports[A].unreachable():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        town.keyrings[B].now = lambda: datetime.now(UTC)
        assert bytes((await into.receive(A)).body) == b"while it is wrong"


async def test_a_peer_whose_clock_stays_wrong_is_lost_and_it_is_said_why() -> None:
    # It takes one handshake to hear why.
    async with Town(A, B, limits=dataclasses.replace(QUICK, lost_after_s=2.0)) as town:
        town.keyrings[B].now = lambda: datetime.now(UTC) - timedelta(hours=1)
        with pytest.raises(PeerLost, match="our certificate is not valid yet by its clock") as lost:
            await town.transports[A].open(SSID, "one", peers=[B]).receive(B)
        assert (lost.value.culprit, lost.value.code) == (B, "PEER_LOST")


async def test_leaves_made_before_their_owner_withdrew_them_are_refused() -> None:
    async with Town(A, B) as town:
        echo = town.transports[A].connection(B).unary_unary(ECHO)
        assert await echo(b"x", timeout=PATIENCE_S) == b"x"
        pin = Pin((town.authorities[A].certificate,), not_before=datetime.now(UTC) + timedelta(minutes=1))
        town.keyrings[B].replace(trust=town.pins(B, **{A: pin}))
        assert await refused(echo(b"x", timeout=PATIENCE_S)) == (grpc.StatusCode.UNAUTHENTICATED, "TLS_REVOKED")
        fresh = town.authorities[A].credentials(A, now=datetime.now(UTC) + timedelta(minutes=6))
        town.keyrings[B].now = lambda: datetime.now(UTC) + timedelta(minutes=6)
        pin = Pin((town.authorities[A].certificate,), not_before=datetime.now(UTC))
        town.keyrings[B].replace(trust=town.pins(B, **{A: pin}))
        town.keyrings[A].replace(credentials=fresh)
        with pytest.raises(grpc.aio.AioRpcError):  # TLS's own clock is not moved: the leaf is of the future
            await echo(b"x", timeout=PATIENCE_S)


async def test_an_authority_speaks_for_its_own_party_alone() -> None:
    """The tax office's authority makes a certificate of the bank. TLS lets it through; the gate does not."""
    async with Town(A, B, C) as town:
        forged = town.authorities[C].credentials(A)
        stranger = GrpcTransport(A, Keyring(A, forged, town.keyrings[A].trust), limits=QUICK)
        stranger.add_peer(B, f"127.0.0.1:{town.transports[B].port}")
        status = await refused(stranger.connection(B).unary_unary(ECHO)(b"x", timeout=PATIENCE_S))
        assert status == (grpc.StatusCode.UNAUTHENTICATED, "TLS_WRONG_AUTHORITY")
        # And the other way round: who is dialled must be vouched for by its own authority.
        town.keyrings[B].replace(credentials=town.authorities[C].credentials(B))
        town.transports[A].connection(B).hang_up()
        status = await refused(town.transports[A].connection(B).unary_unary(ECHO)(b"x", timeout=PATIENCE_S))
        assert status[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        await stranger.close()


async def test_a_party_whose_own_certificate_ended_says_so_and_blames_nobody() -> None:
    """No stream can be had with it; a job then waits for its renewal, with CERT_EXPIRED."""
    limits = dataclasses.replace(QUICK, lost_after_s=0.5)
    async with Town(A, B, limits=limits) as town:
        short = town.authorities[A].credentials(A, lifetime=timedelta(seconds=1))
        town.keyrings[A].replace(credentials=short)
        stage = town.transports[A].open(SSID, "toy", peers=[B])
        with pytest.raises(ConfigError, match="CERT_EXPIRED") as ended:
            await stage.receive(B)
        assert ended.value.problems[0].where == f"certificate of {A}"
        # Renewed, it gets in again.
        town.keyrings[A].replace(credentials=town.fresh(A))
        assert await town.transports[A].connection(B).unary_unary(ECHO)(b"x", timeout=PATIENCE_S) == b"x"
