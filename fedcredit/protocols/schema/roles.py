"""The leader tells its columns, each member says in which ones it differs, and all learn who does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.schema import ColumnsCompared, ColumnShape, ColumnsVerdict, Differences, SharedColumns

__all__ = ["Compared", "SchemaLeader", "SchemaMember"]

_SAID = {
    "lacking": "lacks {}",
    "further": "has {} besides",
    "kind": "has {} of another kind",
    "levels": "has other levels of {}",
    "special": "has other special values of {}",
}
_SHOWN = 20
"""Names that an error lists; more are counted."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What all members know in the end: the leader's columns, and in what each other member differs, by its name."""

    columns: tuple[ColumnShape, ...]
    differing: Mapping[str, Differences]

    def agreed(self) -> tuple[ColumnShape, ...]:
        """The columns that all have, in the leader's order.

        Asked once everybody has heard: who ended within the steps would end them for who has not.
        Raises: DataError COLUMNS_DIFFER, one problem a member that differs.
        """
        fix = (
            "state the same columns, kinds, levels and special values in the job's tables at all members, or drop some"
        )
        problems = [
            Problem(
                "COLUMNS_DIFFER",
                member,
                "; ".join(_SAID[way].format(_listed(names)) for way, names in ways.items()),
                fix,
            )
            for member, ways in self.differing.items()
        ]
        if problems:
            raise DataError(problems)
        return self.columns


@dataclass(frozen=True, slots=True)
class SchemaLeader:
    """Tells its columns to the other members.

    Reveals: to every member, names, kinds, levels and special values of its columns, and in which ones others differ.
    Assumes: authenticated links.
    """

    others: tuple[PartyId, ...]
    columns: Sequence[ColumnShape] = field(repr=False)

    def steps(self) -> Steps[Compared]:
        """Tell, hear, and tell what was heard."""
        told = SharedColumns.of(self.columns)
        for member in self.others:
            yield from send(member, told)
        found: dict[str, Differences] = {}
        for member in self.others:
            compared = yield from recv(member, ColumnsCompared)
            if differences := compared.differences():
                found[member] = differences
        verdict = ColumnsVerdict.of(found)
        for member in self.others:
            yield from send(member, verdict)
        return Compared(tuple(self.columns), found)


@dataclass(frozen=True, slots=True)
class SchemaMember:
    """Compares its columns with the leader's.

    Reveals: to all members, the names of its columns that differ, and how.
    Assumes: an authenticated link.
    """

    leader: PartyId
    columns: Sequence[ColumnShape] = field(repr=False)

    def steps(self) -> Steps[Compared]:
        """Hear, compare, and hear of all. Raises: PeerError CONFLICT of a leader that does not tell of a difference."""
        theirs = (yield from recv(self.leader, SharedColumns)).columns()
        own = differences_of({column.name: column for column in self.columns}, theirs)
        yield from send(self.leader, ColumnsCompared.of(own))
        found = (yield from recv(self.leader, ColumnsVerdict)).members()
        if own and not found:
            raise PeerError(self.leader, "schema", "says that columns are the same which are not", "CONFLICT")
        return Compared(theirs, found)


def differences_of(mine: Mapping[str, ColumnShape], theirs: Sequence[ColumnShape]) -> Differences:
    """By way, the names of columns in which `mine` differ from the leader's."""
    names = {column.name for column in theirs}
    common = [(mine[column.name], column) for column in theirs if column.name in mine]
    same_kind = [(a, b) for a, b in common if a.kind == b.kind]
    ways = {
        "lacking": tuple(column.name for column in theirs if column.name not in mine),
        "further": tuple(name for name in mine if name not in names),
        "kind": tuple(a.name for a, b in common if a.kind != b.kind),
        "levels": tuple(a.name for a, b in same_kind if a.levels != b.levels),
        "special": tuple(a.name for a, b in same_kind if sorted(a.special) != sorted(b.special)),
    }
    return {way: found for way, found in ways.items() if found}


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
