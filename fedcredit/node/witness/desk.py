"""A witness: it is shown the heads of its peers' audit logs, and signs those that only grew."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Container
from typing import Final

from cryptography import x509

from fedcredit import failpoints
from fedcredit.errors import PeerError, Problem, RefusedError
from fedcredit.governance.audit import AuditBroken, Event, Fact, SignedHead
from fedcredit.governance.witness import Judgement, Verdict, judge, log_of
from fedcredit.ids import PartyId
from fedcredit.node.recorder import Recorder
from fedcredit.node.rpc import Method
from fedcredit.node.signing import AUDIT_HEAD, AUDIT_WITNESS, SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.store.witness import Fork, SeenHead
from fedcredit.observe import logs, metrics
from fedcredit.runtime.clock import Clock
from fedcredit.transport.pace import Pace
from fedcredit.wire.witness import HeadSeen, HeadShown

__all__ = ["BURST", "PER_S", "WitnessDesk"]

PER_S: Final = 1 / 6
BURST: Final = 120
"""Heads that one caller may show: ten a minute, after some that came at once. Each costs a write to the disk."""

_log = logs.get("witness")


class WitnessDesk:
    """Answers `fedcredit.v1.Witness`. `recorder` is None at a node that keeps no log of its own."""

    def __init__(self, signing: SigningIdentity, store: Store, recorder: Recorder | None, clock: Clock) -> None:
        self._signing, self._store, self._recorder, self._clock = signing, store, recorder, clock
        self._paces: dict[PartyId, Pace] = {}
        self._recording = threading.Lock()

    def methods(self, callers: Container[PartyId]) -> list[Method]:
        """The calls of the service; each caller shows heads of its own logs alone."""
        return [Method("Show", HeadShown, callers, handle=self._show)]

    def recover(self) -> None:
        """Record what a crash has left unrecorded. Raises: ConfigError (AUDIT_UNAVAILABLE, STORE_*)."""
        self._record()

    async def _show(self, caller: PartyId, request: HeadShown) -> HeadSeen:
        now = self._clock.monotonic()
        if self._paces.setdefault(caller, Pace(PER_S, BURST, now)).take(now):
            what, fix = "shows more heads than a witness looks at", "show it later"
            raise RefusedError(Problem("QUOTA", f"audit head of {caller}", what, fix))
        return await asyncio.to_thread(self._answer, caller, request)

    def _answer(self, caller: PartyId, request: HeadShown) -> HeadSeen:
        signed = self._read(caller, request)

        def compare(kept: SeenHead | None) -> Judgement:
            before = None if kept is None or self._founded_anew(caller, kept) else kept.signed.head
            return judge(before, signed.head, request.since, request.hashes)

        judgement, kept = self._store.witness.take(SeenHead(signed, request.certificate), compare)
        if judgement.verdict is Verdict.FORK:
            self._refuse(caller, signed, kept, judgement.how)
        if judgement.verdict is Verdict.PROVE:
            assert kept is not None, "a proof is from something"
            return HeadSeen(b"", b"", kept.encode())
        # The head is durable here: whoever shows another one later contradicts what this signature is over.
        signature = self._signing.sign(AUDIT_WITNESS, signed.head.body())
        return HeadSeen(signature, self._signing.certificate, b"")

    def _read(self, caller: PartyId, request: HeadShown) -> SignedHead:
        """The head, of a log of the caller, and signed by it. Raises: PeerError naming the caller."""
        try:
            signed = SignedHead.decode(request.head)
            log_of(signed, caller)
        except AuditBroken as error:
            raise PeerError(caller, "audit head", error.problems[0].what, error.code) from None
        self._signing.verify(caller, request.certificate, AUDIT_HEAD, signed.signature, signed.head.body())
        return signed

    def _founded_anew(self, caller: PartyId, kept: SeenHead) -> bool:
        """Whether a person here has pinned another authority for the caller since: then it has a new log, too."""
        certificate = x509.load_der_x509_certificate(kept.certificate)
        return not self._signing.trust().vouches(caller, certificate)

    def _refuse(self, caller: PartyId, signed: SignedHead, kept: SignedHead | None, how: str) -> None:
        """Tell our own people, keep the evidence, and refuse. Raises: RefusedError (AUDIT_FORK)."""
        metrics.AUDIT_FORKS.labels(caller).inc()
        before = 0 if kept is None else kept.head.size
        _log.error("witness.fork", peer=caller, code="AUDIT_FORK", kind=how, entries=signed.head.size, kept=before)
        self._record()
        what = f"of {signed.head.origin} does not follow the one that was shown before ({how})"
        raise RefusedError(Problem("AUDIT_FORK", "audit head", what, "both are kept: see the audit log"))

    def _record(self) -> None:
        if self._recorder is None:
            return
        with self._recording:
            for fork in self._store.witness.forks(unrecorded=True):
                self._recorder.record(Event.HEAD_FORKED, "", **_facts(fork))
                failpoints.hit("witness.fork.recorded", fork.shown.signed.head.origin)
                self._store.witness.recorded(fork)


def _facts(fork: Fork) -> dict[str, Fact]:
    """Both heads, so that they can be made again from the entry and checked by anybody with the certificates."""
    facts: dict[str, Fact] = {"log": fork.shown.signed.head.origin, "how": fork.how}
    for name, seen in (("kept", fork.kept), ("shown", fork.shown)):
        facts |= {
            f"{name}_size": seen.signed.head.size,
            f"{name}_root": seen.signed.head.root.hex(),
            f"{name}_signature": seen.signed.signature.hex(),
            f"{name}_certificate": hashlib.sha256(seen.certificate).hexdigest(),
        }
    return facts
