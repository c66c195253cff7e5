"""Offers and words on models, for tests that need some: of a scorecard of bank and tax."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from fedcredit.governance.registry.documents import CardFacts, Offer, TreeFacts, Word
from fedcredit.ids import PartyId
from fedcredit.node.store.registry import Signed

__all__ = ["BANK", "OFFER", "PLATFORM", "TAX", "TREES", "offer", "signed", "word"]

PLATFORM, BANK, TAX = map(PartyId, ("platform", "bank", "tax"))
OFFER = Offer(
    platform=PLATFORM,
    publisher=BANK,
    name="sme",
    kind="scorecard",
    model="scorecard.0",
    job="small-1",
    specification=bytes(range(32)),
    purpose="financing",
    parties=(BANK, TAX),
    facts=CardFacts(600.0, 20.0, 28.85, 4),
)
TREES = replace(OFFER, name="trees", kind="gbdt", model="gbdt.0", facts=TreeFacts(5, 20))


def offer(job: str, **changed: Any) -> Offer:
    """The same model of another job."""
    return replace(OFFER, **{"job": job, "specification": hashlib.sha256(job.encode()).digest(), **changed})


def word(party: PartyId, of: Offer = OFFER, version: int = 1, number: int = 1, **changed: Any) -> Word:
    """A party's yes; `part=None` is its no."""
    part = changed.pop("part", hashlib.sha256(party.encode() + of.digest).digest())
    reach = (-64, 160) if part is not None and of.kind == "scorecard" else (None, None)
    values: dict[str, Any] = {
        "platform": of.platform,
        "party": party,
        "name": of.name,
        "version": version,
        "offer": of.digest,
        "number": number,
        "time": 1_800_000_000,
        "part": part,
        "least": reach[0],
        "most": reach[1],
    }
    return Word(**values | changed)


def signed(document: Offer | Word) -> Signed:
    """As it is kept; whoever takes it has checked the signature."""
    return Signed(document.to_bytes(), bytes(64), b"certificate")
