"""A platform, a bank, another institution and two water utilities: Nanjing's and Jining's, each by its own catalog."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from free_ports import free_port
from midday import midday_zone

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.governance.consent.token import encode, fresh_jti
from fedcredit.ids import PartyId
from fedcredit.node.consent.issuing import load_key
from fedcredit.node.membership.driving import Caller
from fedcredit.node.own_node import OwnNode
from fedcredit.node.pki import load_certificate
from fedcredit.node.processes import Child, Children
from fedcredit.node.rpc import ControlClient
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.trust.joining import enrol
from fedcredit.node.trust.keys import node_address, open_keyring, platform_address, trust_folder
from fedcredit.node.trust.members import make_token
from fedcredit.node.trust.token import TokenFile
from fedcredit.node.verification.client import Provider, VerifyClient, provider_at
from fedcredit.protocols.effects import Send, Steps
from fedcredit.protocols.membership import MembershipAsker
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import load_party
from fedcredit.transport.connections import Connection
from fedcredit.transport.limits import Limits
from fedcredit.wire.membership import EvaluateMembers
from fedcredit.wire.verification import Argument, Kind, Question

__all__ = [
    "DRY",
    "ELSEWHERE",
    "OWING",
    "PAYING",
    "STRANGER",
    "VerifyTown",
    "asked",
    "membership_of",
    "recorded",
    "verify_town",
]

PLATFORM = PartyId("platform")
KINDS = {
    "platform": "platform",
    "bank": "institution",
    "rival": "institution",
    "nanjing_water": "provider",
    "jining_water": "provider",
}
PROVIDERS = ("jining_water", "nanjing_water")
OWING, PAYING, DRY, STRANGER = "91320100MA1MTQ0X09", "913200001000123456", "91320100MA1MK00057", "91110000600037341L"
ELSEWHERE = "91370800MA3C00008B"

WATER = f"""uscc,currently_in_arrears,avg_monthly_usage_3m,avg_monthly_usage_6m,updated_on
{OWING},true,5,10,2026-04-30
{PAYING},false,8,10,2026-05-01
{DRY},false,0,0,2026-05-02
"""
ARREARS = f"""uscc,repaid,arrears_start_date,arrears_amount
{OWING},false,2026-01-15,1200
{OWING},true,2025-12-01,300
{PAYING},true,2025-11-01,300
"""
VERIFY = """
[verify]
region = "{region}"
private = ["water_fee"]
listen = "127.0.0.1:{port}"
[verify.items.water_fee]
table = "water.csv"
recorded = "updated_on"
{more}
"""
NANJING_ALONE = '[verify.items.water_arrears]\ntable = "arrears.csv"\ncomplete = true\n'
POLICY = """
[policy]
time_zone = "{zone}"
[verify.levels]
water_fee = 2
water_arrears = 2
[[verify.rule]]
name = "financing"
action = "admit"
requesters = ["bank", "rival"]
purposes = ["financing"]
items = ["water_fee", "water_arrears"]
level_max = 3
budget = {{ questions = 2, days = 30 }}
private = {{ per_day = 12 }}
"""


class VerifyTown:
    """Folders and processes; the bank asks from this process, with its own folder's identity."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.children = folder, Children()
        table = folder / "table.csv"
        table.write_text("uscc,x\n" + "".join(f"{code},{k}\n" for k, code in enumerate((OWING, PAYING, DRY))))
        for name, kind in KINDS.items():
            data = None if kind == "platform" else table
            port = free_port(1)
            new = NewParty(PartyId(name), kind, "127.0.0.1", port, (), data, "uscc", None, PLATFORM, None, False)
            found(folder / name, new)
        for name, region in zip(PROVIDERS, ("jining", "nanjing"), strict=True):
            own = folder / name
            (own / "water.csv").write_text(WATER)
            (own / "arrears.csv").write_text(ARREARS)
            more = NANJING_ALONE if region == "nanjing" else ""
            text = (own / "party.toml").read_text()
            (own / "party.toml").write_text(text + VERIFY.format(region=region, port=free_port(), more=more))
            (own / "policy.toml").write_text(POLICY.format(zone=midday_zone()))

    async def up(self, name: str) -> Child:
        """Start the node of `name`."""
        child = await self.children.start(PartyId(name), self.folder / name, self.folder / f"{name}.log")
        await self.children.ready(child)
        return child

    async def join(self, name: str) -> None:
        """Let `name` join the platform."""
        out, clock = self.folder / f"{name}.token", SystemClock()
        make_token(self.folder / "platform", name, KINDS[name], out, "1h")
        await enrol(load_party(self.folder / name), TokenFile.read(out, clock.now()), clock)

    async def ready(self, name: str) -> None:
        """Wait until the node of `name` takes work, its questions among it."""
        async with asyncio.timeout(240), OwnNode(load_party(self.folder / name)) as node:
            while not (await node.health())[0]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def knows(self, name: str, party: str) -> None:
        """Wait until `name` believes `party`."""
        pins = trust_folder(load_party(self.folder / name))
        assert pins is not None
        async with asyncio.timeout(240):
            while PartyId(party) not in pins.pins():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def consent(self, **changed: Any) -> Consent:
        """What an enterprise allows the bank; `changed` are fields of the consent or of its scope."""
        now = int(time.time())
        scope = Scope(
            requester="bank", purpose="financing", region="nanjing", items=("water_arrears", "water_fee"), max_uses=50
        )
        made = Consent(
            issuer="platform",
            subject=OWING,
            providers=PROVIDERS,
            jti=fresh_jti(),
            issued_at=now,
            not_before=now - 5,
            expires=now + 3600,
            authority=self.authority("bank"),
            by=ConsentBy.ENTERPRISE,
            disclosure=bytes(32),
            scope=scope,
        )
        own = {key: value for key, value in changed.items() if key in Consent.__dataclass_fields__}
        inner = {key: value for key, value in changed.items() if key not in own}
        return replace(made, **own, scope=replace(scope, **inner))

    def authority(self, name: str) -> bytes:
        """The SHA-256 of a party's authority, to which consents are bound."""
        certificate = load_certificate(self.folder / name / "keys" / "authority.crt")
        return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()

    def token(self, consent: Consent | None = None, **changed: Any) -> str:
        """A consent, signed with the key of the platform's authority."""
        (path,) = (self.folder / "platform" / "keys" / "consent").glob("*.key")
        key = load_key(path)
        issuer = Issuer(key.public_key().public_bytes_raw(), "authority", name="platform")
        return encode(consent or self.consent(**changed), issuer.public_key, key.sign)

    def provider(self, name: str, asker: str = "bank") -> Provider:
        """A utility as an institution knows it."""
        config = load_party(self.folder / name)
        assert config.verify is not None
        signer = str(config.path(config.identity.signing_certificate))
        return provider_at(load_party(self.folder / asker), PartyId(name), config.verify.listen, signer)

    def client(self, name: str, asker: str = "bank") -> VerifyClient:
        """An institution's way to a utility. Use as a context manager."""
        return VerifyClient.of(load_party(self.folder / asker), self.provider(name, asker))

    def facts(self, name: str) -> list[dict[str, Any]]:
        """All that the utility's log of questions says, with the events."""
        lines = (self.folder / name / "verify" / "audit" / "entries.jsonl").read_bytes().splitlines()
        entries = [json.loads(line) for line in lines]
        return [{"event": entry["event"], **entry["facts"]} for entry in entries]

    def entries(self, name: str, event: str) -> list[dict[str, Any]]:
        """The facts of all entries of that kind in a node's own log."""
        lines = (self.folder / name / "audit" / "entries.jsonl").read_bytes().splitlines()
        return [entry["facts"] for entry in map(json.loads, lines) if entry["event"] == event]


def asked(predicate: str, subject: str = OWING, **arguments: float) -> Question:
    """A question about a subject."""
    given = tuple(Argument(name, float(value)) for name, value in sorted(arguments.items()))
    return Question(subject, Kind(predicate, given))


@asynccontextmanager
async def membership_of(town: VerifyTown, name: str) -> AsyncIterator[tuple[Caller, MembershipAsker]]:
    """The bank's way to a utility's private questions, and its role, to play it step by step."""
    config, question = load_party(town.folder / "bank"), ("water_in_use", "financing")
    keyring, platform = open_keyring(config, SystemClock()), platform_address(config)
    assert platform is not None
    to_utility = Connection(PartyId(name), node_address(config, PartyId(name)), keyring, Limits())
    to_platform = Connection(*platform, keyring, Limits())
    clients = (
        ControlClient(to_utility, "Membership", PartyId(name)),
        ControlClient(to_platform, "Permits", platform[0]),
    )
    try:
        yield (
            Caller(*clients, *question),
            MembershipAsker(config.me, PartyId(name), platform[0], *question, SystemRandomness()),
        )
    finally:
        for connection in (to_utility, to_platform):
            await connection.close()


def recorded(steps: Steps[Any]) -> Steps[EvaluateMembers]:
    """The same steps; their result is what they had evaluated."""
    sent, value = None, None
    while True:
        try:
            effect = steps.send(value)
        except StopIteration:
            assert sent is not None
            return sent
        if isinstance(effect, Send) and isinstance(effect.message, EvaluateMembers):
            sent = effect.message
        value = yield effect


@asynccontextmanager
async def verify_town(folder: Path) -> AsyncIterator[VerifyTown]:
    """All have joined; the platform and both utilities run and answer."""
    town = VerifyTown(folder)
    try:
        await town.up("platform")
        # Institutions come last: their nodes do not run, and know whom the directory listed when they joined.
        for name in (*PROVIDERS, "bank", "rival"):
            await town.join(name)
        await asyncio.gather(*(town.up(name) for name in PROVIDERS))
        for name in PROVIDERS:
            await asyncio.gather(town.ready(name), town.knows(name, "bank"), town.knows(name, "rival"))
        yield town
    finally:
        await town.children.stop()
