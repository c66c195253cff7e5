"""A relay that reads, changes, drops, repeats or answers itself learns sizes and times, and stops things at most."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
from transport_consortium import PLATFORM, member, platform_relay
from transport_toys import SSID, A, B, Number, hear, say

from fedcredit.errors import PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.grpc import Credentials, GrpcTransport, Limits
from fedcredit.transport.options import CARRY
from fedcredit.transport.relay import service
from fedcredit.transport.relay.pipe import End, SocketEnd, StreamEnd, pipe
from fedcredit.transport.relay.sides import PlatformSide
from fedcredit.wire.relay import END, data_of, piece_of

pytestmark = pytest.mark.anyio

MARKER = b"<91350100M000100Y43>"
STAGE = "hostile.relay/stage"
"""Nothing as long as this is by chance among bytes that look random."""

Change = Callable[[bytes], list[bytes]]
"""What becomes of the bytes of one piece, given that the relay has another mind."""


class Hostile(StreamEnd):
    """The relay's end of a stream; all it reads stands in `seen`, and `change` acts on each `at`-th piece of an end."""

    seen: list[bytes] = []  # noqa: RUF012
    change: Change | None = None
    at = 0
    times = 1

    def __init__(self, stream: object) -> None:
        super().__init__(stream)
        self._n_read, self._next = 0, []

    async def read(self) -> bytes | None:
        if self._next:
            return self._next.pop(0)
        piece = await super().read()
        if piece is None or piece == END:
            return piece
        data = bytes(data_of(piece))
        Hostile.seen.append(data)
        self._n_read += 1
        if Hostile.change is not None and self._n_read == Hostile.at and Hostile.times:
            Hostile.times -= 1
            self._next = [piece_of(part) for part in Hostile.change(data)]
            return await self.read()
        return piece


@pytest.fixture(autouse=True)
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "StreamEnd", Hostile)
    Hostile.seen, Hostile.change, Hostile.times = [], None, 0


class Pair:
    """A and B behind the relay, and what A says to B."""

    def __init__(self, lost_after_s: float = 75.0) -> None:
        self.authority = Authority.create()
        self.sides: list[PlatformSide] = []
        self._limits = Limits(lost_after_s=lost_after_s, drain_s=0.2)

    async def __aenter__(self) -> Pair:
        self._relay = platform_relay(A, B, authority=self.authority, sides=self.sides)
        self.platform = await self._relay.__aenter__()
        self._members = [member(me, self.authority, self.platform.port, limits=self._limits) for me in (A, B)]
        for (transport, side), peer in zip(self._members, (B, A), strict=True):
            await transport.start()
            side.start(transport)
            transport.add_peer(peer, f"relay://{peer}")
        self.bank, self.tax = (transport for transport, _ in self._members)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(transport.close() for transport, _ in self._members))
        await asyncio.gather(*(side.close() for _, side in self._members))
        await self._relay.__aexit__(None, None, None)

    async def talk(self, n: int = 40) -> None:
        """Send a message and take it, `n` times; each must be the one that was sent."""
        out, into = self.bank.open(SSID, STAGE), self.tax.open(SSID, STAGE)
        for k in range(n):
            body = MARKER + bytes([k]) * 2000
            await out.send(B, k + 1, body)
            packet = await into.receive(A)
            assert (packet.tag, bytes(packet.body)) == (k + 1, body)


async def test_what_the_relay_sees_is_not_what_is_said() -> None:
    async with Pair() as pair:
        await pair.talk()
        seen = b"".join(Hostile.seen)
        assert sum(pair.sides[0].hub.passed.values()) > len(seen) > 40 * 2000
    assert MARKER not in seen
    # A run of a body's bytes, the names of job and stage, and what HTTP/2 always begins with.
    for plain in (bytes([7]) * 16, SSID, STAGE.encode(), b"PRI * HTTP/2.0", CARRY.encode()):
        assert plain not in seen


async def test_the_two_agree_on_tls_1_3_whose_keys_are_gone_with_the_connection() -> None:
    async with Pair() as pair:
        await pair.talk(1)
    hellos = [data for data in Hostile.seen if data[:1] == b"\x16" and data[5:6] == b"\x02"]
    assert hellos
    supported_versions, key_share = b"\x00\x2b\x00\x02\x03\x04", b"\x00\x33"
    assert all(supported_versions in hello and key_share in hello for hello in hellos)


def flip(data: bytes) -> list[bytes]:
    return [data[:-1] + bytes([data[-1] ^ 1])]


def delay(data: bytes) -> list[bytes]:
    """Swap the two halves."""
    half = len(data) // 2
    return [data[half:], data[:half]]


CHANGES: dict[str, Change] = {
    "flips a bit": flip,
    "flips a bit of a header": lambda data: [bytes([data[0] ^ 0x80]) + data[1:]],
    "drops": lambda data: [],
    "repeats": lambda data: [data, data],
    "swaps": delay,
    "truncates": lambda data: [data[:-5]],
    "adds": lambda data: [data, b"\x17\x03\x03\x00\x20" + bytes(32)],
}


# Bytes that are missing are noticed when the rest is waited for: a handshake has seventy seconds, for lines on which an
# answer takes twenty, and a connection has gRPC's keepalive, 26 s.
SLOW = {("drops", 1), ("drops", 2), ("truncates", 1)}


@pytest.mark.parametrize(
    ("name", "at"),
    [
        pytest.param(name, at, marks=[pytest.mark.slow] if (name, at) in SLOW else ())
        for name in CHANGES
        for at in (1, 2, 8)
    ],
)
async def test_what_the_relay_changes_is_dialled_again_and_never_believed(name: str, at: int) -> None:
    # The first pieces are the handshake, later ones are frames and receipts; both ways are changed, twice.
    Hostile.change, Hostile.at, Hostile.times = CHANGES[name], at, 2
    missing = (name, at) in SLOW
    async with Pair(lost_after_s=120.0) as pair:
        if missing:
            # Both sides wait for what never comes.
            Hostile.times = 1
        await pair.talk()
        assert Hostile.times < 2


async def test_a_relay_that_never_stops_is_a_peer_lost() -> None:
    Hostile.change, Hostile.at, Hostile.times = flip, 3, 1_000_000
    async with Pair() as pair:
        roles = {
            A: drive(hear(B), pair.bank.open(SSID, "toy"), deadline_s=3, meter=Meter()),
            B: drive(say(A, Number(7)), pair.tax.open(SSID, "toy"), deadline_s=3, meter=Meter()),
        }
        heard, _ = await asyncio.gather(*roles.values(), return_exceptions=True)
    assert isinstance(heard, PeerLost)
    assert heard.culprit == B


def answering_itself(side: PlatformSide, own_server: Path) -> None:
    """Let the relay connect every caller to a server of its own."""

    async def dial(caller: PartyId, to: PartyId, end: End) -> str:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mine = SocketEnd(sock)
        try:
            await asyncio.get_running_loop().sock_connect(sock, str(own_server))
            return await pipe(end, mine, idle_s=5)
        finally:
            mine.close()

    side.hub.dial = dial  # type: ignore[method-assign]


@pytest.mark.parametrize("whose", ["its own", "another authority's"])
async def test_a_relay_that_answers_in_a_members_place_is_refused(whose: str, tmp_path: Path) -> None:
    async with Pair(lost_after_s=1.5) as pair:
        own = pair.authority.credentials(PLATFORM) if whose == "its own" else _forged(pair.authority, B)
        name = PLATFORM if whose == "its own" else B
        local = tmp_path / "s"
        if len(str(local)) > 100:
            pytest.skip("the temporary folder's path is too long for a socket")
        evil = GrpcTransport(name, own, listen=None, local=local, peers={A: "127.0.0.1:1"})
        await evil.start()
        answering_itself(pair.sides[0], local)
        channel = pair.bank.open(SSID, "toy")
        await channel.send(B, 1, MARKER)
        with pytest.raises(PeerLost) as lost:
            await channel.receive(B)
        assert lost.value.culprit == B
        assert not evil._frames.inbox._jobs
        await evil.close()


async def test_a_relay_that_calls_in_a_members_place_is_refused() -> None:
    async with Pair() as pair:
        call = pair.platform.connection(B).stream_stream(CARRY, None, None)(timeout=60, wait_for_ready=True)
        assert await call.code() == grpc.StatusCode.PERMISSION_DENIED
        assert await call.details() == "NOT_A_PEER"

        side = pair.sides[0]
        forged = GrpcTransport(A, _forged(pair.authority, A), peers={B: "relay://tax"}, route=side.route)
        call = forged.connection(B).stream_stream(CARRY, None, None)(timeout=3)
        assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        await forged.close()
        assert not pair.tax._frames.inbox._jobs


def _forged(ours: Authority, name: PartyId) -> Credentials:
    """A certificate for `name` by an authority of the relay's own, which believes ours."""
    made = Authority.create().credentials(name)
    return Credentials(made.private_key, made.certificate, ours.pem)
