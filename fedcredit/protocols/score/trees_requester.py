"""The bank's side of scores of trees: it encrypts weights of leaves, carries what providers made, opens the sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_chain import Passage, SecretKey
from fedcredit.crypto.rlwe_checks import BadCiphertext
from fedcredit.crypto.zero_sum import Member, PairKey, ZeroSum
from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.score.asking import ask, check_subjects, request_of
from fedcredit.protocols.score.binding import STEP, request_hash
from fedcredit.protocols.score.trees import PLACE, TreesModel, most_rows, seal_between
from fedcredit.wire.score import NONCE_BYTES
from fedcredit.wire.score_trees import MAX_ROWS, TreesPart, TreesVector

__all__ = ["TreesAsked", "TreesRequester", "TreesScores"]

Bools: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class TreesAsked:
    """Of whom scores are wanted, on which grounds, and on which side of the bank's own splits each falls.

    Shapes: codes (n, w), padded with zeros, w to 32; consents (k, n, 32), for each provider the hash of the consent
    that each subject gave for it; sides (own splits, n), true for left, in the order of `LeafMap.cuts`.
    Units: issued_at in seconds since 1970. Range: n from 1 to 1,024, and to `TreesRequester.most_rows`.
    Raises: DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE); ValueError for other shapes.
    """

    purpose: str
    issued_at: int
    codes: U8 = field(repr=False)
    consents: U8 = field(repr=False)
    sides: Bools = field(repr=False)

    def __post_init__(self) -> None:
        check_subjects(self.codes, self.consents)
        n = len(self.codes)
        if n > MAX_ROWS:
            raise DataError(Problem("SET_SIZE", "subjects", f"{n} of them", f"ask for {MAX_ROWS} at once at most"))
        if self.sides.dtype != np.bool_ or self.sides.ndim != 2 or self.sides.shape[1] != n:
            raise ValueError(f"scores: sides of {n} subjects are {self.sides.shape} {self.sides.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class TreesScores:
    """What came of a request. Shapes: (n,) each, in the order asked for. Units: log-odds.

    `scored`: whether every provider answered for the subject. If not, there is no score of it, and it is 0.
    """

    request: bytes
    """The hash of the request: what parts, audit entries and this have in common."""
    raw: F64 = field(repr=False)
    scored: Bools = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class TreesRequester:
    """Learns the score of each subject for which all `providers` answer; they are asked one after the other.

    Reveals: to this party, of each subject the sum of the weights of the slots that all providers keep, or that some
    provider refuses the subject, not which one nor why. To the providers, whom this party wants to score, on which
    consent, with which model and which other providers. To who carries the messages, what they hold but for scores,
    vectors and refusals.
    **Weights are this party's to choose**: other ones than the model's tell it something else of the subject's leaves,
    one number an answer; so does the same subject over two lists of providers (`docs/protocols/score_trees.md`).
    Assumes: ring-LWE; semi-honest providers as to what they keep: one that lies moves scores within the model's range
    unseen; of masks, what `crypto.zero_sum` does; authenticated links, or parts signed by who made them.
    Raises: PeerError (SHAPE, SCORE_OTHER_REQUEST, SEAL_INVALID, CIPHERTEXT_INVALID) that names who sent what is wrong;
    SCORE_OUT_OF_RANGE, which names all providers, since a sum does not tell whose part is wrong; BadPassage; DataError
    SET_SIZE for more subjects than `most_rows`; BadKey for a provider's key that is none.
    """

    me: PartyId
    model: TreesModel
    providers: tuple[Member, ...]
    key: SecretKey = field(repr=False)
    pair: PairKey = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.providers) != len(self.model.leaves.conditions):
            raise ValueError("scores: other providers than the model's")

    def steps(self, asked: TreesAsked, randomness: Randomness) -> Steps[TreesScores]:
        """Ask, carry, open. Nothing is returned unless every row is either scored or refused."""
        model, providers, n = self.model, self.providers, len(asked.codes)
        passage = Passage(self.key.public.parameters, len(providers), len(model.leaves))
        if n > (most := most_rows(passage)):
            raise DataError(Problem("SET_SIZE", "subjects", f"{n} of them", f"ask for {most} at once at most"))
        bank = Member(self.me, self.pair.public)
        request = request_of(
            bank,
            providers,
            asked.codes,
            asked.consents,
            purpose=asked.purpose,
            issued_at=asked.issued_at,
            model=model.model,
            key=self.key.public.fingerprint,
            nonce=randomness.bytes(NONCE_BYTES),
        )
        bound = request_hash(request)
        # Keys are looked at before anybody is asked.
        masks = ZeroSum([bank, *providers], 0, self.pair, bound)
        _, first = seal_between(bank, providers, 0, self.pair, bound)
        _, last = seal_between(bank, providers, len(providers), self.pair, bound)
        weights, own = model.leaves.weights(asked.sides, model.scale)
        sealed = np.frombuffer(first.seal(PLACE, self.key.encrypt(passage, weights, randomness)), np.uint8)
        marks = masks.words(np.zeros(n, np.uint64), 0)
        for place, provider in enumerate(providers):
            name = PartyId(provider.name)
            yield from ask(name, request, asked.codes, asked.consents[place])
            yield from send(name, TreesVector(bound, sealed))
            part = yield from _part(name, bound, n)
            sealed = part.sealed
            marks += part.marks
        scored = marks == 0
        sums = self._opened(passage, last.open(PLACE, sealed.data, STEP), scored)
        return TreesScores(bound, np.where(scored, model.initial + own + sums / model.scale, 0), scored)

    @property
    def most_rows(self) -> int:
        """Subjects of one request. Raises: BadPassage."""
        leaves = self.model.leaves
        return most_rows(Passage(self.key.public.parameters, len(self.providers), len(leaves)))

    def _opened(self, passage: Passage, content: bytes, answered: Bools) -> I64:
        """The sums of some rows. Shapes: (n,)."""
        try:
            sums, sound = self.key.open(passage, answered.size, content)
        except BadCiphertext as bad:
            raise bad.of_peer(self.providers[-1].name, STEP) from None
        if (answered & (~sound | (np.abs(sums) > self.model.most))).any():
            everybody = ", ".join(provider.name for provider in self.providers)
            what = "a score is outside of the model's range: one part at least is not of this request, row and model"
            raise PeerError(everybody, STEP, what, "SCORE_OUT_OF_RANGE")
        return sums


def _part(provider: PartyId, bound: bytes, rows: int) -> Steps[TreesPart]:
    part = yield from recv(provider, TreesPart)
    if part.request != bound:
        raise PeerError(provider, STEP, "sent a part for another request", "SCORE_OTHER_REQUEST")
    if part.marks.size != rows:
        raise PeerError(provider, STEP, "sent a part of other rows than are due", "SHAPE")
    return part
