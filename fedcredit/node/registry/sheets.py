"""A version with all that was signed about it, as the platform hands it out and a party checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fedcredit.errors import FedcreditError, PeerError
from fedcredit.governance.registry.documents import OFFER, WORD, CardFacts, Manifest, Offer, Word
from fedcredit.governance.registry.states import State
from fedcredit.ids import PartyId
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store.registry import KeptVersion, Signed

__all__ = ["Sheet", "summary", "whole"]

_PARTS: Final = ("body", "signature", "certificate")
_MAX_PART_BYTES: Final = 4 << 10


def summary(kept: KeptVersion) -> dict[str, Any]:
    """A version in a list of many."""
    manifest, offer = kept.manifest, kept.manifest.offer
    return {
        "name": offer.name,
        "version": manifest.version,
        "state": kept.state.value,
        "role": kept.role.value,
        "kind": offer.kind,
        "purpose": offer.purpose,
        "publisher": offer.publisher,
        "published": kept.published,
        "parties": list(offer.parties),
        "approved": list(manifest.approved),
        "missing": list(manifest.missing),
        "withdrawn": list(manifest.withdrawn),
    }


def whole(kept: KeptVersion) -> dict[str, Any]:
    """A version with its facts, its parts by their hashes, and everything as it was signed."""
    manifest, offer = kept.manifest, kept.manifest.offer
    reach = manifest.point_range
    return summary(kept) | {
        "job": offer.job,
        "model": offer.model,
        "specification": offer.specification.hex(),
        "facts": _facts(offer),
        "manifest": None if manifest.digest is None else manifest.digest.hex(),
        "point_range": None if reach is None else list(reach),
        "parts": [_part(party, manifest.words.get(party)) for party in offer.parties],
        "signed": {
            "offer": _signed(kept.offer),
            "words": {party: _signed(signed) for party, signed in kept.words.items()},
        },
    }


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a platform has said of a version: read, and no signature believed yet."""

    manifest: Manifest
    state: State
    offer: Signed = field(repr=False)
    words: Mapping[PartyId, Signed] = field(repr=False)

    @classmethod
    def read(cls, document: Mapping[str, Any], platform: PartyId, name: str, version: int) -> Sheet:
        """The sheet of a version in `platform`'s document. Raises: PeerError naming who is wrong."""
        try:
            state, signed = State(document["state"]), document["signed"]
            offer_signed = _read(signed["offer"])
            words = {PartyId(str(party)): _read(one) for party, one in dict(signed["words"]).items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise PeerError(platform, "model", "sent no sheet of a version", "MESSAGE_INVALID") from None
        offer = Offer.parse(offer_signed.body, platform)
        if (offer.platform, offer.name) != (platform, name):
            raise PeerError(platform, "model", "sent an offer of another model", "OFFER_INVALID")
        said = {party: Word.parse(one.body, party) for party, one in words.items()}
        for party, word in said.items():
            word.check_for(offer, version, party)
        return cls(Manifest(version, offer, said), state, offer_signed, words)

    def check_offer(self, signing: SigningIdentity) -> None:
        """See that its publisher has signed the offer. Raises: PeerError (SIGNER_INVALID, SIGNATURE_INVALID)."""
        offer = self.offer
        publisher = self.manifest.offer.publisher
        signing.verify(publisher, offer.certificate, OFFER, offer.signature, offer.body)

    def unbelieved(self, signing: SigningIdentity) -> dict[str, str]:
        """The parties whose word is not signed by them as far as can be told here, with the code of why."""
        found: dict[str, str] = {}
        for party, signed in self.words.items():
            try:
                signing.verify(party, signed.certificate, WORD, signed.signature, signed.body)
            except FedcreditError as error:
                found[party] = error.code
        return found


def _facts(offer: Offer) -> dict[str, Any]:
    facts = offer.facts
    if isinstance(facts, CardFacts):
        scale = {"base_score": facts.base_score, "odds": facts.odds, "pdo": facts.pdo}
        return scale | {"n_reasons": facts.n_reasons}
    return facts.to_json()


def _part(party: PartyId, word: Word | None) -> dict[str, Any]:
    if word is None:
        return {"party": party, "approves": None, "part": None, "number": 0, "time": None}
    part = None if word.part is None else word.part.hex()
    return {"party": party, "approves": word.approves, "part": part, "number": word.number, "time": word.time}


def _signed(signed: Signed) -> dict[str, str]:
    return {name: getattr(signed, name).hex() for name in _PARTS}


def _read(value: Any) -> Signed:
    parts = [bytes.fromhex(value[name]) for name in _PARTS]
    if any(len(part) > _MAX_PART_BYTES for part in parts):
        raise ValueError("size")
    return Signed(*parts)
