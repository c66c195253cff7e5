"""A platform's registry of models: versions as they were offered, the parties' words, and which version counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.governance.audit import Fact
from fedcredit.governance.registry.bulletin import MAX_LIVE
from fedcredit.governance.registry.documents import Manifest, Offer, Word
from fedcredit.governance.registry.stability import Stability
from fedcredit.governance.registry.states import Change, Decision, Role, Roles, State, decide, role_of, state_of
from fedcredit.governance.registry.states import takes_word as counts
from fedcredit.ids import PartyId
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.node.store.model_changes import last_change, note_change
from fedcredit.runtime.state import state_invalid

__all__ = ["MAX_VERSIONS", "KeptVersion", "ModelRegistry", "Signed"]

MAX_VERSIONS: Final = 10_000
"""Of one name, retired ones among them."""

_versions, _words, _roles = tables.model_versions, tables.model_words, tables.model_roles
_stability = tables.model_stability


@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes that were signed, and the certificate of the key that signed them, in DER."""

    body: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version as the platform keeps it. `words`: each party's last, as it was signed."""

    manifest: Manifest
    offer: Signed
    words: Mapping[PartyId, Signed] = field(repr=False)
    state: State
    role: Role
    published: str

    @property
    def name(self) -> str:
        """The name under which it was published."""
        return self.manifest.offer.name

    @property
    def version(self) -> int:
        """Its number under that name."""
        return self.manifest.version


class ModelRegistry:
    """All published models. Every write is one transaction, durable on return, with its entry for the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(self, offer: Offer, signed: Signed, facts: Mapping[str, Fact]) -> tuple[int, bool]:
        """Keep an offer as the next version of its name; the same offer again is the version that it was.

        Gives the version, and whether it is new. Raises: RefusedError (QUOTA).
        """
        mine = _versions.c.name == offer.name
        with self._database.writing() as connection:
            same = sa.select(_versions.c.version).where(mine & (_versions.c.digest == offer.digest))
            if (found := connection.execute(same).scalar()) is not None:
                return int(found), False
            live = sa.select(sa.func.count()).select_from(_versions).where(_versions.c.retired == 0)
            last = int(connection.execute(sa.select(sa.func.max(_versions.c.version)).where(mine)).scalar() or 0)
            if (connection.execute(live).scalar() or 0) >= MAX_LIVE or last >= MAX_VERSIONS:
                what = f"has {MAX_LIVE} versions that are not retired, or the name {MAX_VERSIONS} in all"
                raise RefusedError(Problem("QUOTA", "registry of models", what, "retire what is not needed any more"))
            version, now = last + 1, self._database.now()
            values = {
                "name": offer.name,
                "version": version,
                "digest": offer.digest,
                "offer": signed.body,
                "signature": signed.signature,
                "certificate": signed.certificate,
                "published": now,
            }
            connection.execute(_versions.insert().values(**values))
            if version == 1:
                connection.execute(_roles.insert().values(name=offer.name, past="[]"))
            note_change(connection, now, offer.name, {**facts, "version": version})
            failpoints.hit("store.model.written", "publish")
        failpoints.hit("store.model.committed", "publish")
        return version, True

    def take(self, word: Word, signed: Signed, facts: Mapping[str, Fact]) -> bool:
        """Keep a party's word in place of the one before; whether it counts, or was known, or is an older one.

        Raises: RefusedError (WORD_CONFLICT, MODEL_PART_DIFFERS, MODEL_UNKNOWN, MODEL_STATE of a retired version).
        """
        key = (_words.c.name == word.name) & (_words.c.version == word.version) & (_words.c.party == word.party)
        with self._database.writing() as connection:
            mine = (_versions.c.name == word.name) & (_versions.c.version == word.version)
            version = connection.execute(_versions.select().where(mine)).first()
            if version is None:
                raise _unknown(word.name, word.version)
            row = connection.execute(_words.select().where(key)).first()
            kept = None if row is None else Word.parse(bytes(row.word), word.party)
            stated = None if row is None or row.part is None else bytes(row.part)
            if not counts(kept, stated, word):
                return False
            if version.retired and word.approves:
                what, fix = "is retired, which is for good", "publish a new version"
                raise RefusedError(Problem("MODEL_STATE", f"{word.name} {word.version}", what, fix))
            now = self._database.now()
            values = {
                "word": signed.body,
                "signature": signed.signature,
                "certificate": signed.certificate,
                "part": stated or word.part,
                "received": now,
            }
            if row is None:
                keys = {"name": word.name, "version": word.version, "party": word.party}
                connection.execute(_words.insert().values(**keys, **values))
            else:
                connection.execute(_words.update().where(key).values(**values))
            note_change(connection, now, word.name, facts)
            failpoints.hit("store.model.written", "word")
        failpoints.hit("store.model.committed", "word")
        return True

    def change(self, change: Change, name: str, version: int, facts: Mapping[str, Fact]) -> Decision:
        """Decide on a change, and make it, in one transaction. Raises: RefusedError (MODEL_STATE, MODEL_UNKNOWN)."""
        with self._database.writing() as connection:
            roles = _roles_of(connection, name)
            wanted = {version, *roles.past}
            states = {one.version: one.state for one in _kept(connection, name, wanted)}
            decision = decide(change, name, version, roles, states)
            decision.check()
            if not decision.changed:
                return decision
            values = {
                "champion": decision.roles.champion,
                "challenger": decision.roles.challenger,
                "past": json.dumps(decision.roles.past),
                "rolled_back": decision.roles.left,
            }
            connection.execute(_roles.update().where(_roles.c.name == name).values(**values))
            if change is Change.RETIRE:
                mine = (_versions.c.name == name) & (_versions.c.version == version)
                connection.execute(_versions.update().where(mine).values(retired=1))
            champion = {} if decision.roles.champion is None else {"champion": decision.roles.champion}
            note_change(connection, self._database.now(), name, {**facts, **champion})
            failpoints.hit("store.model.written", change.value)
        failpoints.hit("store.model.committed", change.value)
        return decision

    def version(self, name: str, version: int) -> KeptVersion:
        """One version. Raises: RefusedError (MODEL_UNKNOWN)."""
        with self._database.reading() as connection:
            found = _kept(connection, name, {version})
        if not found:
            raise _unknown(name, version)
        return found[0]

    def all(self, name: str = "", *, live: bool = False) -> list[KeptVersion]:
        """The versions of a name, or of all; with `live` those that are not retired. By name and version."""
        with self._database.reading() as connection:
            return _kept(connection, name or None, None, live=live)

    def live(self) -> tuple[int, list[KeptVersion]]:
        """The number of the last change, and just then the versions that are not retired."""
        with self._database.reading() as connection:
            while True:
                # A server's transaction sees each statement's own moment; where the number stood still, so did all.
                before, found = last_change(connection), _kept(connection, None, None, live=True)
                if last_change(connection) == before:
                    return before, found

    def note_stability(self, name: str, version: int, found: Stability, facts: Mapping[str, Fact]) -> bool:
        """Keep a version's index of a month; whether it is new. A month is told once.

        Raises: RefusedError (MODEL_UNKNOWN; DRIFT_SAID where another was told of it).
        """
        mine = (_stability.c.name == name) & (_stability.c.version == version) & (_stability.c.month == found.month)
        values = {"stability": found.index, "scores": found.scores}
        with self._database.writing() as connection:
            known = (_versions.c.name == name) & (_versions.c.version == version)
            if connection.execute(sa.select(_versions.c.version).where(known)).first() is None:
                raise _unknown(name, version)
            if (kept := connection.execute(_stability.select().where(mine)).first()) is not None:
                if (float(kept.stability), int(kept.scores)) == (found.index, found.scores):
                    return False
                what, fix = "was told already, and otherwise", "what was told of a month stays"
                raise RefusedError(Problem("DRIFT_SAID", f"drift of {name} {version} in {found.month}", what, fix))
            keys = {"name": name, "version": version, "month": found.month}
            connection.execute(_stability.insert().values(**keys, **values))
            note_change(connection, self._database.now(), name, facts)
            failpoints.hit("store.model.written", "drift")
        failpoints.hit("store.model.committed", "drift")
        return True

    def stability(self, name: str, version: int) -> list[Stability]:
        """A version's indices, month by month."""
        mine = (_stability.c.name == name) & (_stability.c.version == version)
        with self._database.reading() as connection:
            rows = connection.execute(_stability.select().where(mine).order_by(_stability.c.month))
            return [Stability(row.month, float(row.stability), int(row.scores)) for row in rows]


def _kept(
    connection: sa.Connection, name: str | None, versions: Iterable[int] | None, *, live: bool = False
) -> list[KeptVersion]:
    wanted, words = _versions.select(), _words.select()
    if name is not None:
        wanted, words = wanted.where(_versions.c.name == name), words.where(_words.c.name == name)
    if versions is not None:
        numbers = sorted(versions)
        wanted, words = wanted.where(_versions.c.version.in_(numbers)), words.where(_words.c.version.in_(numbers))
    if live:
        wanted = wanted.where(_versions.c.retired == 0)
    said: dict[tuple[str, int], dict[PartyId, Signed]] = {}
    for row in connection.execute(words):
        signed = Signed(bytes(row.word), bytes(row.signature), bytes(row.certificate))
        said.setdefault((row.name, row.version), {})[PartyId(row.party)] = signed
    rows = connection.execute(wanted.order_by(_versions.c.name, _versions.c.version)).all()
    roles = {row.name: _roles_from(row) for row in connection.execute(_roles.select())} if rows else {}
    return [_version(row, said.get((row.name, row.version), {}), roles.get(row.name, Roles())) for row in rows]


def _version(row: sa.Row[Any], words: Mapping[PartyId, Signed], roles: Roles) -> KeptVersion:
    try:
        offer = Offer.parse(bytes(row.offer), PartyId(row.name))
        found = {party: Word.parse(signed.body, party) for party, signed in words.items()}
        for party, word in found.items():
            word.check_for(offer, row.version, party)
        if (offer.name, offer.digest) != (row.name, bytes(row.digest)):
            raise state_invalid(f"the offer of model {row.name} {row.version} is another one than was kept")
    except FedcreditError:
        raise state_invalid(f"what is kept of model {row.name} {row.version} cannot be read") from None
    manifest = Manifest(row.version, offer, found)
    signed = Signed(bytes(row.offer), bytes(row.signature), bytes(row.certificate))
    state = state_of(manifest, retired=bool(row.retired))
    return KeptVersion(manifest, signed, words, state, role_of(roles, row.version), row.published)


def _roles_of(connection: sa.Connection, name: str) -> Roles:
    row = connection.execute(_roles.select().where(_roles.c.name == name)).first()
    return Roles() if row is None else _roles_from(row)


def _roles_from(row: sa.Row[Any]) -> Roles:
    try:
        past = json.loads(row.past)
        if not isinstance(past, list) or not all(type(one) is int for one in past):
            raise ValueError("past")
    except (ValueError, RecursionError):
        raise state_invalid(f"the former champions of model {row.name} cannot be read") from None
    return Roles(row.champion, row.challenger, tuple(past), row.rolled_back)


def _unknown(name: str, version: int) -> RefusedError:
    return RefusedError(Problem("MODEL_UNKNOWN", f"{name} {version}", "is not known here", "fedcredit model list"))
