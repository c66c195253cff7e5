"""The provider's desk for private questions: calls of `fedcredit.v1.Membership` on its node's own port.

An evaluation is spent and in the audit log before it is made; a permit is used up with its first try, whatever comes
of it. Filters are made in threads, a piece at a time, under a key for each requester and item.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.governance.audit import Event
from fedcredit.governance.consent.claims import LEEWAY_S
from fedcredit.governance.verification.permits import PERMIT_S, Permit, PermitRefused, WhyNot
from fedcredit.ids import PartyId
from fedcredit.kernels import filter as compact
from fedcredit.node.callers import Anybody, FewAtATime
from fedcredit.node.filters.lent import LentFilter
from fedcredit.node.membership.driving import answered, next_sent, to_its_end
from fedcredit.node.membership.folder import private_folder
from fedcredit.node.membership.grounds import Ground, Grounds
from fedcredit.node.recorder import Recorder
from fedcredit.node.rpc import Method
from fedcredit.node.store import Store
from fedcredit.node.verification.members import n_members, read_members
from fedcredit.node.verification.standing import Standing
from fedcredit.observe import logs
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.intersect.filters import FilterKey, SharedFilter
from fedcredit.protocols.membership import MembershipHolder, padded_subjects, rounded
from fedcredit.runtime.clock import Clock
from fedcredit.wire.intersect import MAX_ROWS, FilterHeld
from fedcredit.wire.membership import (
    MAX_ELEMENTS,
    EvaluateMembers,
    FilterPart,
    FilterTerms,
    FilterWanted,
    TermsWanted,
)
from fedcredit.wire.message import Message

__all__ = ["MembershipDesk"]

T = TypeVar("T")

_log = logs.get("verify")

CALLS_AT_A_TIME: Final = 4
"""Of one requester. Each holds a thread and, while it is evaluated, all cores."""

KEY_GRACE: Final = timedelta(hours=1)
"""How long elements under a key that is due to be changed are still evaluated: for who fetched the filter before."""

_PERMIT, _ASKED = "membership permit/", "membership asked/"


@dataclass(slots=True)
class MembershipDesk:
    """Answers private questions at the node of `folder`, by what `standing` says at the moment."""

    folder: Path
    grounds: Grounds
    standing: Callable[[], Standing]
    store: Store = field(repr=False)
    recorder: Recorder = field(repr=False)
    clock: Clock = field(repr=False)
    _few: FewAtATime = field(default_factory=lambda: FewAtATime(CALLS_AT_A_TIME), repr=False)

    def methods(self) -> list[Method]:
        """The calls of `fedcredit.v1.Membership`."""
        anybody = Anybody()
        return [
            Method("Terms", TermsWanted, anybody, handle=self._terms),
            Method("Filter", FilterWanted, anybody, stream=self._filter),
            Method("Evaluate", EvaluateMembers, anybody, handle=self._evaluate),
        ]

    async def _terms(self, caller: PartyId, request: TermsWanted) -> FilterTerms:
        ground = self._admitted(caller, request.predicate, request.purpose)
        return FilterTerms(self.grounds.section.region, rounded(await asyncio.to_thread(_there, n_members, ground)))

    async def _filter(self, caller: PartyId, request: FilterWanted) -> AsyncIterator[FilterPart]:
        ground = self._admitted(caller, request.predicate, request.purpose)
        held = FilterHeld(request.key, request.version, request.digest)
        with self._few.one_of(caller), contextlib.closing(self._lend(caller, ground, held)) as steps:
            # Each step in a thread: it may evaluate some ten thousand subjects, or read a piece of a file.
            while (message := await to_its_end(next_sent, steps)) is not None:
                yield FilterPart.of(message)

    async def _evaluate(self, caller: PartyId, request: EvaluateMembers) -> Message:
        with self._few.one_of(caller):
            return await asyncio.to_thread(self._evaluated, caller, request)

    def _lend(self, caller: PartyId, ground: Ground, held: FilterHeld) -> Steps[None]:
        private_folder(self.folder).mkdir(mode=0o700, exist_ok=True)
        lent, codes = self._lent(caller, ground), padded_subjects(_there(read_members, ground))
        kept = lent.kept_key
        worn = kept is not None and self._spent_under(kept.key) + len(codes) + MAX_ELEMENTS > MAX_ROWS
        age = timedelta(days=ground.private.key_days)
        key = lent.key_for(self.clock.now(), age, SystemRandomness(), renew=worn)

        def follow() -> Iterator[tuple[int, int]]:
            fingerprint, record = compact.digest(codes.view(np.uint8)), lent.record
            if record is None or record.fingerprint != fingerprint:
                yield from lent.follow(key, codes, fingerprint)

        yield from self._role(caller).lend(held, follow(), lambda: _versions(lent, held))

    def _evaluated(self, caller: PartyId, request: EvaluateMembers) -> Message:
        try:
            permit, ground, key = self._permitted(caller, request)
            self._use(caller, permit, ground, key)
        except PermitRefused as refused:
            _note(caller, refused)
            raise
        return answered(self._role(caller).answer(key, lambda _: None), request)

    def _permitted(self, caller: PartyId, request: EvaluateMembers) -> tuple[Permit, Ground, FilterKey]:
        standing, moment = self.standing(), self.clock.now()
        now = int(moment.timestamp())
        permit = self.grounds.believe(standing, request, now)
        ground = self.grounds.admit(standing, caller, permit.predicate, permit.purpose, moment)
        kept = self._lent(caller, ground).kept_key
        if kept is None or moment >= kept.made + timedelta(days=ground.private.key_days) + KEY_GRACE:
            raise PermitRefused(WhyNot.KEY)
        self.grounds.check(permit, caller, ground, request, kept.key.name, now)
        return permit, ground, kept.key

    def _use(self, caller: PartyId, permit: Permit, ground: Ground, key: FilterKey) -> None:
        """Use the permit up, spend what the policy grants, and write it down: all durable when this returns."""
        moment, budgets, use = self.clock.now(), self.store.budgets, secrets.token_hex(16)
        budgets.forget(_PERMIT, moment - timedelta(seconds=PERMIT_S + 4 * LEEWAY_S))
        try:
            budgets.spend(use, _PERMIT + permit.nonce.hex(), limit=1)
        except RefusedError:
            raise PermitRefused(WhyNot.REPLAYED) from None
        zone = self.standing().policy.zone
        day = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        asked = f"{_ASKED}{caller}/{ground.item}"
        try:
            budgets.spend(use, asked, permit.count, limit=ground.private.per_day, since=day)
            budgets.spend(use, _uses_of(key), permit.count, limit=MAX_ROWS)
        except RefusedError:
            raise PermitRefused(WhyNot.SPENT) from None
        self.recorder.record(
            Event.MEMBERSHIP_ASKED,
            "",
            requester=caller,
            item=ground.item,
            purpose=permit.purpose,
            asked=permit.count,
            permit=hashlib.sha256(permit.to_bytes()).hexdigest(),
            key=key.name.hex(),
            rule=ground.rule.name,
        )

    def _admitted(self, caller: PartyId, predicate: str, purpose: str) -> Ground:
        try:
            return self.grounds.admit(self.standing(), caller, predicate, purpose, self.clock.now())
        except PermitRefused as refused:
            _note(caller, refused)
            raise

    def _spent_under(self, key: FilterKey) -> int:
        return self.store.budgets.spent(_uses_of(key))

    def _role(self, caller: PartyId) -> MembershipHolder:
        return MembershipHolder(self.grounds.me, caller)

    def _lent(self, caller: PartyId, ground: Ground) -> LentFilter:
        return LentFilter(private_folder(self.folder), self.grounds.me, caller, ground.item)


def _there(read: Callable[[Path], T], ground: Ground) -> T:
    try:
        return read(ground.members)
    except FileNotFoundError:
        # The table was read anew just now, and this is of the one before.
        raise PermitRefused(WhyNot.NO_TABLE) from None


def _versions(lent: LentFilter, held: FilterHeld) -> list[SharedFilter]:
    """The filter as it is now, and the version before where that may be what is held."""
    current = lent.current()
    if current is not None and held.digest == current.label.digest:
        return [current]  # nothing of it will travel
    if current is None or not current.intact:
        lent.forget()
        what, fix = "was damaged on this disk", "ask again: it is made anew"
        raise FedcreditError(Problem("FILTER_DAMAGED", "filter", what, fix))
    return [current, *(old for old in lent.older() if old.intact)]


def _uses_of(key: FilterKey) -> str:
    return f"filter key/{key.name.hex()}"


def _note(caller: PartyId, refused: PermitRefused) -> None:
    _log.warning("membership.refused", peer=caller, code=refused.code, reason=refused.why.value)
