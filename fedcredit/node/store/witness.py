"""Of peers' audit logs: the last head that was signed of each, and heads that did not follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.governance.audit import Head, SignedHead
from fedcredit.governance.witness import Judgement, Verdict
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.runtime.state import state_invalid

__all__ = ["MAX_FORKS", "Fork", "SeenHead", "SeenHeads"]

MAX_FORKS = 16
"""Of one log. Two heads convict their signer; more are refused like these and are not kept."""

_heads, _forks = tables.witnessed_heads, tables.head_forks


@dataclass(frozen=True, slots=True)
class SeenHead:
    """A head that was shown, with the certificate of the key that signed it, in DER."""

    signed: SignedHead
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fork:
    """A head that does not follow the one kept, `how` (see `Judgement`), and both of them, signed."""

    how: str
    shown: SeenHead
    kept: SeenHead


class SeenHeads:
    """What a witness keeps of its peers' logs, by their origins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self, shown: SeenHead, judge: Callable[[SeenHead | None], Judgement]
    ) -> tuple[Judgement, SignedHead | None]:
        """Have `judge` compare a head with the one kept, and keep it or the evidence, all in one transaction.

        Gives the judgement, and the head that was kept before. When it returns, what it says is durable.
        """
        head = shown.signed.head
        with self._database.writing() as connection:
            kept = _kept(connection, head.origin)
            judgement = judge(kept)
            if judgement.verdict is Verdict.KEEP:
                self._keep(connection, shown)
            elif judgement.verdict is Verdict.FORK and kept is not None:
                self._note(connection, Fork(judgement.how, shown, kept))
            failpoints.hit("store.witness.written", head.origin)
        failpoints.hit("store.witness.committed", head.origin)
        return judgement, None if kept is None else kept.signed

    def of(self, origin: str) -> SeenHead | None:
        """The last head of a log that was signed here."""
        with self._database.reading() as connection:
            return _kept(connection, origin)

    def all(self) -> list[SeenHead]:
        """The last head of each log that was signed here. Raises: FedcreditError (STATE_INVALID, AUDIT_HEAD)."""
        with self._database.reading() as connection:
            return [_seen(row) for row in connection.execute(_heads.select().order_by(_heads.c.origin))]

    def forks(self, *, unrecorded: bool = False) -> list[Fork]:
        """Heads that did not follow, by log and size; with `unrecorded`, those that are not in the audit log yet."""
        wanted = _forks.select().order_by(_forks.c.origin, _forks.c.size, _forks.c.root)
        if unrecorded:
            wanted = wanted.where(_forks.c.recorded == 0)
        with self._database.reading() as connection:
            return [_fork(row) for row in connection.execute(wanted)]

    def recorded(self, fork: Fork) -> None:
        """Note that a fork is in the audit log."""
        with self._database.writing() as connection:
            connection.execute(_forks.update().where(_same(fork.shown)).values(recorded=1))

    def _keep(self, connection: sa.Connection, shown: SeenHead) -> None:
        head = shown.signed.head
        values = {
            "size": head.size,
            "root": head.root,
            "signed": shown.signed.encode(),
            "certificate": shown.certificate,
            "seen": self._database.now(),
        }
        mine = _heads.c.origin == head.origin
        if connection.execute(_heads.update().where(mine).values(**values)).rowcount == 0:
            connection.execute(_heads.insert().values(origin=head.origin, **values))

    def _note(self, connection: sa.Connection, fork: Fork) -> None:
        head = fork.shown.signed.head
        of_log = _forks.c.origin == head.origin
        there = connection.execute(sa.select(sa.func.count()).select_from(_forks).where(of_log)).scalar() or 0
        again = connection.execute(sa.select(_forks.c.how).where(_same(fork.shown))).first()
        if again is None and there < MAX_FORKS:
            connection.execute(
                _forks.insert().values(
                    origin=head.origin,
                    size=head.size,
                    root=head.root,
                    how=fork.how,
                    signed=fork.shown.signed.encode(),
                    certificate=fork.shown.certificate,
                    kept=fork.kept.signed.encode(),
                    kept_certificate=fork.kept.certificate,
                    seen=self._database.now(),
                )
            )


def _same(shown: SeenHead) -> sa.ColumnElement[bool]:
    head = shown.signed.head
    return (_forks.c.origin == head.origin) & (_forks.c.size == head.size) & (_forks.c.root == head.root)


def _kept(connection: sa.Connection, origin: str) -> SeenHead | None:
    row = connection.execute(_heads.select().where(_heads.c.origin == origin)).first()
    return None if row is None else _seen(row)


def _seen(row: sa.Row[tuple[object, ...]]) -> SeenHead:
    signed = SignedHead.decode(bytes(row.signed))
    if signed.head != Head(str(row.origin), row.size, bytes(row.root)):
        raise state_invalid(f"the head of {row.origin} is another than the one signed")
    return SeenHead(signed, bytes(row.certificate))


def _fork(row: sa.Row[tuple[object, ...]]) -> Fork:
    shown = _seen(row)
    kept = SeenHead(SignedHead.decode(bytes(row.kept)), bytes(row.kept_certificate))
    return Fork(str(row.how), shown, kept)
