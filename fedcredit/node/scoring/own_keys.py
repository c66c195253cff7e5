"""A party's own keys for scores, in `keys/scores.json` of its folder, and the word on them that it shows others.

They are made when first needed and never leave the folder. A renewed key counts at once; those before it still serve
for what others ask under them, until they end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedcredit.crypto.elgamal import PrivateKey, PublicKey, Validity
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.crypto.zero_sum import PairKey
from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.governance.scoring.keys import SCORE_KEYS, KeyWord, SignedWord
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import folder_locked, replace_file
from fedcredit.node.signing import SigningIdentity

__all__ = ["KEY_DAYS", "OwnKeys", "OwnScoreKeys", "kept_keys", "own_keys", "renewed_keys"]

KEY_DAYS: Final = 180
"""How long keys hold."""

RENEWED_BEFORE_DAYS: Final = 30
"""So many days before they end, new ones are made."""

EARLY_S: Final = 300
"""Keys hold from a little before they were made on: clocks of others may be slow."""

_FOLDER: Final = "keys"
_FILE: Final = "scores.json"
_DAY_S: Final = 86_400
_MAX_KEPT: Final = 16
_FORMAT: Final = 1
_MAX_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class OwnScoreKeys:
    """Keys of one word. `pair` is for masks, `score` the key under which this party is told scores."""

    word: KeyWord
    pair: PairKey = field(repr=False)
    score: PrivateKey = field(repr=False)

    def signed(self, signing: SigningIdentity) -> SignedWord:
        """The word as it is shown to others."""
        body = self.word.to_bytes()
        return SignedWord(body, signing.sign(SCORE_KEYS, body), signing.certificate)


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """All keys of a party that have not ended, the newest last; there is one at least."""

    every: tuple[OwnScoreKeys, ...] = field(repr=False)

    @property
    def newest(self) -> OwnScoreKeys:
        """Those that this party shows."""
        return self.every[-1]

    def pairs(self, second: int) -> Mapping[bytes, PairKey]:
        """The keys for masks that hold at that second, by their public halves."""
        return {keys.pair.public: keys.pair for keys in self.every if keys.word.covers(second)}


def kept_keys(folder: Path, me: PartyId, now: int) -> tuple[OwnScoreKeys, ...]:
    """The keys in `folder` that have not ended, the newest last; none are made.

    Raises: ConfigError (SECRET_INVALID).
    """
    return tuple(keys for keys in _read(folder / _FOLDER / _FILE, me) if keys.word.ends > now)


def own_keys(folder: Path, me: PartyId, now: int) -> OwnKeys:
    """The keys of the party of `folder`, made or renewed where that is due.

    Raises: ConfigError (SECRET_INVALID), which shows nothing of them.
    """
    with folder_locked(_place(folder).parent):
        kept = [keys for keys in _read(_place(folder), me) if keys.word.ends > now]
        if kept and kept[-1].word.ends - now > RENEWED_BEFORE_DAYS * _DAY_S:
            return OwnKeys(tuple(kept))
        return _with_new(folder, me, now, kept)


def renewed_keys(folder: Path, me: PartyId, now: int) -> OwnKeys:
    """As `own_keys`, with new keys in any case. Raises: ConfigError (SECRET_INVALID)."""
    with folder_locked(_place(folder).parent):
        return _with_new(folder, me, now, [keys for keys in _read(_place(folder), me) if keys.word.ends > now])


def _with_new(folder: Path, me: PartyId, now: int, kept: list[OwnScoreKeys]) -> OwnKeys:
    last = kept[-1].word.number if kept else 0
    number, begins = max(now, last + 1), max(0, now - EARLY_S)
    ends, randomness = now + KEY_DAYS * _DAY_S, SystemRandomness()
    score = PrivateKey.generate(me, f"scores-{number}", Validity(begins, ends), randomness)
    pair = PairKey.generate(randomness)
    word = KeyWord(me, number, begins, ends, pair.public, score.public)
    every = [*kept, OwnScoreKeys(word, pair, score)][-_MAX_KEPT:]
    replace_file(_place(folder), _written(every))
    return OwnKeys(tuple(every))


def _place(folder: Path) -> Path:
    place = folder / _FOLDER / _FILE
    place.parent.mkdir(mode=0o700, exist_ok=True)
    return place


def _written(every: list[OwnScoreKeys]) -> bytes:
    rows = [
        {
            "word": keys.word.to_bytes().decode("ascii"),
            "pair": keys.pair.to_bytes().hex(),
            "score": keys.score.to_bytes().hex(),
        }
        for keys in every
    ]
    return json.dumps({"format": _FORMAT, "keys": rows}, indent=1).encode() + b"\n"


def _read(path: Path, me: PartyId) -> list[OwnScoreKeys]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    exposed = path.stat().st_mode & 0o077 or len(data) > _MAX_BYTES
    try:
        if exposed:
            raise ValueError("mode")
        value: Any = json.loads(data)
        if value["format"] != _FORMAT:
            raise ValueError("format")
        return [_one(row, me) for row in value["keys"]]
    except (FedcreditError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        what, fix = "holds no keys for scores that its owner alone can read", "take it away: new ones are made"
        raise ConfigError(Problem("SECRET_INVALID", "keys/scores.json", what, fix)) from None


def _one(row: Mapping[str, str], me: PartyId) -> OwnScoreKeys:
    word = KeyWord.parse(row["word"].encode("ascii"), me)
    pair = PairKey.from_bytes(bytes.fromhex(row["pair"]))
    public: PublicKey | None = word.score
    if word.party != me or word.pair != pair.public or public is None:
        raise ValueError("of another")
    return OwnScoreKeys(word, pair, PrivateKey.from_bytes(bytes.fromhex(row["score"]), public))
