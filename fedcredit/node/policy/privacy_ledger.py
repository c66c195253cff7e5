"""What noised jobs have cost over each table of a node, from its store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fedcredit.governance.privacy import epsilon_at, key_of
from fedcredit.node.own_store import store_url
from fedcredit.node.store import Store
from fedcredit.runtime.config import PartyFile

__all__ = ["PrivacyLine", "privacy_ledger"]


@dataclass(frozen=True, slots=True)
class PrivacyLine:
    """What the noised jobs over one table cost together: as rho in billionths, and as epsilon at `delta`."""

    table: str
    jobs: int
    rho_billionths: int
    epsilon: float
    delta: float

    def row(self) -> dict[str, Any]:
        """The line as it is shown."""
        return {
            "table": self.table,
            "jobs": self.jobs,
            "rho_billionths": self.rho_billionths,
            "epsilon": round(self.epsilon, 4),
            "delta": self.delta,
        }


def privacy_ledger(config: PartyFile, now: datetime, *, days: int, delta: float) -> tuple[PrivacyLine, ...]:
    """A line for each table of the node, by name; those of `days` days back. Reads the store alone.

    Raises: FedcreditError where the store cannot be read.
    """
    tables = sorted(config.tables)
    if config.store_url is None and not (config.folder / "store.sqlite").exists():
        return tuple(PrivacyLine(table, 0, 0, 0.0, delta) for table in tables)
    store = Store.look(store_url(config))
    try:
        since = now - timedelta(days=days)
        found = [(table, *store.budgets.tally(key_of(table), since)) for table in tables]
    finally:
        store.close()
    return tuple(PrivacyLine(table, jobs, rho, epsilon_at(rho, delta), delta) for table, jobs, rho in found)
