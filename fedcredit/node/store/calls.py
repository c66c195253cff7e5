"""Replies given to calls, to be given again when a call is repeated; and the heads of audit logs."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database

__all__ = ["AuditHeads", "Calls"]

_calls, _heads = tables.calls, tables.audit_heads

_OF_LOG = _heads.c.log == sa.bindparam("known")
# Every entry of the audit log writes its head: these are put together once.
_GROWN = _heads.update().where(_OF_LOG & (_heads.c.size <= sa.bindparam("size"))).values(size=sa.bindparam("size"))
_GROWN = _GROWN.values(root=sa.bindparam("root"))
_SIZE = sa.select(_heads.c.size).where(_OF_LOG)
_NEW = _heads.insert()


class Calls:
    """The replies of a node."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reply_to(self, job: str, method: str, request: bytes, caller: PartyId) -> bytes | None:
        """The reply already given to exactly this call. Raises PeerError (CONFLICT) when its bytes were others."""
        with self._database.reading() as connection:
            key = (_calls.c.job == job) & (_calls.c.method == method)
            row = connection.execute(sa.select(_calls.c.request, _calls.c.reply).where(key)).first()
        if row is None:
            return None
        if row.request != hashlib.sha256(request).digest():
            raise PeerError(caller, method, "the same call came with other bytes before", "CONFLICT")
        return bytes(row.reply)

    def keep(self, job: str, method: str, request: bytes, reply: bytes) -> None:
        """Keep the reply to a call, to be given again when the call is repeated. The first reply stays.

        Raises: FedcreditError (CONFLICT) when there is one to other bytes.
        """
        digest = hashlib.sha256(request).digest()
        with self._database.writing() as connection:
            key = (_calls.c.job == job) & (_calls.c.method == method)
            kept = connection.execute(sa.select(_calls.c.request).where(key)).scalar()
            if kept is None:
                connection.execute(_calls.insert().values(job=job, method=method, request=digest, reply=reply))
            elif kept != digest:
                raise FedcreditError(Problem("CONFLICT", f"job {job}", f"{method} was answered for other bytes"))
            failpoints.hit("store.reply.written", method)
        failpoints.hit("store.reply.committed", method)


class AuditHeads:
    """Where audit logs stood when they were last written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, log: str, size: int, root: bytes) -> None:
        """Keep the head of an audit log. Raises FedcreditError (AUDIT_ROLLBACK) when it would shrink.

        The log itself is durable already. A head that is lost with the machine leaves the one before it, which a log
        that was not rolled back continues as well.
        """
        with self._database.noting() as connection:
            known = {"known": log, "size": size, "root": root}
            if connection.execute(_GROWN, known).rowcount == 0:
                if connection.execute(_SIZE, {"known": log}).scalar() is not None:
                    raise FedcreditError(Problem("AUDIT_ROLLBACK", f"audit log {log}", "is shorter than it was"))
                connection.execute(_NEW, {"log": log, "size": size, "root": root})
            failpoints.hit("store.head.written", log)
        failpoints.hit("store.head.committed", log)

    def of(self, log: str) -> tuple[int, bytes] | None:
        """Size and root of an audit log when it was last written."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(_heads.c.size, _heads.c.root).where(_heads.c.log == log)).first()
        return None if row is None else (row.size, bytes(row.root))
