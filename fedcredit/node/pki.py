"""Keys and certificates of a run: a small authority, a certificate for every party, and the files they lie in.

A run on one machine makes its own authority, which lives as long as the call that makes it: its key is never written.
Between organisations each party brings certificates of its own authority; what must be in them is checked by
`transport.identity`, and by `node.signing` for keys that sign.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import create_file
from fedcredit.transport.identity import (
    CERTIFICATE_ERRORS,
    LINK_USES,
    PARTY_DOMAIN,
    SIGNER_USES,
    Credentials,
    IdentityInvalid,
    party_host,
    party_of_certificate,
    party_uri,
)

__all__ = [
    "KEY_FILES",
    "LOOPBACK",
    "PARTY_LIFETIME",
    "SKEW",
    "Authority",
    "authority_name",
    "check_authority",
    "load_certificate",
    "load_credentials",
    "private_pem",
    "read_secret",
    "write_keys",
]

KEY_FILES = ("tls.key", "tls.crt", "authorities.pem", "signing.key", "signing.crt")
"""What `write_keys` writes into a node's folder of keys."""

_LIFETIME = timedelta(days=7)
PARTY_LIFETIME = timedelta(days=5 * 365)
"""Of a party's own authority and of its signing key; links have certificates of hours."""
_LONGEST = timedelta(days=10 * 366)
SKEW = timedelta(minutes=5)
"""Certificates are valid this much before they are made: clocks of machines that talk to each other differ."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MAX_KEY_BYTES = 1 << 16

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A run's own certificate authority (P-256). Keep it for as long as parties are added, then drop it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, *, lifetime: timedelta = _LIFETIME, now: datetime | None = None) -> Authority:
        """A new authority."""
        now = now or datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedcredit run authority")])
        builder = (
            _builder(name, name, key.public_key(), now, lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def of_party(
        cls,
        party: PartyId,
        hosts: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        lifetime: timedelta = PARTY_LIFETIME,
        now: datetime | None = None,
    ) -> Authority:
        """A new authority of `party` alone. TLS itself sees to it that it names no other party, nor other `hosts`."""
        now = now or datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = authority_name(party)
        builder = (
            _builder(name, name, key.public_key(), now, lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(_constraints(party, hosts), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Authority:
        """An authority from its files. Raises ConfigError (KEY_MISSING, KEY_EXPOSED, KEY_INVALID)."""
        try:
            found = x509.load_pem_x509_certificate(_read(certificate))
            private = serialization.load_pem_private_key(read_secret(key), None)
        except (ValueError, TypeError) as error:
            raise ConfigError(Problem("KEY_INVALID", str(key), "not a PEM key and certificate")) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != found.public_key():
            raise ConfigError(Problem("KEY_INVALID", str(key), f"is not the key of {certificate.name}"))
        return cls(found, private)

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def credentials(
        self,
        party: PartyId,
        hosts: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        lifetime: timedelta = _LIFETIME,
        now: datetime | None = None,
    ) -> Credentials:
        """A new key (P-256) of `party` and its certificate for links. `hosts` are names and addresses it answers at."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.UniformResourceIdentifier(party_uri(party)), x509.DNSName(party_host(party)), *map(_host, hosts)]
        certificate = self._issue(names, key.public_key(), LINK_USES, lifetime, now)
        return Credentials(private_pem(key), certificate.public_bytes(serialization.Encoding.PEM), self.pem)

    def certify_signer(
        self, party: PartyId, key: Ed25519PublicKey, *, lifetime: timedelta = _LIFETIME, now: datetime | None = None
    ) -> bytes:
        """The certificate (PEM) that says whose signing key this is. It is no good for links."""
        names = [x509.UniformResourceIdentifier(party_uri(party))]
        return self._issue(names, key, SIGNER_USES, lifetime, now).public_bytes(serialization.Encoding.PEM)

    def _issue(
        self,
        names: Sequence[x509.GeneralName],
        key: CertificatePublicKeyTypes,
        uses: Iterable[x509.ObjectIdentifier],
        lifetime: timedelta,
        now: datetime | None,
    ) -> x509.Certificate:
        # The subject is empty and the alternative names are critical: nobody can be misled by a common name.
        builder = (
            _builder(x509.Name([]), self.certificate.subject, key, now or datetime.now(UTC), lifetime)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(sorted(uses, key=lambda use: use.dotted_string)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


def write_keys(
    folder: Path, party: PartyId, authority: Authority, hosts: Sequence[str] = ("localhost", "127.0.0.1")
) -> None:
    """Make `party`'s keys and certificates and write `KEY_FILES` into `folder`, keys readable by their owner alone.

    Raises: ConfigError (KEY_EXISTS) rather than overwrite a key.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tls, signing = authority.credentials(party, hosts), Ed25519PrivateKey.generate()
    _write(folder / "tls.key", tls.private_key, 0o600)
    _write(folder / "tls.crt", tls.certificate, 0o644)
    _write(folder / "authorities.pem", tls.authorities, 0o644)
    _write(folder / "signing.key", private_pem(signing), 0o600)
    _write(folder / "signing.crt", authority.certify_signer(party, signing.public_key()), 0o644)


def authority_name(party: PartyId) -> x509.Name:
    """What a party's own authority is called, so that two of them are never taken for one another."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"fedcredit authority of {party}")])


def check_authority(certificate: x509.Certificate, party: PartyId, now: datetime | None = None) -> None:
    """See that `certificate` is an authority that can name `party` and nobody else.

    Raises: ConfigError (AUTHORITY_INVALID, CERT_EXPIRED) with everything that is wrong with it.
    """
    problems = [
        Problem("AUTHORITY_INVALID", f"authority of {party}", what, "make it with `fedcredit party init`")
        for what in _all_faults(certificate, party)
    ]
    try:
        _check_dates(certificate, now, f"authority of {party}")
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)


def _all_faults(certificate: x509.Certificate, party: PartyId) -> list[str]:
    try:
        return list(_faults(certificate, party))
    except CERTIFICATE_ERRORS:
        # The library reads a certificate piece by piece, and may stop at any of them.
        return ["holds something that cannot be read"]


def _faults(certificate: x509.Certificate, party: PartyId) -> Iterator[str]:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        yield "its key is not one of P-256"
    if not (certificate.subject == certificate.issuer == authority_name(party)):
        yield "is not called the authority of this party"
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > _LONGEST:
        yield "is valid for too long"
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        yield "is not signed by its own key"
    try:
        extensions = certificate.extensions
    except ValueError:
        yield "has extensions that cannot be read"
        return
    kinds = {type(extension.value): extension for extension in extensions}
    basic, usage, names = (kinds.get(kind) for kind in (x509.BasicConstraints, x509.KeyUsage, x509.NameConstraints))
    if basic is None or not basic.value.ca or basic.value.path_length != 0:
        yield "is no authority for leaves alone"
    if usage is None or not usage.value.key_cert_sign:
        yield "may not sign certificates"
    permitted = list(names.value.permitted_subtrees or ()) if names is not None and names.critical else []
    hosts = [name.value for name in permitted if isinstance(name, x509.DNSName)]
    if party_host(party) not in hosts or any(
        host.endswith(PARTY_DOMAIN) for host in hosts if host != party_host(party)
    ):
        yield "is not constrained to the name of this party"
    if any(host in ("", ".") or PARTY_DOMAIN.endswith(f".{host.lstrip('.')}") for host in hosts):
        yield "is not constrained to the name of this party alone"


def read_secret(path: Path) -> bytes:
    """The bytes of a key file. Raises ConfigError (KEY_MISSING, KEY_EXPOSED) unless its owner alone can read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(Problem("KEY_MISSING", str(path), "cannot be read", "create the node's keys")) from error
    try:
        # The open file is asked, not the path, so that it cannot be swapped in between.
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o077 or state.st_uid not in (os.geteuid(), 0):
            problem = Problem("KEY_EXPOSED", str(path), "others than its owner can read it", f"chmod 600 {path}")
            raise ConfigError(problem)
        return os.read(descriptor, _MAX_KEY_BYTES)
    finally:
        os.close(descriptor)


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file. Raises ConfigError (KEY_MISSING, KEY_INVALID)."""
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise ConfigError(Problem("KEY_INVALID", str(path), "is not a PEM certificate")) from error


def load_credentials(
    key: Path, certificate: Path, authorities: Path, *, me: PartyId | None = None, now: datetime | None = None
) -> Credentials:
    """What a node shows on its links, checked.

    Raises: ConfigError with KEY_MISSING, KEY_EXPOSED, KEY_INVALID (it does not belong to the certificate),
    CERT_EXPIRED, or TLS_IDENTITY (the certificate does not name `me`, or no party).
    """
    loaded = Credentials(read_secret(key), _read(certificate), _read(authorities))
    try:
        leaf = x509.load_pem_x509_certificate(loaded.certificate)
        private = serialization.load_pem_private_key(loaded.private_key, None)
        x509.load_pem_x509_certificates(loaded.authorities)
    except (ValueError, TypeError) as error:
        raise ConfigError(Problem("KEY_INVALID", str(key.parent), "not PEM keys and certificates")) from error
    if private.public_key() != leaf.public_key():
        raise ConfigError(Problem("KEY_INVALID", str(key), f"is not the key of {certificate.name}"))
    _check_dates(leaf, now, str(certificate))
    try:
        named = party_of_certificate(loaded.certificate)
    except IdentityInvalid as invalid:
        raise ConfigError(Problem("TLS_IDENTITY", str(certificate), invalid.problems[0].what)) from invalid
    loaded.check(me or named)
    return loaded


def _check_dates(certificate: x509.Certificate, now: datetime | None, where: str) -> None:
    if not certificate.not_valid_before_utc <= (now or datetime.now(UTC)) <= certificate.not_valid_after_utc:
        what = f"is valid from {certificate.not_valid_before_utc:%F} to {certificate.not_valid_after_utc:%F}"
        raise ConfigError(Problem("CERT_EXPIRED", where, what, "renew it, or check the clock"))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lifetime)
    )


def _constraints(party: PartyId, hosts: Sequence[str]) -> x509.NameConstraints:
    names = [_host(host) for host in hosts]
    permitted: list[x509.GeneralName] = [x509.DNSName(party_host(party)), x509.UniformResourceIdentifier("party")]
    permitted += [name for name in names if isinstance(name, x509.DNSName)]
    # TLS libraries differ on constraints of addresses, BoringSSL refuses them; no address names a party anyway.
    return x509.NameConstraints(permitted, None)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def private_pem(key: PrivateKey) -> bytes:
    """A private key as it lies in a file of mode 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(Problem("KEY_MISSING", str(path), "cannot be read", "create the node's keys")) from error


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        create_file(path, data, mode)
    except ConfigError:
        raise ConfigError(Problem("KEY_EXISTS", str(path), "is there already", "remove it to make a new key")) from None
