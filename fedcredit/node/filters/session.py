"""The align stage in mode `unbalanced`: the filter is brought up to date, and the receiver's identifiers looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import FedcreditError, Problem
from fedcredit.ids import PartyId
from fedcredit.kernels import identifiers
from fedcredit.node.align import Aligned, Aligner
from fedcredit.node.filters.allowance import Allowance
from fedcredit.node.filters.held import HeldFilter
from fedcredit.node.filters.lent import LentFilter
from fedcredit.node.specification import JobSpecification
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.intersect import Alignment, UnbalancedHolder, UnbalancedReceiver
from fedcredit.protocols.intersect.filters import FilterKey, SharedFilter, publish
from fedcredit.tables import Table
from fedcredit.tables.standing import identifiers_named
from fedcredit.wire.intersect import FilterHeld

__all__ = ["UnbalancedAligner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbalancedAligner:
    """The align stage of one start of a job, carried out as that of `aligner`, whose `progress` hears how far a filter
    is; filters lie in the node's `folder`."""

    aligner: Aligner = field(repr=False)
    folder: Path
    allowance: Allowance

    async def align(self, table: Table) -> Aligned:
        """At the receiver the rows that the other party has too, in the order of their identifiers; at the other none.

        Raises: RefusedError (INTERSECTION_TOO_SMALL, POLICY_REFUSED), PeerError, PeerLost, FedcreditError (FILTER_BUSY,
        FILTER_DAMAGED).
        """
        return await self.aligner.step("align", Aligned, lambda: self._run(table))

    async def _run(self, table: Table) -> Aligned:
        if self._me != self._specification.label_party:
            await self.aligner.drive("align", self._lend(table, asyncio.get_running_loop()))
            return Aligned(np.empty(0, np.int64))
        alignment = await self.aligner.drive("align", self._look_up(table))
        return Aligned(await asyncio.to_thread(identifiers.in_order, table.ids(), alignment.rows))

    def _look_up(self, table: Table) -> Steps[Alignment]:
        holder, minimum = self._holder, self._specification.intersect.min_size
        rows = self._rows_of(self._me), self._rows_of(holder)
        role = UnbalancedReceiver(self._me, holder, table.ids(), SystemRandomness(), *rows, minimum)
        kept = HeldFilter(self.folder, holder, self._specification.party(holder).table)
        with kept.alone():
            room = kept.room()
            current = yield from role.fetch(kept.current(), room)
            kept.keep(current, room)
        found = yield from role.ask(current)
        return (yield from role.release(found))

    def _lend(self, table: Table, loop: asyncio.AbstractEventLoop) -> Steps[Alignment]:
        receiver, allowance = self._specification.label_party, self.allowance
        asked = self._rows_of(receiver)
        role = UnbalancedHolder(self._me, receiver, asked)
        lent = LentFilter(self.folder, self._me, receiver, self._specification.party(self._me).table)
        held = yield from role.hear()
        kept = lent.kept_key
        renew = kept is not None and allowance.worn_out(kept.key.name, asked)
        key = lent.key_for(allowance.clock.now(), allowance.key_age(), SystemRandomness(), renew=renew)
        yield from role.tell(self._follow(lent, key, table, loop))
        yield from publish(receiver, held, *self._versions(lent, held))
        yield from role.answer(key, lambda n: allowance.charge(key.name, n))
        return Alignment(np.empty(0, np.int64))

    def _follow(
        self, lent: LentFilter, key: FilterKey, table: Table, loop: asyncio.AbstractEventLoop
    ) -> Iterator[tuple[int, int]]:
        record = lent.record
        if record is not None and record.fingerprint == identifiers_named(table):
            return  # the table was not so much as read again
        for done, total in lent.follow(key, table.ids(), identifiers_named(table)):
            loop.call_soon_threadsafe(self.aligner.progress, "align", done, total)
            yield done, total

    def _versions(self, lent: LentFilter, held: FilterHeld) -> tuple[SharedFilter, list[SharedFilter]]:
        current = lent.current()
        if current is not None and held.digest == current.label.digest:
            return current, []  # nothing of it will travel
        if current is None or not current.intact:
            lent.forget()
            what, fix = "was damaged on this disk", "run the job again: it is made anew"
            raise FedcreditError(Problem("FILTER_DAMAGED", "filter", what, fix))
        return current, [old for old in lent.older() if old.intact]

    @property
    def _me(self) -> PartyId:
        return self.aligner.me

    @property
    def _specification(self) -> JobSpecification:
        return self.aligner.specification

    @property
    def _holder(self) -> PartyId:
        (holder,) = self._specification.feature_parties
        return holder

    def _rows_of(self, party: PartyId) -> int:
        return self._specification.party(party).rows or 0
