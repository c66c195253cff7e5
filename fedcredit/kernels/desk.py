"""Rulings on questions of verification without a network, and consent tokens as the data plane reads them.

The same code decides when a bank asks over the network; here it can be asked from Python, for trials and tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit.kernels.index import Refusals

__all__ = [
    "NO_CONSENT",
    "RECORD_BYTES",
    "BatchRuling",
    "Bounds",
    "Caller",
    "ConsentReader",
    "Desk",
    "Key",
    "Question",
    "Ruling",
    "Told",
    "ToldScope",
]

Value: TypeAlias = float | str | tuple[str, ...]

Told: TypeAlias = tuple[int, str, str, int, int, int, str, bytes]
"""Of a token: the place of its scope; subject, jti, issued at, not before, expires, by whom, disclosure's SHA-256."""

ToldScope: TypeAlias = tuple[
    str, tuple[str, ...], bytes, str, str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...], int
]
"""Issuer, providers, authority's SHA-256, requester, purpose, region, items, predicates, models, most uses."""

RECORD_BYTES: Final = 72
"""Bytes of a ruling in the log: `native/serve/src/ruling.rs` has the form."""

NO_CONSENT: Final = 2**32 - 1
"""In a batch: a check without a consent."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `authority`: SHA-256 of the DER of the authority that vouches for its certificate."""

    party: str
    authority: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about one subject."""

    subject: str = field(repr=False)
    predicate: str
    purpose: str
    arguments: Mapping[str, Value] = field(default_factory=dict)
    consent: str = field(default="", repr=False)
    subject_name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What came of a question, and what of it is recorded. `outcome`: yes, no, unknown, refused.

    Units: days since 1970-01-01; 0: no record has a day.
    """

    outcome: str
    reason: str
    recorded_on: int
    evaluated_on: int
    subject: bytes
    consent: bytes | None
    question: bytes
    item: str
    predicate: str
    purpose: str
    rule: str
    record: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BatchRuling:
    """What came of m checks: outcomes (1 yes, 2 no, 3 unknown, 4 refused), record days, and records for the log.

    Shapes: (m,); `records` has RECORD_BYTES a check. Units: days since 1970-01-01; `seconds` is wall clock.
    """

    outcomes: npt.NDArray[np.uint8]
    recorded_on: npt.NDArray[np.uint32]
    records: bytes = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many consents' uses, budgets and quotas are remembered; at a bound, questions are refused."""

    uses: int = 1 << 23
    budgets: int = 1 << 22
    quotas: int = 1 << 16


class Desk:
    """Rules on questions by a snapshot, which is JSON as docs/verification-index.md has it.

    `log_key`: 32 secret bytes, under which subjects are recorded.
    """

    def __init__(self, log_key: bytes, snapshot: str, bounds: Bounds = Bounds()) -> None:
        """Raises: DataError with all problems (SNAPSHOT_*, INDEX_*, PROGRAM_*); ValueError."""
        with Refusals():
            self._desk = _native.ServingDesk(log_key, snapshot, (bounds.uses, bounds.budgets, bounds.quotas))

    def reload(self, snapshot: str) -> None:
        """Rule by another snapshot from now on; after an error the one of before counts. Raises: as for the first."""
        with Refusals():
            self._desk.reload(snapshot)

    def subject_tag(self, subject: str) -> bytes:
        """What stands for a subject in the log: 16 bytes."""
        return self._desk.subject_tag(subject)

    def held(self) -> Bounds:
        """How many uses, budgets and quotas are remembered now."""
        return Bounds(*self._desk.held())

    def rule(self, caller: Caller, question: Question, now_ms: int) -> Ruling:
        """The ruling on one question. Units: `now_ms` is milliseconds since 1970. Raises: ValueError."""
        found = self._desk.rule(
            caller.party,
            caller.authority,
            question.subject,
            question.subject_name,
            question.predicate,
            _arguments(question.arguments),
            question.purpose,
            question.consent,
            now_ms,
        )
        return Ruling(**found)

    def rule_batch(
        self,
        caller: Caller,
        purpose: str,
        *,
        consents: Sequence[str],
        kinds: Sequence[tuple[str, Mapping[str, Value]]],
        checks: Sequence[tuple[str, int, int]],
        now_ms: int,
        repeat: int = 1,
    ) -> BatchRuling:
        """The rulings on checks: each a subject, and the places of its kind and its consent. Raises: ValueError.

        `repeat`: rules so many times and says how long one took; for measurements.
        """
        given = [(predicate, _arguments(arguments)) for predicate, arguments in kinds]
        found = self._desk.rule_batch(
            caller.party, caller.authority, purpose, list(consents), given, list(checks), now_ms, repeat
        )
        return BatchRuling(*found)

    def replay(self, at_s: int, requester: str, records: bytes) -> None:
        """Take rulings of the past into account, in their order. Units: seconds since 1970. Raises: ValueError."""
        self._desk.replay(at_s, requester, records)

    def race(
        self, threads: int, caller: Caller, question: Question, several: Sequence[Mapping[str, Value]], now_ms: int
    ) -> list[tuple[str, str]]:
        """Ask from so many threads at once, with one of `several` arguments each: outcomes and reasons. For tests."""
        return self._desk.race(
            threads,
            caller.party,
            caller.authority,
            question.subject,
            question.predicate,
            [_arguments(arguments) for arguments in several],
            question.purpose,
            question.consent,
            now_ms,
        )


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that consents are signed with: an authority's, by its party, or a subject's own."""

    public_key: bytes
    authority: str | None = None
    subject: str | None = None


class ConsentReader:
    """Reads consent tokens as the data plane does."""

    def __init__(self, issuers: Iterable[Key]) -> None:
        """Raises: ValueError where a key is none."""
        self._reader = _native.ConsentReader([(key.public_key, key.authority, key.subject) for key in issuers])

    def read(self, token: str) -> tuple[str | None, tuple[bytes, str, int] | None]:
        """Why a token is not believed; or its id, its subject and how often it may be used."""
        return self._reader.read(token)

    def read_many(self, tokens: Sequence[str]) -> tuple[list[str | Told], list[ToldScope]]:
        """Of each token why it is not believed, or what it says; and the scopes that these have. None is kept.

        On all cores; releases the GIL. Raises: UnicodeEncodeError for a text that is none.
        """
        return self._reader.read_many(list(tokens))

    def decide(
        self,
        token: str,
        *,
        provider: str,
        region: str,
        caller: Caller,
        purpose: str,
        subject: str,
        predicate: str,
        items: Sequence[str],
        personal: bool,
        now_s: int,
        revocations: tuple[int, int],
        revoked: Sequence[bytes],
    ) -> str | None:
        """Why a token does not allow a question, apart from how often it was used; None if it does.

        `revocations`: as of when the list is, and how old it may be. Units: seconds since 1970, seconds.
        """
        return self._reader.decide(
            token,
            provider,
            region,
            caller.party,
            caller.authority,
            purpose,
            subject,
            predicate,
            list(items),
            personal,
            now_s,
            revocations,
            list(revoked),
        )


def _arguments(given: Mapping[str, Value]) -> list[tuple[str, float | str | list[str]]]:
    return [(name, list(value) if isinstance(value, tuple) else value) for name, value in given.items()]
