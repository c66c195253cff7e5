"""Who has a part of the card: encrypts its points under the bank's key, each row under masks that cancel in the sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import PublicKey
from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.zero_sum import PairKey, ZeroSum
from fedcredit.errors import ConfigError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, send
from fedcredit.protocols.score.asked import take_request
from fedcredit.protocols.score.binding import STEP, chunks
from fedcredit.wire.score import MAX_SUBJECTS, ScorePart, ScoreRequest

__all__ = ["Answer", "ScoreAnswered", "ScoreProvider", "ScoreTerms", "check_answer"]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

Answer: TypeAlias = Callable[[ScoreRequest, U8, U8], tuple[I64, Bools]]
"""Of a request, codes (n, w) and consents (n, 32): points (n,), and which rows are released by consent and policy."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTerms:
    """What a provider goes by while it answers; its caller makes them anew when keys or versions change.

    `model`: the version that this party's part is of. `points`: the least and the most that its part can give.
    `bank_keys`: keys that hold, by fingerprint. `pair_keys`: of the bank and of all providers of this version, the keys
    that hold: nobody else can be named in a request. `min_providers`: how many have to answer together, this one among
    them; with 1 a bank may ask for this party's points alone.

    Raises: ConfigError CONFIG_VALUE.
    """

    model: bytes
    points: tuple[int, int]
    bank_keys: Mapping[bytes, PublicKey] = field(repr=False)
    pair_keys: Mapping[PartyId, frozenset[bytes]] = field(repr=False)
    min_providers: int = 2
    max_rows: int = MAX_SUBJECTS

    def __post_init__(self) -> None:
        if self.min_providers < 1 or not 1 <= self.max_rows <= MAX_SUBJECTS or self.points[0] > self.points[1]:
            what = f"needs one provider and from 1 to {MAX_SUBJECTS} rows at least, and points in order"
            raise ConfigError(Problem("CONFIG_VALUE", "terms of scores", what))


@dataclass(frozen=True, slots=True)
class ScoreAnswered:
    """What was answered, for the audit log: the request's hash, its rows, and how many of them were released."""

    request: bytes = field(repr=False)
    rows: int
    released: int


@dataclass(frozen=True, slots=True, eq=False)
class ScoreProvider:
    """Answers one request of `requester`. `keys`: this party's own pair keys, by their public halves.

    Reveals: to this party, whom the bank wants to score, on which consent, with which model and which other providers;
    no total, no part of another, and not whether others answer. To the bank, its points in the sum of all providers'
    points, and that some provider refuses a row. With itself as the only provider, its points; also if all other
    providers tell the bank their masks. To others, sizes.
    Assumes: decisional Diffie-Hellman; of masks, what `crypto.zero_sum` does: one other provider at least that does not
    tell; a registry that names providers and their keys truly. Of the bank nothing, but what `answer` lets it have: it
    has to refuse a subject whose score was asked for with another list of providers, or else both totals show a part.
    Raises: PeerError that names the bank; RefusedError (SCORE_MODEL, SCORE_KEY, SCORE_PROVIDERS, SCORE_ROWS,
    SCORE_REPLAYED); whatever `answer` raises. Nothing is sent then.
    """

    me: PartyId
    requester: PartyId
    terms: ScoreTerms
    keys: Mapping[bytes, PairKey] = field(repr=False)

    def steps(
        self, fresh: Callable[[ScoreRequest], bool], answer: Answer, randomness: Randomness
    ) -> Steps[ScoreAnswered]:
        """Take a request, and answer it if it is one to answer.

        `fresh` says whether the nonce was never seen before, and remembers it, durably; it also refuses a request that
        was made too long ago to be remembered.
        """
        asked = yield from take_request(self.me, self.requester, self.terms, self.keys)
        request, bound, place = asked.request, asked.bound, asked.place
        try:
            points_mask = ZeroSum(asked.providers, place, asked.own, bound)
            marks_mask = ZeroSum([asked.bank, *asked.providers], place + 1, asked.own, bound)
        except BadKey as bad:
            raise bad.of_peer(self.requester, STEP) from None
        if not fresh(request):
            what = "was answered before, or made too long ago"
            raise RefusedError(Problem("SCORE_REPLAYED", "request", what, "ask anew, with a fresh nonce"))
        points, released = answer(request, asked.codes, asked.consents)
        check_answer(points, released, request.rows, self.terms.points)
        key = self.terms.bank_keys[request.key]
        for rows in chunks(request.rows):
            refused, first = ~released[rows], rows.start
            # Drawn for every row, so that time does not tell how many are refused.
            noise = randomness.array(refused.size, 64) * refused[:, None]
            marks = randomness.words(refused.size) * refused
            shown = np.where(refused, 0, points[rows])
            ciphertexts = key.encrypt(points_mask.scalars(shown, first, noise), randomness)
            yield from send(self.requester, ScorePart(bound, first, ciphertexts, marks_mask.words(marks, first)))
        return ScoreAnswered(bound, request.rows, int(released.sum()))


def check_answer(points: I64, released: Bools, n: int, part: tuple[int, int]) -> None:
    """Raise ValueError unless an `Answer` is one: points of `n` rows, in the part's range where they are released."""
    if points.dtype != np.int64 or points.shape != (n,) or released.dtype != np.bool_ or released.shape != (n,):
        raise ValueError(f"scores: points {points.shape} {points.dtype}, released {released.shape} of {n} rows")
    low, high = part
    if (released & ((points < low) | (points > high))).any():
        raise ValueError("scores: points are outside of the range of this party's part")
