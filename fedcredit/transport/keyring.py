"""What this party shows and whom it believes, as of now. Keys are renewed and peers revoked while calls go on.

A `Keyring` is the one place that holds both; a transport asks it at every handshake, dial and call, and hears of each
change. Servers hand out the newest certificate from the next handshake on; calls that run are left alone, unless their
peer is not believed any more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
from cryptography import x509

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId
from fedcredit.transport.identity import Credentials
from fedcredit.transport.trust import Trust

__all__ = ["Keyring"]

Now = Callable[[], datetime]


def _system_now() -> datetime:
    return datetime.now(UTC)


class Keyring:
    """One party's credentials and trust. Change it from the event loop's thread; gRPC's own threads read it."""

    def __init__(self, me: PartyId, credentials: Credentials, trust: Trust, now: Now = _system_now) -> None:
        """Raises ConfigError (TLS_IDENTITY) if the certificate is not that of `me`."""
        credentials.check(me)
        self._me, self.now = me, now
        self._held = (credentials, trust)
        self._listeners: list[Callable[[], None]] = []

    @classmethod
    def of_run(cls, me: PartyId, credentials: Credentials) -> Keyring:
        """A run's keyring: the one authority in `credentials` speaks for every party. Not for nodes that enrolled."""
        return cls(me, credentials, Trust.one_for_all(credentials.authorities))

    @property
    def me(self) -> PartyId:
        """This party."""
        return self._me

    @property
    def credentials(self) -> Credentials:
        """What this party shows now."""
        return self._held[0]

    @property
    def trust(self) -> Trust:
        """Whom this party believes now."""
        return self._held[1]

    @property
    def expires(self) -> datetime:
        """When the certificate that is shown now ends."""
        return x509.load_pem_x509_certificate(self.credentials.certificate).not_valid_after_utc

    @property
    def expired(self) -> bool:
        """Whether this party has nothing to show any more (CERT_EXPIRED)."""
        return self.now() > self.expires

    def replace(self, *, credentials: Credentials | None = None, trust: Trust | None = None) -> None:
        """Show or believe something new from now on, both at once if both are given. Raises ConfigError."""
        if credentials is not None:
            credentials.check(self._me)
        self._held = (credentials or self.credentials, trust or self.trust)
        for listener in list(self._listeners):
            listener()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def server_credentials(self, *, clients: bool = True) -> grpc.ServerCredentials:
        """For one port that shows ours, and with `clients` wants a certificate of a known authority from each."""
        shown = self._held

        def fetch() -> Any:  # None: as it was; the stubs do not know
            nonlocal shown
            if self._held is shown:
                return None
            shown = self._held
            return _configuration(*shown)

        return grpc.dynamic_ssl_server_credentials(_configuration(*shown), fetch, clients)

    def channel_credentials(self, peer: PartyId) -> grpc.ChannelCredentials:
        """For a channel to `peer`, for whom no authority but its own is believed. Raises TrustRefused."""
        own = self.credentials
        return grpc.ssl_channel_credentials(self.trust.roots_of(peer), own.private_key, own.certificate)


def _configuration(credentials: Credentials, trust: Trust) -> grpc.ServerCertificateConfiguration:
    # gRPC takes no empty list of roots; a node that believes nobody asks for certificates of its own authority.
    roots = trust.roots() or credentials.authorities
    if not roots.strip():
        raise ConfigError(Problem("TRUST_EMPTY", "trust", "no authority is believed here", "enrol the party"))
    return grpc.ssl_server_certificate_configuration([(credentials.private_key, credentials.certificate)], roots)
