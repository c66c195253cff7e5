"""How fast frames travel between two processes on loopback with mutual TLS, envelope, hash and receipts included.

    python benchmarks/transport.py [--repeat N] > benchmarks/results/transport.json

Prints one JSON object a line: `bench`, `case`, `seconds` (median of the repeats), `rate_mb_s` (10^6 bytes of bodies a
second) and `best_mb_s` of the fastest repeat, or `round_trip_us`; `load` (processes that wanted a core when it began;
the two parties need both cores of a machine with two), `machine`, `python`, `commit`.

`stream` is one way; `both` has both parties send at once; `small` is the round trip of a small message. `grpc` is the
same stream over plain grpc.aio with nothing of ours but the certificates: what lies between the two is the price of
the envelope, the hash, the window and the receipts.
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

SENDER, RECEIVER = PartyId("sender"), PartyId("receiver")
MIB = 1 << 20
SSID = bytes(32)
PLAIN = "/benchmark/Carry"

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


async def run_party(
    me: PartyId, peer: PartyId, own: Credentials, pipe: Connection, index: int, repeat: int
) -> dict[str, list[float]]:
    """All cases at one party; the seconds of each repeat."""
    transport = GrpcTransport(me, own)
    await transport.start()
    pipe.send(transport.port)
    transport.add_peer(peer, f"127.0.0.1:{pipe.recv()}")
    seconds: dict[str, list[float]] = {}
    for name, (case, n_messages, size) in CASES.items():
        work = case(n_messages, size)[index]
        for turn in range(repeat + 1):
            channel = transport.open(SSID, f"{name.lower().replace(' ', '-')}/{turn}", peers=[peer])
            await small(1, 1)[index](channel, peer)
            start = time.perf_counter()
            await work(channel, peer)
            if turn:  # the first one warms up
                seconds.setdefault(name, []).append(time.perf_counter() - start)
            await channel.close()
    await transport.close()
    return seconds


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


def serve(receiver: Credentials, pipe: Connection, repeat: int) -> None:
    """The other process."""
    asyncio.run(serve_plain(receiver, pipe))
    asyncio.run(run_party(RECEIVER, SENDER, receiver, pipe, 1, repeat))


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
    repeat = parser.parse_args().repeat
    conditions = describe()
    authority = Authority.create()
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    other = spawn.Process(target=serve, args=(authority.credentials(RECEIVER), there, repeat), daemon=True)
    other.start()
    own = authority.credentials(SENDER)
    plain = asyncio.run(send_plain(own, here, repeat))
    ours = asyncio.run(run_party(SENDER, RECEIVER, own, here, 0, repeat))
    other.join(10)
    figures = {"grpc 1 MiB": (plain, 1000 * MIB, 1000)} | {
        name: (ours[name], n_messages * size * (2 if case is both else 1), n_messages)
        for name, (case, n_messages, size) in CASES.items()
    }
    for name, (seconds, n_bytes, n_messages) in figures.items():
        median = statistics.median(seconds)
        rate = {"rate_mb_s": round(n_bytes / median / 1e6, 1), "best_mb_s": round(n_bytes / min(seconds) / 1e6, 1)}
        if name.startswith("small"):
            rate = {"round_trip_us": round(median / n_messages * 1e6, 1)}
        line = {"bench": "transport", "case": name, "seconds": round(median, 4), **rate, **conditions}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
