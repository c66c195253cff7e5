"""Whether a department lets a subject's part of a score have, after the policy's rule has let the request in. Pure.

Each row has one outcome. What a bank is told of a row is that some provider refuses it; which and why is in the log of
the provider that does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import IntEnum

from fedcredit.governance.registry.rules import ScoreGrant

__all__ = ["Outcome", "Prior", "ScoreRow", "decide_rows"]


class Outcome(IntEnum):
    """What became of a row; the numbers are those of the store."""

    ANSWERED = 1
    NO_RECORD = 2
    CONSENT = 3  # none, or none that holds: which of its reasons, says the row's `why`
    USED_UP = 4  # the consent has been used as often as it says
    OTHER_LIST = 5  # scored before with other providers: the two totals would show a part
    AGAIN = 6  # scored so short a time ago that the rule does not let it be scored again
    PER_DAY = 7  # the rule lets no more subjects be scored today


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """A subject of a request, by its tag of this department's log; `consent`: its consent's name there, empty for none.

    `known`: whether the table has it. `max_uses`: how often its consent may be used here.
    """

    subject: bytes = field(repr=False)
    consent: bytes = field(repr=False)
    known: bool
    max_uses: int = 0
    why: str = ""

    def why_of(self, outcome: Outcome) -> str:
        """What is kept beside an outcome: which reason, where it is the consent's."""
        return self.why if outcome is Outcome.CONSENT else ""


@dataclass(frozen=True, slots=True)
class Prior:
    """What was answered before. `uses`: how often each consent was used; `today`: subjects of this requester and rule.

    `lists`: under which lists each subject was answered to this requester, of this version; `last`: when, in seconds.
    """

    uses: Mapping[bytes, int] = field(repr=False)
    lists: Mapping[bytes, Set[bytes]] = field(repr=False)
    last: Mapping[bytes, int] = field(repr=False)
    today: int = 0


def decide_rows(rows: Sequence[ScoreRow], bound: bytes, grant: ScoreGrant, prior: Prior, now: int) -> list[Outcome]:
    """The outcome of each row of a request whose list of providers `bound` names.

    A consent that stands in two rows, and what is granted a day, are used up in the order of the rows.
    """
    uses, left = dict(prior.uses), None if grant.per_day is None else grant.per_day - prior.today
    found = []
    for row in rows:
        outcome = _outcome(row, bound, grant, prior, now, uses)
        if outcome is Outcome.ANSWERED and left is not None:
            if left <= 0:
                outcome = Outcome.PER_DAY
            else:
                left -= 1
        if outcome is Outcome.ANSWERED:
            uses[row.consent] = uses.get(row.consent, 0) + 1
        found.append(outcome)
    return found


def _outcome(
    row: ScoreRow, bound: bytes, grant: ScoreGrant, prior: Prior, now: int, uses: Mapping[bytes, int]
) -> Outcome:
    if row.max_uses == 0:
        return Outcome.CONSENT
    if not row.known:
        return Outcome.NO_RECORD
    if prior.lists.get(row.subject, frozenset()) - {bound}:
        return Outcome.OTHER_LIST
    last = prior.last.get(row.subject)
    if grant.again_days and last is not None and now - last < grant.again_days * 86_400:
        return Outcome.AGAIN
    if uses.get(row.consent, 0) >= row.max_uses:
        return Outcome.USED_UP
    return Outcome.ANSWERED
