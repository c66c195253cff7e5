"""A party's own parts of published models: what it has said of each, and under which key others were told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError
from fedcredit.governance.audit import Fact
from fedcredit.governance.registry.documents import Offer, Word
from fedcredit.ids import PartyId
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.node.store.model_changes import note_change
from fedcredit.runtime.state import state_invalid

__all__ = ["ModelParts", "OwnPart"]

_parts = tables.model_parts
_TAKEN, _REFUSED = 1, 2


@dataclass(frozen=True, slots=True)
class OwnPart:
    """A party's last word on a version, and what it stands on.

    `content`: the SHA-256 of its part, `key` that under which others know it by a keyed hash; both empty where the
    party never approved. `told`: whether the platform has heard the word; `refused`: it did not take it.
    """

    offer: Offer
    word: Word
    content: bytes = field(repr=False)
    key: bytes = field(repr=False)
    told: bool = False
    refused: bool = False


class ModelParts:
    """What a party has said of versions. Every write is one transaction, with its entry for the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = 0
        """How many words this process has kept; no other writes to the store while it lives."""

    def put(self, part: OwnPart, facts: Mapping[str, Fact]) -> None:
        """Keep a party's word in place of the one before. When it returns, the word is durable and not told yet."""
        values = {
            "offer": part.offer.to_bytes(),
            "word": part.word.to_bytes(),
            "content": part.content,
            "key": part.key,
            "told": 0,
        }
        name, version = part.word.name, part.word.version
        with self._database.writing() as connection:
            now = self._database.now()
            if (
                connection.execute(_parts.update().where(_key(name, version)).values(**values, updated=now)).rowcount
                == 0
            ):
                connection.execute(_parts.insert().values(name=name, version=version, **values, updated=now))
            note_change(connection, now, name, facts)
            failpoints.hit("store.part.written", name)
        self.changes += 1
        failpoints.hit("store.part.committed", name)

    def told(self, word: Word, *, refused: bool = False) -> None:
        """Note that the platform has heard a word, and whether it did not take it; of a word that a later one has
        replaced, nothing."""
        with self._database.writing() as connection:
            mine = _key(word.name, word.version) & (_parts.c.word == word.to_bytes())
            connection.execute(_parts.update().where(mine).values(told=_REFUSED if refused else _TAKEN))

    def of(self, name: str, version: int) -> OwnPart | None:
        """What was said of a version, if anything was."""
        with self._database.reading() as connection:
            row = connection.execute(_parts.select().where(_key(name, version))).first()
        return None if row is None else _part(row)

    def all(self, *, untold: bool = False) -> list[OwnPart]:
        """All words, by name and version; with `untold` those that the platform does not have yet."""
        wanted = _parts.select().order_by(_parts.c.name, _parts.c.version)
        if untold:
            wanted = wanted.where(_parts.c.told == 0)
        with self._database.reading() as connection:
            return [_part(row) for row in connection.execute(wanted)]


def _key(name: str, version: int) -> sa.ColumnElement[bool]:
    return (_parts.c.name == name) & (_parts.c.version == version)


def _part(row: sa.Row[Any]) -> OwnPart:
    culprit = PartyId(row.name)
    try:
        offer, word = Offer.parse(bytes(row.offer), culprit), Word.parse(bytes(row.word), culprit)
        word.check_for(offer, row.version, word.party)
        sizes = {(len(row.content), len(row.key))}
        if sizes - {(0, 0), (32, 32)} or (word.approves and not row.content):
            raise state_invalid("a part without its hash")
    except FedcreditError:
        raise state_invalid(f"what is kept of the own part of model {row.name} {row.version} cannot be read") from None
    hashes = bytes(row.content), bytes(row.key)
    return OwnPart(offer, word, *hashes, told=row.told != 0, refused=row.told == _REFUSED)
