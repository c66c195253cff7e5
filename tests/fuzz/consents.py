"""What is read of consents: tokens, terms, receipts, bulletins, accounts, and what a party keeps of them."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from fuzz import mutate
from fuzz.engine import Target

from fedcredit.errors import DataError, Problem
from fedcredit.governance.consent.bulk import read_many
from fedcredit.governance.consent.bulletin import BULLETIN, Bulletin, BulletinBody, BulletinHead
from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.encoding import encode_text
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.receipt import check_receipt, make_receipt
from fedcredit.governance.consent.refusal import ConsentRefused
from fedcredit.governance.consent.terms import Terms
from fedcredit.governance.consent.token import Envelope, encode
from fedcredit.ids import PartyId
from fedcredit.node.consent.accounts import LocalAccounts
from fedcredit.node.consent.held import HeldConsents
from fedcredit.node.pki import Authority
from fedcredit.node.signing import SigningIdentity
from fedcredit.runtime.clock import ManualClock
from fedcredit.transport.trust import Pin, Trust

__all__ = ["consents"]

PLATFORM = PartyId("platform")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ISSUER = Issuer(PUBLIC, "authority", name="platform")
CORPUS = Path(__file__).resolve().parents[1] / "vectors" / "consent" / "tokens.json"


def consents(folder: Path) -> Iterator[Target]:
    """The targets; files that are read lie in `folder`."""
    cases = json.loads(CORPUS.read_text(encoding="utf-8"))
    believed = {case["name"]: case["token"] for case in cases["cases"] if case["code"] is None}
    good = [*list(believed.values())[:4], believed["for scores of two models"]]
    issuers = Issuers([ISSUER, *map(Issuer.from_json, cases["issuers"])])

    def token(data: bytes) -> None:
        text = data.decode("latin-1")
        (read,) = read_many([text], issuers)
        try:
            consent = Envelope.read(text).claims_for(issuers)
        except ConsentRefused as refused:
            if read is not refused.why:
                raise AssertionError(f"is {read} among many, {refused.why} alone") from None
            raise
        if read != consent:
            raise AssertionError("says something else among many")
        if Consent.from_payload(consent.to_payload()) != consent:
            raise AssertionError("does not read back")

    yield Target("consent.token", tuple(text.encode() for text in good), token, mutate.blind)

    def signed(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
        """A token whose payload was changed, signed anew: an issuer that signs what is wrong."""
        header = encode_text(
            json.dumps(
                {"alg": "EdDSA", "kid": ISSUER.kid, "typ": "fedcredit-consent+jwt"}, separators=(",", ":")
            ).encode()
        )
        begin = f"{header}.{encode_text(mutate.canonical_json(rng, data, pool))}"
        return f"{begin}.{encode_text(KEY.sign(begin.encode()))}".encode()

    payloads = [Envelope.read(text).payload for text in good]
    whole = [encode(Consent.from_payload(payload), PUBLIC, KEY.sign).encode() for payload in payloads]

    def changed(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
        return signed(rng, Envelope.read(data.decode()).payload if data in whole else payloads[0], pool)

    yield Target("consent.claims", tuple(whole), token, changed)
    terms = Terms(
        subject="91320100MA1MK00057",
        requester="bank",
        providers=("tax",),
        purpose="financing",
        region="nanjing",
        items=("a", "b"),
    )
    scores = replace(terms, items=(), models=("a", "b"))
    yield Target("consent.terms", (terms.to_bytes(), scores.to_bytes()), Terms.parse, mutate.canonical_json)
    receipt = make_receipt(
        Consent.from_payload(payloads[0]), notice="x", language="en", public_key=PUBLIC, sign=KEY.sign
    )
    yield Target("consent.receipt", (receipt,), lambda data: check_receipt(data, issuers), mutate.json_text)
    yield from _bulletins(folder)
    yield _accounts(folder)


def _bulletins(folder: Path) -> Iterator[Target]:
    body = BulletinBody.of([ISSUER], ["0a" * 16, "0b" * 16]).to_bytes()
    head = BulletinHead(PLATFORM, 5, 1_790_000_000, hashlib.sha256(body).digest())
    yield Target(
        "consent.head", (head.to_bytes(),), lambda data: BulletinHead.parse(data, PLATFORM), mutate.canonical_json
    )

    def joined(data: bytes) -> None:
        # Behind the signature and the hash, which no change passes.
        Bulletin.join(BulletinHead(PLATFORM, 5, 0, hashlib.sha256(data).digest()), data)

    yield Target("consent.body", (body,), joined, mutate.canonical_json)
    clock, authority = ManualClock(), Authority.of_party(PLATFORM, now=ManualClock().now())
    pem = authority.certify_signer(PLATFORM, KEY.public_key(), now=clock.now())
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    trust = Trust({PLATFORM: Pin((authority.certificate,))})
    identity = SigningIdentity(PLATFORM, KEY, certificate, lambda: trust, clock)
    held = HeldConsents(folder, PLATFORM, identity)
    parts = {"head": head.to_bytes(), "certificate": certificate, "body": body}
    parts["signature"] = identity.sign(BULLETIN, head.to_bytes())
    kept = json.dumps({name: part.hex() for name, part in parts.items()})

    def load(data: bytes) -> None:
        (folder / "consents.json").write_bytes(data)
        held.bulletin = None
        with warnings.catch_warnings():
            # Of serial numbers and the like that a later version of the library will refuse.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            held.load()
        if held.bulletin is None:
            raise DataError(Problem("UNREAD", "consents.json", "counts as none"))
        assert held.bulletin.head == head, "nobody has signed another one"

    yield Target("consent.held", (kept.encode(),), load, mutate.json_text)


def _accounts(folder: Path) -> Target:
    account = {"kind": "enterprise", "subjects": ["91320100MA1MK00057"], "salt": "00" * 16, "hash": "00" * 32}
    path = folder / "accounts.json"
    accounts = LocalAccounts(path, ManualClock())

    def read(data: bytes) -> None:
        path.write_bytes(data)
        path.chmod(0o600)
        accounts._read()

    whole = json.dumps({"format": "fedcredit-accounts/1", "accounts": {"ann": account}}).encode()
    return Target("consent.accounts", (whole,), read, mutate.json_text)
