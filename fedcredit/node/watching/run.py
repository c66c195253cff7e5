"""A month's scores of all borrowers: who was scored this month is not asked for again, whatever ended the run before.

Consents that cannot hold are told apart here, before anybody is asked: a provider hears of no subject in vain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from fedcredit.errors import DataError, FedcreditError, Problem
from fedcredit.governance.consent.refusal import ConsentRefused
from fedcredit.governance.consent.token import Envelope
from fedcredit.node.scoring.client import NotScored, Score, Wanted
from fedcredit.node.scoring.version import OwnVersion
from fedcredit.node.watching.state import LEFT, SCORED, Batch, Watched, WatchState, before
from fedcredit.tables.identifiers import subject_id

__all__ = ["Round", "Scorer", "why_not"]

Scorer: TypeAlias = Callable[[Sequence[Wanted]], Awaitable[Sequence[Score | NotScored]]]
"""Scores of some subjects, in one request."""

NO_CONSENT: Final = "no consent"
CONSENT_ENDED: Final = "consent ended"
CONSENT_OTHER: Final = "consent for something else"
CONSENT_UNREADABLE: Final = "consent unreadable"

_HASH: Final = 16


def why_not(token: str, *, subject: str, me: str, model: str, purpose: str, now: int) -> str:
    """Why a consent cannot be one to this score, by its own words; empty where it may be. Providers see the rest."""
    if not token:
        return NO_CONSENT
    try:
        said = Envelope.read(token).claims()
    except ConsentRefused:
        return CONSENT_UNREADABLE
    scope = said.scope
    if said.expires <= now:
        return CONSENT_ENDED
    if said.subject != subject or (scope.requester, scope.purpose) != (me, purpose) or model not in scope.models:
        return CONSENT_OTHER
    return ""


@dataclass(slots=True, kw_only=True)
class Round:
    """One month's work. `me`: the bank; `now`: in seconds since 1970; `batch`: subjects of one request.

    `again`: ask anew for those who were refused this month, whatever their consents.
    """

    state: WatchState
    version: OwnVersion
    me: str
    month: str
    now: int
    batch: int
    again: bool = False

    def due(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Those of whom this month has no score, and no refusal of the same consent.

        Raises: DataError (ID_*, with every row; WATCH_STATE).
        """
        wanted = list(_checked(wanted))
        known = self.state.rows(self.month)
        return [one for one in wanted if self._is_due(one, known.get(one.subject))]

    async def work(self, wanted: Sequence[Wanted], score: Scorer, told: Callable[[int], None]) -> FedcreditError | None:
        """Have all of `wanted` scored that are due, each request kept as soon as it is answered.

        `told` hears how many there are so far. Returns what ended it, if something did; what was kept counts.
        Raises: DataError (ID_*, WATCH_STATE), ConfigError.
        """
        due, done = self.due(wanted), 0
        ask = list[Wanted]()
        known = list[Watched]()
        for one in due:
            if why := self._why_not(one):
                known.append(Watched(subject=one.subject, outcome=why, consent=_mark(one)))
            else:
                ask.append(one)
        self._keep(known)
        # One request after the other: what is under way when a run dies is used up in vain.
        for start in range(0, len(ask), self.batch):
            part = ask[start : start + self.batch]
            try:
                found = await score(part)
            except FedcreditError as error:
                return error
            self._keep([_watched(one, what) for one, what in zip(part, found, strict=True)])
            done += len(part)
            told(done)
        self._keep(list(self._left({one.subject for one in _checked(wanted)})))
        return None

    def _is_due(self, one: Wanted, known: tuple[Watched, Batch] | None) -> bool:
        if known is None or known[0].outcome == LEFT:
            return True
        row, _ = known
        return not row.scored and (self.again or row.consent != _mark(one))

    def _why_not(self, one: Wanted) -> str:
        offer = self.version.offer
        return why_not(
            one.consent, subject=one.subject, me=self.me, model=offer.name, purpose=offer.purpose, now=self.now
        )

    def _left(self, here: set[str]) -> Iterator[Watched]:
        """Who is watched no more. Who was scored this month before it was taken off, is so from next month on."""
        last: dict[str, Watched] = {}
        for _, rows in before(self.state, self.month):
            last |= {subject: row for subject, (row, _) in rows.items()}
        here = here | self.state.rows(self.month).keys()
        for subject, row in last.items():
            if subject not in here and row.outcome != LEFT:
                yield Watched(subject=subject, outcome=LEFT)

    def _keep(self, rows: Sequence[Watched]) -> None:
        if rows:
            version, cutoffs = self.version, self.version.bands.cutoffs
            name, at = version.offer.name, self.now
            batch = Batch(model=name, version=version.number, cutoffs=cutoffs, at=at, rows=tuple(rows))
            self.state.add(self.month, batch)


def _checked(wanted: Sequence[Wanted]) -> Iterator[Wanted]:
    """The same with codes in their one form. Raises: DataError with every row that has none, or has one twice."""
    problems, seen, found = [], dict[str, int](), []
    for row, one in enumerate(wanted, 1):
        try:
            subject = bytes(subject_id(one.subject)).decode("ascii")
        except DataError as error:
            problems.append(Problem(error.code, f"subject {row}", error.problems[0].what, error.problems[0].fix))
            continue
        if subject in seen:
            problems.append(Problem("ID_DUPLICATE", f"subject {row}", f"is that of row {seen[subject]}, too"))
        seen.setdefault(subject, row)
        found.append(Wanted(subject, one.consent))
    if problems:
        raise DataError(problems[:20])
    yield from found


def _watched(one: Wanted, found: Score | NotScored) -> Watched:
    if not isinstance(found, Score):
        return Watched(subject=one.subject, outcome=found, consent=_mark(one))
    return Watched(
        subject=one.subject,
        outcome=SCORED,
        consent=_mark(one),
        points=found.points,
        probability=None if found.probability is None else float(found.probability),
        band=found.band,
        reasons=found.reasons,
    )


def _mark(one: Wanted) -> str:
    return hashlib.sha256(one.consent.encode()).hexdigest()[:_HASH] if one.consent else ""
