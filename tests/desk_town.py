"""A small department behind a desk: two items, questions about them, an authority that signs consents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.governance.consent.token import encode, fresh_jti
from fedcredit.governance.predicates.compiler import Type, compile_tree
from fedcredit.governance.predicates.grammar import parse
from fedcredit.kernels import index
from fedcredit.kernels.desk import Caller, Desk, Question

# Monday, 4 May 2026, 10:00 in Nanjing.
NOW = 1_777_860_000
TODAY = (NOW + 8 * 3600) // 86_400
KEY = bytes(range(32))
BANK = Caller("bank", hashlib.sha256(b"bank's authority").digest())
STEEL, PAPER, OWNER = "91320100MA1MK00057", "91320100MA1MK0009K", "92320104MA1P000063"
TYPES: dict[str, dict[str, Type]] = {
    "fund": {"months": "number", "name": "text"},
    "water": {"arrears": "flag", "unit": "text"},
    "homes": {"owned": "flag"},
}
QUESTIONS: dict[str, tuple[str, str, dict[str, dict[str, Any]]]] = {
    "months_at_least": ("fund", "months >= $k", {"k": {"type": "number", "ladder": [3, 6, 12], "match": False}}),
    "months_known": ("fund", "months is not null", {}),
    "in_arrears": ("water", "any(arrears)", {}),
    "unit_is": ("water", "any(unit == $unit)", {"unit": {"type": "text", "ladder": [], "match": True}}),
    "owns": ("homes", "any(owned)", {}),
}


def authority() -> tuple[Ed25519PrivateKey, Issuer]:
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"authority").digest())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return key, Issuer(public, "authority", name="platform")


def consent(subject: str = STEEL, *, uses: int = 1000, caller: Caller = BANK, **change: Any) -> str:
    """A token about a subject, for all items unless `change` says otherwise."""
    key, issuer = authority()
    scope = {"requester": caller.party, "purpose": "financing", "region": "nanjing", "max_uses": uses}
    scope |= {"items": tuple(sorted(TYPES))}
    said: dict[str, Any] = {
        "issuer": "platform",
        "subject": subject,
        "providers": ("city",),
        "jti": fresh_jti(),
        "issued_at": NOW - 3600,
        "not_before": NOW - 3600,
        "expires": NOW + 86_400,
        "authority": caller.authority,
        "by": ConsentBy.PERSON if subject.startswith("92") else ConsentBy.ENTERPRISE,
        "disclosure": bytes(32),
    }
    for name, value in change.items():
        (said if name in said else scope)[name] = value
    return encode(Consent(scope=Scope(**scope), **said), issuer.public_key, key.sign)


def rule(name: str = "bank", **change: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ["requesters", "purposes", "predicates", "items", "minutes", "level_max", "per_second", "per_day", "budget"]
    )
    return {"name": name, "action": "admit", **nothing, "no_consent": False, **change}


def question(predicate: str = "months_at_least", subject: str = STEEL, token: str = "", **change: Any) -> Question:
    arguments = {"k": 6.0} if predicate == "months_at_least" else {}
    return Question(
        subject=subject,
        predicate=predicate,
        purpose=change.pop("purpose", "financing"),
        arguments=change.pop("arguments", arguments),
        consent=token,
        **change,
    )


def program(predicate: str) -> dict[str, Any]:
    item, text, parameters = QUESTIONS[predicate]
    kinds: dict[str, Type] = {name: entry["type"] for name, entry in parameters.items()}
    return compile_tree(parse(text), item=item, printed=TYPES, assumed={}, parameters=kinds).to_dict()


@dataclass
class Town:
    """A folder with index files, and the snapshot over them."""

    folder: Path
    said: dict[str, Any] = field(default_factory=dict)

    def build(self, item: str, keys: Sequence[str], columns: Mapping[str, index.Column], days: int = TODAY - 5) -> Path:
        builder = index.Builder(item, "uscc", TYPES[item])
        given: dict[str, index.Values] = {name: (column, None) for name, column in columns.items()}
        builder.push(index.text_column(keys), given, days=np.full(len(keys), days, np.int32))
        builder.finish(self.folder / f"{item}.index")
        return self.folder / f"{item}.index"

    def __post_init__(self) -> None:
        fund = {
            "months": index.Numbers(np.array([7.0, 2.0, 9.0])),
            "name": index.text_column(["Steel Ltd", "Paper", "O"]),
        }
        water = {"arrears": index.Flags(np.array([False, True])), "unit": index.text_column(["Unit 1", "U2"])}
        homes = {"owned": index.Flags(np.array([True]))}
        paths = {
            "fund": self.build("fund", [STEEL, PAPER, OWNER], fund),
            "water": self.build("water", [STEEL, STEEL], water),
            "homes": self.build("homes", [STEEL], homes),
        }
        self.said = {
            "schema": "fedcredit-serving/1",
            "provider": "city",
            "region": "nanjing",
            "catalog_version": 3,
            "predicates_version": 4,
            "zone_minutes": 480,
            "indexes": {item: str(path) for item, path in paths.items()},
            "questions": [self.served(predicate) for predicate in QUESTIONS],
            "rules": [rule()],
            "issuers": [authority()[1].to_json()],
            "revoked": [],
            "revocations_at": NOW - 10,
            "revocations_max_age_s": 300,
        }

    def served(self, predicate: str, **change: Any) -> dict[str, Any]:
        item, _, parameters = QUESTIONS[predicate]
        return {
            "predicate": predicate,
            "item": item,
            "program": program(predicate),
            "parameters": parameters,
            "keys": {item: ["uscc", "subject"]},
            "complete": False,
            "max_age_days": None,
            "consent_of": ["person"] if item == "homes" else ["enterprise"],
            "level": 2,
            **change,
        }

    def text(self, **change: Any) -> str:
        return json.dumps({**self.said, **change})

    def desk(self, **change: Any) -> Desk:
        return Desk(KEY, self.text(**change))
