"""A provider, a bank and consents, made up from a seed: who asks whom what, the same for every server that is measured.

The provider is a housing fund of Nanjing with one register and one question of the shipped ones; the bank holds
consents of some of the subjects. Keys and certificates lie in files, since each server is a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.cli.benches.identifiers import Ids, identifiers
from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.decision import Premises
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.token import encode, fresh_jti
from fedcredit.governance.verification.rules import Action, Budget, VerifyPolicy, VerifyRule
from fedcredit.ids import party_id
from fedcredit.node.pki import Authority, load_certificate, write_keys
from fedcredit.node.verification.serving import Offer, Question, offer_of
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import shipped_version
from fedcredit.runtime.verify_file import VerifyItemSection, VerifySection
from fedcredit.wire.verification import Argument, Kind, VerifyRequest
from fedcredit.wire.verification import Question as Asked
from fedcredit.wire.verified import Check, VerifyBatchRequest

__all__ = [
    "BANK",
    "FIELD",
    "ITEM",
    "LADDER",
    "PREDICATE",
    "PROVIDER",
    "RECORDED",
    "REGION",
    "Setting",
    "certificate_der",
    "key_der",
    "signing_key",
]

PROVIDER, BANK, PLATFORM = party_id("fund"), party_id("bank"), party_id("platform")
REGION, PURPOSE = "nanjing", "financing"
PREDICATE, ITEM, FIELD = "hf_continuous_k", "housing_fund_contribution", "continuous_normal_months_12m"
LADDER: Final = (3.0, 6.0, 9.0, 12.0)
RECORDED: Final = date(2026, 4, 30)
"""The day of all records."""

_FILE = "setting.json"
_MANY = 1_000_000_000
_DAYS = 300


@dataclass(frozen=True, slots=False)
class Setting:
    """What was made in `folder`: a register of `rows` subjects; the first `subjects` of them have given the bank a
    consent. `issuer` is the public key, in hexadecimal, of who issues consents; logs are kept in `logs`."""

    folder: Path
    logs: Path
    rows: int
    subjects: int
    seed: int
    issuer: str

    @classmethod
    def make(
        cls, folder: Path, rows: int, subjects: int, seed: int, logs: Path | None = None
    ) -> tuple[Setting, list[str]]:
        """Write the keys and what else a server needs; the consents of the subjects in their order."""
        hosts = ("localhost", "127.0.0.1")
        for party in (PROVIDER, BANK):
            authority = Authority.of_party(party, hosts)
            write_keys(folder / party, party, authority, hosts)
            (folder / party / "authority.pem").write_bytes(authority.pem)
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        made = cls(folder, logs or folder, rows, min(subjects, rows), seed, public.hex())
        written = asdict(made) | {"folder": None, "logs": str(made.logs)}
        (folder / _FILE).write_text(json.dumps(written), encoding="utf-8")
        return made, made._consents(key)

    @classmethod
    def load(cls, folder: Path) -> Setting:
        """What `make` wrote."""
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return cls(**found | {"folder": folder, "logs": Path(found["logs"])})

    @cached_property
    def ids(self) -> Ids:
        """The subjects' codes."""
        return identifiers(0, self.rows)

    @property
    def months(self) -> npt.NDArray[np.float64]:
        """The one column of the register. Shapes: (rows,)."""
        return np.random.default_rng(self.seed).integers(0, 13, self.rows).astype(np.float64)

    @property
    def policy(self) -> VerifyPolicy:
        """One rule, with all terms that a rule can have; no bound of it is reached."""
        rule = VerifyRule(
            name="bank for financing",
            action=Action.ADMIT,
            requesters=frozenset({BANK}),
            purposes=frozenset({PURPOSE}),
            predicates=frozenset({PREDICATE}),
            level_max=4,
            per_second=_MANY,
            per_day=_MANY,
            budget=Budget(len(LADDER), 30),
        )
        return VerifyPolicy(rules=(rule,), zone=timezone(timedelta(hours=8)))

    @property
    def offer(self) -> Offer:
        """The one question that is answered."""
        entry = VerifyItemSection(table="register.csv")
        section = VerifySection(listen="127.0.0.1:0", region=REGION, predicates=(PREDICATE,), items={ITEM: entry})
        return offer_of(section, self.policy)

    @property
    def question(self) -> Question:
        """The one question of the offer."""
        return self.offer.questions[0]

    @property
    def versions(self) -> tuple[int, int]:
        """Of the catalog and of the predicates, as answers name them."""
        return shipped_catalogs()[REGION].version, shipped_version()

    @property
    def issuers(self) -> Issuers:
        """Whose consents are believed."""
        return Issuers([Issuer(bytes.fromhex(self.issuer), "authority", PLATFORM)])

    def premises(self, now: datetime) -> Premises:
        """What consents are held against at `now`: nothing was revoked, as of that moment."""
        return Premises(PROVIDER, REGION, self.issuers, revocations_at=int(now.timestamp()), max_age_s=86_400)

    @property
    def authority(self) -> bytes:
        """What the bank's consents are bound to: SHA-256 of its authority's certificate."""
        return hashlib.sha256(certificate_der(self.folder / BANK / "authority.pem")).digest()

    def requests(self, consents: Sequence[str]) -> list[bytes]:
        """One request for every subject with a consent and every value of the ladder, subject by subject."""
        nonces = np.random.default_rng(self.seed + 1)
        kinds = [Kind(PREDICATE, (Argument("k", k),)) for k in LADDER]
        return [
            VerifyRequest(Asked(subject, kind), PURPOSE, consent, nonces.bytes(16)).encode()
            for subject, consent in zip(self._subjects(), consents, strict=True)
            for kind in kinds
        ]

    def batches(self, consents: Sequence[str], checks: int, count: int) -> list[bytes]:
        """`count` batches of `checks` checks each, over the subjects with a consent, in turn."""
        nonces = np.random.default_rng(self.seed + 2)
        kinds = tuple(Kind(PREDICATE, (Argument("k", k),)) for k in LADDER)
        subjects, made = self._subjects(), []
        for batch in range(count):
            first = batch * checks // len(kinds) % len(subjects)
            asked = [(first + i // len(kinds)) % len(subjects) for i in range(checks)]
            places = {subject: place for place, subject in enumerate(dict.fromkeys(asked))}
            body = VerifyBatchRequest(
                consents=tuple(consents[subject] for subject in places),
                purpose=PURPOSE,
                nonce=nonces.bytes(16),
                checks=tuple(Check(subjects[s], i % len(kinds), places[s]) for i, s in enumerate(asked)),
                kinds=kinds,
            )
            made.append(body.encode())
        return made

    def _subjects(self) -> list[str]:
        return [bytes(code).decode() for code in self.ids[: self.subjects]]

    def _consents(self, key: Ed25519PrivateKey) -> list[str]:
        now, public = int(time.time()), bytes.fromhex(self.issuer)
        scope = Scope(requester=BANK, purpose=PURPOSE, region=REGION, predicates=(PREDICATE,), max_uses=1_000_000)
        authority, shown = self.authority, hashlib.sha256(b"shown").digest()
        return [
            encode(
                Consent(
                    issuer=PLATFORM,
                    subject=subject,
                    providers=(PROVIDER,),
                    jti=fresh_jti(),
                    issued_at=now,
                    not_before=now - 60,
                    expires=now + _DAYS * 86_400,
                    authority=authority,
                    by=ConsentBy.ENTERPRISE,
                    disclosure=shown,
                    scope=scope,
                ),
                public,
                key.sign,
            )
            for subject in self._subjects()
        ]


def certificate_der(path: Path) -> bytes:
    """The certificate in a file, in DER."""
    return load_certificate(path).public_bytes(serialization.Encoding.DER)


def key_der(path: Path) -> bytes:
    """The private key in a file, in PKCS #8, DER."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.DER, form, none)


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """The key that the provider of the setting in `folder` signs with."""
    key = serialization.load_pem_private_key((folder / PROVIDER / "signing.key").read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("the signing key is not Ed25519")
    return key
