"""What goes wrong between a node and its database, as errors with a code; no address and no password in them."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from fedcredit.errors import ConfigError, FedcreditError, Problem

__all__ = [
    "LeaseLost",
    "Locked",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "busy",
    "lease_lost",
    "stale_epoch",
    "typed",
    "typed_driver_error",
]


class StoreFull(ConfigError):
    """The disk under the store is full (STORE_FULL). Nothing of the write was kept."""


class StoreUnavailable(ConfigError):
    """The database does not answer (STORE_UNAVAILABLE). A write that was under way may or may not have been kept."""


class StoreDamaged(ConfigError):
    """The database says that its own files are damaged (STORE_DAMAGED)."""


class LeaseLost(ConfigError):
    """Another process has taken over; this one writes nothing more and stops (LEASE_LOST)."""


class Locked(ConfigError):
    """Another process has the store (LOCKED). `elsewhere`: not one that can be looked at; believed until `expires`."""

    def __init__(self, host: str, pid: int, *, elsewhere: bool, expires: float) -> None:
        self.elsewhere, self.expires = elsewhere, expires
        what = f"process {pid} on {host} runs this node"
        super().__init__(Problem("LOCKED", "store", what, "stop it first"))


def lease_lost(what: str) -> LeaseLost:
    """A write by somebody who may not write any more."""
    return LeaseLost(Problem("LEASE_LOST", "store", f"the lease {what}", "run one instance of a node"))


def busy() -> StoreUnavailable:
    """Another write took too long."""
    return StoreUnavailable(Problem("STORE_UNAVAILABLE", "store", "is busy", "try again"))


def stale_epoch(job: str, got: int, now: int) -> FedcreditError:
    """A word from a start of a job that has been superseded."""
    return FedcreditError(Problem("STALE_EPOCH", f"job {job}", f"is at epoch {now}, not at {got}"))


@contextmanager
def typed() -> Iterator[None]:
    """Errors of the driver and of the system as this module's own. The driver's text may hold data and is not kept."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        found = typed_driver_error(error)
        if found is None:
            raise
        raise found from None
    except OSError as error:
        raise _of_system(error) from error


def _of_system(error: OSError) -> ConfigError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full()
    return _unavailable(error.strerror or "cannot be reached")


def typed_driver_error(wrapped: sa.exc.DBAPIError) -> ConfigError | None:
    """The error of this module that an error of the driver stands for, if it is one of these."""
    error = wrapped.orig
    state = getattr(error, "sqlstate", None)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if isinstance(state, str):
        return _of_postgresql(state)
    if wrapped.connection_invalidated or isinstance(wrapped, sa.exc.OperationalError):
        return _unavailable("its server does not answer")
    return None


def _of_sqlite(error: sqlite3.Error) -> ConfigError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _full()
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged()
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return busy()
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return _unavailable("its file cannot be read or written")
    return None


def _of_postgresql(state: str) -> ConfigError | None:
    # The codes are those of appendix A of PostgreSQL's manual.
    if state == "53100":
        return _full()
    if state in ("XX001", "XX002"):
        return _damaged()
    if state in ("55P03", "57014", "25P03", "40001", "40P01"):
        return busy()
    if state[:2] in ("28", "3D") or state == "42501":
        return _unavailable("its server refuses this node: user, password, database or rights")
    if state[:2] in ("08", "53", "57", "58"):
        return _unavailable("its server cannot serve")
    return None


def _full() -> StoreFull:
    return StoreFull(Problem("STORE_FULL", "store", "its disk is full", "make room, then resume the job"))


def _damaged() -> StoreDamaged:
    fix = "restore it from a copy; `fedcredit node fsck` says what is whole"
    return StoreDamaged(Problem("STORE_DAMAGED", "store", "its files are damaged", fix))


def _unavailable(what: str) -> StoreUnavailable:
    return StoreUnavailable(Problem("STORE_UNAVAILABLE", "store", what, "see to the disk or the database server"))
