"""How fast frames travel between two processes on loopback with mutual TLS, envelope, hash and receipts included.

    python benchmarks/transport.py [--repeat N] > benchmarks/results/transport.json
    python benchmarks/transport.py --relay [--repeat N] > benchmarks/results/relay.json

Prints one JSON object a line: `bench`, `case`, `seconds` (median of the repeats), `rate_mb_s` (10^6 bytes of bodies a
second) and `best_mb_s` of the fastest repeat, or `round_trip_us`; `load` (processes that wanted a core when it began;
the two parties need both cores of a machine with two), `machine`, `python`, `commit`.

`stream` is one way; `both` has both parties send at once; `small` is the round trip of a small message. `grpc` is the
same stream over plain grpc.aio with nothing of ours but the certificates: what lies between the two is the price of
the envelope, the hash, the window and the receipts.

With `--relay` each case is also run between parties that listen nowhere, through the relay of a third process, the
platform. Direct and relayed runs take turns, so that both meet the same load; `of_direct` is the median over the turns
of the ratio of the two times, `relay_cpu_s_per_gb` the platform's processor time for 10^9 bytes of bodies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import grpc.aio

from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.transport.channel import Channel
from fedcredit.transport.grpc import Credentials, GrpcTransport
from fedcredit.transport.heap import keep_frame_memory
from fedcredit.transport.identity import party_host
from fedcredit.transport.limits import Limits
from fedcredit.transport.options import channel_options, server_options
from fedcredit.transport.relay.hub import STREAM_WINDOW_BYTES
from fedcredit.transport.relay.sides import MemberSide, PlatformSide

SENDER, RECEIVER, PLATFORM = PartyId("sender"), PartyId("receiver"), PartyId("platform")
MIB = 1 << 20
SSID = bytes(32)
PLAIN = "/benchmark/Carry"
RELAYED, CPU = " relayed", " cpu"

Case = Callable[[Channel, PartyId], Awaitable[None]]


def stream(n_messages: int, size: int) -> tuple[Case, Case]:
    """One party sends `n_messages` bodies of `size` bytes, the other takes them and says so at the end."""
    body = os.urandom(size)

    async def give(channel: Channel, peer: PartyId) -> None:
        for _ in range(n_messages):
            await channel.send(peer, 1, body)
        await channel.receive(peer)

    async def take(channel: Channel, peer: PartyId) -> None:
        for _ in range(n_messages):
            await channel.receive(peer)
        await channel.send(peer, 1, b"")

    return give, take


def both(n_messages: int, size: int) -> tuple[Case, Case]:
    """Both send `n_messages` bodies and take the other's meanwhile."""
    body = os.urandom(size)

    async def swap(channel: Channel, peer: PartyId) -> None:
        async def give() -> None:
            for _ in range(n_messages):
                await channel.send(peer, 1, body)

        giving = asyncio.create_task(give())
        for _ in range(n_messages):
            await channel.receive(peer)
        await giving

    return swap, swap


def small(n_messages: int, size: int) -> tuple[Case, Case]:
    """A message there and one back, one after the other."""
    body = os.urandom(size)

    async def ask(channel: Channel, peer: PartyId) -> None:
        for _ in range(n_messages):
            await channel.send(peer, 1, body)
            await channel.receive(peer)

    async def answer(channel: Channel, peer: PartyId) -> None:
        for _ in range(n_messages):
            await channel.receive(peer)
            await channel.send(peer, 1, body)

    return ask, answer


CASES: dict[str, tuple[Callable[[int, int], tuple[Case, Case]], int, int]] = {
    "stream 1 MiB": (stream, 1000, MIB),
    "stream 64 KiB": (stream, 4000, 64 << 10),
    "stream 4 MiB": (stream, 250, 4 * MIB),
    "both 1 MiB": (both, 500, MIB),
    "small 256 B": (small, 1000, 256),
}


def cases(relay: bool) -> dict[str, tuple[Callable[[int, int], tuple[Case, Case]], int, int]]:
    """What is run; shorter with a relay, so that direct and relayed runs meet the same load."""
    return {name: (case, n // 4 if relay else n, size) for name, (case, n, size) in CASES.items()}


async def run_party(
    me: PartyId,
    peer: PartyId,
    own: Credentials,
    pipe: Connection,
    index: int,
    repeat: int,
    relay: tuple[int, int] | None,
) -> dict[str, list[float]]:
    """All cases at one party, direct and by the `relay` (its port and process); the seconds of each repeat."""
    transport = GrpcTransport(me, own)
    await transport.start()
    pipe.send(transport.port)
    transport.add_peer(peer, f"127.0.0.1:{pipe.recv()}")
    ways, side = {"": transport}, None
    if relay is not None:
        side = MemberSide(PLATFORM, f"127.0.0.1:{relay[0]}", reachable=True, all_through=True)
        ways[RELAYED] = GrpcTransport(
            me, own, listen=None, local=side.local, route=side.route, peers={peer: f"relay://{peer}"}
        )
        await ways[RELAYED].start()
        side.start(ways[RELAYED])
    seconds: dict[str, list[float]] = {}
    for name, (case, n_messages, size) in cases(relay is not None).items():
        work = case(n_messages, size)[index]
        for turn in range(repeat + 1):
            for way, links in ways.items():
                channel = links.open(SSID, f"{name.lower().replace(' ', '-')}/{turn}", peers=[peer])
                await small(1, 1)[index](channel, peer)
                start, before = time.perf_counter(), _cpu_s(relay)
                await work(channel, peer)
                if turn:  # the first one warms up
                    seconds.setdefault(name + way, []).append(time.perf_counter() - start)
                    if way:
                        seconds.setdefault(name + CPU, []).append(_cpu_s(relay) - before)
                await channel.close()
    for links in ways.values():
        await links.close()
    if side is not None:
        await side.close()
    return seconds


def _cpu_s(relay: tuple[int, int] | None) -> float:
    """The processor time that the relay's process has had."""
    if relay is None:
        return 0.0
    fields = Path(f"/proc/{relay[1]}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def serve_relay(own: Credentials, pipe: Connection) -> None:
    """The platform, which carries."""
    keep_frame_memory()
    side = PlatformSide(PLATFORM)
    peers = {party: f"relay://{party}" for party in (SENDER, RECEIVER)}
    limits = Limits(stream_window_bytes=STREAM_WINDOW_BYTES)
    transport = GrpcTransport(PLATFORM, own, peers=peers, route=side.route, services=side.services, limits=limits)
    await transport.start()
    side.start(transport)
    pipe.send((transport.port, os.getpid()))
    await asyncio.to_thread(pipe.recv)
    await transport.close()
    await side.close()


def relay_process(own: Credentials, pipe: Connection) -> None:
    """The third process."""
    asyncio.run(serve_relay(own, pipe))


async def serve_plain(own: Credentials, pipe: Connection) -> None:
    """The receiver of the plain gRPC stream."""
    keep_frame_memory()

    async def carry(_: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        n_taken = 0
        while isinstance(await context.read(), bytes):
            n_taken += 1
            if n_taken % 4 == 0:
                await context.write(b"%d" % n_taken)

    handlers = {"Carry": grpc.stream_stream_rpc_method_handler(carry)}
    server = grpc.aio.server(options=server_options(Limits()))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("benchmark", handlers),))
    secure = grpc.ssl_server_credentials([(own.private_key, own.certificate)], own.authorities, True)
    pipe.send(server.add_secure_port("127.0.0.1:0", secure))
    await server.start()
    await asyncio.to_thread(pipe.recv)
    await server.stop(None)


async def send_plain(own: Credentials, pipe: Connection, repeat: int) -> list[float]:
    """The sender of the plain gRPC stream, 16 MiB ahead at most, as our window has it."""
    keep_frame_memory()
    secure = grpc.ssl_channel_credentials(own.authorities, own.private_key, own.certificate)
    options = channel_options(Limits(), party_host(RECEIVER))
    seconds, body, n_messages = [], os.urandom(MIB), 1000
    async with grpc.aio.secure_channel(f"127.0.0.1:{pipe.recv()}", secure, options=options) as channel:
        for turn in range(repeat + 1):
            call = channel.stream_stream(PLAIN, None, None)(None)
            window = asyncio.Semaphore(16)
            start = time.perf_counter()

            async def take_receipts(
                call: grpc.aio.StreamStreamCall[bytes, bytes] = call, window: asyncio.Semaphore = window
            ) -> None:
                while isinstance(await call.read(), bytes):
                    for _ in range(4):
                        window.release()

            receipts = asyncio.create_task(take_receipts())
            for _ in range(n_messages):
                await window.acquire()
                await call.write(body)
            await call.done_writing()
            await receipts
            if turn:
                seconds.append(time.perf_counter() - start)
    pipe.send(None)
    return seconds


def serve(receiver: Credentials, pipe: Connection, repeat: int, relay: tuple[int, int] | None) -> None:
    """The other process."""
    if relay is None:
        asyncio.run(serve_plain(receiver, pipe))
    asyncio.run(run_party(RECEIVER, SENDER, receiver, pipe, 1, repeat, relay))


def describe() -> dict[str, str]:
    """Where and what was measured."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    machine = f"{os.cpu_count()} x {model.partition(':')[2].strip() or platform.machine()}"
    return {
        "machine": machine,
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    """Run every case and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--relay", action="store_true")
    arguments = parser.parse_args()
    repeat, conditions = arguments.repeat, describe()
    authority = Authority.create()
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    relay = None
    if arguments.relay:
        ours, theirs = spawn.Pipe()
        platform_process = spawn.Process(
            target=relay_process, args=(authority.credentials(PLATFORM), theirs), daemon=True
        )
        platform_process.start()
        relay = ours.recv()
    other = spawn.Process(target=serve, args=(authority.credentials(RECEIVER), there, repeat, relay), daemon=True)
    other.start()
    own = authority.credentials(SENDER)
    plain = None if relay else asyncio.run(send_plain(own, here, repeat))
    seconds = asyncio.run(run_party(SENDER, RECEIVER, own, here, 0, repeat, relay))
    other.join(10)
    if relay:
        ours.send(None)
        platform_process.join(10)
    if plain is not None:
        report("grpc 1 MiB", plain, 1000 * MIB, 1000, {}, conditions)
    for name, (case, n_messages, size) in cases(arguments.relay).items():
        n_bytes = n_messages * size * (2 if case is both else 1)
        report(name, seconds[name], n_bytes, n_messages, {}, conditions)
        if relay:
            pairs = zip(seconds[name + RELAYED], seconds[name], strict=True)
            extra = {
                "of_direct": round(statistics.median(relayed / direct for relayed, direct in pairs), 2),
                "relay_cpu_s_per_gb": round(statistics.median(seconds[name + CPU]) / n_bytes * 1e9, 2),
            }
            report(name + RELAYED, seconds[name + RELAYED], n_bytes, n_messages, extra, conditions)


def report(
    name: str,
    seconds: list[float],
    n_bytes: int,
    n_messages: int,
    extra: dict[str, float],
    conditions: dict[str, str],
) -> None:
    """Print one case."""
    median = statistics.median(seconds)
    rate = {"rate_mb_s": round(n_bytes / median / 1e6, 1), "best_mb_s": round(n_bytes / min(seconds) / 1e6, 1)}
    if name.startswith("small"):
        rate = {"round_trip_us": round(median / n_messages * 1e6, 1)}
        extra.pop("relay_cpu_s_per_gb", None)
    line = {"bench": "transport", "case": name, "seconds": round(median, 4), **rate, **extra, **conditions}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
