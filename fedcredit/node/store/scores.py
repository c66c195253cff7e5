"""What a provider of scores has let have: nonces that came, and of each subject of a request what became of it.

A request's nonce, what was answered before, the decision and its rows are one transaction: of two requests about one
consent, the second sees what the first has used up, whatever process answers it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError
from fedcredit.governance.scoring.decisions import Outcome, Prior, ScoreRow
from fedcredit.governance.scoring.ledger import Settled
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database

__all__ = ["NONCE_S", "KeptRequest", "ScoreAnswers", "ScoreUse", "ScoreUsed"]

_requests, _rows = tables.score_requests, tables.score_rows

NONCE_S: Final = 600
"""How long a request may be on its way, by the clocks of both sides; nonces are remembered four times as long."""

_AT_ONCE: Final = 400
"""Values of one `IN`: below what either database takes as parameters of a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreUse:
    """A request as the store knows it. `request`: its hash. `bound`: 16 bytes that name the list of providers.

    Units: `at` and `day` in seconds since 1970, `day` when the day of the policy's zone began; None: nothing depends on
    how many there were today.
    """

    requester: str
    model: str
    version: int
    purpose: str
    nonce: bytes = field(repr=False)
    request: bytes = field(repr=False)
    bound: bytes = field(repr=False)
    at: int
    day: int | None


@dataclass(frozen=True, slots=True)
class ScoreUsed:
    """A row that was kept: who asked for which score of a subject, when, and what became of it."""

    requester: str
    model: str
    version: int
    purpose: str
    at: int
    outcome: Outcome
    why: str
    subject: bytes = field(repr=False)
    consent: bytes = field(repr=False)
    bound: bytes = field(repr=False)

    @property
    def settled(self) -> Settled:
        """The row as the log's hash of it takes it."""
        return self.subject, self.consent, self.outcome, self.why


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A request of which there are rows, and how many. `at`, `bound`: those of its first row, by number."""

    request: bytes = field(repr=False)
    bound: bytes = field(repr=False)
    at: int
    rows: int


class ScoreAnswers:
    """Requests and their rows. Every write is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._forgotten = 0

    def settle(
        self, use: ScoreUse, rows: Sequence[ScoreRow], decide: Callable[[Prior], Sequence[Outcome]]
    ) -> Sequence[Outcome]:
        """Decide on a request's rows by what was answered before, and keep both; durable when it returns.

        Raises: RefusedError (SCORE_REPLAYED) for a nonce of this requester that came before: nothing is kept then.
        """
        self._forget(use.at)
        with self._database.writing() as connection:
            said = {"requester": use.requester, "nonce": use.nonce, "received": use.at, "request": use.request}
            try:
                connection.execute(_NEW_REQUEST, said)
            except sa.exc.IntegrityError:
                what = "was answered before"
                problem = Problem("SCORE_REPLAYED", "request", what, "ask anew, with a fresh nonce")
                raise RefusedError(problem) from None
            outcomes = decide(_prior(connection, use, rows))
            connection.execute(_NEW_ROWS, list(_written(use, rows, outcomes)))
            failpoints.hit("store.scores.written", use.requester)
        failpoints.hit("store.scores.committed", use.requester)
        return outcomes

    def _forget(self, now: int) -> None:
        """Drop nonces of requests that are refused for their age alone, now and then."""
        if self._forgotten <= now < self._forgotten + NONCE_S:
            return
        with self._database.writing() as connection:
            connection.execute(_requests.delete().where(_requests.c.received < now - 4 * NONCE_S))
        self._forgotten = now

    def about(self, subject: bytes) -> list[ScoreUsed]:
        """All that was asked for about a subject, by its tag, in the order of time."""
        return self._used(_rows.c.subject == subject)

    def between(self, since: int, until: int) -> list[ScoreUsed]:
        """All that was asked for from one second to another, the last left out, in the order of time."""
        return self._used((_rows.c.at >= since) & (_rows.c.at < until))

    def of(self, request: bytes) -> list[ScoreUsed]:
        """The rows of a request, by its hash, in their order."""
        return self._used(_rows.c.request == request)

    def answered(self, requester: str, model: str, since: int) -> int:
        """How many scores of a model were answered to a requester since a second."""
        mine = (_rows.c.requester == requester) & (_rows.c.model == model) & (_rows.c.at >= since)
        counted = sa.select(sa.func.count()).where(mine & (_rows.c.outcome == Outcome.ANSWERED.value))
        with self._database.reading() as connection:
            return int(connection.execute(counted).scalar() or 0)

    def requests(self) -> list[KeptRequest]:
        """All requests that there are rows of, in the order of time."""
        least = sa.select(_rows.c.request, sa.func.min(_rows.c.row).label("row"), sa.func.count().label("n"))
        first = least.group_by(_rows.c.request).subquery()
        same = (_rows.c.request == first.c.request) & (_rows.c.row == first.c.row)
        columns = _rows.c.request, _rows.c.bound, _rows.c.at, first.c.n
        wanted = sa.select(*columns).join(first, same).order_by(_rows.c.at, _rows.c.request)
        with self._database.reading() as connection:
            rows = connection.execute(wanted)
            return [KeptRequest(bytes(row.request), bytes(row.bound), row.at, row.n) for row in rows]

    def remembered(self) -> set[bytes]:
        """The hashes of requests so new that their nonces are remembered."""
        with self._database.reading() as connection:
            return {bytes(row.request) for row in connection.execute(sa.select(_requests.c.request))}

    def _used(self, which: sa.ColumnElement[bool]) -> list[ScoreUsed]:
        wanted = _rows.select().where(which).order_by(_rows.c.at, _rows.c.request, _rows.c.row)
        with self._database.reading() as connection:
            return [
                ScoreUsed(
                    row.requester,
                    row.model,
                    row.version,
                    row.purpose,
                    row.at,
                    Outcome(row.outcome),
                    row.why,
                    bytes(row.subject),
                    bytes(row.consent),
                    bytes(row.bound),
                )
                for row in connection.execute(wanted)
            ]


_ANSWERED = _rows.c.outcome == Outcome.ANSWERED.value
_SOME: sa.BindParameter[list[bytes]] = sa.bindparam("some", expanding=True)
_MINE = _ANSWERED & (_rows.c.requester == sa.bindparam("requester")) & (_rows.c.model == sa.bindparam("model"))

# Made once: to put a statement together takes Python longer than the database to answer it.
_USES = (
    sa.select(_rows.c.consent, sa.func.count()).where(_rows.c.consent.in_(_SOME) & _ANSWERED).group_by(_rows.c.consent)
)
_LISTS = (
    sa.select(_rows.c.subject, _rows.c.bound, sa.func.max(_rows.c.at))
    .where(_rows.c.subject.in_(_SOME) & _MINE & (_rows.c.version == sa.bindparam("version")))
    .group_by(_rows.c.subject, _rows.c.bound)
)
_TODAY = sa.select(sa.func.count()).where(_MINE & (_rows.c.at >= sa.bindparam("day")))
_NEW_REQUEST, _NEW_ROWS = _requests.insert(), _rows.insert()


def _prior(connection: sa.Connection, use: ScoreUse, rows: Sequence[ScoreRow]) -> Prior:
    uses: dict[bytes, int] = {}
    for some in _some([row.consent for row in rows if row.consent]):
        uses |= {bytes(consent): number for consent, number in connection.execute(_USES, {"some": some})}
    lists: defaultdict[bytes, set[bytes]] = defaultdict(set)
    last: dict[bytes, int] = {}
    mine = {"requester": use.requester, "model": use.model}
    for some in _some([row.subject for row in rows]):
        for subject, bound, at in connection.execute(_LISTS, {**mine, "version": use.version, "some": some}):
            lists[bytes(subject)].add(bytes(bound))
            last[bytes(subject)] = max(at, last.get(bytes(subject), 0))
    if use.day is None:
        return Prior(uses, lists, last)
    return Prior(uses, lists, last, int(connection.execute(_TODAY, {**mine, "day": use.day}).scalar() or 0))


def _some(values: Sequence[bytes]) -> Iterator[list[bytes]]:
    every = sorted(set(values))
    for first in range(0, len(every), _AT_ONCE):
        yield every[first : first + _AT_ONCE]


def _written(use: ScoreUse, rows: Sequence[ScoreRow], outcomes: Sequence[Outcome]) -> Iterator[dict[str, object]]:
    same = {"request": use.request, "requester": use.requester, "model": use.model, "version": use.version}
    same |= {"purpose": use.purpose, "bound": use.bound, "at": use.at}
    for number, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
        subject = {"row": number, "subject": row.subject, "consent": row.consent}
        yield {**same, **subject, "outcome": outcome.value, "why": row.why_of(outcome)}
