"""Whom a job waits for: parties say which live peer keeps each of them waiting, here that is followed to its source.

bank waits for tax, registry waits for bank: the job waits for tax. Two that wait for each other are both named: it is
the line between them that is slow, or both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from fedcredit.wire.control import JobEvent

__all__ = ["Holdup", "Holdups"]


@dataclass(frozen=True, slots=True)
class Holdup:
    """`waiting` wait for `peer`, the longest of them for `seconds`, at `stage`."""

    peer: str
    stage: str
    seconds: int
    waiting: tuple[str, ...]


class Holdups:
    """Who keeps whom waiting among `parties`, from their events in order. No I/O."""

    def __init__(self, parties: Collection[str]) -> None:
        self._parties = frozenset(parties)
        self._slow: dict[str, dict[str, JobEvent]] = {}

    def take(self, event: JobEvent) -> bool:
        """Take in an event; whether it changes anything. What is said of strangers does not count."""
        said = self._slow.setdefault(event.party, {})
        if event.kind == "slow" and event.culprit in self._parties - {event.party}:
            said[event.culprit] = event
            return True
        if event.kind == "caught_up":
            return said.pop(event.culprit, None) is not None
        if event.kind == "state" and said:
            said.clear()  # it waits otherwise now, or has started anew
            return True
        return False

    def found(self) -> list[Holdup]:
        """Whom the job waits for, by name. None of them waits for anybody else, but for one that waits for it."""
        sources: dict[str, set[str]] = {}
        for waiting in self._slow:
            for source in self._sources(waiting):
                sources.setdefault(source, set()).add(waiting)
        return [self._holdup(peer, waiting - {peer}) for peer, waiting in sorted(sources.items())]

    def _sources(self, waiting: str) -> Iterator[str]:
        reached = self._reached(waiting)
        for party in reached:
            # A source is reached back by everybody that it waits for itself.
            if all(party in self._reached(other) for other in self._reached(party)):
                yield party

    def _reached(self, waiting: str) -> set[str]:
        found: set[str] = set()
        ahead = [waiting]
        while ahead:
            new = set(self._slow.get(ahead.pop(), ())) - found
            found |= new
            ahead += new
        return found

    def _holdup(self, peer: str, waiting: set[str]) -> Holdup:
        longest = max(
            (said[peer] for said in self._slow.values() if peer in said), key=lambda event: (event.done, event.stage)
        )
        return Holdup(peer, longest.stage, longest.done, tuple(sorted(waiting)))
