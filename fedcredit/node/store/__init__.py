"""A node's memory: jobs, their stages with frozen states, results, replies given, events, budgets, members.

Every write is one transaction and durable when it returns. One component per kind of thing: `store.jobs.start(...)`.
"""

from __future__ import annotations

from fedcredit.node.store.consents import ConsentRow, KeyRow, RevocationRow
from fedcredit.node.store.faults import LeaseLost, Locked, StoreDamaged, StoreFull, StoreUnavailable
from fedcredit.node.store.jobs import JobRow, JobState
from fedcredit.node.store.lease import Holder
from fedcredit.node.store.members import Member, Token
from fedcredit.node.store.platform import PlatformJob
from fedcredit.node.store.stages import Checkpoint, StageRow
from fedcredit.node.store.store import Store

__all__ = [
    "Checkpoint",
    "ConsentRow",
    "Holder",
    "JobRow",
    "JobState",
    "KeyRow",
    "LeaseLost",
    "Locked",
    "Member",
    "PlatformJob",
    "RevocationRow",
    "StageRow",
    "Store",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "Token",
]
