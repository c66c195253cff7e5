"""Sums over members that have the same columns of different subjects: what horizontal models are made of.

Reveals: to every member, every sum that is asked for, and of another member's numbers nothing else; of two members each
has the other's. **A sum with and a sum without a member tell what that member gave.** Assumes: `protocols.aggregate`.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import ConfigError, DataError, FedcreditError, Problem
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.noised_sums import Noise
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import Group, Round, SurvivingSum, agree, refuse_repeat, refuse_threshold, total

__all__ = ["LEAST_MEMBERS", "MAX_TOTAL", "Sums"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]

LEAST_MEMBERS: Final = 3
MAX_TOTAL: Final = 1 << 62
_FRACTION_BITS: Final = 61


class Sums:
    """One member's end of all sums of one model. Every member makes the same calls in the same order.

        sums = await Sums.begin(federation, "logistic.0/sums")
        rows = await sums.integers("rows", np.array([len(label)]), bound=1 << 40)

    A `label` serves once; `name/label` names the stage that sums it. With `noise` every sum needs a `sensitivity`, how
    far one row of this member can move its values in the Euclidean norm, and is noised at every member (`noised_sums`).
    """

    def __init__(
        self, federation: Federation, name: str, group: Group | None, threshold: int, noise: Noise | None = None
    ) -> None:
        """Made by `begin`."""
        self.federation, self.name, self.noise = federation, name, noise
        self._group, self._threshold = group, threshold
        self._members = federation.members
        self._used: set[str] = set()

    @classmethod
    async def begin(
        cls,
        federation: Federation,
        name: str,
        *,
        threshold: int | None = None,
        two_parties_accepted: bool = False,
        noise: Noise | None = None,
    ) -> Sums:
        """Begin. Without a `threshold` every sum needs all members, who agree on keys in the stage `name/keys`.

        With one, a sum is over the members that are left, as long as these are so many; who is lost in one sum is left
        out of the next ones (`members`). It must not take part in them again.
        Raises: ConfigError AGGREGATE_TOO_FEW for two members, unless every party said that it accepts that
        (`two_parties_accepted`) or what is summed has noise; ConfigError AGGREGATE_THRESHOLD; PeerLost, PeerError.
        """
        members = federation.members
        refuse_too_few(members, accepted=two_parties_accepted or noise is not None)
        if threshold is not None and threshold != len(members):
            refuse_threshold(threshold, len(members))
            return cls(federation, name, None, threshold, noise)
        steps = agree(federation.me, members, federation.session(name), federation.randomness)
        group = await federation.run(f"{name}/keys", steps, peers=_others(federation, members))
        return cls(federation, name, group, len(members), noise)

    @classmethod
    def unused(cls, federation: Federation, name: str, noise: Noise | None = None) -> Sums:
        """Sums of a model all of whose stages are kept: it has no keys, and adds nothing up."""
        return cls(federation, name, None, len(federation.members) + 1, noise)

    @property
    def me(self) -> PartyId:
        """This member."""
        return self.federation.me

    @property
    def members(self) -> tuple[PartyId, ...]:
        """Whose numbers were in the last sum, the leader first; before the first one, all."""
        return self._members

    @property
    def leader(self) -> PartyId:
        """Who adds up."""
        return self._members[0]

    @property
    def group(self) -> Group:
        """For roles that sum inside themselves. Raises: FedcreditError where sums go on without who is lost, or have
        noise, which such roles add none of."""
        if self._group is None or self.noise is not None:
            raise FedcreditError(f"{self.name}: sums that survive losses, or have noise, lend nobody their keys")
        return self._group

    async def words(self, label: str, values: U64, *, sensitivity: float | None = None) -> U64:
        """The sum modulo 2^64. Shapes: values of any shape, the same at all members; returns that.

        Raises: FedcreditError LABEL_REUSED; PeerLost, PeerError. With a threshold, PeerLost when too few are left
        (`TooFewLeft`), when the leader is, and where the leader went on without this member (`LeftOut`). With noise,
        before anything is sent, FedcreditError SUM_SENSITIVITY without one, PRIVACY_PLAN beyond what is planned.
        """
        flat, stage = np.ascontiguousarray(values).reshape(-1), f"{self.name}/{label}"
        if self.noise is not None:
            flat = await asyncio.to_thread(self.noise.added, label, flat, sensitivity)
        if self._group is not None:
            return (await self.federation.run(stage, total(self._group, label, flat))).reshape(values.shape)
        refuse_repeat(self._used, label)
        session = self.federation.session(self.name)
        this = Round(self.me, self._members, session, label, self._threshold, flat.size)
        steps = SurvivingSum(this, flat).steps(self.federation.randomness)
        others = _others(self.federation, self._members)
        survived = await self.federation.run(stage, steps, peers=others, survives=True)
        self._members = survived.members
        return survived.words.reshape(values.shape)

    async def integers(self, label: str, values: I64, *, bound: int, sensitivity: float | None = None) -> I64:
        """The exact sum, but for noise. Shapes: as `words`.

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
        return (await self.words(label, values.view(np.uint64), sensitivity=sensitivity)).view(np.int64)

    async def reals(self, label: str, values: F64, *, bound: float, sensitivity: float | None = None) -> F64:
        """The sum in fixed point. Shapes: as `words`.

        Range: every number is finite and at most `bound` in size; else DataError SUM_RANGE, before anything is sent.
        Units: each member's number is rounded to a multiple of 2^-k, the sum is then exact; k is the largest such that
        the bound times the number of members stays within 2^61 of these. So the sum is off by at most members^2 x
        `bound` x 2^-61, and by its own rounding to a float. With noise k is smaller, but what is rounded stays far
        below the noise. Raises: as `words`.
        """
        if values.dtype != np.float64 or not (0 < bound < math.inf):
            raise ValueError(f"sum {label}: {values.dtype} with a bound of {bound}")
        if values.size and not (np.isfinite(values).all() and np.abs(values).max() <= bound):
            raise _out_of_range(label, "a number is not finite, or larger than the bound of this sum")
        bits = _FRACTION_BITS - math.frexp(len(self.members) * bound)[1]
        if self.noise is not None and sensitivity:
            bits = min(bits, self.noise.fraction_bits(label, sensitivity))
            # Rounding may move each number by one unit more than the row did.
            sensitivity = math.ldexp(sensitivity, bits) + math.sqrt(values.size)
        fixed = np.rint(np.ldexp(values, bits)).astype(np.int64)
        summed = (await self.words(label, fixed.view(np.uint64), sensitivity=sensitivity)).view(np.int64)
        return np.ldexp(summed.astype(np.float64), -bits)


def refuse_too_few(members: tuple[PartyId, ...], *, accepted: bool) -> None:
    """Check that a sum hides what each member gave. Raises: ConfigError AGGREGATE_TOO_FEW."""
    if len(members) < LEAST_MEMBERS and not accepted:
        what = f"{len(members)} members: the sum less one's own is the other's"
        fix = f"have {LEAST_MEMBERS} at least, or noise, or the word of every party that it accepts this"
        raise ConfigError(Problem("AGGREGATE_TOO_FEW", "members", what, fix))


def _others(federation: Federation, members: tuple[PartyId, ...]) -> tuple[PartyId, ...]:
    return tuple(member for member in members if member != federation.me)


def _out_of_range(label: str, what: str) -> DataError:
    return DataError(Problem("SUM_RANGE", f"sum {label}", what, "look for outliers, or let the bound be larger"))
