"""That all members of a horizontal job have the same columns, before any of them is summed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.estimators.federation import Federation
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.schema import Compared, SchemaLeader, SchemaMember
from fedcredit.tables import Column
from fedcredit.wire.schema import ColumnShape

__all__ = ["Schema", "agree_schema"]


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns that all members have, in the leader's order."""

    columns: tuple[ColumnShape, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self.columns)

    def ordered(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """This member's columns in the order that all members have them in."""
        return {name: columns[name] for name in self.names}


async def agree_schema(federation: Federation, columns: Mapping[str, Column], name: str) -> Schema:
    """The columns of all members, in the leader's order, when all have the same.

    Reveals: to all members, names, kinds, levels and special values of the leader's columns, and of the others' the
    names of columns that differ, and how.
    Raises: DataError COLUMNS_DIFFER, one problem a member that differs, the same at all; PeerLost; PeerError.
    """
    own = [ColumnShape(c.name, c.kind, c.levels, c.special) for c in columns.values()]
    others = tuple(member for member in federation.members if member != federation.me)
    steps: Steps[Compared]
    if federation.is_label_party:
        steps, peers = SchemaLeader(others, own).steps(), others
    else:
        leader = federation.label_party
        steps, peers = SchemaMember(leader, own).steps(), (leader,)
    return Schema((await federation.run(name, steps, peers=peers)).agreed())
