"""One peer that floods a node, as a process of its own: streams, metadata, or calls, until its standard input ends.

    python tests/faults/flood.py KEYS PARTY ADDRESS CALLEE streams|metadata|calls

KEYS holds the keys of PARTY. Prints how many calls it began and how those ended that did, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

import grpc
import grpc.aio

from fedcredit.ids import PartyId
from fedcredit.node.pki import load_credentials
from fedcredit.transport.identity import party_host
from fedcredit.transport.options import CARRY

CONNECTIONS = 4
HEALTH = "/fedcredit.v1.Party/Health"
BEGUN = "begun"

Ends = Counter[str]


async def streams(channel: Any, ends: Ends) -> None:
    """Thousands of streams at once that say nothing."""
    held = [channel.stream_stream(CARRY)(None, timeout=5) for _ in range(2500)]
    ends[BEGUN] += len(held)
    for call in held:
        ends[(await call.code()).name] += 1


async def metadata(channel: Any, ends: Ends) -> None:
    """Calls with a megabyte beside them."""
    beside = (("x", "m" * (1 << 20)),)
    ends[BEGUN] += 20
    for call in [channel.unary_unary(HEALTH)(b"", timeout=20, metadata=beside) for _ in range(20)]:
        ends[(await call.code()).name] += 1


async def calls(channel: Any, ends: Ends) -> None:
    """Calls that this peer may not make, as fast as it can."""
    ends[BEGUN] += 200
    for call in [channel.unary_unary(HEALTH)(b"", timeout=20) for _ in range(200)]:
        ends[(await call.code()).name] += 1


async def main(keys: Path, party: str, address: str, callee: str, kind: str) -> None:
    """Flood."""
    os.nice(10)  # what is measured is the node, not this machine
    own = load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem", me=PartyId(party))
    secure = grpc.ssl_channel_credentials(own.authorities, own.private_key, own.certificate)
    # Pings without pause, and every limit of the client's own taken away.
    options = [
        ("grpc.ssl_target_name_override", party_host(PartyId(callee))),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", 100),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    flood = {"streams": streams, "metadata": metadata, "calls": calls}[kind]
    ends: Ends = Counter()

    async def one() -> None:
        while True:
            async with grpc.aio.secure_channel(address, secure, options=options) as channel:
                await flood(channel, ends)

    tasks = [asyncio.create_task(one()) for _ in range(CONNECTIONS)]
    print("flooding", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(ends), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:6]))
