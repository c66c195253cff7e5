"""Who belongs to a platform, and the tokens with which parties join it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database

__all__ = ["Member", "Members", "Token", "Tokens"]

_tokens, _members = tables.tokens, tables.members


@dataclass(frozen=True, slots=True)
class Token:
    """A right to join once, without its secret."""

    party: str
    kind: str
    expires: str
    used: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """A party as the platform knows it; `record` and `state` are enrolment's own."""

    party: str
    kind: str
    record: bytes = field(repr=False)
    state: str
    serial: str
    updated: str


class Tokens:
    """One-time tokens of enrolment, known by the SHA-256 of their secret alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, secret_hash: bytes, party: str, kind: str, expires: datetime) -> None:
        """Keep a token that `party` may use until `expires`. Again: no effect, be it used meanwhile or not."""
        with self._database.writing() as connection:
            until = expires.isoformat(timespec="microseconds")
            values = {"secret": secret_hash, "party": party, "kind": kind, "expires": until}
            if connection.execute(_tokens.select().where(_tokens.c.secret == secret_hash)).first() is None:
                connection.execute(_tokens.insert().values(**values))
            failpoints.hit("store.token.written", party)
        failpoints.hit("store.token.committed", party)

    def use(self, secret_hash: bytes, request: bytes) -> Token:
        """Use up a token for the request with this digest. The same request may come again, another may not.

        Raises: RefusedError (TOKEN_REFUSED) when it is unknown, used or out of date: one code, so that nobody can
        find out which.
        """
        now = self._database.now()
        with self._database.writing() as connection:
            row = connection.execute(_tokens.select().where(_tokens.c.secret == secret_hash)).first()
            if row is None:
                raise _refused("is not known")
            if row.used is not None and row.used_for != request:
                raise _refused(f"of {row.party} was used before")
            if row.used is None and row.expires <= now:
                raise _refused(f"of {row.party} is out of date")
            used = row.used or now
            mine = _tokens.c.secret == secret_hash
            connection.execute(_tokens.update().where(mine).values(used=used, used_for=request))
            failpoints.hit("store.use.written", row.party)
        failpoints.hit("store.use.committed", row.party)
        return Token(row.party, row.kind, row.expires, used)

    def all(self) -> list[Token]:
        """All tokens, by party."""
        with self._database.reading() as connection:
            columns = (_tokens.c.party, _tokens.c.kind, _tokens.c.expires, _tokens.c.used)
            rows = connection.execute(
                sa.select(*columns).order_by(_tokens.c.party, _tokens.c.expires, _tokens.c.secret)
            )
            return [Token(*row) for row in rows]


class Members:
    """The parties of a platform."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, party: PartyId, kind: str, record: bytes, state: str, serial: str) -> None:
        """Keep a member's record in place of the one before."""
        now = self._database.now()
        values = {"kind": kind, "record": record, "state": state, "serial": serial, "updated": now}
        with self._database.writing() as connection:
            if connection.execute(_members.update().where(_members.c.party == party).values(**values)).rowcount == 0:
                connection.execute(_members.insert().values(party=party, **values))
            failpoints.hit("store.member.written", party)
        failpoints.hit("store.member.committed", party)

    def of(self, party: PartyId) -> Member | None:
        """A member, if it is one."""
        return next((member for member in self.all() if member.party == party), None)

    def all(self) -> list[Member]:
        """All members, by name."""
        columns = [_members.c[name] for name in ("party", "kind", "record", "state", "serial", "updated")]
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(*columns).order_by(_members.c.party))
            return [Member(row.party, row.kind, bytes(row.record), *row[3:]) for row in rows]


def _refused(what: str) -> RefusedError:
    return RefusedError(Problem("TOKEN_REFUSED", "enrolment token", what, "ask the platform for a new one"))
