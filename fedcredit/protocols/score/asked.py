"""How a provider takes a request: whether it is one to answer, and whether subjects and grounds are those of it.

Every kind of score is asked for in the same way, and differs in what is answered. No role of its own. Reveals: nothing.
Assumes: BLAKE3 is collision resistant; a registry that names parties and their keys truly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import Validity
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import PeerError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv
from fedcredit.protocols.score.binding import STEP, chunks, consents_digest, has_repeat, request_hash, subjects_digest
from fedcredit.wire.score import ScoreRequest, ScoreSubjects

__all__ = ["AnswerTerms", "Asked", "BankKey", "take_request"]

U8: TypeAlias = npt.NDArray[np.uint8]


class BankKey(Protocol):
    """Whose a key is and when it holds, whatever it encrypts."""

    @property
    def owner(self) -> str:
        """Its bank."""

    @property
    def validity(self) -> Validity:
        """When it holds."""


class AnswerTerms(Protocol):
    """What a provider goes by, whatever it answers with."""

    @property
    def model(self) -> bytes:
        """The version that this party's part is of."""

    @property
    def bank_keys(self) -> Mapping[bytes, BankKey]:
        """Keys that hold, by fingerprint."""

    @property
    def pair_keys(self) -> Mapping[PartyId, frozenset[bytes]]:
        """Of the bank and of all providers of this version, the keys that hold."""

    @property
    def min_providers(self) -> int:
        """How many have to answer together."""

    @property
    def max_rows(self) -> int:
        """Of one request."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request that is one to answer, unless its nonce is not fresh. Shapes: codes (n, w); consents (n, 32)."""

    request: ScoreRequest
    bound: bytes
    """The hash of the request."""
    codes: U8 = field(repr=False)
    consents: U8 = field(repr=False)
    bank: Member
    providers: tuple[Member, ...]
    place: int
    """Of this party among the providers."""
    own: PairKey = field(repr=False)


def take_request(me: PartyId, requester: PartyId, terms: AnswerTerms, keys: Mapping[bytes, PairKey]) -> Steps[Asked]:
    """Take a request of `requester` with its subjects. `keys`: this party's own, by their public halves.

    Raises: PeerError that names the bank; RefusedError (SCORE_MODEL, SCORE_KEY, SCORE_PROVIDERS, SCORE_ROWS).
    """
    request = yield from recv(requester, ScoreRequest)
    if problems := list(_problems(me, requester, terms, keys, request)):
        raise RefusedError(problems)
    place = request.names().index(me)
    codes, consents = yield from _subjects(requester, request, place)
    providers = tuple(Member(*of) for of in zip(request.names(), _rows(request.pair_keys[1:]), strict=True))
    bank = Member(requester, request.pair_keys[0].tobytes())
    own = keys[providers[place].public]
    return Asked(request, request_hash(request), codes, consents, bank, providers, place, own)


def _problems(
    me: PartyId, requester: PartyId, terms: AnswerTerms, keys: Mapping[bytes, PairKey], request: ScoreRequest
) -> Iterator[Problem]:
    names, pairs = request.names(), _rows(request.pair_keys)
    if request.requester != requester:
        raise PeerError(requester, STEP, "asks in another party's name", "SCORE_REQUESTER")
    if request.model != terms.model:
        yield Problem("SCORE_MODEL", "model", "is another version than this party's part is of")
    key = terms.bank_keys.get(request.key)
    if key is None or key.owner != requester or not key.validity.covers(request.issued_at):
        yield Problem("SCORE_KEY", "key", "is no key of the requester that holds", "publish it, then ask anew")
    if me not in names or len(names) < terms.min_providers:
        what = f"do not name this party, or less than {terms.min_providers}"
        yield Problem("SCORE_PROVIDERS", "providers", what, "name all providers of the model")
    for name, pair in zip((requester, *names), pairs, strict=True):
        known = pair in keys if name == me else pair in terms.pair_keys.get(name, ())
        if not known:
            yield Problem("SCORE_PROVIDERS", f"key of {name}", "is none that holds for a party of this model")
    if request.rows > terms.max_rows:
        yield Problem("SCORE_ROWS", "rows", f"are more than {terms.max_rows}", "ask in several requests")


def _subjects(requester: PartyId, request: ScoreRequest, place: int) -> Steps[tuple[U8, U8]]:
    """All codes and consents of the request, checked against its digests. Shapes: (n, w), (n, 32)."""
    codes: list[U8] = []
    consents: list[U8] = []
    for rows in chunks(request.rows):
        got = yield from recv(requester, ScoreSubjects)
        due = rows.stop - rows.start, (codes or [got.codes])[0].shape[1]
        if got.first != rows.start or got.codes.shape != due:
            raise PeerError(requester, STEP, "sent subjects of other rows than are due", "SHAPE")
        codes.append(got.codes)
        consents.append(got.consents)
    every, grounds = np.concatenate(codes), np.concatenate(consents)
    own = request.consents[place].tobytes()
    if subjects_digest(every) != request.subjects or consents_digest(grounds) != own:
        raise PeerError(requester, STEP, "sent other subjects than the request is for", "SCORE_SUBJECTS")
    if has_repeat(every):
        raise PeerError(requester, STEP, "names a subject twice", "ID_DUPLICATE")
    return every, grounds


def _rows(keys: U8) -> list[bytes]:
    return [key.tobytes() for key in keys]
