"""Who owns splits of trees: of vectors under the bank's key it keeps the leaves that its splits lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_chain import BadPassage, Conditions, Passage, PublicKey, Vectors
from fedcredit.crypto.rlwe_checks import BadCiphertext
from fedcredit.crypto.sealed import Seal
from fedcredit.crypto.zero_sum import PairKey, ZeroSum
from fedcredit.errors import ConfigError, PeerError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.score.asked import Asked, take_request
from fedcredit.protocols.score.binding import STEP
from fedcredit.protocols.score.provider import ScoreAnswered
from fedcredit.protocols.score.trees import PLACE, most_rows, seal_between
from fedcredit.wire.score import ScoreRequest
from fedcredit.wire.score_trees import MAX_ROWS, TreesPart, TreesVector

__all__ = ["TreesProvider", "TreesTerms"]

Bools: TypeAlias = npt.NDArray[np.bool_]
U8: TypeAlias = npt.NDArray[np.uint8]

SidesOf: TypeAlias = Callable[[ScoreRequest, U8, U8], tuple[Bools, Bools]]
"""Of a request, codes (n, w) and consents (n, 32): for each own split which rows go left, (splits, n), and which rows
are released by consent and policy, (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class TreesTerms:
    """What a provider goes by while it answers; its caller makes them anew when keys or versions change.

    `model`: the version that its part is of; `splits`: how many it has in that; `conditions`: what the bank told of its
    slots (`TreesMap`). `after`: which providers may be asked after this one; None for any that are of the version. The
    rest as in `ScoreTerms`.

    Raises: ConfigError CONFIG_VALUE; RefusedError SCORE_MAP for conditions on splits that it has not.
    """

    model: bytes
    splits: int
    conditions: Conditions = field(repr=False)
    bank_keys: Mapping[bytes, PublicKey] = field(repr=False)
    pair_keys: Mapping[PartyId, frozenset[bytes]] = field(repr=False)
    min_providers: int = 2
    max_rows: int = MAX_ROWS
    after: frozenset[PartyId] | None = None

    def __post_init__(self) -> None:
        if self.min_providers < 1 or not 1 <= self.max_rows <= MAX_ROWS or self.splits < 0:
            what = f"needs one provider and from 1 to {MAX_ROWS} rows at least"
            raise ConfigError(Problem("CONFIG_VALUE", "terms of scores", what))
        if (self.conditions.bit >= self.splits).any():
            what = f"has conditions on other splits than the {self.splits} that are this party's"
            raise RefusedError(Problem("SCORE_MAP", "map of slots", what, "publish the version anew"))


@dataclass(frozen=True, slots=True, eq=False)
class TreesProvider:
    """Answers one request of `requester`. `keys`: this party's own pair keys, by their public halves.

    Reveals: to this party, whom the bank wants to score, on which consent, with which model and which other providers;
    no weight, no score, nothing of another's splits, and not whether others answer. To the bank, which subjects some
    provider refuses, and if this party is the last one, of each subject the sum of the weights that the bank gave to
    the leaves that all providers keep. **To the bank in league with who comes after this party, which slots this one
    and those before it keep, of every subject.** With itself as the only provider the bank has one number that follows
    from this party's splits alone. To others, sizes.
    Assumes: ring-LWE; that no provider after this one is in league with the bank (`TreesTerms.after`); a registry that
    names providers and their keys truly. Of the bank nothing, but what `answer` lets it have: weights are its own to
    choose, and with each answer it has one number of at most 40 bits of a subject's leaves.
    Raises: PeerError that names the bank, or who sealed what does not open or is no ciphertext; RefusedError
    (SCORE_MODEL, SCORE_KEY, SCORE_PROVIDERS, SCORE_ORDER, SCORE_ROWS, SCORE_REPLAYED, SCORE_PASSAGE); whatever `answer`
    raises.
    """

    me: PartyId
    requester: PartyId
    terms: TreesTerms
    keys: Mapping[bytes, PairKey] = field(repr=False)

    def steps(
        self, fresh: Callable[[ScoreRequest], bool], answer: SidesOf, randomness: Randomness
    ) -> Steps[ScoreAnswered]:
        """Take a request, and answer it if it is one to answer; `fresh` as in `ScoreProvider.steps`.

        Everything is taken, opened and checked before `fresh` and `answer` are asked.
        """
        asked = yield from take_request(self.me, self.requester, self.terms, self.keys)
        request, key = asked.request, self.terms.bank_keys[asked.request.key]
        passage = self._passage(key, asked)
        try:
            before = seal_between(asked.bank, asked.providers, asked.place, asked.own, asked.bound)
            _, after = seal_between(asked.bank, asked.providers, asked.place + 1, asked.own, asked.bound)
            masks = ZeroSum([asked.bank, *asked.providers], asked.place + 1, asked.own, asked.bound)
        except BadKey as bad:
            raise bad.of_peer(self.requester, STEP) from None
        vectors = yield from self._vectors(asked, passage, *before)
        if not fresh(request):
            what = "was answered before, or made too long ago"
            raise RefusedError(Problem("SCORE_REPLAYED", "request", what, "ask anew, with a fresh nonce"))
        sides, released = answer(request, asked.codes, asked.consents)
        self._check(sides, released, request.rows)
        bits = np.ascontiguousarray(sides.T).astype(np.uint8)
        kept = key.keep(vectors, self.terms.conditions, bits, released, randomness)
        # Drawn for every row, so that time does not tell how many are refused.
        marks = masks.words(randomness.words(released.size) * ~released, 0)
        sealed = np.frombuffer(after.seal(PLACE, kept), np.uint8)
        yield from send(self.requester, TreesPart(asked.bound, sealed, marks))
        return ScoreAnswered(asked.bound, request.rows, int(released.sum()))

    def _passage(self, key: PublicKey, asked: Asked) -> Passage:
        try:
            passage = Passage(key.parameters, len(asked.providers), len(self.terms.conditions))
        except BadPassage as bad:
            raise RefusedError(bad.problems) from None
        after, later = self.terms.after, [member.name for member in asked.providers[asked.place + 1 :]]
        if after is not None and not after.issuperset(map(PartyId, later)):
            what = "come after this party, who has not said of all of them that they may"
            raise RefusedError(Problem("SCORE_ORDER", "providers", what, "ask this party later, or last"))
        if asked.request.rows > (most := most_rows(passage)):
            raise RefusedError(Problem("SCORE_ROWS", "rows", f"are more than {most}", "ask in several requests"))
        return passage

    def _vectors(self, asked: Asked, passage: Passage, sender: str, seal: Seal) -> Steps[Vectors]:
        """What who was before left of all rows, opened and checked."""
        got = yield from recv(self.requester, TreesVector)
        if got.request != asked.bound:
            raise PeerError(self.requester, STEP, "sent vectors of another request", "SCORE_OTHER_REQUEST")
        content = seal.open(PLACE, got.sealed.data, STEP)
        try:
            return passage.read(asked.place, asked.request.rows, content)
        except BadCiphertext as bad:
            raise bad.of_peer(sender, STEP) from None

    def _check(self, sides: Bools, released: Bools, n: int) -> None:
        due = (self.terms.splits, n)
        if sides.dtype != np.bool_ or sides.shape != due or released.dtype != np.bool_ or released.shape != (n,):
            raise ValueError(f"scores: sides {sides.shape} {sides.dtype}, released {released.shape} of {due}")
