"""A consent as a token: a JWS in compact form, of one algorithm, with exactly these claims in one form.

    base64url(header) "." base64url(payload) "." base64url(signature)

Reading has three steps, and each takes only what the one before has passed: `Envelope.read` (form, header),
`Envelope.claims_for` (the issuer's key, then the signature, then the claims). A token is at most 4 KiB.

Source: RFC 7515 (JWS), 7519 (JWT), 7800 and 8705 (`cnf`, `x5t#S256`), 8037 (EdDSA), 8725 (what goes wrong), 9396
(`authorization_details`).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.claims import TOKEN_TYPE, Consent
from fedcredit.governance.consent.encoding import decode_text, encode_text
from fedcredit.governance.consent.issuers import Issuer, Issuers, kid_of
from fedcredit.governance.consent.refusal import ConsentRefused, Why

__all__ = ["MAX_TOKEN_BYTES", "Envelope", "encode", "fresh_jti", "header_kid", "issue", "moment", "revocation_id"]

MAX_TOKEN_BYTES = 4096

_KID = re.compile(r"[0-9a-f]{32}")
_JTI_BYTES = 16
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Envelope:
    """A token whose form is right and of which nothing is believed yet. `signed` is what the signature is over."""

    kid: str
    signed: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def read(cls, token: str) -> Envelope:
        """The parts of `token`. Raises: ConsentRefused (CONSENT_MISSING, TOKEN_MALFORMED)."""
        if not token:
            raise ConsentRefused(Why.MISSING)
        if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
            raise ConsentRefused(Why.MALFORMED)
        header, payload, signature = token.split(".")
        try:
            kid = header_kid(header)
            return cls(
                kid,
                f"{header}.{payload}".encode(),
                decode_text(payload),
                decode_text(signature, _SIGNATURE_BYTES),
            )
        except ValueError:
            raise ConsentRefused(Why.MALFORMED) from None

    def claims(self) -> Consent:
        """What the token says, on nobody's word. Raises: ConsentRefused (TOKEN_MALFORMED, CONSENT_CLAIM, _LIFETIME)."""
        return Consent.from_payload(self.payload)

    def claims_for(self, issuers: Issuers) -> Consent:
        """What the token says, on the word of one of `issuers`, who may speak for that subject.

        Raises: ConsentRefused (CONSENT_ISSUER, CONSENT_SIGNATURE, and those of `claims`).
        """
        issuer = issuers.find(self.kid)
        if issuer is None:
            raise ConsentRefused(Why.ISSUER)
        if not issuer.verified(self.signature, self.signed):
            raise ConsentRefused(Why.SIGNATURE)
        consent = self.claims()
        if consent.issuer != issuer.party or not issuer.speaks_for(consent.subject, consent.by):
            raise ConsentRefused(Why.ISSUER)
        return consent


def encode(consent: Consent, public_key: bytes, sign: Callable[[bytes], bytes]) -> str:
    """The token that says `consent`, signed by the holder of `public_key`.

    Raises: ConsentRefused (TOKEN_MALFORMED) if it would be longer than a token may be.
    """
    signed = f"{encode_text(_header(kid_of(public_key)))}.{encode_text(consent.to_payload())}"
    token = f"{signed}.{encode_text(sign(signed.encode()))}"
    if len(token) > MAX_TOKEN_BYTES:
        raise ConsentRefused(Why.MALFORMED, what=f"it would be longer than {MAX_TOKEN_BYTES} bytes")
    return token


def fresh_jti() -> str:
    """A name for a new consent that nobody can guess: 128 bits, and no hyphen first, which would begin an option."""
    while (name := encode_text(secrets.token_bytes(_JTI_BYTES))).startswith("-"):
        pass
    return name


def revocation_id(jti: str) -> str:
    """A consent's name in lists of revocations and in logs, from which `jti` cannot be told."""
    return hashlib.sha256(jti.encode()).digest()[:16].hex()


def issue(consent: Consent, issuer: Issuer, sign: Callable[[bytes], bytes]) -> str:
    """As `encode`, after seeing that readers will believe `issuer` in it. Raises: as `encode`, and `claims_for`."""
    token = encode(consent, issuer.public_key, sign)
    Envelope.read(token).claims_for(Issuers([issuer]))
    return token


def moment(seconds: int) -> datetime:
    """A time of a token as a date."""
    return datetime.fromtimestamp(seconds, UTC)


def _header(kid: str) -> bytes:
    return canonical.write({"alg": "EdDSA", "kid": kid, "typ": TOKEN_TYPE})


def header_kid(text: str) -> str:
    """The name of the key in a token's header. Raises: ValueError where the header is not of its one form.

    One form means that everything but the name of the key is known beforehand: no header is interpreted.
    """
    header = decode_text(text)
    before, _, after = _header("").partition(b'""')
    kid = header[len(before) + 1 : len(header) - len(after) - 1].decode("ascii")
    if not _KID.fullmatch(kid) or header != _header(kid):
        raise ValueError("header")
    return kid
