"""At the platform: what members report of uses of data and of loans."""

from __future__ import annotations

import asyncio
from collections.abc import Container

from fedcredit.governance.verification.ledger import report_from
from fedcredit.governance.verification.outcomes import outcomes_from
from fedcredit.ids import PartyId
from fedcredit.node.rpc import Method
from fedcredit.node.store import Store
from fedcredit.wire.control import Accepted
from fedcredit.wire.usage import LoanOutcomes, UsageReport

__all__ = ["ReportsDesk"]


class ReportsDesk:
    """Takes reports; each member speaks for itself alone, by the name in its certificate."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self, members: Container[PartyId]) -> list[Method]:
        """The calls of `fedcredit.v1.Usage`."""
        return [
            Method("SendReport", UsageReport, members, handle=self._report),
            Method("SendOutcomes", LoanOutcomes, members, handle=self._outcomes),
        ]

    async def _report(self, caller: PartyId, request: UsageReport) -> Accepted:
        report = report_from(request.document, caller)
        await asyncio.to_thread(self._store.usage.put, report, request.document)
        return Accepted()

    async def _outcomes(self, caller: PartyId, request: LoanOutcomes) -> Accepted:
        outcomes = outcomes_from(request.document)
        await asyncio.to_thread(self._store.outcomes.put, caller, outcomes)
        return Accepted()
