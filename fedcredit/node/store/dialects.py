"""The two databases a store may live in, and what makes each of them durable and keeps it from waiting for ever."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fedcredit.errors import ConfigError, Problem
from fedcredit.node.durable_files import sync_folder

__all__ = ["WAIT_S", "make_engine"]

WAIT_S = 10
"""How long a write waits for another one, and a connection for its server."""

_STATEMENT_S, _ANSWER_S = 20, 30
"""How long PostgreSQL works on a statement, and how long we wait for it to say anything; the greater one is ours, so
that a server that lives gives its own reason."""

_KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}


def make_engine(url: str, *, make: bool) -> sa.Engine:
    """An engine for a SQLite file, created if `make`, or a PostgreSQL server.

    Raises: ConfigError (STORE_URL), which does not show it; OSError when the file cannot be made.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise _url_problem() from None
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database:
        return _sqlite(parsed, make)
    if kind == "postgresql":
        return _postgresql(parsed)
    raise _url_problem()


def _sqlite(url: sa.URL, make: bool) -> sa.Engine:
    assert url.database is not None, "the caller has looked"
    path = Path(url.database)
    if make:
        _make_file(path)
    elif not path.exists() and not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder is not there")
    engine = sa.create_engine(url, hide_parameters=True)
    sa.event.listen(engine, "connect", _make_durable)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _make_file(path: Path) -> None:
    # For its owner alone; SQLite gives its side files the same mode. Its entry in the folder has to be durable, too.
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    sync_folder(path.parent)


def _make_durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    cursor = connection.cursor()
    # The time to wait comes first: changing the journal needs the lock, too.
    for statement in (f"busy_timeout={WAIT_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {statement}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A writer takes its lock first: two that read and then write could otherwise write on what the other has changed.
    options = connection.get_execution_options()
    writes = options.get("fedcredit_writes", False)
    if writes:
        # Without waiting for the disk, what is committed outlives the process, and the machine as soon as anything else
        # is waited for: it is in the same journal, before that.
        waits = "NORMAL" if options.get("fedcredit_unwaited", False) else "FULL"
        connection.exec_driver_sql(f"PRAGMA synchronous={waits}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: sa.URL) -> sa.Engine:
    arguments = {"connect_timeout": WAIT_S, "application_name": "fedcredit", **_KEEPALIVES}
    # `pool_pre_ping`: a connection that died while nobody used it is replaced before a transaction begins on it.
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=WAIT_S,
        connect_args=arguments,
    )
    connect = _bounded_connect()
    sa.event.listen(engine, "do_connect", lambda _dialect, _record, args, kwargs: connect(*args, **kwargs))
    sa.event.listen(engine, "connect", _bound_statements)
    return engine


def _bounded_connect() -> Callable[..., Any]:
    # The driver is loaded by a node that uses it.
    import psycopg
    from psycopg.errors import _WaitTimeout

    class Bounded(psycopg.Connection[Any]):
        """A connection that is given up when its server stands still: the server's own time limits need a server."""

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, _ANSWER_S if timeout is None else timeout)
            except _WaitTimeout:
                self.pgconn.finish()
                raise

    return Bounded.connect


def _bound_statements(connection: Any, _record: Any) -> None:
    # A setting of the session, not of the start of the connection: poolers between us and the server refuse those.
    settings = {
        "lock_timeout": WAIT_S,
        "statement_timeout": _STATEMENT_S,
        # A node that was stopped within a transaction must not hold the lease's row for ever.
        "idle_in_transaction_session_timeout": _ANSWER_S,
    }
    with connection.cursor() as cursor:
        for name, seconds in settings.items():
            cursor.execute(f"SET {name} = {seconds * 1000}")
        # Whatever the server's default is: acknowledged means on its disk.
        cursor.execute("SET synchronous_commit = on")
    connection.commit()


def _url_problem() -> ConfigError:
    fix = "postgresql://USER:PASSWORD@HOST/DATABASE, or sqlite:////ABSOLUTE/PATH"
    return ConfigError(Problem("STORE_URL", "store", "is no address of a database", fix))
