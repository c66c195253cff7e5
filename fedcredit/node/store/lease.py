"""One process at a time writes to a store, and it proves so in every transaction.

A lease alone is no mutual exclusion: its holder may stand still, lose it, and wake up in the middle of a write. So each
take-over has a number, the fence, greater than any before, and a write looks at it within its own transaction. The
older of two instances is refused by the database itself, whatever it believes of its lease and of the time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.node.store.faults import LeaseLost, Locked, lease_lost
from fedcredit.observe import logs

__all__ = ["HEARTBEAT_S", "LEASE_S", "Holder", "Lease"]

LEASE_S = 15.0
"""How long a holder that says nothing keeps the lease: security.md's bound for taking over from another machine."""

HEARTBEAT_S = 4.0
"""How often a holder says that it lives: three chances before the lease is over."""

_NAME = "node"
_leases = tables.leases
_FENCE = sa.select(_leases.c.fence).where(_leases.c.name == _NAME).with_for_update()
"""Looked at in every write, so it is put together once."""
_log = logs.get("store")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that may hold a lease. `place` names the running kernel and its space of process numbers."""

    host: str
    pid: int
    place: str
    started: str
    instance: str

    @classmethod
    def mine(cls) -> Holder:
        """This process; a new instance at each call."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _place(), _started(pid) or "", secrets.token_hex(16))


class Lease:
    """The right of `holder` to write to a database. Nothing is written without it."""

    def __init__(self, database: Database, holder: Holder) -> None:
        self._database, self._holder = database, holder
        self._fence = 0
        self._lost: Callable[[LeaseLost], None] = lambda _lost: None
        self._gone = False
        self._stopped, self._wake = threading.Event(), threading.Event()
        self._beats: threading.Thread | None = None

    @property
    def fence(self) -> int:
        """The number of this take-over; no two instances ever have the same one."""
        return self._fence

    def check_free(self, connection: sa.Connection) -> None:
        """Raises: Locked (LOCKED) when another process that may live has the lease."""
        row = self._row(connection)
        if row.instance in ("", self._holder.instance) or row.expires <= self._now(connection):
            return
        # A process of the same kernel can be looked at; one of another place is believed until its time is over.
        here = row.place == self._holder.place
        if here and _dead(row.pid, row.started):
            return
        raise Locked(row.host, row.pid, elsewhere=not here, expires=row.expires)

    def take(self, connection: sa.Connection) -> None:
        """Take the lease in a transaction of `Database.opening`. Raises: Locked."""
        self.check_free(connection)
        self._fence = self._row(connection).fence + 1
        holder = self._holder
        values = {
            "fence": self._fence,
            "instance": holder.instance,
            "place": holder.place,
            "host": holder.host,
            "pid": holder.pid,
            "started": holder.started,
            "expires": self._now(connection) + LEASE_S,
        }
        connection.execute(_leases.update().where(_leases.c.name == _NAME).values(**values))
        failpoints.hit("store.lease.written")
        self._database.guard = self._guard

    def keep(self, lost: Callable[[LeaseLost], None]) -> None:
        """Renew the lease from a thread of its own until `release`. When it is gone, that thread tells `lost`."""
        self._lost = lost
        self._beats = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._beats.start()

    def renew(self) -> None:
        """Say that this process lives. Raises: LeaseLost."""
        with self._database.writing() as connection:
            expires = self._now(connection) + LEASE_S
            connection.execute(_leases.update().where(_leases.c.name == _NAME).values(expires=expires))

    def check(self) -> None:
        """Raises: LeaseLost when it is known that another process has taken over."""
        if self._gone:
            raise lease_lost("was taken over by another process")

    def release(self) -> None:
        """Let the next process in at once. A database that does not answer keeps the lease until it runs out."""
        self._stopped.set()
        self._wake.set()
        if self._beats is not None:
            self._beats.join(HEARTBEAT_S)
        with contextlib.suppress(FedcreditError), self._database.writing() as connection:
            connection.execute(_leases.update().where(_leases.c.name == _NAME).values(instance="", expires=0.0))

    def _guard(self, connection: sa.Connection) -> None:
        # FOR UPDATE (SQLite holds its only lock already): a take-over waits until this transaction has ended, so what
        # was checked here is still true when it commits. It also puts writers in line, as SQLite does.
        if not self._gone:
            self._gone = connection.execute(_FENCE).scalar() != self._fence
        if self._gone:
            self._wake.set()
        self.check()

    def _beat(self) -> None:
        while True:
            self._wake.wait(HEARTBEAT_S)
            if self._stopped.is_set():
                return
            try:
                self.renew()
            except LeaseLost as lost:
                self._lost(lost)
                return
            except FedcreditError as error:
                # No reason to stop: until somebody takes over, and that needs the database, too, nothing is lost.
                _log.warning("store.lease_not_renewed", code=error.code)

    def _row(self, connection: sa.Connection) -> Any:
        return connection.execute(_leases.select().where(_leases.c.name == _NAME).with_for_update()).one()

    def _now(self, connection: sa.Connection) -> float:
        # Nodes that share a server may have different clocks, and a node's own may jump; the server's is one clock for
        # all of them. A SQLite file has one machine, so its clock serves (and a test can set it).
        if self._database.shared:
            wanted = sa.func.extract("epoch", sa.func.clock_timestamp())
            return float(connection.execute(sa.select(sa.cast(wanted, sa.Double))).scalar_one())
        return self._database.clock.now().timestamp()


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return secrets.token_hex(16)  # nobody can be looked at, so everybody is elsewhere


def _dead(pid: int, started: str) -> bool:
    """Whether process `pid` of this place, started at `started`, is known to live no more."""
    now = _started(pid)
    return now == "" or (now is not None and started not in ("", now))


def _started(pid: int) -> str | None:
    """When process `pid` of this place started, in ticks since boot; empty if it does not live, None if unknown."""
    try:
        # The name in parentheses may hold anything; the state is the third field and the start the 22nd.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except (OSError, IndexError):
        return None
