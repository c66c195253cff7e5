"""Sums over members that have the same columns of different subjects: what horizontal models are made of.

Reveals: to every member, every sum that is asked for, and of another member's numbers nothing else; of two members each
has the other's. **A sum with and a sum without a member tell what that member gave.** Assumes: `protocols.aggregate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.estimators.federation import Federation
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import Group, agree, total

__all__ = ["LEAST_MEMBERS", "MAX_TOTAL", "Sums"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]

LEAST_MEMBERS: Final = 3
MAX_TOTAL: Final = 1 << 62
_FRACTION_BITS: Final = 61


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """One member's end of all sums of one model. Every member makes the same calls in the same order.

        sums = await Sums.begin(federation, "logistic.0/sums")
        rows = await sums.integers("rows", np.array([len(label)]), bound=1 << 40)

    A `label` serves once; `name/label` names the stage that sums it.
    """

    federation: Federation
    name: str
    group: Group = field(repr=False)

    @classmethod
    async def begin(cls, federation: Federation, name: str, *, two_parties_accepted: bool = False) -> Sums:
        """Agree on keys with all other members, in the stage `name/keys`.

        Raises: ConfigError AGGREGATE_TOO_FEW for two members, unless every party said that it accepts that
        (`two_parties_accepted`) or what is summed has noise; PeerLost, PeerError.
        """
        refuse_too_few(federation.members, accepted=two_parties_accepted)
        steps = agree(federation.me, federation.members, federation.session(name), federation.randomness)
        others = tuple(member for member in federation.members if member != federation.me)
        return cls(federation, name, await federation.run(f"{name}/keys", steps, peers=others))

    @property
    def me(self) -> PartyId:
        """This member."""
        return self.federation.me

    @property
    def members(self) -> tuple[PartyId, ...]:
        """Whose numbers are in the sums, the leader first."""
        return self.group.members

    @property
    def leader(self) -> PartyId:
        """Who adds up."""
        return self.group.leader

    async def words(self, label: str, values: U64) -> U64:
        """The sum modulo 2^64. Shapes: values of any shape, the same at all members; returns that.

        Raises: FedcreditError LABEL_REUSED; PeerLost, PeerError.
        """
        flat = np.ascontiguousarray(values).reshape(-1)
        summed = await self.federation.run(f"{self.name}/{label}", total(self.group, label, flat))
        return summed.reshape(values.shape)

    async def integers(self, label: str, values: I64, *, bound: int) -> I64:
        """The exact sum. Shapes: as `words`.

        Range: what each member has, times the number of members, is less than `bound`, at most 2^62; else DataError
        SUM_RANGE, before anything is sent. Raises: as `words`.
        """
        if values.dtype != np.int64 or not 0 < bound <= MAX_TOTAL:
            raise ValueError(f"sum {label}: {values.dtype} with a bound of {bound}")
        largest = max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
        if largest * len(self.members) >= bound:
            raise _out_of_range(
                label, f"a number is not below {bound} in size, shared among {len(self.members)} members"
            )
        return (await self.words(label, values.view(np.uint64))).view(np.int64)

    async def reals(self, label: str, values: F64, *, bound: float) -> F64:
        """The sum in fixed point. Shapes: as `words`.

        Range: every number is finite and at most `bound` in size; else DataError SUM_RANGE, before anything is sent.
        Units: each member's number is rounded to a multiple of 2^-k, the sum is then exact; k is the largest such that
        the bound times the number of members stays within 2^61 of these. So the sum is off by at most members^2 x
        `bound` x 2^-61, and by its own rounding to a float. Raises: as `words`.
        """
        if values.dtype != np.float64 or not (0 < bound < math.inf):
            raise ValueError(f"sum {label}: {values.dtype} with a bound of {bound}")
        if values.size and not (np.isfinite(values).all() and np.abs(values).max() <= bound):
            raise _out_of_range(label, "a number is not finite, or larger than the bound of this sum")
        bits = _FRACTION_BITS - math.frexp(len(self.members) * bound)[1]
        fixed = np.rint(np.ldexp(values, bits)).astype(np.int64)
        summed = (await self.words(label, fixed.view(np.uint64))).view(np.int64)
        return np.ldexp(summed.astype(np.float64), -bits)


def refuse_too_few(members: tuple[PartyId, ...], *, accepted: bool) -> None:
    """Check that a sum hides what each member gave. Raises: ConfigError AGGREGATE_TOO_FEW."""
    if len(members) < LEAST_MEMBERS and not accepted:
        what = f"{len(members)} members: the sum less one's own is the other's"
        fix = f"have {LEAST_MEMBERS} at least, or noise, or the word of every party that it accepts this"
        raise ConfigError(Problem("AGGREGATE_TOO_FEW", "members", what, fix))


def _out_of_range(label: str, what: str) -> DataError:
    return DataError(Problem("SUM_RANGE", f"sum {label}", what, "look for outliers, or let the bound be larger"))
