"""A party's word on its keys for scores: which X25519 key its masks come from, and at a bank the key of its scores.

Whoever asks or answers shows its word, signed with its signing key, which its own authority has certified: a key counts
with its party's signature, and no third party's word is needed. Of two words the one with the greater number counts;
a party takes back what it said of a key by saying something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fedcredit.crypto.elgamal import PublicKey
from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.zero_sum import PAIR_KEY_BYTES
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.governance.consent import canonical
from fedcredit.ids import PartyId
from fedcredit.wire.score import MAX_PROVIDERS, ScoreKey

__all__ = ["MAX_WORD_S", "SCORE_KEYS", "KeyWord", "SignedWord", "Verifier", "read_words", "write_words"]

SCORE_KEYS: Final = b"fedcredit/v1/score-keys"
"""The use of a signature over a word on keys."""

MAX_WORD_S: Final = 400 * 86_400
"""How long a word may hold: a party that renews its keys once a year has a month to spare."""

_FORMAT: Final = "fedcredit-score-keys/1"
_STEP: Final = "score keys"
_MAX_BYTES: Final = 2048
_MAX_SIGNED: Final = 16 << 10
_MAX_NUMBER: Final = 10**12
_LAST_SECOND: Final = 1 << 40
_PARTS: Final = ("body", "signature", "certificate")


@dataclass(frozen=True, slots=True)
class KeyWord:
    """What `party` says of its keys. `number` tells its words apart: the time in seconds at which it was said, or more.

    `pair`: 32 bytes, X25519, for masks. `score`: the record of its key for scores, at who asks for scores; its proof
    has been checked. Units: `begins` and `ends`, from when to when all of it holds, in seconds since 1970.
    Raises: ValueError where it does not hold together.
    """

    party: PartyId
    number: int
    begins: int
    ends: int
    pair: bytes = field(repr=False)
    score: PublicKey | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.party, str) or not 1 <= len(self.party) <= 32 or len(self.pair) != PAIR_KEY_BYTES:
            raise ValueError("word")
        if not all(type(value) is int for value in (self.number, self.begins, self.ends)):
            raise ValueError("number")
        if not 1 <= self.number <= _MAX_NUMBER or not 0 <= self.begins < self.ends <= _LAST_SECOND:
            raise ValueError("number")
        if self.ends - self.begins > MAX_WORD_S:
            raise ValueError("too long")
        if self.score is not None and self.score.owner != self.party:
            raise ValueError("owner")

    def covers(self, second: int) -> bool:
        """Whether it holds at that second."""
        return self.begins <= second < self.ends

    def to_bytes(self) -> bytes:
        """What is signed: the same bytes for the same word."""
        return canonical.write(
            {
                "format": _FORMAT,
                "party": self.party,
                "number": self.number,
                "begins": self.begins,
                "ends": self.ends,
                "pair": self.pair.hex(),
                "score": None if self.score is None else ScoreKey.of(self.score).encode().hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes, culprit: PartyId) -> KeyWord:
        """The word that `to_bytes` wrote. Raises: PeerError (KEY_INVALID) naming who showed it."""
        try:
            value: Any = canonical.read(data) if len(data) <= _MAX_BYTES else {}
            record = value["score"]
            found = cls(
                party=PartyId(value["party"]),
                number=value["number"],
                begins=value["begins"],
                ends=value["ends"],
                pair=bytes.fromhex(value["pair"]),
                score=None if record is None else ScoreKey.decode(bytes.fromhex(record)).key(),
            )
            if found.to_bytes() != data:
                raise ValueError("form")
        except (BadKey, FedcreditError, ValueError, TypeError, KeyError, AttributeError):
            raise PeerError(culprit, _STEP, "is no word on keys, or its key has no proof", "KEY_INVALID") from None
        return found


@dataclass(frozen=True, slots=True)
class SignedWord:
    """A word as it travels, of which nothing is believed yet."""

    body: bytes
    signature: bytes = field(repr=False)
    certificate: bytes = field(repr=False)

    def believed(self, verify: Verifier, culprit: PartyId) -> KeyWord:
        """The word, with the signature of the party that it names; `culprit` is who showed it.

        Raises: PeerError (KEY_INVALID, SIGNER_INVALID, SIGNATURE_INVALID).
        """
        word = KeyWord.parse(self.body, culprit)
        verify(word.party, self.certificate, SCORE_KEYS, self.signature, self.body)
        return word


class Verifier(Protocol):
    """`SigningIdentity.verify`: raises PeerError where it is not that party's signature."""

    def __call__(self, party: PartyId, certificate: bytes, domain: bytes, signature: bytes, data: bytes, /) -> None: ...


def write_words(words: Sequence[SignedWord]) -> bytes:
    """Words as one text."""
    return canonical.write([[getattr(word, part).hex() for part in _PARTS] for word in words])


def read_words(data: bytes, culprit: PartyId) -> list[SignedWord]:
    """The words that `write_words` wrote. Raises: PeerError (KEY_INVALID) naming who sent them."""
    try:
        rows: Any = canonical.read(data)
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_PROVIDERS + 1:
            raise ValueError("number of words")
        words = [SignedWord(*(bytes.fromhex(part) for part in row)) for row in rows]
        if any(len(part) > _MAX_SIGNED for word in words for part in (word.body, word.signature, word.certificate)):
            raise ValueError("size")
        if write_words(words) != data:
            raise ValueError("form")
    except (ValueError, TypeError, AttributeError):
        raise PeerError(culprit, _STEP, "sent no signed words on keys", "KEY_INVALID") from None
    return words
