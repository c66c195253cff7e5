"""A process of `fedcredit bench aggregate`: all parties over an in-memory link, or one over gRPC with mutual TLS.

    python -m fedcredit.cli.benches.aggregate_main together CASE
    python -m fedcredit.cli.benches.aggregate_main apart CASE FOLDER PLACE

For each line that it reads it takes part in one sum, and prints what that took as a JSON object; it ends with its
standard input. `apart` prints its port first, and reads those of all parties.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from fedcredit.cli.benches.aggregate_case import F64, Case, FellSilent, until_lost
from fedcredit.kernels import digest
from fedcredit.node.figures import peak_memory_mib
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.grpc import Credentials, GrpcTransport
from fedcredit.transport.heap import keep_frame_memory
from fedcredit.transport.memory import run_network

__all__ = ["main"]

_DEADLINE_S = 300.0


def main() -> None:
    """Run what the command line names."""
    kind, text, *others = sys.argv[1:]
    case = Case.from_json(text)
    if kind == "together":
        _together(case)
    else:
        asyncio.run(_apart(case, Path(others[0]), int(others[1])))


def _together(case: Case) -> None:
    keep_frame_memory(case.parties)
    values = [case.values(place) for place in range(case.parties)]
    for turn, _ in enumerate(sys.stdin):
        print(json.dumps(_played(case, values, turn)), flush=True)


def _played(case: Case, values: list[F64], turn: int) -> dict[str, Any]:
    names, session = case.names, digest.blake3(b"bench %d" % turn)
    silent = {name: sends for place, name in enumerate(names) if (sends := case.sends(place)) is not None}
    roles = {name: case.role(place, session, "sum", values[place]) for place, name in enumerate(names)}
    begun, spent = time.perf_counter(), time.process_time()
    outcome = run_network(roles, insecure_in_process=True, silent=silent)
    seconds, spent = time.perf_counter() - begun, time.process_time() - spent
    for place in {0, case.parties - 1}:
        case.check(outcome.results[names[place]])
    link = {names[0], names[-1]}
    senders = [sender for sender, receiver, *_ in outcome.traffic if {sender, receiver} == link]
    return {
        "seconds": seconds,
        "processor": spent,
        "bytes": sum(size for *_, size in outcome.traffic),
        "rounds": 1 + sum(one != other for one, other in itertools.pairwise(senders)),
        "rss_mib": peak_memory_mib(),
    }


async def _apart(case: Case, folder: Path, place: int) -> None:
    me, values = case.names[place], case.values(place)
    own = json.loads((folder / f"{me}.json").read_text())
    transport = GrpcTransport(me, Credentials(**{name: text.encode() for name, text in own.items()}))
    await transport.start()
    print(transport.port, flush=True)
    for peer, port in zip(case.names, json.loads(await asyncio.to_thread(sys.stdin.readline)), strict=True):
        transport.add_peer(peer, f"127.0.0.1:{port}")
    turn = 0
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await _once(case, transport, place, values, turn)), flush=True)
        turn += 1
    await transport.close()


async def _once(case: Case, transport: GrpcTransport, place: int, values: F64, turn: int) -> dict[str, Any]:
    session, meter, spent = digest.blake3(b"bench %d" % turn), Meter(), time.process_time()
    peers = [name for name in case.names if name != transport.me]
    channel = transport.open(session, "sum", peers=peers, survives=True)
    steps = until_lost(case.role(place, session, "sum", values), case.sends(place))
    begun = time.perf_counter()
    try:
        taken = await drive(steps, channel, deadline_s=_DEADLINE_S, meter=meter)
    except FellSilent:
        taken = None
    seconds, spent = time.perf_counter() - begun, time.process_time() - spent
    if taken is not None:
        case.check(taken)
    links = meter.snapshot()["links"]
    return {
        "seconds": seconds,
        "processor": spent,
        "bytes": sum(link["bytes_sent"] for link in links),
        "rounds": max(link["rounds"] for link in links),
        "rss_mib": peak_memory_mib(),
    }


if __name__ == "__main__":
    main()
