"""A provider's server of verification with one small table, and banks that ask it over real TLS."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.governance.audit import VERIFY_LOG, Entry, SignedHead, origin_of
from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.governance.consent.token import encode, fresh_jti
from fedcredit.governance.verification.levels import Classification
from fedcredit.governance.verification.proofs import check_answer
from fedcredit.governance.verification.rules import Action, VerifyPolicy, VerifyRule
from fedcredit.ids import PartyId
from fedcredit.kernels.serving import Keys, Server, ServerSettings, trust_text
from fedcredit.node.audit_scan import read_log
from fedcredit.node.pki import Authority
from fedcredit.node.signing import AUDIT_HEAD
from fedcredit.node.verification.building import build, columns_of, resources_of
from fedcredit.node.verification.serving import offer_of
from fedcredit.node.verification.snapshot import snapshot_of
from fedcredit.runtime.toml import Reader
from fedcredit.runtime.verify_file import read_verify
from fedcredit.transport.identity import Credentials, party_host
from fedcredit.wire.verification import NONCE_BYTES, Kind, Question, VerifyRequest
from fedcredit.wire.verified import Answer

SERVICE = "/fedcredit.v1.VerificationService"
WATER, BANK, RIVAL = PartyId("water"), PartyId("bank"), PartyId("rival")
OWING, PAYING, STRANGER = "91320100MA1MTQ0X09", "913200001000123456", "91110000600037341L"
QUESTION = "water_in_arrears"
PATIENCE_S = 60.0

_TABLE = f"uscc,currently_in_arrears,updated_on\n{OWING},true,2026-04-30\n{PAYING},false,2026-05-01\n"


@dataclass
class Town:
    """What all sides have before the server starts. `issuer` signs consents."""

    folder: Path
    authorities: dict[PartyId, Authority]
    snapshot: str
    issuer: Ed25519PrivateKey
    keys: Keys
    settings: ServerSettings
    known: dict[PartyId, Credentials] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The log's folder."""
        return self.settings.folder

    def trust(self, *parties: PartyId) -> str:
        """Believe these, each under its own authority; without any, both banks."""
        pins = {party: ([der(self.authorities[party])], None) for party in parties or (BANK, RIVAL)}
        return trust_text(pins)

    @contextmanager
    def served(self, **settings: Any) -> Iterator[Server]:
        """The server, until it is stopped."""
        with Server(replace(self.settings, **settings), self.snapshot, self.trust(), self.keys) as server:
            yield server

    def consent(self, subject: str = OWING, *, max_uses: int = 1000, party: PartyId = BANK) -> str:
        """A token by which `party` may ask about `subject`."""
        now = int(time.time())
        made = Consent(
            issuer="platform",
            subject=subject,
            providers=(str(WATER),),
            jti=fresh_jti(),
            issued_at=now,
            not_before=now - 5,
            expires=now + 3600,
            authority=self.authorities[party].certificate.fingerprint(SHA256()),
            by=ConsentBy.ENTERPRISE,
            disclosure=bytes(32),
            scope=Scope(
                requester=str(party), purpose="financing", region="nanjing", items=("water_fee",), max_uses=max_uses
            ),
        )
        return encode(made, self.issuer.public_key().public_bytes_raw(), self.issuer.sign)

    def verify(self, signature: bytes, body: bytes) -> None:
        """Check the provider's signature over a head, as whoever has its certificate does."""
        framed = len(AUDIT_HEAD).to_bytes(2, "big") + AUDIT_HEAD + body
        Ed25519PrivateKey.from_private_bytes(self.keys.signing_key).public_key().verify(signature, framed)

    def entries(self) -> tuple[list[Entry], SignedHead]:
        """The log as Python reads it, checked."""
        return read_log(self.log, origin_of(WATER, VERIFY_LOG), self.verify)

    @contextmanager
    def bank(self, port: int, credentials: Credentials | None = None) -> Iterator[Bank]:
        """A bank's channel, by default the bank's own."""
        if credentials is None:
            credentials = self.known.setdefault(BANK, self.authorities[BANK].credentials(BANK))
        options = [("grpc.ssl_target_name_override", party_host(WATER)), ("grpc.enable_retries", 0)]
        options.append(("grpc.max_send_message_length", -1))
        options.append(("grpc.use_local_subchannel_pool", 1))
        shown = (credentials.private_key, credentials.certificate) if credentials.certificate else (None, None)
        secure = grpc.ssl_channel_credentials(self.authorities[WATER].pem, *shown)
        with grpc.secure_channel(f"127.0.0.1:{port}", secure, options=options) as channel:
            yield Bank(self, channel)


@dataclass
class Bank:
    """Who asks."""

    town: Town
    channel: grpc.Channel

    def call(self, method: str, data: bytes, timeout: float | None = PATIENCE_S, **how: Any) -> bytes:
        """The reply's bytes. Raises grpc.RpcError."""
        path = method if method.startswith("/") else f"{SERVICE}/{method}"
        reply: bytes = self.channel.unary_unary(path)(data, timeout=timeout, **how)
        return reply

    def fails(self, method: str, data: bytes, timeout: float | None = PATIENCE_S, **how: Any) -> tuple[str, str]:
        """How a call ends that is not answered: status and message."""
        try:
            self.call(method, data, timeout, **how)
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""

    def ask(self, subject: str = OWING, consent: str | None = None) -> tuple[Answer, bytes]:
        """The proven answer, and the reply's bytes."""
        request = asked(subject, self.town.consent(subject) if consent is None else consent)
        reply = self.call("Verify", request)
        return check_answer(WATER, request, reply, self.town.verify), reply


def asked(subject: str = OWING, consent: str = "", purpose: str = "financing") -> bytes:
    """A request's bytes."""
    return VerifyRequest(Question(subject, Kind(QUESTION)), purpose, consent, os.urandom(NONCE_BYTES)).encode()


def der(authority: Authority) -> bytes:
    """An authority's certificate."""
    return authority.certificate.public_bytes(Encoding.DER)


def town(folder: Path) -> Town:
    """Make all of it, in `folder`."""
    (folder / "water.csv").write_text(_TABLE)
    raw = {"verify": {"region": "nanjing", "items": {"water_fee": {"table": "water.csv", "recorded": "updated_on"}}}}
    reader = Reader(folder / "party.toml", raw)
    section = read_verify(reader, "provider")
    reader.finish()
    assert section is not None
    resources = resources_of(folder, 256, 1)
    admits = VerifyRule(name="banks", action=Action.ADMIT, purposes=frozenset({"financing"}), level_max=3)
    levels = Classification({"water_fee": 2})
    policy = VerifyPolicy(rules=(admits,), zone=ZoneInfo("Asia/Shanghai"), classification=levels)
    offer = offer_of(section, policy, columns_of(folder, section, resources))
    today = datetime.datetime.now(datetime.UTC)
    built = build(
        offer.registers["water_fee"], section, folder, folder / "indexes", resources, today.date(), matched=False
    )
    text = json.loads(snapshot_of(WATER, offer, policy, {"water_fee": built.path}, None, today))
    issuer = Ed25519PrivateKey.generate()
    public = issuer.public_key().public_bytes_raw()
    text["issuers"] = [Issuer(public_key=public, kind="authority", name="platform").to_json()]
    text["revocations_at"] = int(time.time())
    text["revocations_max_age_s"] = 86_400  # nobody tells of newer ones, however long a test takes
    authorities = {party: Authority.of_party(party) for party in (WATER, BANK, RIVAL)}
    shown = authorities[WATER].credentials(WATER)
    keys = Keys(shown.certificate, shown.private_key, os.urandom(32), os.urandom(32))
    settings = ServerSettings("127.0.0.1:0", folder / "verify" / "audit", threads=1)
    return Town(folder, authorities, json.dumps(text), issuer, keys, settings)


def certificate(credentials: Credentials) -> x509.Certificate:
    """The leaf that is shown."""
    return x509.load_pem_x509_certificate(credentials.certificate)
