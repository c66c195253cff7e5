"""A party's signature: an Ed25519 key of its own, and how others know that it is that party's.

The key's certificate names the party as its certificate for links does, and is no good for links. It comes from an
authority that the others believe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.pki import read_secret
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.identity import CERTIFICATE_ERRORS, IdentityInvalid, read_party
from fedcredit.transport.trust import Trust, TrustRefused

__all__ = ["AUDIT_HEAD", "AUDIT_WITNESS", "SigningIdentity", "load_signing", "verify_audit_head", "verify_with"]

AUDIT_HEAD = b"fedcredit/v1/audit-head"
"""The use of a signature over the head of an audit log."""

AUDIT_WITNESS = b"fedcredit/v1/audit-witness"
"""The use of a signature over the head of another party's audit log, which its signer keeps."""


_WHY = {"TLS_EXPIRED": "is not valid now", "TLS_NOT_YET_VALID": "is not valid now"}


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """What a party signs with and whom it believes, asked anew each time. `certificate` is the key's, in DER."""

    me: PartyId
    key: Ed25519PrivateKey = field(repr=False)
    certificate: bytes = field(repr=False)
    trust: Callable[[], Trust] = field(repr=False)
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
            found, named = _read_signer(certificate)
        except (*CERTIFICATE_ERRORS, IdentityInvalid):
            raise self._refused(party, "cannot be read") from None
        key = found.public_key()
        if named != party:
            raise self._refused(party, "names another party")
        if not isinstance(key, Ed25519PublicKey):
            raise self._refused(party, "holds no Ed25519 key")
        try:
            self.trust().check_signer(found, self.clock.now())
        except TrustRefused as refused:
            if refused.code.startswith("PEER_"):
                raise refused.as_peer_error("signature") from None
            raise self._refused(party, _WHY.get(refused.code, "is of no authority that is believed here")) from None
        return key

    def verify(self, party: PartyId, certificate: bytes, domain: bytes, signature: bytes, data: bytes) -> None:
        """Check `party`'s signature. Raises PeerError (SIGNER_INVALID, SIGNATURE_INVALID) naming the party."""
        try:
            self.key_of(party, certificate).verify(signature, _framed(domain, data))
        except InvalidSignature:
            raise PeerError(party, "signature", "is not over this", "SIGNATURE_INVALID") from None

    def _refused(self, party: PartyId, what: str) -> PeerError:
        return PeerError(party, "signature", f"certificate of the signing key {what}", "SIGNER_INVALID")


@lru_cache(maxsize=256)
def _read_signer(certificate: bytes) -> tuple[x509.Certificate, PartyId]:
    """The certificate in DER of a signing key, and whose it says that it is. Nothing is believed of it yet."""
    found = x509.load_der_x509_certificate(certificate)
    return found, read_party(found, signer=True)


def load_signing(config: PartyFile, clock: Clock, trust: Callable[[], Trust]) -> SigningIdentity:
    """The signing identity of a node, from PEM files.

    Raises: ConfigError (KEY_MISSING, KEY_EXPOSED, SIGNING_KEY) when they are not there, or do not belong together.
    """
    paths = config.identity
    try:
        private = load_pem_private_key(read_secret(config.path(paths.signing_key)), None)
        own = x509.load_pem_x509_certificate(config.path(paths.signing_certificate).read_bytes())
    except (ValueError, TypeError, OSError):
        raise _bad_key("key or certificate is not PEM") from None
    if not isinstance(private, Ed25519PrivateKey) or own.public_key() != private.public_key():
        raise _bad_key("the key and its certificate do not belong together")
    identity = SigningIdentity(config.me, private, own.public_bytes(Encoding.DER), trust, clock)
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


def verify_audit_head(certificate: x509.Certificate, signature: bytes, body: bytes) -> None:
    """Check the signed head of a node's audit log, given its signing certificate. Raises cryptography's errors."""
    verify_with(certificate, AUDIT_HEAD, signature, body)


def _bad_key(what: str) -> ConfigError:
    return ConfigError(Problem("SIGNING_KEY", "identity.signing_certificate", what, "enrol the party again"))


def _framed(domain: bytes, data: bytes) -> bytes:
    return len(domain).to_bytes(2, "big") + domain + data
