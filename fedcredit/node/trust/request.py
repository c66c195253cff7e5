"""A party's request to join: what it says of itself, and the proof that it holds the key of its own authority."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.node.pki import Authority, authority_name, check_authority
from fedcredit.node.trust.directory import MemberRecord
from fedcredit.runtime.clock import Clock
from fedcredit.transport.address import is_address
from fedcredit.transport.identity import CERTIFICATE_ERRORS, IdentityInvalid, party_host, party_uri
from fedcredit.transport.trust import Pin, Trust, TrustRefused
from fedcredit.wire.enrol import EnrolRequest, WithdrawRequest

__all__ = ["certificate_request", "check_request", "check_withdrawal", "make_request", "withdrawal"]

_DOMAIN = b"fedcredit/v1/enrol\0"
_WITHDRAW = b"fedcredit/v1/withdraw\0"


def certificate_request(authority: Authority, party: PartyId) -> x509.CertificateSigningRequest:
    """A PKCS#10 request that names `party`, signed by its authority's key."""
    names = [x509.UniformResourceIdentifier(party_uri(party)), x509.DNSName(party_host(party))]
    builder = x509.CertificateSigningRequestBuilder().subject_name(authority_name(party))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(authority.key, hashes.SHA256())


def make_request(
    authority: Authority, party: PartyId, kind: str, address: str, signer: x509.Certificate, secret: bytes
) -> EnrolRequest:
    """The request of `party`, with the proof made by its authority's key."""
    own, wish = authority.certificate, certificate_request(authority, party)
    parts = (secret, party, kind, address, _der(own), wish.public_bytes(Encoding.DER), _der(signer))
    proof = authority.key.sign(_framed(*parts), ec.ECDSA(hashes.SHA256()))
    return EnrolRequest(*parts, proof)


def check_request(request: EnrolRequest, clock: Clock) -> MemberRecord:
    """The member that would join. Raises ConfigError (REQUEST_REFUSED) with everything that is wrong."""
    faults: list[str] = []
    try:
        party = party_id(request.party)
        authority = x509.load_der_x509_certificate(request.authority)
        wish = x509.load_der_x509_csr(request.request)
        signer = x509.load_der_x509_certificate(request.signer)
        check_authority(authority, party, clock.now())
        key = authority.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey), "which was just checked"
        parts = (request.secret, request.party, request.kind, request.address)
        signed = _framed(*parts, request.authority, request.request, request.signer)
        key.verify(request.proof, signed, ec.ECDSA(hashes.SHA256()))
        names = wish.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        if not wish.is_signature_valid or wish.public_key() != key or uris != [party_uri(party)]:
            faults.append("the certificate request is not of this party and its key")
        named = Trust({party: Pin((authority,))}).check_signer(signer, clock.now())
        if named != party or not isinstance(signer.public_key(), Ed25519PublicKey):
            faults.append("the signing certificate is not of this party")
    except InvalidSignature:
        faults.append("the sender does not hold the authority's key")
    except (ConfigError, TrustRefused, IdentityInvalid) as error:
        faults += [f"{problem.code}: {problem.what}" for problem in error.problems]
    except (*CERTIFICATE_ERRORS, x509.ExtensionNotFound):
        faults.append("holds a certificate that cannot be read")
    if request.kind not in ("provider", "institution"):
        faults.append("the kind is neither provider nor institution")
    if not is_address(request.address, request.party):
        faults.append("the address is neither host:port nor relay://party")
    if faults:
        raise ConfigError([Problem("REQUEST_REFUSED", "request to join", fault) for fault in faults])
    return MemberRecord(party, request.kind, authority, request.address)


def withdrawal(authority: Authority, party: PartyId, not_before: int) -> WithdrawRequest:
    """The owner's word that leaves made before `not_before` (seconds since 1970) count no more."""
    signed = _withdrawn(party, not_before)
    return WithdrawRequest(not_before, authority.key.sign(signed, ec.ECDSA(hashes.SHA256())))


def check_withdrawal(request: WithdrawRequest, party: PartyId, authority: x509.Certificate) -> None:
    """Raises FedcreditError (REQUEST_REFUSED) unless the owner of `authority` said so."""
    key = authority.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey), "as every authority that was let in"
    try:
        key.verify(request.proof, _withdrawn(party, request.not_before), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        problem = Problem("REQUEST_REFUSED", f"withdrawal of {party}", "is not signed by its authority")
        raise FedcreditError(problem) from None


def _withdrawn(party: PartyId, not_before: int) -> bytes:
    return _WITHDRAW + _framed(party, str(not_before))


def _framed(*parts: bytes | str) -> bytes:
    """Every part by its hash, so that none can run into the next."""
    data = [part.encode() if isinstance(part, str) else part for part in parts]
    return _DOMAIN + b"".join(hashlib.sha256(part).digest() for part in data)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
