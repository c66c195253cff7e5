"""A bank's side: ask a provider, one question or many at once, and believe nothing that is not proven.

The provider proves in TLS that it is who it is, under its own authority; what it answers is proven by its signing key,
whose certificate that authority made too. An answer without its proof is none.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
from cryptography import x509

from fedcredit.errors import ConfigError, FedcreditError, PeerLost, Problem, RefusedError
from fedcredit.governance.verification.proofs import ProofFile, check_answer, check_batch
from fedcredit.ids import PartyId
from fedcredit.node.pki import load_certificate
from fedcredit.node.rpc import error_of_status
from fedcredit.node.signing import verify_audit_head
from fedcredit.node.trust.keys import open_keyring
from fedcredit.runtime.clock import Clock, SystemClock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.connections import Connection
from fedcredit.transport.grpc import Keyring
from fedcredit.transport.identity import CERTIFICATE_ERRORS, IdentityInvalid, read_party
from fedcredit.transport.limits import Limits
from fedcredit.transport.trust import TrustRefused
from fedcredit.wire.verification import NONCE_BYTES, Kind, Question, VerifyRequest
from fedcredit.wire.verified import Answer, BatchAnswer, Check, VerifyBatchRequest

__all__ = ["REFUSED", "Provider", "VerifyClient", "provider_at", "signer_at"]

CALL_TIMEOUT_S = 30.0
REFUSED = "VERIFY_REFUSED"

_SERVICE = "/fedcredit.v1.VerificationService"


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom to ask: its name, where it takes questions, and the certificate of its signing key."""

    party: PartyId
    address: str
    signer: x509.Certificate = field(repr=False)

    def verify(self, signature: bytes, body: bytes) -> None:
        """Check its signature over a head of its log. Raises InvalidSignature or TypeError."""
        verify_audit_head(self.signer, signature, body)


def provider_at(
    config: PartyFile, party: PartyId, address: str, certificate: str, clock: Clock | None = None
) -> Provider:
    """The provider, with a signing certificate that its own authority made, which this party has pinned.

    Raises: ConfigError (KEY_MISSING, SIGNING_KEY), PeerError (PEER_*).
    """
    clock = clock or SystemClock()
    path = config.path(certificate)
    signer = load_certificate(path)
    keyring = open_keyring(config, clock)
    try:
        named = keyring.trust.check_signer(signer, clock.now())
    except TrustRefused as refused:
        what = f"is not believed here ({refused.code})"
        raise ConfigError(Problem("SIGNING_KEY", str(path), what, "ask the provider for its signing.crt")) from None
    except FedcreditError:
        raise ConfigError(Problem("SIGNING_KEY", str(path), "is not the certificate of a signing key")) from None
    if named != party:
        raise ConfigError(Problem("SIGNING_KEY", str(path), f"is {named}'s, not {party}'s"))
    return Provider(party, address, signer)


def signer_at(certificate: Path) -> Provider:
    """Whose signing certificate lies there, to check what it signed; whether to believe it is the caller's to know.

    Raises: ConfigError (KEY_MISSING, SIGNING_KEY).
    """
    signer = load_certificate(certificate)
    try:
        party = read_party(signer, signer=True)
    except (*CERTIFICATE_ERRORS, IdentityInvalid):
        what, fix = "is not the certificate of a party's signing key", "give the provider's signing.crt"
        raise ConfigError(Problem("SIGNING_KEY", str(certificate), what, fix)) from None
    return Provider(party, "", signer)


class VerifyClient:
    """The way to one provider. Use as an asynchronous context manager."""

    def __init__(self, me: PartyId, keyring: Keyring, provider: Provider, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.me, self.provider = me, provider
        self._timeout_s = timeout_s
        self._connection = Connection(provider.party, provider.address, keyring, Limits())

    @classmethod
    def of(cls, config: PartyFile, provider: Provider) -> Self:
        """With the identity of a node's folder."""
        return cls(config.me, open_keyring(config, SystemClock()), provider)

    async def ask(self, question: Question, purpose: str, consent: str) -> tuple[Answer, ProofFile]:
        """The proven answer, and its proof to keep.

        Raises: RefusedError (VERIFY_REFUSED: nothing more is said), PeerLost, PeerError where the answer is not proven.
        """
        request = VerifyRequest(question, purpose, consent, secrets.token_bytes(NONCE_BYTES)).encode()
        reply = await self._call("Verify", request)
        answer = check_answer(self.provider.party, request, reply, self.provider.verify)
        return answer, ProofFile(self.provider.party, request, reply)

    async def ask_many(
        self, kinds: tuple[Kind, ...], checks: tuple[Check, ...], purpose: str, consents: tuple[str, ...]
    ) -> tuple[BatchAnswer, ProofFile]:
        """The proven answers to many checks, in their order. Raises as `ask`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        request = VerifyBatchRequest(consents, purpose, nonce, checks, kinds).encode()
        reply = await self._call("VerifyBatch", request)
        answers = check_batch(self.provider.party, request, reply, self.provider.verify)
        return answers, ProofFile(self.provider.party, request, reply, batch=True)

    async def close(self) -> None:
        """Hang up."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, method: str, request: bytes) -> bytes:
        call = self._connection.unary_unary(f"{_SERVICE}/{method}", _as_is, _as_is)
        try:
            reply: bytes = await call(request, timeout=self._timeout_s)
        except TrustRefused as refused:
            raise refused.as_peer_error(method) from None
        except grpc.aio.AioRpcError as error:
            raise self._typed(method, error) from None
        return reply

    def _typed(self, method: str, error: grpc.aio.AioRpcError) -> FedcreditError:
        party = self.provider.party
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            what = "refuses this question; it says no more, so that nothing can be learnt from it"
            fix = f"check consent, purpose and predicate; people at {party} find the reason in their log"
            return RefusedError(Problem(REFUSED, f"{party} at {method}", what, fix))
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return PeerLost(party, method, "has more questions than it can answer; ask again in a moment")
        return error_of_status(party, method, error)


def _as_is(data: bytes) -> bytes:
    return data
