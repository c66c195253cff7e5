"""Parties that sign each other's audit heads, without their network: for tests of witnesses and of what they keep."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.governance.audit import VERIFY_LOG, Draft, Event, Head, SignedHead, origin_of
from fedcredit.ids import PartyId
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.audit_scan import read_log
from fedcredit.node.pki import Authority
from fedcredit.node.recorder import Recorder
from fedcredit.node.signing import AUDIT_HEAD, SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.witness.desk import WitnessDesk
from fedcredit.node.witness.own_log import OwnLog
from fedcredit.runtime.clock import ManualClock
from fedcredit.transport.trust import Pin, Trust
from fedcredit.wire.witness import HeadSeen, HeadShown

__all__ = ["BANK", "LAND", "NOW", "PINS", "TAX", "Node", "forged", "identity", "show", "shown"]

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
TAX, BANK, LAND = PartyId("tax"), PartyId("bank"), PartyId("land")
AUTHORITIES = {name: Authority.create(now=NOW) for name in (TAX, BANK, LAND)}
PINS = {name: Pin((authority.certificate,)) for name, authority in AUTHORITIES.items()}


def identity(name: PartyId, pins: dict[PartyId, Pin] | None = None, key: bytes | None = None) -> SigningIdentity:
    private = Ed25519PrivateKey.from_private_bytes(key or name.encode().ljust(32))
    made = x509.load_pem_x509_certificate(AUTHORITIES[name].certify_signer(name, private.public_key(), now=NOW))
    der = made.public_bytes(Encoding.DER)
    return SigningIdentity(name, private, der, lambda: Trust(PINS if pins is None else pins), ManualClock(NOW))


class Node:
    """The parts of a party that have to do with heads."""

    def __init__(self, name: PartyId, folder: Path, store: Store) -> None:
        self.name, self.folder, self.store, self.signing = name, folder, store, identity(name)
        self.logs = {log: self._log(log) for log in ("", VERIFY_LOG)}
        self.recorder = Recorder(self.logs[""], store)
        self.clock = ManualClock(NOW)
        self.desk = WitnessDesk(self.signing, store, self.recorder, self.clock)
        self.own = {log: OwnLog(self.place(log), self.signing, log) for log in self.logs}

    def place(self, log: str = "") -> Path:
        return self.folder / log / "audit"

    def add(self, n: int = 1, log: str = "") -> None:
        self.logs[log].append_all([Draft(Event.STAGE_DONE, "sme", {"n": i}) for i in range(n)])

    def see(self, caller: PartyId, shown: HeadShown) -> HeadSeen:
        """The answer to a call of `caller`, as it travels."""
        wire = HeadShown.decode(shown.encode())
        return HeadSeen.decode(asyncio.run(self.desk._show(caller, wire)).encode())

    def entries(self) -> list[dict[str, Any]]:
        """Facts of the forks in its own log."""
        found, _ = read_log(self.place(), self.name, self.logs_verify)
        return [dict(entry.facts) for entry in found if entry.event is Event.HEAD_FORKED]

    def logs_verify(self, signature: bytes, body: bytes) -> None:
        self.signing.verify_own(AUDIT_HEAD, signature, body)

    def close(self) -> None:
        for log in self.logs.values():
            log.close()

    def _log(self, log: str) -> AuditFile:
        return AuditFile(
            self.place(log),
            origin_of(self.name, log),
            sign=lambda body: self.signing.sign(AUDIT_HEAD, body),
            verify=self.logs_verify,
            clock=ManualClock(NOW),
        )


def show(tax: Node, bank: Node, log: str = "", known: SignedHead | None = None) -> HeadSeen:
    """One call, and what its answer leaves at its owner."""
    signed, shown = tax.own[log].for_witness(bank.name, known)
    reply = bank.see(tax.name, shown)
    if not reply.known:
        tax.own[log].keep(bank.name, signed, reply)
    return reply


def forged(size: int, root: bytes = bytes(32), origin: str = TAX) -> SignedHead:
    """A head that tax's own key has signed, and that no log of it ever had."""
    head = Head(origin, size, root)
    return SignedHead(head, identity(TAX).sign(AUDIT_HEAD, head.body()))


def shown(signed: SignedHead, since: int = 0, path: bytes = b"") -> HeadShown:
    return HeadShown(signed.encode(), identity(TAX).certificate, since, path)
