"""A file of clients asked about privately and openly, CSV to CSV, between a bank, a running provider and a platform.

    python benchmarks/private_verify.py [--rows FEW MANY ...] [--repeat N] > benchmarks/results/private_verify.json

FEW clients with a consent each, half of them among the MANY of the provider's table. Platform and provider are nodes
of their own on this machine, over loopback with mutual TLS, with their audit logs; the bank is the command
`fedcredit verify`. Prints one JSON object a case: `seconds`, from the command's start to its file on disk, of `first`
(the filter is made and travels), and medians of `open` (without --private) and of `private` (the filter is held).
`processor` is of each of them what each party took, of all cores together; with others at work it says more.

Looking up alone is played once more without the command: `steps` are seconds of getting the filter (which has been
made, and travels) and of asking, `bytes` those of the messages of each call, both ways, and `rounds` how often it was
made; `permit` goes to the platform. `rss_mib` is what the nodes held at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.cli.benches.identifiers import identifiers
from fedcredit.cli.benches.jobs import write_table
from fedcredit.cli.benches.verification.processes import Process
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.governance.consent.token import encode, fresh_jti
from fedcredit.ids import PartyId
from fedcredit.node.consent.issuing import load_key
from fedcredit.node.figures import environment
from fedcredit.node.membership.asking import node_address
from fedcredit.node.membership.driving import Caller
from fedcredit.node.own_node import OwnNode
from fedcredit.node.pki import load_certificate
from fedcredit.node.processes import Children
from fedcredit.node.rpc import ControlClient
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.trust.joining import enrol
from fedcredit.node.trust.keys import open_keyring, platform_address, trust_folder
from fedcredit.node.trust.members import make_token
from fedcredit.node.trust.token import TokenFile
from fedcredit.protocols.membership import MembershipAsker
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import load_party
from fedcredit.transport.connections import Connection
from fedcredit.transport.limits import Limits
from fedcredit.wire.membership import MAX_CONSENTS
from fedcredit.wire.message import Message

M = TypeVar("M", bound=Message)

PLATFORM, BANK, FUND = PartyId("platform"), PartyId("bank"), PartyId("fund")
KINDS = {PLATFORM: "platform", BANK: "institution", FUND: "provider"}
ITEM, FIELD = "housing_fund_contribution", "continuous_normal_months_12m"
PREDICATE, PURPOSE, RUNG = "hf_continuous_k", "financing", 6
READY_S = 600.0
CASES = ((1_000, 100_000), (10_000, 100_000), (10_000, 1_000_000))
VERIFY = f"""
[verify]
listen = "127.0.0.1:{{port}}"
region = "nanjing"
private = ["{ITEM}"]
[verify.items.{ITEM}]
table = "register.csv"
"""
POLICY = f"""
[verify.levels]
{ITEM} = 3
[[verify.rule]]
name = "bench"
action = "admit"
requesters = ["bank"]
purposes = ["{PURPOSE}"]
items = ["{ITEM}"]
level_max = 3
budget = {{ questions = 4, days = 30 }}
private = {{ per_day = 100_000_000 }}
"""


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(prog="private_verify", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs=2, action="append", metavar=("FEW", "MANY"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the tables and the nodes' folders are made")
    given = parser.parse_args()
    for few, many in given.rows or CASES:
        with tempfile.TemporaryDirectory(prefix="fedcredit-bench-", dir=given.folder) as name:
            print(json.dumps(asyncio.run(measure(Path(name), few, many, given.repeat))), flush=True)


async def measure(folder: Path, few: int, many: int, repeat: int) -> dict[str, Any]:
    """One case, over nodes of its own."""
    load, where = os.getloadavg()[0], environment()
    write_register(folder / "register.csv", many)
    town = Town(folder)
    try:
        await town.up(few)
        clients = town.write_clients(few, many)
        opened = [await town.ask(few, f"openly, {turn + 1} of {repeat}") for turn in range(repeat)]
        first = await town.ask(few, "the filter is made", "--private")
        private = [await town.ask(few, f"privately, {turn + 1} of {repeat}", "--private") for turn in range(repeat)]
        steps, sizes, rounds = await town.look_up(clients)
        memory = {party: round(town.process(party).usage().rss_mib, 1) for party in (FUND, PLATFORM)}
    finally:
        await town.children.stop()
    runs = {"open": opened, "first": [first], "private": private}
    return {
        "bench": "private_verify",
        "case": {"clients": few, "rows": many, "shared": few // 2, "repeat": repeat},
        "seconds": {name: round(statistics.median(run["seconds"] for run in of), 3) for name, of in runs.items()},
        "processor": {
            name: {party: round(statistics.median(run[party] for run in of), 3) for party in (BANK, FUND, PLATFORM)}
            for name, of in runs.items()
        },
        "steps": steps,
        "bytes": sizes,
        "rounds": rounds,
        "rss_mib": memory,
        "load": round(load, 2),
        "machine": where["machine"],
        "commit": where["commit"],
    }


class Town:
    """The three parties' folders; platform and provider run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.children = folder, Children()
        for party, kind in KINDS.items():
            address = ("127.0.0.1", free_port())
            table = None if party == PLATFORM else folder / "register.csv"
            found(folder / party, NewParty(party, kind, *address, (), table, "uscc", None, PLATFORM, None, False))
        # What a node reads for its questions lies in its folder.
        os.link(folder / "register.csv", folder / FUND / "register.csv")
        configuration = folder / FUND / "party.toml"
        written = configuration.read_text(encoding="utf-8") + VERIFY.format(port=free_port())
        configuration.write_text(written, encoding="utf-8")
        (folder / FUND / "policy.toml").write_text(POLICY, encoding="utf-8")

    async def up(self, few: int) -> None:
        """Start the nodes, and let the provider read its table."""
        await self._start(PLATFORM)
        for party in (FUND, BANK):
            token, clock = self.folder / f"{party}.token", SystemClock()
            make_token(self.folder / PLATFORM, party, KINDS[party], token, "1h")
            await enrol(load_party(self.folder / party), TokenFile.read(token, clock.now()), clock)
        await self._start(FUND)
        pins = trust_folder(load_party(self.folder / FUND))
        async with asyncio.timeout(READY_S), OwnNode(load_party(self.folder / FUND)) as node:
            while pins is None or BANK not in pins.pins() or not (await node.health())[0]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def process(self, party: PartyId) -> Process:
        """The node of a party, to be looked at."""
        return Process(self.children[party].process.pid, 0)

    def write_clients(self, few: int, many: int) -> list[tuple[str, str]]:
        """The bank's file: codes and consents, half of them of subjects in the table."""
        (path,) = (self.folder / PLATFORM / "keys" / "consent").glob("*.key")
        key, now = load_key(path), int(time.time())
        public = Issuer(key.public_key().public_bytes_raw(), "authority", name=PLATFORM).public_key
        certificate = load_certificate(self.folder / BANK / "keys" / "authority.crt")
        authority = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
        scope = Scope(requester=BANK, purpose=PURPOSE, region="nanjing", predicates=(PREDICATE,), max_uses=1000)
        codes = np.random.default_rng(7).permutation(identifiers(many - few // 2, few))
        consents = [
            Consent(
                issuer=PLATFORM,
                subject=bytes(code).decode(),
                providers=(FUND,),
                jti=fresh_jti(),
                issued_at=now,
                not_before=now - 60,
                expires=now + 86_400,
                authority=authority,
                by=ConsentBy.ENTERPRISE,
                disclosure=bytes(32),
                scope=scope,
            )
            for code in codes
        ]
        clients = [(consent.subject, encode(consent, public, key.sign)) for consent in consents]
        with (self.folder / "clients.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("uscc", "consent"), *clients])
        return clients

    async def ask(self, few: int, what: str, *more: str) -> dict[str, float]:
        """Ask about all clients by the command: seconds, and processor seconds of each party."""
        out, nodes = self.folder / "answers.csv", (FUND, PLATFORM)
        ready = json.loads((self.folder / FUND / "ready.json").read_bytes())
        before, own = {party: self.process(party).usage().cpu_s for party in nodes}, os.times()
        begun = time.perf_counter()
        command = [sys.executable, "-m", "fedcredit.cli.main", "verify", "--node", str(self.folder / BANK)]
        command += ["--provider", f"{FUND}={ready['verify']}"]
        command += ["--certificate", str(self.folder / FUND / "keys" / "signing.crt")]
        command += ["--predicate", PREDICATE, "--param", f"k={RUNG}"]
        command += ["--subjects", str(self.folder / "clients.csv"), "--out", str(out), *more]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        seconds, used = time.perf_counter() - begun, os.times()
        if done.returncode:
            raise SystemExit(f"{what}: ended with {done.returncode}\n{done.stderr}")
        check_answers(out, few)
        print(f"{what}: {seconds:.2f} s", file=sys.stderr, flush=True)
        spent = used.children_user + used.children_system - own.children_user - own.children_system
        return {
            "seconds": seconds,
            BANK: spent,
            **{party: self.process(party).usage().cpu_s - before[party] for party in nodes},
        }

    async def look_up(
        self, clients: Sequence[tuple[str, str]]
    ) -> tuple[dict[str, float], dict[str, int], dict[str, int]]:
        """The bank's role between the same nodes: seconds of each step, bytes of messages, calls."""
        config, question = load_party(self.folder / BANK), (PREDICATE, PURPOSE)
        keyring, platform = open_keyring(config, SystemClock()), platform_address(config)
        assert platform is not None, "the bank has joined"
        ways = [
            Connection(FUND, node_address(config, FUND), keyring, Limits()),
            Connection(*platform, keyring, Limits()),
        ]
        counted = [Counted(ways[0], "Membership", FUND), Counted(ways[1], "Permits", PLATFORM)]
        caller = Caller(counted[0], counted[1], *question)
        role = MembershipAsker(BANK, FUND, PLATFORM, *question, SystemRandomness())
        try:
            begun = time.perf_counter()
            terms = await caller.drive(role.terms())
            current = await caller.drive(role.fetch(terms, None))
            fetched = time.perf_counter()
            present = 0
            for start in range(0, len(clients), MAX_CONSENTS):
                asked = await caller.drive(role.ask(terms, current, clients[start : start + MAX_CONSENTS]))
                present += int(asked.present.sum())
            ended = time.perf_counter()
        finally:
            for way in ways:
                await way.close()
        assert present == len(clients) // 2, "half of them are in the table"
        calls, sizes = (
            sum((one.calls for one in counted), Counter[str]()),
            sum((one.sizes for one in counted), Counter[str]()),
        )
        return (
            {"filter": round(fetched - begun, 3), "ask": round(ended - fetched, 3)},
            {name.lower(): size for name, size in sorted(sizes.items())},
            {name.lower(): count for name, count in sorted(calls.items())},
        )

    async def _start(self, party: PartyId) -> None:
        child = await self.children.start(party, self.folder / party, self.folder / f"{party}.log")
        await self.children.ready(child)


class Counted(ControlClient):
    """Calls whose number and bytes of messages are counted, both ways, by method."""

    def __init__(self, connection: Connection, service: str, peer: PartyId) -> None:
        super().__init__(connection, service, peer)
        self.calls, self.sizes = Counter[str](), Counter[str]()

    async def call(self, method: str, request: Message, reply: type[M], *, timeout_s: float, attempts: int = 3) -> M:
        """As there."""
        answer = await super().call(method, request, reply, timeout_s=timeout_s, attempts=attempts)
        self.calls[method] += 1
        self.sizes[method] += len(request.encode()) + len(answer.encode())
        return answer

    async def stream(
        self, method: str, request: Message, reply: type[M], *, timeout_s: float
    ) -> AsyncGenerator[M, None]:
        """As there."""
        self.calls[method] += 1
        self.sizes[method] += len(request.encode())
        async for part in super().stream(method, request, reply, timeout_s=timeout_s):
            self.sizes[method] += len(part.encode())
            yield part


def write_register(path: Path, many: int) -> None:
    """The provider's table: a subject a row."""
    rng = np.random.default_rng(8)
    columns: Mapping[str, Any] = {FIELD: rng.integers(0, 13, many, dtype=np.uint8)}
    write_table(path, rng.permutation(identifiers(0, many)), columns)


def check_answers(path: Path, few: int) -> None:
    """Every client has an outcome, and half of them the one that says that there is no record."""
    with path.open(encoding="utf-8", newline="") as file:
        outcomes = Counter(row["outcome"] for row in csv.DictReader(file))
    assert outcomes["unknown"] == few - few // 2, "half of them are not in the table"
    assert outcomes["yes"] + outcomes["no"] == few // 2, "the others are"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
