"""Sums over members in one process, without masks: stands in for `estimators.sums.Sums` where masks are not the matter.

`together` runs the same work at every member at once. A member that fails does not leave the others waiting: they get
PeerLost, as they would from the driver.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, FedcreditError, PeerLost, Problem
from fedcredit.estimators.federation import Federation
from fedcredit.ids import PartyId
from fedcredit.transport.memory import MemoryNetwork

__all__ = ["Board", "PlainSums", "federations", "outcomes", "parties", "together"]

T = TypeVar("T")
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class Board:
    """Where members lay down their vectors; the total is handed out when all have. `totals`: all that was learned."""

    def __init__(self, members: tuple[PartyId, ...]) -> None:
        self.members = members
        self.totals: dict[str, U64] = {}
        self._laid: dict[str, dict[PartyId, U64]] = {}
        self._due: dict[str, asyncio.Future[U64]] = {}
        self._left: set[PartyId] = set()

    async def total(self, me: PartyId, label: str, values: U64) -> U64:
        """The sum of all members' vectors mod 2^64. Raises: PeerLost if another member ended before it came here."""
        laid = self._laid.setdefault(label, {})
        if me in laid:
            raise FedcreditError(f"the label {label} served before")
        laid[me] = values
        due = self._due.setdefault(label, asyncio.get_running_loop().create_future())
        if len({v.shape for v in laid.values()}) > 1:
            raise FedcreditError(f"vectors of different lengths under {label}")
        if len(laid) == len(self.members):
            total = np.sum(np.stack(list(laid.values())), axis=0, dtype=np.uint64)
            self.totals[label] = total
            due.set_result(total)
        elif self._left - laid.keys():
            self._fail(label, due)
        return (await due).copy()

    def leave(self, me: PartyId) -> None:
        """`me` comes to no further sum."""
        self._left.add(me)
        for label, due in self._due.items():
            if me not in self._laid[label]:
                self._fail(label, due)

    def _fail(self, label: str, due: asyncio.Future[U64]) -> None:
        if not due.done():
            culprit = next(iter(sorted(self._left - self._laid[label].keys())))
            due.set_exception(PeerLost(culprit, label, "ended before this sum"))


@dataclass
class PlainSums:
    """The methods of `Sums`. `labels`: the calls of this member, in order."""

    federation: Federation
    board: Board
    name: str = "sums"
    noise: None = None
    labels: list[str] = field(default_factory=list)

    @property
    def members(self) -> tuple[PartyId, ...]:
        return self.board.members

    @property
    def leader(self) -> PartyId:
        return self.board.members[0]

    @property
    def me(self) -> PartyId:
        return self.federation.me

    async def words(self, label: str, values: U64) -> U64:
        """The total mod 2^64."""
        self.labels.append(label)
        flat = np.ascontiguousarray(values, np.uint64).ravel()
        return (await self.board.total(self.me, f"{self.name}/{label}", flat)).reshape(np.shape(values))

    async def integers(self, label: str, values: I64, *, bound: int) -> I64:
        """The exact total. Raises: DataError SUM_RANGE."""
        values = np.asarray(values)
        assert values.dtype == np.int64, "integers are int64"
        largest = max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
        if not (largest * len(self.members) < bound <= 1 << 62):
            raise DataError(Problem("SUM_RANGE", label, "a value is too large for the bound of the sum"))
        return (await self.words(label, values.view(np.uint64))).view(np.int64)

    async def reals(self, label: str, values: F64, *, bound: float) -> F64:
        """The total, to about `bound` * 2^-61. Raises: DataError SUM_RANGE."""
        values = np.asarray(values)
        assert values.dtype == np.float64, "reals are float64"
        if not (math.isfinite(bound) and bound > 0 and np.isfinite(values).all() and (np.abs(values) <= bound).all()):
            raise DataError(Problem("SUM_RANGE", label, "a value is too large for the bound of the sum"))
        scale = 61 - math.frexp(bound)[1]
        fixed = np.rint(np.ldexp(values, scale)).astype(np.int64)
        total = (await self.words(label, fixed.view(np.uint64))).view(np.int64)
        return np.ldexp(total.astype(np.float64), -scale)


def parties(n: int) -> tuple[PartyId, ...]:
    """Names of n members, the leader first."""
    return tuple(PartyId(f"city-{k}") for k in range(n))


def federations(n: int, **more: Any) -> list[Federation]:
    """The same consortium as each of its n members sees it, over links in memory."""
    members = parties(n)
    network = MemoryNetwork(members, insecure_in_process=True)
    return [
        Federation(
            me=me,
            label_party=members[0],
            feature_parties=members[1:],
            transport=network.transport(me),
            ssid=b"s" * 32,
            deadline_s=60,
            kept_secret=me.encode().ljust(32, b"."),
            **more,
        )
        for me in members
    ]


def outcomes(n: int, work: Callable[[PlainSums, int], Awaitable[T]], board: Board | None = None) -> list[Any]:
    """What `work(sums, k)` gave or raised at each of n members, all of which run at once."""
    made = board or Board(parties(n))

    async def member(federation: Federation, k: int) -> T:
        try:
            return await work(PlainSums(federation, made), k)
        finally:
            made.leave(federation.me)

    async def everybody() -> list[Any]:
        each = (member(federation, k) for k, federation in enumerate(federations(n)))
        return await asyncio.gather(*each, return_exceptions=True)

    return asyncio.run(everybody())


def together(n: int, work: Callable[[PlainSums, int], Awaitable[T]], board: Board | None = None) -> list[T]:
    """The results of all members; raises what the first to fail of its own accord raised."""
    found = outcomes(n, work, board)
    raised = [one for one in found if isinstance(one, BaseException)]
    if raised:
        raise next((one for one in raised if not isinstance(one, PeerLost)), raised[0])
    return found
