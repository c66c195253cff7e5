"""How a party binds itself to a job: to its table by a keyed hash, to the specification by a signature."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification

__all__ = ["AGREEMENT", "Verify", "agreement", "check_signatures", "commitment"]

AGREEMENT = b"fedcredit/v1/job-agreement"
"""The use of a signature that agrees to a job."""

_COMMIT_DOMAIN = b"fedcredit/v1/table-commitment\0"

Verify = Callable[[PartyId, bytes, bytes, bytes, bytes], None]
"""Party, its certificate (DER), use, signature, text: raises PeerError unless the party signed it for that use."""


def commitment(fingerprint: bytes, nonce: bytes, party: PartyId) -> bytes:
    """Bind `party` to the table with `fingerprint` without naming it. `nonce` is 32 secret bytes, new for each job."""
    if len(nonce) != 32 or len(fingerprint) != 32:
        raise ConfigError(Problem("SPEC_INVALID", "table commitment", "needs a nonce and a fingerprint of 32 bytes"))
    return hmac.digest(nonce, _COMMIT_DOMAIN + party.encode() + b"\0" + fingerprint, "sha256")


def agreement(party: PartyId, ssid: bytes) -> bytes:
    """What `party` signs, for `AGREEMENT`, to agree to the specification with hash `ssid`."""
    return party.encode() + b"\0" + ssid


def check_signatures(specification: JobSpecification, signatures: Mapping[str, bytes], verify: Verify) -> None:
    """Every party has signed exactly `specification`.

    Raises: PeerError (SIGNATURE_MISSING, SIGNATURE_INVALID, SIGNER_INVALID) naming who has not.
    """
    ssid = specification.hash
    for entry in specification.parties:
        name = PartyId(entry.id)
        if entry.id not in signatures:
            raise PeerError(name, "agreement", "signature is missing", "SIGNATURE_MISSING")
        verify(name, bytes.fromhex(entry.certificate or ""), AGREEMENT, signatures[entry.id], agreement(name, ssid))
    if extra := signatures.keys() - {entry.id for entry in specification.parties}:
        raise PeerError(PartyId(min(extra)), "agreement", "signed, but is no party of the job", "SIGNATURE_INVALID")
