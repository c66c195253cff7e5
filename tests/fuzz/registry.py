"""What is read of published models: offers, words, and the platform's bulletins of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz import mutate
from fuzz.engine import Target
from model_words import BANK, OFFER, PLATFORM, TAX, TREES, word

from fedcredit.governance.registry.bulletin import ModelBulletin, Standing
from fedcredit.governance.registry.documents import Manifest, Offer, Word
from fedcredit.governance.registry.states import Role, State
from fedcredit.ids import PartyId

__all__ = ["registry"]


def registry() -> Iterator[Target]:
    """The targets."""
    yield Target("model.offer", (OFFER.to_bytes(), TREES.to_bytes()), _again(Offer.parse), mutate.canonical_json)
    words = (word(TAX), word(BANK, TREES, 3), word(TAX, number=2, part=None))

    def said(data: bytes) -> None:
        found = Word.parse(data, TAX)
        found.check_for(OFFER, 1, TAX)
        both = Manifest(1, OFFER, {BANK: word(BANK), TAX: found})
        if (both.digest is None) == found.approves:
            raise AssertionError("a version without a name")

    seeds = tuple(one.to_bytes() for one in words)
    yield Target("model.word", seeds, _again(Word.parse), mutate.canonical_json)
    yield Target("model.word_on", seeds, said, mutate.canonical_json)
    standings = (
        Standing("sme", 1, OFFER.digest, State.APPROVED, Role.CHAMPION, bytes(range(32))),
        Standing("sme", 2, bytes(32), State.WITHDRAWN, Role.NONE, None, ("tax",)),
    )
    bulletins = [ModelBulletin.of(PLATFORM, TAX, 3, 1000, standings[:n]).to_bytes() for n in range(3)]

    def heard(data: bytes) -> None:
        found = ModelBulletin.parse(data, PLATFORM, TAX)
        if found.to_bytes() != data:
            raise AssertionError("does not read back")
        found.follows(ModelBulletin.of(PLATFORM, TAX, 3, 1000, standings), 1000)

    yield Target("model.bulletin", tuple(bulletins), heard, mutate.canonical_json)


def _again(parse: Callable[[bytes, PartyId], Offer | Word]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> None:
        if parse(data, TAX).to_bytes() != data:
            raise AssertionError("does not read back")

    return decode
