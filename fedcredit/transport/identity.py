"""Who is at the other end: a party's name in a certificate, written and read in one place.

A party is named by exactly one URI, `fedcredit://party/<id>`, among its certificate's alternative names. A client
cannot read URIs of the server's certificate through gRPC, so the name also stands there as a host name under a domain
that no name server knows, and TLS itself checks that one: the party that answers is the party that was called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.ids import PartyId, party_id

__all__ = [
    "CERTIFICATE_ERRORS",
    "LINK_USES",
    "PARTY_DOMAIN",
    "SIGNER_USES",
    "Credentials",
    "IdentityInvalid",
    "party_host",
    "party_of_certificate",
    "party_uri",
    "read_party",
]

_URI_PREFIX = "fedcredit://party/"
PARTY_DOMAIN = ".party.fedcredit.internal"
"""Under which every party has a host name in its certificate; no name server knows it."""
_MIN_RSA_BITS = 2048

LINK_USES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH})
SIGNER_USES = frozenset({x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")})
"""Extended key usages: every party both dials and listens; signing documents is RFC 9336."""

CERTIFICATE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a strange certificate raises, piece by piece."""

E = TypeVar("E", bound=x509.ExtensionType)


class IdentityInvalid(FedcreditError):
    """A certificate that does not name a party. The caller is refused."""

    exit_status, default_code = 78, "TLS_IDENTITY"

    def __init__(self, what: str) -> None:
        super().__init__(Problem(self.default_code, "certificate", what, "issue it with fedcredit's own authority"))


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a party shows and whom it believes, as PEM: its key, its certificate (chain), its authorities."""

    private_key: bytes = field(repr=False)
    certificate: bytes
    authorities: bytes

    def check(self, me: PartyId) -> None:
        """Raises ConfigError (TLS_IDENTITY) unless the certificate is the one of `me`."""
        if (named := party_of_certificate(self.certificate)) != me:
            raise ConfigError(
                Problem("TLS_IDENTITY", "certificate", f"names {named}, not {me}", "use this party's own certificate")
            )


def party_uri(party: PartyId) -> str:
    """The URI that names `party` in a certificate."""
    return _URI_PREFIX + party


def party_host(party: PartyId) -> str:
    """The host name that a client asks TLS to find in the certificate of `party`."""
    return party + PARTY_DOMAIN


def party_of_certificate(pem: bytes) -> PartyId:
    """The party that the first certificate in `pem` names. The chain is TLS's to check, not ours.

    Raises: IdentityInvalid, unless it is a leaf for clients and servers that names one party and nothing ambiguous.
    """
    return _party_of_pem(pem)


@lru_cache(maxsize=256)  # a server asks this for every call
def _party_of_pem(pem: bytes) -> PartyId:
    try:
        return read_party(x509.load_pem_x509_certificate(pem))
    except CERTIFICATE_ERRORS:
        raise IdentityInvalid("cannot be parsed") from None


def read_party(certificate: x509.Certificate, *, signer: bool = False) -> PartyId:
    """The party that `certificate` names: one for links, or with `signer` one of a key that signs documents.

    Raises: IdentityInvalid. Neither kind passes for the other.
    """
    names = _extension(certificate, x509.SubjectAlternativeName, "no alternative names")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or not uris[0].startswith(_URI_PREFIX):
        raise IdentityInvalid("does not name exactly one party")
    try:
        party = party_id(uris[0].removeprefix(_URI_PREFIX))
    except ConfigError:
        raise IdentityInvalid("names something that is not a party") from None
    hosts = names.get_values_for_type(x509.DNSName)
    if any("*" in host for host in hosts):
        raise IdentityInvalid("holds a wildcard")
    if [host for host in hosts if host.lower().endswith(PARTY_DOMAIN)] != ([] if signer else [party_host(party)]):
        raise IdentityInvalid("the host name of the party is not its own")
    _check_use(certificate, SIGNER_USES if signer else LINK_USES)
    return party


def _check_use(certificate: x509.Certificate, wanted: frozenset[x509.ObjectIdentifier]) -> None:
    if _extension(certificate, x509.BasicConstraints, "no basic constraints").ca:
        raise IdentityInvalid("is an authority's")
    if set(_extension(certificate, x509.ExtendedKeyUsage, "no extended key usage")) != wanted:
        raise IdentityInvalid("is for another use")
    key = certificate.public_key()
    strong = isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
    )
    if not strong:
        raise IdentityInvalid("has a weak key, or one of an unknown kind")


def _extension(certificate: x509.Certificate, kind: type[E], missing: str) -> E:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        raise IdentityInvalid(missing) from None
