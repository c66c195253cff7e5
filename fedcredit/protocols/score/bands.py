"""What both sides of a request for bands go by: the bands, the hash that all is bound to, and which rows go together.

No role of its own. Reveals: nothing. Assumes: BLAKE3 is collision resistant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.lookup import Lookup, cells_for
from fedcredit.crypto.zero_sum import Member, PairKey, ZeroSum
from fedcredit.errors import ConfigError, Problem
from fedcredit.kernels import digest
from fedcredit.protocols.score.binding import ScoreCard, chunks
from fedcredit.wire.score import CHUNK_ROWS, HASH_BYTES
from fedcredit.wire.score_bands import MAX_BANDS, MAX_TABLE_BYTES, ScoreBands

__all__ = [
    "BandTerms",
    "BandedCard",
    "bands_hash",
    "lookup_of",
    "marks_masks",
    "points_masks",
    "steps_of",
    "table_chunks",
    "words_of",
]

I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_MIN_BAND_POINTS: Final = 10


@dataclass(frozen=True, slots=True)
class BandedCard:
    """A card and the bands of its totals: band k is of those from `bounds[k]` up to and without `bounds[k + 1]`.

    The first bound is the least total, the last one more than the most: `of` adds both to the edges between bands.
    Raises: ConfigError SCORE_BANDS.
    """

    card: ScoreCard
    bounds: tuple[int, ...]

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.bounds, self.bounds[1:], strict=False))
        if not 2 <= self.n_bands <= MAX_BANDS or not ascending:
            what = f"do not ascend within the card's totals, or are not 1 to {MAX_BANDS - 1}"
            raise ConfigError(Problem("SCORE_BANDS", "edges of bands", what))
        if (self.bounds[0], self.bounds[-1]) != (self.card.low, self.card.high + 1):
            raise ConfigError(Problem("SCORE_BANDS", "edges of bands", "are of another range than the card's totals"))

    @classmethod
    def of(cls, card: ScoreCard, edges: tuple[int, ...]) -> BandedCard:
        """The card's bands with these least totals of every band but the first."""
        return cls(card, (card.low, *edges, card.high + 1))

    @property
    def n_bands(self) -> int:
        """Number of bands."""
        return len(self.bounds) - 1

    def message(self) -> ScoreBands:
        """As providers get it."""
        return ScoreBands(np.array(self.bounds, np.int64))


@dataclass(frozen=True, slots=True)
class BandTerms:
    """Which bands a provider answers with. `totals`: the least and the most of the version, of all parties together.

    `min_points`: how many totals a band has at least; `max_bands`: how many bands there are at most. A bank can choose
    anew for each subject where, to the point, its bands begin, so these bound what one answer says and not which
    thresholds are asked for: what all answers say together is bounded by how many there are.

    Raises: ConfigError CONFIG_VALUE.
    """

    totals: tuple[int, int]
    min_points: int = _MIN_BAND_POINTS
    max_bands: int = MAX_BANDS

    def __post_init__(self) -> None:
        if self.totals[0] >= self.totals[1] or self.min_points < 1 or not 2 <= self.max_bands <= MAX_BANDS:
            what = f"needs totals in order, bands of a point at least, and from 2 to {MAX_BANDS} of them"
            raise ConfigError(Problem("CONFIG_VALUE", "terms of bands", what))

    def problems(self, bands: ScoreBands) -> list[Problem]:
        """Why these bands are not answered with."""
        bounds, found = bands.bounds, []
        if (int(bounds[0]), int(bounds[-1]) - 1) != self.totals:
            found.append(Problem("SCORE_BANDS", "bands", "are of another range than this version's totals"))
        if bounds.size - 1 > self.max_bands:
            found.append(Problem("SCORE_BANDS", "bands", f"are more than {self.max_bands}", "join some"))
        if np.diff(bounds).min() < self.min_points:
            what = f"have less than {self.min_points} points"
            found.append(Problem("SCORE_BANDS", "bands", what, "make all of them wider"))
        return found


def bands_hash(request: bytes, bands: ScoreBands) -> bytes:
    """32 bytes that no other request, nor the same with other bands, has. `request`: the hash of the request."""
    text = request + struct.pack(f">{bands.bounds.size}q", *bands.bounds.tolist())
    return digest.derive("fedcredit v1 score bands", text, HASH_BYTES)


def lookup_of(bound: bytes, bands: ScoreBands) -> Lookup:
    """The look-up of one request."""
    return Lookup(bound, int(bands.bounds[-1] - bands.bounds[0]))


def steps_of(bands: ScoreBands, cells: int) -> tuple[list[int], int]:
    """Where a table goes up, and its last value."""
    bounds = bands.bounds - bands.bounds[0]
    values = int(bounds[-1])
    # To who looks up past the range, what is there is a band of its own: where it would be the narrowest, it is none.
    wide = cells - values >= int(np.diff(bounds).min())
    return bounds[1:-1].tolist(), values - 1 if wide else cells - 1


def points_masks(providers: tuple[Member, ...], place: int, own: PairKey, bound: bytes) -> ZeroSum:
    """Masks of points, between providers. Raises: BadKey."""
    # Any two providers mask marks with each other too, and by the same streams of words: so under another context.
    return ZeroSum(providers, place, own, digest.derive("fedcredit v1 score band points", bound, HASH_BYTES))


def marks_masks(bank: Member, providers: tuple[Member, ...], place: int, own: PairKey, bound: bytes) -> ZeroSum:
    """Masks of marks, between the bank, which is member 0, and the providers. Raises: BadKey."""
    return ZeroSum([bank, *providers], place, own, bound)


def words_of(masks: ZeroSum, values: U64) -> U64:
    """Values of all rows under masks, as they go by message."""
    return np.concatenate([masks.words(values[rows], rows.start) for rows in chunks(len(values))])


def table_chunks(n: int, bands: ScoreBands) -> Iterator[slice]:
    """The rows of each message of tables, in order."""
    cells = cells_for(int(bands.bounds[-1] - bands.bounds[0]))
    step = min(CHUNK_ROWS, MAX_TABLE_BYTES // cells)
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))
