"""Whose certificates are believed, party by party: an authority can only speak for the one it is pinned to.

TLS has checked that a certificate stands under one of the authorities that this node knows. That is not enough: the
tax office's authority must not be able to make a certificate of the bank. So a leaf counts only if the authority that
is pinned for the very party it names has issued it itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.transport.identity import CERTIFICATE_ERRORS, IdentityInvalid, read_party

__all__ = ["OUT_OF_DATE", "Pin", "Trust", "TrustRefused"]

OUT_OF_DATE = {"TLS_EXPIRED": "has ended", "TLS_NOT_YET_VALID": "is not valid yet"}
"""Codes of a certificate that is refused for its dates alone, and what it is by the clock of who refuses it."""

_SOUND_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class TrustRefused(FedcreditError):
    """A certificate that is not believed. `code` says why, `party` whom it names, if anybody, `until` when it ended."""

    exit_status, default_code = 77, "TLS_UNTRUSTED"

    def __init__(self, code: str, party: str, what: str, until: datetime | None = None) -> None:
        super().__init__(Problem(code, party or "certificate", what, "see `fedcredit party trust`"))
        self.party, self.what, self.until = party, what, until

    @property
    def of_dates(self) -> bool:
        """Whether it is refused for its dates alone: a renewed certificate, or a clock that is set right, mends it."""
        return self.code in OUT_OF_DATE

    def as_peer_error(self, step: str) -> PeerError:
        """The same, for a job that this ends."""
        return PeerError(self.party, step, self.what, self.code)


@dataclass(frozen=True, slots=True)
class Pin:
    """Of one party: its authorities, its leaves from `not_before` on; nothing if `refused` (a code)."""

    authorities: tuple[x509.Certificate, ...] = field(repr=False)
    not_before: datetime | None = None
    refused: str = ""


class Trust:
    """The pins of a node at one moment; never changed, only replaced."""

    def __init__(self, pins: Mapping[PartyId, Pin], *, for_all: Iterable[x509.Certificate] = ()) -> None:
        """`for_all`: authorities believed for every party without a pin. For a run on one machine, and tests."""
        self._pins, self._for_all = dict(pins), tuple(for_all)
        self._leaf = lru_cache(maxsize=1024)(self._check_leaf)  # a server asks this for every call

    @classmethod
    def one_for_all(cls, authorities: bytes) -> Trust:
        """One run's own authority speaks for all its parties; whoever holds its key made them all."""
        return cls({}, for_all=x509.load_pem_x509_certificates(authorities) if authorities.strip() else ())

    @property
    def parties(self) -> list[PartyId]:
        """The parties that are pinned."""
        return sorted(self._pins)

    def pin(self, party: PartyId) -> Pin:
        """What is believed of `party`. Raises TrustRefused (TLS_PARTY_UNKNOWN, PEER_REVOKED, PEER_DISTRUSTED)."""
        found = self._pins.get(party)
        if found is None and self._for_all:
            return Pin(self._for_all)
        if found is None or not found.authorities:
            raise TrustRefused("TLS_PARTY_UNKNOWN", party, "no authority is pinned for it here")
        if found.refused:
            raise TrustRefused(found.refused, party, _WHY.get(found.refused, "is refused"))
        return found

    def refusal(self, party: PartyId) -> TrustRefused | None:
        """Why nothing is believed of `party`; None if there is no reason."""
        try:
            self.pin(party)
        except TrustRefused as refused:
            return refused
        return None

    def roots(self) -> bytes:
        """The authorities of all parties that are not refused, as PEM: what a server asks TLS to look for."""
        believed = [pin.authorities for pin in self._pins.values() if not pin.refused]
        return _pem(certificate for group in (self._for_all, *believed) for certificate in group)

    def roots_of(self, party: PartyId) -> bytes:
        """The authorities of `party` alone, as PEM: whom to believe when dialling it. Raises TrustRefused."""
        return _pem(self.pin(party).authorities)

    def vouches(self, party: PartyId, certificate: x509.Certificate) -> bool:
        """Whether `certificate` is of an authority that is pinned for `party` now. Raises TrustRefused."""
        return any(_issued(certificate, authority) for authority in self.pin(party).authorities)

    def check_link(self, pem: bytes, now: datetime) -> PartyId:
        """The party that shows the leaf `pem` on a link. Raises TrustRefused (TLS_*, PEER_*)."""
        leaf, party = self._leaf(pem)
        _check_dates(leaf, party, now)
        return party

    def check_signer(self, certificate: x509.Certificate, now: datetime) -> PartyId:
        """The party whose signing key `certificate` is of. Raises TrustRefused, IdentityInvalid."""
        party = read_party(certificate, signer=True)
        _check_issuer(certificate, party, self.pin(party))
        _check_dates(certificate, party, now)
        return party

    def _check_leaf(self, pem: bytes) -> tuple[x509.Certificate, PartyId]:
        try:
            leaf = x509.load_pem_x509_certificate(pem)
            party = read_party(leaf)
        except IdentityInvalid as invalid:
            raise TrustRefused(invalid.code, "", invalid.problems[0].what) from None
        except CERTIFICATE_ERRORS:
            raise TrustRefused("TLS_IDENTITY", "", "cannot be parsed") from None
        pin = self.pin(party)
        _check_issuer(leaf, party, pin)
        if pin.not_before is not None and leaf.not_valid_before_utc < pin.not_before:
            raise TrustRefused("TLS_REVOKED", party, "its certificate was revoked by its owner")
        return leaf, party


_WHY = {"PEER_REVOKED": "was revoked by the platform", "PEER_DISTRUSTED": "is not trusted here any more"}


def _check_issuer(leaf: x509.Certificate, party: PartyId, pin: Pin) -> None:
    try:
        used = leaf.signature_hash_algorithm
    except UnsupportedAlgorithm:
        raise TrustRefused("TLS_WEAK", party, "its certificate is signed in a way that nobody knows") from None
    if used is not None and not isinstance(used, _SOUND_HASHES):
        raise TrustRefused("TLS_WEAK", party, "its certificate is signed with a weak hash")
    if not any(_issued(leaf, authority) for authority in pin.authorities):
        raise TrustRefused("TLS_WRONG_AUTHORITY", party, "its certificate is not of the authority pinned for it")


def _check_dates(certificate: x509.Certificate, party: PartyId, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        end = certificate.not_valid_after_utc
        raise TrustRefused("TLS_EXPIRED", party, f"its certificate ended {end:%F %T}", end)
    if now < certificate.not_valid_before_utc:
        raise TrustRefused("TLS_NOT_YET_VALID", party, "its certificate is not valid yet")


@lru_cache(maxsize=4096)
def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(dict.fromkeys(certificate.public_bytes(Encoding.PEM) for certificate in certificates))
