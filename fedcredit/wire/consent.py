"""Messages about consents: between the platform's own desk, where subjects log in, the platform, and the parties."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import consent_pb2
from fedcredit.wire.message import Message, blob, count, flag, text

__all__ = [
    "ChangeConsentKeys",
    "ConsentBulletin",
    "ConsentDocument",
    "FollowConsents",
    "GrantConsent",
    "RegisterConsentKey",
    "RevokeConsent",
    "ShowConsents",
]

MAX_NAME = 64
MAX_SECRET = 1024
MAX_TERMS = 16 << 10
MAX_TOKEN = 4096
MAX_REASON = 200
MAX_DOCUMENT = 1 << 20
MAX_CERTIFICATE = 8 << 10
MAX_BODY = 4 << 20
"""Some hundred thousand revocations of consents that have not ended."""


@dataclass(frozen=True, slots=True, repr=False)
class GrantConsent(Message, tag=0x150, proto=consent_pb2.GrantConsent):
    """A subject agrees. Reveals: to the platform, who logs in, about whom, and all terms. Assumes: mutual TLS, from the
    platform's own desk; the secret is known to the account's owner alone.
    """

    account: str = text(MAX_NAME)
    secret: str = text(MAX_SECRET)
    request: str = text(MAX_NAME)
    terms: bytes = blob(2, MAX_TERMS)
    disclosure: bytes = blob(32)


@dataclass(frozen=True, slots=True, repr=False)
class RevokeConsent(Message, tag=0x151, proto=consent_pb2.RevokeConsent):
    """A subject takes it back. Reveals: to the platform, which consent. Assumes: mutual TLS, as `GrantConsent`."""

    account: str = text(MAX_NAME)
    secret: str = text(MAX_SECRET)
    consent: str = text(MAX_NAME)
    token: str = text(MAX_TOKEN)
    reason: str = text(MAX_REASON)


@dataclass(frozen=True, slots=True, repr=False)
class ShowConsents(Message, tag=0x152, proto=consent_pb2.ShowConsents):
    """What have I agreed to? Reveals: to the platform, who asks. Assumes: mutual TLS, as `GrantConsent`."""

    account: str = text(MAX_NAME)
    secret: str = text(MAX_SECRET)
    consent: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class RegisterConsentKey(Message, tag=0x153, proto=consent_pb2.RegisterConsentKey):
    """A subject's own key. Reveals: to all members, that this subject issues consents itself, and the key.

    Assumes: mutual TLS, as `GrantConsent`; whoever holds the key speaks for that subject.
    """

    account: str = text(MAX_NAME)
    secret: str = text(MAX_SECRET)
    subject: str = text(MAX_NAME)
    public_key: bytes = blob(32)
    proof: bytes = blob(64)


@dataclass(frozen=True, slots=True, repr=False)
class ChangeConsentKeys(Message, tag=0x154, proto=consent_pb2.ChangeConsentKeys):
    """The authority's keys. Reveals: to all members, which keys there are. Assumes: mutual TLS, from the platform."""

    rotate: bool = flag()
    retire: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class ConsentDocument(Message, tag=0x155, proto=consent_pb2.ConsentDocument):
    """The answer to whoever logged in. Reveals: that subject's own consents. Assumes: mutual TLS."""

    document: bytes = blob(2, MAX_DOCUMENT)


@dataclass(frozen=True, slots=True, repr=False)
class FollowConsents(Message, tag=0x156, proto=consent_pb2.FollowConsents):
    """Is there news? Reveals: which bulletin the caller has. Assumes: mutual TLS, from a member."""

    number: int = count(2**53)
    wait_ms: int = count(60_000)


@dataclass(frozen=True, slots=True, repr=False)
class ConsentBulletin(Message, tag=0x157, proto=consent_pb2.ConsentBulletin):
    """Keys of issuers and what was revoked.

    Reveals: to all members, public keys, which subjects hold one of their own, how many consents were revoked; of
    which ones, only to who has the token: their names are hashes of 128 random bits.
    Assumes: mutual TLS; the platform's Ed25519 signing key.
    """

    head: bytes = blob(2, 1 << 10)
    signature: bytes = blob(64)
    certificate: bytes = blob(1, MAX_CERTIFICATE)
    body: bytes = blob(0, MAX_BODY)
