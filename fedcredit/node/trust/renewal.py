"""Certificates that renew themselves: a new key and leaf when half of the old one's time has passed.

The party's own authority makes them, if its key is on this machine; else another program puts new files in their
place, and the node takes them up. Either way no call ends: see `fedcredit.transport.keyring`.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from fedcredit import failpoints
from fedcredit.errors import FedcreditError
from fedcredit.node.durable_files import replace_file
from fedcredit.node.pki import LOOPBACK, SKEW, Authority, load_credentials
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.grpc import Keyring
from fedcredit.transport.identity import PARTY_DOMAIN

__all__ = ["Renewal", "issue_leaf"]

_log = logs.get("trust")

RETRY_S = 30.0
WARN_AT = (0.5, 0.2, 0.05)
"""Parts of a certificate's time that are left when its owner is told that it was not renewed."""


def issue_leaf(config: PartyFile, clock: Clock, *, after: datetime | None = None) -> None:
    """Make a new key and certificate for links and put them in place of the old ones; valid from `after` on.

    Raises: ConfigError when the authority's key cannot be used, OSError when the files cannot be written; then the
    old ones are whole, or a node that starts makes new ones.
    """
    identity = config.identity
    assert identity.authority is not None, "asked of a party with an authority"
    assert identity.authority_key is not None, "asked of a party that has the key of its authority"
    authority = Authority.load(config.path(identity.authority), config.path(identity.authority_key))
    moment = clock.now() if after is None else max(clock.now(), after + SKEW + timedelta(seconds=1))
    lifetime = timedelta(hours=identity.lifetime_h)
    fresh = authority.credentials(config.me, _hosts(config.path(identity.certificate)), lifetime=lifetime, now=moment)
    replace_file(config.path(identity.key), fresh.private_key)
    failpoints.hit("rotation.key.written", config.me)
    replace_file(config.path(identity.certificate), fresh.certificate, 0o644)
    failpoints.hit("rotation.certificate.renamed", config.me)


def _hosts(leaf: Path) -> list[str]:
    """The hosts and addresses beside the party's own name in the certificate that is there."""
    try:
        certificate = x509.load_pem_x509_certificate(leaf.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return list(LOOPBACK)
    hosts = [host for host in names.get_values_for_type(x509.DNSName) if not host.endswith(PARTY_DOMAIN)]
    return hosts + [str(address) for address in names.get_values_for_type(x509.IPAddress)]


class Renewal:
    """Looks after the certificate that `keyring` shows; call `look` about once a second."""

    def __init__(self, config: PartyFile, keyring: Keyring, clock: Clock) -> None:
        self._config, self._keyring, self._clock = config, keyring, clock
        self._paths = [config.path(path) for path in (config.identity.key, config.identity.certificate)]
        self._seen = self._told = self._stamp()
        self._tried: float | None = None
        self._warned = 1.0
        self._plan()

    def look(self) -> None:
        """Renew what is due, take up files that have changed, and tell of a certificate that nears its end."""
        if self._config.identity.authority_key is not None and self._clock.now() >= self._due:
            self._renew()
        if (stamp := self._stamp()) != self._seen:
            self._take_up(stamp)
        self._warn()

    def _renew(self) -> None:
        now = self._clock.monotonic()
        if self._tried is not None and now < self._tried + RETRY_S:
            return
        self._tried = now
        try:
            issue_leaf(self._config, self._clock)
        except (FedcreditError, OSError) as error:
            code = error.code if isinstance(error, FedcreditError) else "CERT_RENEWAL"
            _log.warning("certificate.not_renewed", code=code, error=type(error).__name__, seconds=RETRY_S)

    def _take_up(self, stamp: tuple[object, ...]) -> None:
        identity = self._config.identity
        try:
            fresh = load_credentials(
                self._paths[0],
                self._paths[1],
                self._config.path(identity.authority or identity.authorities),
                me=self._config.me,
                now=self._clock.now(),
            )
        except FedcreditError as error:
            if stamp != self._told:
                self._told = stamp
                _log.warning("certificate.not_taken", code=error.code)
            return  # The other of the two files may be on its way; `_seen` stays, so they are looked at again.
        self._seen, self._tried = stamp, None
        if fresh != self._keyring.credentials:
            self._keyring.replace(credentials=fresh)
            self._plan()
            _log.info("certificate.renewed", seconds=int((self._end - self._clock.now()).total_seconds()))

    def _plan(self) -> None:
        leaf = x509.load_pem_x509_certificate(self._keyring.credentials.certificate)
        self._start, self._end = (
            min(leaf.not_valid_before_utc + SKEW, leaf.not_valid_after_utc),
            leaf.not_valid_after_utc,
        )
        # Jitter keeps the parties of a consortium from renewing in step.
        self._due = self._start + (self._end - self._start) * random.uniform(0.4, 0.6)  # noqa: S311
        self._warned = 1.0

    def _warn(self) -> None:
        left = (self._end - self._clock.now()) / max(self._end - self._start, timedelta(seconds=1))
        if left <= 0 and self._warned > 0:
            self._warned = 0
            _log.error("certificate.expired", code="CERT_EXPIRED", peer=self._config.me, until=f"{self._end:%FT%TZ}")
        for part in WARN_AT:
            # Renewal is due between 0.6 and 0.4: what is later than that has failed at least once.
            if left < min(part, 0.39) and self._warned > part:
                self._warned = part
                _log.warning(
                    "certificate.expires",
                    code="CERT_EXPIRES",
                    until=f"{self._end:%FT%TZ}",
                    seconds=int((self._end - self._clock.now()).total_seconds()),
                )

    def _stamp(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in self._paths:
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(found)
