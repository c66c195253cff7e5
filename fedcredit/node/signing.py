"""A party's signature: an Ed25519 key of its own, and how others know that it is that party's.

The key's certificate names the party as its certificate for links does, and is no good for links. It comes from an
authority that the others believe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.pki import read_secret
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.identity import IdentityInvalid, read_party

__all__ = ["SigningIdentity", "load_signing", "verify_with"]


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """What a party signs with and whom it believes. `certificate` is the key's, in DER."""

    me: PartyId
    key: Ed25519PrivateKey = field(repr=False)
    certificate: bytes = field(repr=False)
    authorities: tuple[x509.Certificate, ...] = field(repr=False)
    clock: Clock = field(repr=False)

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """A signature over `data` for the one use that `domain` names, so that it can stand for nothing else."""
        return self.key.sign(_framed(domain, data))

    def verify_own(self, domain: bytes, signature: bytes, data: bytes) -> None:
        """Check a signature of this party's own. Raises cryptography's InvalidSignature."""
        self.key.public_key().verify(signature, _framed(domain, data))

    def key_of(self, party: PartyId, certificate: bytes) -> Ed25519PublicKey:
        """The signing key of `party`, from its certificate. Raises PeerError (SIGNER_INVALID) naming the party."""
        try:
            found = x509.load_der_x509_certificate(certificate)
            named = read_party(found, signer=True)
        except (
            ValueError,
            UnsupportedAlgorithm,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
            IdentityInvalid,
        ):
            raise self._refused(party, "cannot be read") from None
        key = found.public_key()
        if named != party:
            raise self._refused(party, "names another party")
        if not isinstance(key, Ed25519PublicKey):
            raise self._refused(party, "holds no Ed25519 key")
        if not found.not_valid_before_utc <= self.clock.now() <= found.not_valid_after_utc:
            raise self._refused(party, "is not valid now")
        if not any(_issued(found, authority) for authority in self.authorities):
            raise self._refused(party, "is of no authority that is believed here")
        return key

    def verify(self, party: PartyId, certificate: bytes, domain: bytes, signature: bytes, data: bytes) -> None:
        """Check `party`'s signature. Raises PeerError (SIGNER_INVALID, SIGNATURE_INVALID) naming the party."""
        try:
            self.key_of(party, certificate).verify(signature, _framed(domain, data))
        except InvalidSignature:
            raise PeerError(party, "signature", "is not over this", "SIGNATURE_INVALID") from None

    def _refused(self, party: PartyId, what: str) -> PeerError:
        return PeerError(party, "signature", f"certificate of the signing key {what}", "SIGNER_INVALID")


def load_signing(config: PartyFile, clock: Clock) -> SigningIdentity:
    """The signing identity of a node, from PEM files.

    Raises: ConfigError (KEY_MISSING, KEY_EXPOSED, SIGNING_KEY) when they are not there, or do not belong together.
    """
    paths = config.identity
    try:
        private = load_pem_private_key(read_secret(config.path(paths.signing_key)), None)
        own = x509.load_pem_x509_certificate(config.path(paths.signing_certificate).read_bytes())
        believed = tuple(x509.load_pem_x509_certificates(config.path(paths.authorities).read_bytes()))
    except (ValueError, TypeError, OSError):
        raise _bad_key("key or certificate is not PEM") from None
    if not isinstance(private, Ed25519PrivateKey) or own.public_key() != private.public_key():
        raise _bad_key("the key and its certificate do not belong together")
    identity = SigningIdentity(config.me, private, own.public_bytes(Encoding.DER), believed, clock)
    try:
        identity.key_of(config.me, identity.certificate)
    except PeerError as error:
        raise _bad_key(error.reason) from None
    return identity


def verify_with(certificate: x509.Certificate, domain: bytes, signature: bytes, data: bytes) -> None:
    """Check a signature with a certificate that is believed already. Raises InvalidSignature or TypeError."""
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError("not the certificate of a signing key")
    key.verify(signature, _framed(domain, data))


def _bad_key(what: str) -> ConfigError:
    return ConfigError(Problem("SIGNING_KEY", "identity.signing_certificate", what, "enrol the party again"))


def _framed(domain: bytes, data: bytes) -> bytes:
    return len(domain).to_bytes(2, "big") + domain + data


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
