"""What is read of scores: words on keys, words on versions that a bank shows, messages that come together in a call."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz import mutate
from fuzz.engine import Target
from fuzz.samples import sample
from model_words import BANK, OFFER, TAX, word

from fedcredit.crypto.elgamal import PrivateKey, Validity
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import PeerError
from fedcredit.governance.registry.documents import Manifest
from fedcredit.governance.scoring.keys import KeyWord, SignedWord, read_words, write_words
from fedcredit.ids import PartyId
from fedcredit.node.scoring.shown_words import ranges_shown, show_words
from fedcredit.node.store.registry import Signed
from fedcredit.wire.message import Message
from fedcredit.wire.score import ScorePart, ScoreRequest, ScoreSubjects
from fedcredit.wire.scoring import pack, unpack

__all__ = ["scoring"]

_KINDS: frozenset[type[Message]] = frozenset({ScoreRequest, ScoreSubjects, ScorePart})
_SIGNED = b"signature of those bytes"


def scoring() -> Iterator[Target]:
    """The targets."""
    key = PrivateKey.generate(BANK, "scores", Validity(10, 1000), insecure_seeded(1)).public
    words = [KeyWord(BANK, 7, 10, 1000, bytes(range(32)), key), KeyWord(TAX, 3, 0, 500, bytes(32))]

    def keys(data: bytes) -> None:
        found = KeyWord.parse(data, BANK)
        if found.to_bytes() != data:
            raise AssertionError("does not read back")
        found.covers(20)

    yield Target("score.key_word", tuple(one.to_bytes() for one in words), keys, mutate.canonical_json)
    signed = [SignedWord(one.to_bytes(), _SIGNED, b"certificate") for one in words]

    def several(data: bytes) -> None:
        if write_words(read_words(data, BANK)) != data:
            raise AssertionError("does not read back")

    yield Target("score.key_words", (write_words(signed), write_words(signed[:1])), several, mutate.canonical_json)
    said = {BANK: word(BANK), TAX: word(TAX)}
    manifest = Manifest(1, OFFER, said).digest
    assert manifest is not None
    shown = show_words({party: Signed(one.to_bytes(), _SIGNED, b"certificate") for party, one in said.items()})

    def reach(data: bytes) -> None:
        ranges_shown(data, OFFER, 1, manifest, _verify, BANK)

    yield Target("score.shown_words", (shown,), reach, mutate.canonical_json)
    packed = pack([sample(ScoreRequest), sample(ScoreSubjects)]), pack([sample(ScorePart)])
    yield Target("score.messages", packed, lambda data: unpack(data, _KINDS))


def _verify(party: PartyId, certificate: bytes, domain: bytes, signature: bytes, data: bytes, /) -> None:
    if signature != _SIGNED:
        raise PeerError(party, "signature", "is not over this", "SIGNATURE_INVALID")
