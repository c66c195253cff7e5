"""What the authority for consents keeps: consents with their tokens, revocations, issuers' keys.

`recorded` says that the audit log has it: a crash between the two is made up for at the next start or call.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database

__all__ = ["ConsentKeys", "ConsentRow", "Consents", "KeyRow", "RevocationRow"]

_consents, _revocations = tables.consents, tables.consent_revocations
_keys, _bulletins = tables.consent_keys, tables.consent_bulletins
_BULLETIN = "consents"


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A consent that was given. `digest` is of all that was asked; `notice` is the text that was shown."""

    jti: str
    account: str = field(repr=False)
    request: str = field(repr=False)
    digest: bytes = field(repr=False)
    token: str = field(repr=False)
    subject: str = field(repr=False)
    notice: str = field(repr=False)
    language: str
    granted: int
    expires: int
    recorded: bool


@dataclass(frozen=True, slots=True)
class RevocationRow:
    """A consent that was taken back, by its name in lists. It is kept until `expires`."""

    id: str
    revoked: int
    expires: int
    by: str = field(repr=False)
    reason: str = field(repr=False)
    recorded: bool


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that signs from `signs_from` until `signs_until`, and is believed until `ends`."""

    kid: str
    kind: str
    subject: str = field(repr=False)
    public_key: bytes
    signs_from: int
    signs_until: int
    ends: int
    recorded: bool


class Consents:
    """Consents and their revocations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, row: ConsentRow) -> ConsentRow:
        """Keep a consent, and give what is kept: the first one under this request of this account.

        Raises: RefusedError (CONFLICT) if that one was asked for with other bytes.
        """
        values = _values(row)
        with self._database.writing() as connection:
            found = self._find(connection, row.account, row.request)
            if found is None:
                connection.execute(_consents.insert().values(**values))
            failpoints.hit("store.consent.written")
        failpoints.hit("store.consent.committed")
        return row if found is None else _same(found, row.digest)

    def asked(self, account: str, request: str, digest: bytes) -> ConsentRow | None:
        """The consent that was given to this request. Raises: RefusedError (CONFLICT)."""
        with self._database.reading() as connection:
            found = self._find(connection, account, request)
        return None if found is None else _same(found, digest)

    def of(self, jti: str) -> ConsentRow | None:
        """One consent."""
        with self._database.reading() as connection:
            row = connection.execute(_consents.select().where(_consents.c.jti == jti)).first()
        return None if row is None else _consent(row)

    def of_subjects(self, subjects: Collection[str], most: int) -> list[ConsentRow]:
        """The consents of these subjects, newest first."""
        wanted = _consents.select().where(_consents.c.subject.in_(list(subjects)))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(_consents.c.granted.desc(), _consents.c.jti).limit(most))
            return [_consent(row) for row in rows]

    def newest(self, most: int) -> list[ConsentRow]:
        """The consents of all subjects, newest first."""
        with self._database.reading() as connection:
            wanted = _consents.select().order_by(_consents.c.granted.desc(), _consents.c.jti).limit(most)
            return [_consent(row) for row in connection.execute(wanted)]

    def revoke(self, row: RevocationRow) -> RevocationRow:
        """Keep that a consent was taken back; the first time counts."""
        mine = _revocations.c.id == row.id
        with self._database.writing() as connection:
            found = connection.execute(_revocations.select().where(mine)).first()
            if found is None:
                connection.execute(_revocations.insert().values(**_values(row)))
            failpoints.hit("store.revocation.written")
        failpoints.hit("store.revocation.committed")
        return row if found is None else _revocation(found)

    def revocations(self, now: int) -> list[RevocationRow]:
        """All that count: of consents that have not ended by `now`."""
        with self._database.reading() as connection:
            wanted = _revocations.select().where(_revocations.c.expires > now).order_by(_revocations.c.id)
            return [_revocation(row) for row in connection.execute(wanted)]

    def revocation(self, name: str) -> RevocationRow | None:
        """The revocation of one consent."""
        with self._database.reading() as connection:
            row = connection.execute(_revocations.select().where(_revocations.c.id == name)).first()
        return None if row is None else _revocation(row)

    def unrecorded(self) -> tuple[list[ConsentRow], list[RevocationRow]]:
        """What the audit log may not have yet."""
        with self._database.reading() as connection:
            given = connection.execute(_consents.select().where(_consents.c.recorded == 0)).all()
            taken = connection.execute(_revocations.select().where(_revocations.c.recorded == 0)).all()
        return [_consent(row) for row in given], [_revocation(row) for row in taken]

    def recorded(self, *, consent: str = "", revocation: str = "") -> None:
        """Note that the audit log has it."""
        with self._database.writing() as connection:
            connection.execute(_consents.update().where(_consents.c.jti == consent).values(recorded=1))
            connection.execute(_revocations.update().where(_revocations.c.id == revocation).values(recorded=1))

    def _find(self, connection: sa.Connection, account: str, request: str) -> ConsentRow | None:
        mine = (_consents.c.account == account) & (_consents.c.request == request)
        row = connection.execute(_consents.select().where(mine)).first()
        return None if row is None else _consent(row)


class ConsentKeys:
    """Keys of issuers, and the number of the bulletin that tells of them and of revocations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: KeyRow) -> KeyRow:
        """Keep a key. Again: no effect. Raises: RefusedError (CONSENT_KEY) if it is there for somebody else."""
        with self._database.writing() as connection:
            found = connection.execute(_keys.select().where(_keys.c.kid == row.kid)).first()
            if found is None:
                connection.execute(_keys.insert().values(**_values(row)))
            elif (found.kind, found.subject) != (row.kind, row.subject):
                raise RefusedError(Problem("CONSENT_KEY", "key", "is registered for somebody else", "make a new one"))
            failpoints.hit("store.issuer.written")
        failpoints.hit("store.issuer.committed")
        return row if found is None else _key(found)

    def end(self, kid: str, *, signs_until: int, ends: int) -> None:
        """Let a key sign and be believed no longer than that; what ends earlier stays."""
        with self._database.writing() as connection:
            mine = _keys.c.kid == kid
            found = connection.execute(_keys.select().where(mine)).first()
            if found is not None:
                values = {"signs_until": min(found.signs_until, signs_until), "ends": min(found.ends, ends)}
                connection.execute(_keys.update().where(mine).values(recorded=0, **values))
            failpoints.hit("store.issuer.written")
        failpoints.hit("store.issuer.committed")

    def all(self) -> list[KeyRow]:
        """All keys there ever were, by name."""
        with self._database.reading() as connection:
            return [_key(row) for row in connection.execute(_keys.select().order_by(_keys.c.kid))]

    def recorded(self, kid: str) -> None:
        """Note that the audit log has the key's last change."""
        with self._database.writing() as connection:
            connection.execute(_keys.update().where(_keys.c.kid == kid).values(recorded=1))

    def number(self, digest: bytes, at_least: int) -> int:
        """The number of the bulletin whose body has this hash: a new one, from `at_least` on, if the body is new."""
        mine = _bulletins.c.name == _BULLETIN
        with self._database.reading() as connection:
            found = connection.execute(_bulletins.select().where(mine)).first()
        if found is not None and bytes(found.digest) == digest:
            return int(found.number)
        with self._database.writing() as connection:
            found = connection.execute(_bulletins.select().where(mine)).first()
            number = at_least if found is None else max(at_least, found.number + 1)
            connection.execute(_bulletins.delete().where(mine))
            connection.execute(_bulletins.insert().values(name=_BULLETIN, number=number, digest=digest))
            failpoints.hit("store.bulletin.written")
        failpoints.hit("store.bulletin.committed")
        return number


def _same(found: ConsentRow, digest: bytes) -> ConsentRow:
    if found.digest != digest:
        what = "the same request came with other terms before"
        raise RefusedError(Problem("CONFLICT", "request", what, "choose another name for the request"))
    return found


def _values(row: ConsentRow | RevocationRow | KeyRow) -> dict[str, Any]:
    return {name: int(value) if isinstance(value, bool) else value for name, value in _parts(row)}


def _parts(row: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(row, name)) for name in type(row).__dataclass_fields__]


def _consent(row: Any) -> ConsentRow:
    return ConsentRow(**_read(row))


def _revocation(row: Any) -> RevocationRow:
    return RevocationRow(**_read(row))


def _key(row: Any) -> KeyRow:
    return KeyRow(**_read(row))


def _read(row: Any) -> dict[str, Any]:
    values = dict(row._mapping)
    values["recorded"] = bool(values["recorded"])
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in values.items()}
