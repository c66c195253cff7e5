"""One peer that floods a node, as a process of its own: streams, metadata, calls or pings, until its input ends.

    python tests/faults/flood.py KEYS PARTY HOST:PORT CALLEE streams|metadata|calls|pings MANY

KEYS holds the keys of PARTY. It writes frames as fast as the node takes them and keeps to none of the limits that the
node announces, as no gRPC library would. It says "flooding" once the node has answered MANY times in the way that costs
it most, and at the end, as JSON, what the node has answered and how often. What was written and never seen by the node
counts for nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

from raw_http2 import END_HEADERS, END_STREAM, PLAIN, PREFACE, Kind, block, frame, read_frame, tls_of

from fedcredit.ids import PartyId
from fedcredit.node.pki import load_credentials
from fedcredit.transport.identity import party_host
from fedcredit.transport.options import CARRY

CONNECTIONS = 4
HEALTH = "/fedcredit.v1.Party/Health"
METADATA_BYTES, PIECE = 1 << 20, 1 << 14

Flood = Callable[[PartyId], Iterator[bytes]]


def streams(callee: PartyId) -> Iterator[bytes]:
    """Streams without end that say nothing."""
    headers = block(callee, CARRY)
    for first in itertools.count(1, 200):
        yield b"".join(frame(Kind.HEADERS, END_HEADERS, number, headers) for number in range(first, first + 200, 2))


def metadata(callee: PartyId) -> Iterator[bytes]:
    """Calls with a megabyte beside them."""
    headers = block(callee, HEALTH, [(b"x", b"m" * METADATA_BYTES)])
    pieces = [headers[at : at + PIECE] for at in range(0, len(headers), PIECE)]
    for number in itertools.count(1, 2):
        yield frame(Kind.HEADERS, END_STREAM, number, pieces[0])
        for piece in pieces[1:-1]:
            yield frame(Kind.CONTINUATION, 0, number, piece)
        yield frame(Kind.CONTINUATION, END_HEADERS, number, pieces[-1])


def calls(callee: PartyId) -> Iterator[bytes]:
    """Calls that this peer may not make."""
    headers, nothing = block(callee, HEALTH), bytes(5)
    for number in itertools.count(1, 2):
        yield frame(Kind.HEADERS, END_HEADERS, number, headers) + frame(Kind.DATA, END_STREAM, number, nothing)


def pings(_: PartyId) -> Iterator[bytes]:
    """Pings, which are to be answered each."""
    while True:
        yield frame(Kind.PING, 0, 0, bytes(8)) * 100


FLOODS: dict[str, Flood] = {"streams": streams, "metadata": metadata, "calls": calls, "pings": pings}


COSTLY = {"streams": "reset", "metadata": "", "calls": "status", "pings": "pong"}
"""How the answers begin that count towards MANY. A call that is ended with a status has passed our own code; what is
beyond the streams that a node allows is reset far below."""


def meaning(kind: int, flags: int, body: bytes) -> str:
    """What a frame of the node's says; empty for what is no answer."""
    if kind == Kind.RESET:
        return f"reset {int.from_bytes(body, 'big')}"
    if kind == Kind.GOAWAY:
        return f"goaway {int.from_bytes(body[4:8], 'big')}"
    if kind == Kind.PING:
        return "pong" if flags & 1 else ""
    if kind == Kind.HEADERS and flags & END_STREAM:
        status = re.search(rb"grpc-status.(\d+)", body, re.DOTALL)
        return f"status {status[1].decode() if status else '?'}"
    return ""


class Answers(Counter[str]):
    """What the node has answered, and how often; `flooded` once it has been `many` times in a way that is `costly`."""

    def __init__(self, many: int, costly: str) -> None:
        super().__init__()
        self._left, self._costly, self.flooded = many, costly, asyncio.Event()

    def note(self, what: str) -> None:
        """One more."""
        self[what] += 1
        self._left -= what.startswith(self._costly)
        if self._left <= 0:
            self.flooded.set()


async def one(callee: PartyId, address: str, tls: ssl.SSLContext, flood: Flood, answers: Answers) -> None:
    """One connection, to its end."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls, server_hostname=party_host(callee))

    async def read() -> None:
        while True:
            kind, flags, body = await read_frame(reader)
            if kind == Kind.SETTINGS and not flags:
                writer.write(frame(Kind.SETTINGS, 1, 0, b""))
            if said := meaning(kind, flags, body):
                answers.note(said)
            if kind == Kind.GOAWAY and body[4:8] != bytes(4):
                return

    reading = asyncio.create_task(read())
    try:
        writer.write(PREFACE + frame(Kind.SETTINGS, 0, 0, PLAIN))
        for data in flood(callee):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)
            if reading.done():
                break
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.transport.abort()


async def main(keys: Path, party: str, address: str, callee: str, kind: str, many: str) -> None:
    """Flood."""
    os.nice(19)  # what is measured is the node, not this machine
    own = load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem", me=PartyId(party))
    answers = Answers(int(many), COSTLY[kind])

    async def again_and_again() -> None:
        while True:
            try:
                await one(PartyId(callee), address, tls_of(own), FLOODS[kind], answers)
            except (OSError, asyncio.IncompleteReadError):
                answers["closed"] += 1

    tasks = [asyncio.create_task(again_and_again()) for _ in range(CONNECTIONS)]
    await answers.flooded.wait()
    print("flooding", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:7]))
