"""Who takes part in one start of a job: all its parties, or all but those that were left out because they stayed away.

Only parties that add up with others can be missed (`[aggregate] threshold`). The first that is there leads: it adds up,
and writes the figures.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from fedcredit.errors import FedcreditError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.node.specification import JobSpecification

__all__ = ["NOBODY", "Present", "goes_on_without", "left_out_bytes", "left_out_of"]

NOBODY: frozenset[PartyId] = frozenset()


@dataclass(frozen=True, slots=True)
class Present:
    """The parties of one start: who leads, and the others in the order of the job."""

    leader: PartyId
    others: tuple[PartyId, ...]
    members: tuple[PartyId, ...]
    """Those whose values are added up, the leader first."""

    @classmethod
    def of(cls, specification: JobSpecification, left_out: Collection[PartyId] = NOBODY) -> Present:
        """All parties of the job but `left_out`. Raises: FedcreditError (LEFT_OUT_INVALID) unless that may be."""
        members = tuple(party for party in specification.members if party not in left_out)
        features = specification.feature_parties
        if set(left_out) - set(specification.members) or (left_out and len(members) < specification.threshold):
            what = "are not parties that this job can go on without"
            raise FedcreditError(Problem("LEFT_OUT_INVALID", f"job {specification.id}: parties left out", what))
        return cls(members[0], (*members[1:], *features), members)

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """All of them, the leader first."""
        return (self.leader, *self.others)


def left_out_bytes(left_out: Collection[PartyId]) -> bytes:
    """Parties as they travel and are kept."""
    return json.dumps(sorted(left_out), separators=(",", ":")).encode()


def left_out_of(data: bytes) -> frozenset[PartyId]:
    """What `left_out_bytes` wrote. Raises: FedcreditError (LEFT_OUT_INVALID), ConfigError for what is no name."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FedcreditError(Problem("LEFT_OUT_INVALID", "parties left out", "are not a list of names"))
    return frozenset(party_id(name) for name in value)


def goes_on_without(specification: JobSpecification, data: bytes, me: PartyId) -> frozenset[PartyId]:
    """Whom the job goes on without, by the word in `data`: as many are left as the signed job asks for, and `me` is one
    of them. Raises: FedcreditError (LEFT_OUT_INVALID)."""
    left_out = left_out_of(data)
    if me not in Present.of(specification, left_out).parties:
        what = "leaves out the party that it is sent to"
        raise FedcreditError(Problem("LEFT_OUT_INVALID", f"job {specification.id}", what))
    return left_out
