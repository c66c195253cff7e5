"""What all parties of a version have signed of their parts, as a bank shows it to a provider: how far totals reach.

A provider knows its own part alone. Where it answers with bands it has to know the range of all totals, or a bank that
says a shorter one learns totals modulo that; and whose word that is, the platform need not be asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedcredit.errors import PeerError
from fedcredit.governance.consent import canonical
from fedcredit.governance.registry.documents import WORD, Manifest, Offer, Word
from fedcredit.governance.scoring.keys import Verifier
from fedcredit.ids import PartyId
from fedcredit.node.store.registry import Signed

__all__ = ["Ranges", "ranges_shown", "show_words"]

Ranges = Mapping[PartyId, tuple[int, int]]
"""The least and the most of each party's part, rounded out."""

_STEP: Final = "model word"
_MAX_BYTES: Final = 256 << 10
_PARTS: Final = ("body", "signature", "certificate")


def show_words(words: Mapping[PartyId, Signed]) -> bytes:
    """The words of all parties on a version, as they were signed."""
    return canonical.write({party: [getattr(one, part).hex() for part in _PARTS] for party, one in words.items()})


def ranges_shown(
    data: bytes, offer: Offer, version: int, manifest: bytes, verify: Verifier, culprit: PartyId
) -> Ranges:
    """What the words in `data` say, with their parties' signatures. `manifest`: the version's digest as known here.

    Raises: PeerError (WORD_INVALID) naming who shows them, or whose word is not; SIGNER_INVALID, SIGNATURE_INVALID.
    """
    try:
        value: Any = canonical.read(data) if len(data) <= _MAX_BYTES else {}
        signed = {PartyId(party): Signed(*(bytes.fromhex(part) for part in parts)) for party, parts in value.items()}
        if show_words(signed) != data:
            raise ValueError("form")
    except (ValueError, TypeError, AttributeError):
        raise PeerError(culprit, _STEP, "sent no words on a version", "WORD_INVALID") from None
    words = {party: Word.parse(one.body, party) for party, one in signed.items()}
    for party, one in signed.items():
        words[party].check_for(offer, version, party)
        verify(party, one.certificate, WORD, one.signature, one.body)
    if Manifest(version, offer, words).digest != manifest:
        raise PeerError(culprit, _STEP, "shows words on other parts than are served here", "WORD_INVALID")
    return {party: (word.least or 0, word.most or 0) for party, word in words.items()}
