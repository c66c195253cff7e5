"""Others' keys for scores as a node knows them: the newest word of each party, on its own signature."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from fedcredit.crypto.elgamal import PublicKey
from fedcredit.errors import PeerError
from fedcredit.governance.scoring.keys import KeyWord
from fedcredit.ids import PartyId

__all__ = ["KnownKeys"]


class KnownKeys:
    """Words that were believed. From any thread. Kept in memory: whoever asks shows them again after a start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: dict[PartyId, KeyWord] = {}

    def learn(self, word: KeyWord) -> None:
        """Keep a word in place of an older one of its party.

        Raises: PeerError (KEY_SUPERSEDED) naming the party for an older one, which its party has taken back with the
        newer; KEY_INVALID for two with one number.
        """
        with self._lock:
            kept = self._words.get(word.party)
            if kept is not None and word.number < kept.number:
                raise PeerError(word.party, "score keys", "has shown a newer word on its keys", "KEY_SUPERSEDED")
            if kept is not None and word.number == kept.number and word.to_bytes() != kept.to_bytes():
                raise PeerError(word.party, "score keys", "says two things under one number", "KEY_INVALID")
            self._words[word.party] = word

    def score_keys(self, party: PartyId, now: int) -> Mapping[bytes, PublicKey]:
        """The keys for scores of `party` that hold now, by fingerprint."""
        with self._lock:
            word = self._words.get(party)
        if word is None or word.score is None or not word.covers(now):
            return {}
        return {word.score.fingerprint: word.score}

    def pair_keys(self, parties: Iterable[PartyId], now: int) -> Mapping[PartyId, frozenset[bytes]]:
        """The keys for masks of `parties` that hold now; none of a party that has shown none."""
        with self._lock:
            words = {party: self._words.get(party) for party in parties}
        return {party: frozenset({word.pair}) for party, word in words.items() if word is not None and word.covers(now)}
