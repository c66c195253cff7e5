"""What both sides of a request go by: the card's range, and the hashes that everything is bound to.

The hash of a request is the context of all masks. So parts that were made for requests that differ in a byte, be it to
whom else they go, add up to nothing: a bank cannot show one provider other subjects than another.

No role of its own. Reveals: nothing. Assumes: BLAKE3 is collision resistant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import MAX_VALUES, PointTable
from fedcredit.crypto.elgamal_checks import BadRange
from fedcredit.kernels import digest
from fedcredit.wire.score import CHUNK_ROWS, HASH_BYTES, ScoreRequest

__all__ = ["STEP", "ScoreCard", "chunks", "consents_digest", "has_repeat", "request_hash", "subjects_digest"]

U8: TypeAlias = npt.NDArray[np.uint8]

STEP: Final = "score"
"""How errors name this protocol."""

_REPEAT_KEY: Final = bytes(32)
_REPEAT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """A version of a model, as the bank knows it: whole points that add up, and between which bounds.

    `low`, `high`: the least and the most total that the card can give, base points included, at most 2^16 values;
    `own_low`, `own_high`: the same of the bank's own part with the base points. `model`: 32 bytes, the version's hash.

    Raises: BadRange (SCORE_RANGE); ValueError for a hash of another length.
    """

    model: bytes
    low: int
    high: int
    own_low: int
    own_high: int

    def __post_init__(self) -> None:
        if len(self.model) != HASH_BYTES:
            raise ValueError(f"ScoreCard: a model of {len(self.model)} bytes, not {HASH_BYTES}")
        least, most = self.others
        for low, high in ((self.low, self.high), (self.own_low, self.own_high), (least, most)):
            if low > high or high - low >= MAX_VALUES:
                raise BadRange(low, high, MAX_VALUES)

    @property
    def others(self) -> tuple[int, int]:
        """The least and the most that all providers' parts can add up to."""
        return self.low - self.own_low, self.high - self.own_high

    def table(self) -> PointTable:
        """Where sums of the providers' parts are looked up: to be kept as long as the card."""
        return PointTable(*self.others)


def request_hash(request: ScoreRequest) -> bytes:
    """32 bytes that no other request has. Lengths keep two requests from having one text."""
    parts = (
        request.requester.encode(),
        request.purpose.encode(),
        request.model,
        request.key,
        request.nonce,
        struct.pack(">QQ", request.issued_at, request.rows),
        request.providers.encode(),
        request.pair_keys.tobytes(),
        request.subjects,
        request.consents.tobytes(),
    )
    text = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return digest.derive("fedcredit v1 score request", text, HASH_BYTES)


def subjects_digest(codes: U8) -> bytes:
    """32 bytes that no other list of codes has. Shapes: codes (n, w)."""
    text = struct.pack(">II", *codes.shape) + codes.tobytes()
    return digest.derive("fedcredit v1 score subjects", text, HASH_BYTES)


def consents_digest(consents: U8) -> bytes:
    """32 bytes that no other list of consents' hashes has. Shapes: consents (n, 32)."""
    return digest.derive("fedcredit v1 score consents", consents.tobytes(), HASH_BYTES)


def chunks(n: int) -> Iterator[slice]:
    """The rows of each message, in order: the same at all parties, since masks go by them."""
    for first in range(0, n, CHUNK_ROWS):
        yield slice(first, min(first + CHUNK_ROWS, n))


def has_repeat(codes: U8) -> bool:
    """Whether a subject is there twice."""
    if len(codes) == 1:
        return False
    return digest.find_repeat(digest.keyed(_REPEAT_KEY, codes, _REPEAT_BYTES)) is not None
