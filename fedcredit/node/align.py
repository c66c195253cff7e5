"""The align stage: which rows of this party's table all parties hold, in one order that all share.

Small tables are aligned in one piece. Large ones go bucket by bucket (`protocols.intersect.buckets`), each a stage
`align/bucket.K` of its own that the store keeps, and `align` then releases what all of them found. Their items lie in a
file (`node.dealt`), so that memory holds those of one bucket, and eight bytes or so for every row that was found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.ids import PartyId
from fedcredit.kernels import identifiers
from fedcredit.node.dealt import DealtItems
from fedcredit.node.specification import JobSpecification
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.intersect import (
    Alignment,
    IntersectHolder,
    IntersectReceiver,
    Lent,
    Mode,
    Sieved,
    SizeHolder,
    SizeReceiver,
)
from fedcredit.protocols.intersect.alignment import ITEM_BYTES
from fedcredit.protocols.intersect.buckets import bucket_count, fill_up
from fedcredit.protocols.intersect.choice import UNBALANCED
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.runtime.sessions import session_id
from fedcredit.runtime.state import StageRunner, StageState
from fedcredit.transport.channel import Transport

__all__ = ["Aligned", "Aligner", "BucketKept", "Counted"]

T = TypeVar("T")

I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
Ids: TypeAlias = npt.NDArray[np.bytes_]
U8: TypeAlias = npt.NDArray[np.uint8]

_NONE: I32 = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Aligned(StageState):
    """Row numbers of the common subjects in this party's file, in the order that all parties share; empty where
    only the receiver learns it."""

    schema = "aligned/1"
    rows: I64


@dataclass(frozen=True, slots=True)
class Counted(StageState):
    """How many subjects are common; 0 where only the receiver learns it."""

    schema = "counted/1"
    common: int


@dataclass(frozen=True, slots=True)
class BucketKept(StageState):
    """What one bucket leaves for the release: at the receiver its common rows, at a holder all its rows; and how the
    two speak of them, by the seeds of their tags, one layer a holder (at a holder: its own), or by places of a list. A
    holder that learns nothing keeps nothing.

    Shapes: rows (m,) row numbers of the file; seeds (holders, m, 16), no layer where only the receiver learns or there
    is a list. With a list of `listed` items: places (m,) at the receiver; at the holder rows are those at its places,
    -1 where the bucket was filled up. What earlier versions kept has numbers of 64 bits.
    """

    schema = "align-bucket/2"
    rows: I32
    seeds: U8
    places: I32
    listed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligner:
    """The align stage of one start of a job at party `me`; `progress` hears of finished buckets, and what does not fit
    into memory goes to the folder `spill`.

    `receiver`: who learns the common subjects first, the label party unless it is given; its stages are then called
    after `stage`, since each of several label parties has its own.
    """

    specification: JobSpecification
    me: PartyId
    epoch: int
    transport: Transport = field(repr=False)
    meter: Meter = field(repr=False)
    step: StageRunner = field(repr=False)
    progress: Callable[[str, int, int], None] = field(repr=False)
    peer_timeout_s: float
    spill: Path
    receiver: PartyId | None = None
    stage: str = "align"

    async def align(self, ids: Callable[[], Ids]) -> Aligned:
        """The rows of the common subjects, in the order of their identifiers.

        The protocol's own order is random. Whoever learns the rows knows their identifiers, so the order by identifier
        tells nobody anything, is the same at all parties, and is the same in every run.

        Shapes: `ids()` (n,) in the order of the file; it is asked anew for every pass (`Table.ids`).
        Raises: RefusedError (INTERSECTION_TOO_SMALL), DataError (ID_DUPLICATE), PeerError, PeerLost.
        """
        count = bucket_count([party.rows or 0 for party in self.specification.parties], self._mode)
        if count == 1:
            return await self.step(self.stage, Aligned, lambda: self._run(self._role(self.stage, ids()).steps(), ids))
        # Items are the same in every start of the job, for buckets kept from an earlier one. They never travel.
        session = session_id(self.specification.hash, 0, f"{self.stage} items")
        dealt = await asyncio.to_thread(lambda: DealtItems(ids(), session, self._most_rows, count, self.spill))
        kept: list[BucketKept] = []
        for number in range(count):
            stage = f"{self.stage}/bucket.{number}"
            kept.append(await self.step(stage, BucketKept, partial(self._sieve, stage, dealt, number)))
            self.progress(self.stage, number + 1, count)
        return await self.step(self.stage, Aligned, lambda: self._run(self._release(kept, dealt.n_rows), ids))

    async def count(self, ids: Ids) -> Counted:
        """How many subjects are common, of a job that asks for no more. In one piece, and from its beginning each time.

        Shapes: ids (n,). Raises: RefusedError (INTERSECTION_TOO_SMALL), PeerError, PeerLost.
        """
        return await self.step("align", Counted, lambda: self._count(ids))

    async def _count(self, ids: Ids) -> Counted:
        specification, me = self.specification, self.me
        both, minimum = not specification.intersect.receiver_only, specification.intersect.min_size
        receiver, (holder,) = specification.label_party, specification.feature_parties
        common = (self._session("align"), ids, SystemRandomness(), both, minimum, self._most_rows)
        if me == receiver:
            return Counted(await self.drive("align", SizeReceiver(me, holder, *common).steps()))
        steps: Steps[int | None] = SizeHolder(me, receiver, *common).steps()
        found = await self.drive("align", steps)
        return Counted(found or 0)

    async def _run(self, steps: Steps[Alignment | None], ids: Callable[[], Ids]) -> Aligned:
        alignment = await self.drive(self.stage, steps)
        if alignment is None:
            return Aligned(np.empty(0, np.int64))
        return Aligned(await asyncio.to_thread(lambda: identifiers.in_order(ids(), alignment.rows)))

    async def _sieve(self, stage: str, dealt: DealtItems, number: int) -> BucketKept:
        items, rows = await asyncio.to_thread(dealt.bucket, number)
        size = dealt.size
        filled = fill_up(items, size, SystemRandomness())
        role = self._role(stage, np.empty(0, "S1"))
        if isinstance(role, IntersectReceiver):
            found = await self.drive(stage, role.sieve(filled))
            layers = [found.tag_seeds[holder] for holder in role.holders] if found.tag_seeds else []
            seeds = np.stack(layers) if layers else np.empty((0, found.rows.size, ITEM_BYTES), np.uint8)
            return BucketKept(rows[found.rows], seeds, found.places.astype(np.int32), found.listed)
        lent = await self.drive(stage, role.sieve(filled))
        if not role.both_learn:
            return BucketKept(_NONE, np.empty((0, 0, ITEM_BYTES), np.uint8), _NONE, lent.order.size)
        if lent.order.size:
            numbers = np.concatenate([rows, np.full(size - rows.size, -1, np.int32)])
            return BucketKept(numbers[lent.order], np.empty((0, size, ITEM_BYTES), np.uint8), _NONE, size)
        return BucketKept(rows, lent.tag_seeds[None, : rows.size], _NONE, 0)

    def _release(self, kept: list[BucketKept], n_rows: int) -> Steps[Alignment | None]:
        """What all buckets found, as one; `kept` is empty then, for it may be as large as what comes of it."""
        ends = np.cumsum([bucket.listed for bucket in kept])
        role = self._role(self.stage, np.empty(0, "S1"))
        if isinstance(role, IntersectHolder) and not role.both_learn:
            return (yield from role.release(Lent()))
        rows = np.concatenate([bucket.rows for bucket in kept], dtype=np.int64)
        seeds = np.concatenate([bucket.seeds for bucket in kept], axis=1)
        # The lists of all buckets, one behind the other, are one list.
        places = np.concatenate([bucket.places + (end - bucket.listed) for bucket, end in zip(kept, ends, strict=True)])
        kept.clear()
        if isinstance(role, IntersectReceiver):
            tag_seeds = dict(zip(role.holders, seeds, strict=False))
            return (yield from role.release(Sieved(rows, tag_seeds, places, int(ends[-1]))))
        if ends[-1]:
            return (yield from role.release(Lent(order=rows)))
        by_row = np.empty((n_rows, ITEM_BYTES), np.uint8)
        by_row[rows] = seeds[0]
        return (yield from role.release(Lent(by_row)))

    async def drive(self, stage: str, steps: Steps[T]) -> T:
        """Carry `steps` out as a stage of the job, together with all its other parties."""
        specification = self.specification
        peers = [party for party in (self._receiver, *specification.feature_parties) if party != self.me]
        channel = self.transport.open(specification.hash, stage, peers=peers, epoch=self.epoch)
        return await drive(steps, channel, deadline_s=self.peer_timeout_s, meter=self.meter)

    def _role(self, stage: str, ids: Ids) -> IntersectReceiver | IntersectHolder:
        specification, me = self.specification, self.me
        both, minimum = not specification.intersect.receiver_only, specification.intersect.min_size
        # No party may bring more rows than it said before all signed.
        common = (self._session(stage), ids, SystemRandomness(), both, minimum, self._most_rows, self._mode)
        receiver, holders = self._receiver, specification.feature_parties
        if me == receiver:
            return IntersectReceiver(me, holders, *common)
        return IntersectHolder(me, receiver, tuple(party for party in holders if party != me), *common)

    @property
    def _receiver(self) -> PartyId:
        return self.specification.label_party if self.receiver is None else self.receiver

    @property
    def _mode(self) -> Mode:
        mode = self.specification.intersect_choice.mode
        assert mode != UNBALANCED, "which has a stage of its own"
        return mode

    @property
    def _most_rows(self) -> int:
        return max(party.rows or 0 for party in self.specification.parties)

    def _session(self, step: str) -> bytes:
        return session_id(self.specification.hash, self.epoch, step)
