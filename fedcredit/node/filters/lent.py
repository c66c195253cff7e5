"""A filter that this party lends: its key, the values of the table's rows, and its versions, in a private folder.

    key.json        the key, and since when it is in use
    record.json     which version is current, and of which table; written last, so what it names is whole
    filter.V        version V, and the one before
    rows.V          for each row its digest under a secret and its value: what a later version need not evaluate again
    building.*      a version that is being made: a job that is interrupted goes on there

Identifiers are in none of them, in no form that anybody without the key could test a guess against.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import failpoints
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels import filter as compact
from fedcredit.node.durable_files import replace_file
from fedcredit.node.filters.mapped import MappedRoom, alone_in, keep_synced, mapped, reserve
from fedcredit.node.filters.records import KeptKey, LentRecord
from fedcredit.observe import logs
from fedcredit.protocols.intersect.alignment import chunks
from fedcredit.protocols.intersect.filters import FilterKey, FilterLabel, SharedFilter, filter_bits
from fedcredit.protocols.intersect.unbalanced import ROWS_PER_PIECE

__all__ = ["LentFilter", "lent_filters"]

I64: TypeAlias = npt.NDArray[np.int64]
Ids: TypeAlias = npt.NDArray[np.bytes_]
U8: TypeAlias = npt.NDArray[np.uint8]

ROW_BYTES: Final = digest.DIGEST_BYTES + compact.VALUE_BYTES

_log = logs.get("filter")


class LentFilter:
    """What `receiver` may ask of this party's table of that name."""

    def __init__(self, folder: Path, me: PartyId, receiver: PartyId, table: str) -> None:
        self._folder = folder / "filters" / "lent" / receiver / table
        self._me, self._receiver = me, receiver

    @property
    def record(self) -> LentRecord | None:
        """The current version, if there is one that can be used."""
        record, kept = self._read_record(), self.kept_key
        if record is None or kept is None or record.label.key != kept.key.name:
            return None
        return record

    @property
    def kept_key(self) -> KeptKey | None:
        """The key that is in use."""
        try:
            return KeptKey.parse((self._folder / "key.json").read_bytes(), self._receiver, self._me)
        except FileNotFoundError:
            return None
        except FedcreditError as damaged:
            _log.warning("filter.damaged", code=damaged.code, peer=self._receiver)
            return None

    def key_for(self, now: datetime, max_age: timedelta, randomness: Randomness, *, renew: bool = False) -> FilterKey:
        """The key to use: the one that is kept, or a new one where that is too old, is to be renewed, or is not there.

        With another key nothing that was lent before is of any use.
        """
        with alone_in(self._folder):
            kept = self.kept_key
            if kept is not None and not renew and kept.made <= now < kept.made + max_age:
                return kept.key
            for path in self._folder.iterdir():
                if path.name != ".lock":
                    path.unlink()
            fresh = KeptKey(FilterKey.generate(self._receiver, self._me, randomness), now)
            replace_file(self._folder / "key.json", fresh.to_bytes())
            _log.info("filter.key_made", peer=self._receiver, hash=fresh.key.name.hex())
            return fresh.key

    def current(self) -> SharedFilter | None:
        """The version that `record` names, where it lies."""
        record = self.record
        return None if record is None else self._shared(record.label)

    def older(self) -> list[SharedFilter]:
        """The version before, if it is still there."""
        record = self.record
        found = None if record is None or record.older is None else self._shared(record.older)
        return [] if found is None else [found]

    def follow(self, key: FilterKey, ids: Ids, fingerprint: bytes) -> Iterator[tuple[int, int]]:
        """Make the filter that of `ids`, which are all of the table with `fingerprint`; how far it is, piece by piece.

        Only rows that are new are evaluated. Goes on where an interrupted call of the same has come to.
        Shapes: ids (n,), distinct.
        """
        with alone_in(self._folder):
            record = self.record
            rows = digest.keyed(digest.derive("fedcredit v1 filter rows", key.oprf.to_bytes()), ids)
            before = None if record is None else self._rows(record)
            found = np.full(len(rows), -1) if before is None else digest.lookup(before[0], rows)
            missing = np.flatnonzero(found < 0)
            if record is not None and before is not None and not missing.size and len(rows) == record.label.entries:
                self._write(LentRecord(record.label, fingerprint, record.rows, record.older))
                return
            values, done = self._begin(rows, found, None if before is None else before[1])
            pieces = chunks(len(missing), ROWS_PER_PIECE)
            yield done, len(pieces)
            for number, piece in enumerate(pieces[done:], done + 1):
                new = missing[piece]
                values[new] = key.values(ids[new], len(new))
                self._keep_piece(values, number, rows)
                yield number, len(pieces)
            self._finish(key, rows, values, fingerprint, record)

    def forget(self) -> None:
        """Delete the key and all that was made under it: the next job begins anew."""
        if not self._folder.exists():
            return
        with alone_in(self._folder):
            # The key first: without it the rest is of no use to anybody.
            for path in sorted(self._folder.iterdir(), key=lambda path: path.name != "key.json"):
                if path.name != ".lock":
                    path.unlink()

    def _begin(self, rows: U8, found: I64, before: U8 | None) -> tuple[U8, int]:
        """The values of `rows`, those that are known filled in, and how many pieces of the others are there already."""
        size, mark = rows.shape[0] * compact.VALUE_BYTES, self._mark(rows)
        building, progress = self._folder / "building.values", self._folder / "building.done"
        with contextlib.suppress(OSError, ValueError):
            kept, _, done = progress.read_text(encoding="ascii").partition(" ")
            if kept == mark and mapped(building, size) is not None:
                return np.memmap(building, np.uint8, "r+").reshape(-1, compact.VALUE_BYTES), int(done)
        progress.unlink(missing_ok=True)
        values = reserve(building, size).reshape(-1, compact.VALUE_BYTES)
        if before is not None:
            known = np.flatnonzero(found >= 0)
            for part in chunks(len(known), ROWS_PER_PIECE):
                values[known[part]] = before[found[known[part]]]
        self._keep_piece(values, 0, rows)
        return values, 0

    def _keep_piece(self, values: U8, done: int, rows: U8) -> None:
        assert isinstance(values, np.memmap), "the values that are being made lie in a file"
        values.flush()
        replace_file(self._folder / "building.done", f"{self._mark(rows)} {done}".encode("ascii"))
        failpoints.hit("filter.piece.kept", str(done))

    def _mark(self, rows: U8) -> str:
        """Names what is being made: these rows, on top of this record."""
        record = self._folder / "record.json"
        on = record.read_bytes() if record.exists() else b""
        return digest.blake3(compact.digest(rows.reshape(-1)) + on).hex()

    def _finish(self, key: FilterKey, rows: U8, values: U8, fingerprint: bytes, record: LentRecord | None) -> None:
        version = 1 if record is None else record.label.version + 1
        bits = filter_bits(len(rows))
        if record is not None and bits <= record.label.bits <= bits + 1:
            bits = record.label.bits  # a filter of other bits would have to travel whole
        room = MappedRoom(self._folder)
        shared = SharedFilter.of(key.name, version, values, room, bits)
        room.keep(self._folder / f"filter.{version}")
        both = reserve(self._folder / "building.rows", len(rows) * ROW_BYTES).reshape(2, -1)
        both[0], both[1] = rows.reshape(-1), values.reshape(-1)
        mark = compact.digest(both.reshape(-1))
        keep_synced(self._folder / "building.rows", both, self._folder / f"rows.{version}")
        older = None if record is None else record.label
        self._write(LentRecord(shared.label, fingerprint, mark, older))
        failpoints.hit("filter.version.kept", str(version))
        self._sweep()

    def _sweep(self) -> None:
        """Remove what the record does not name."""
        record = self.record
        assert record is not None, "it was just written"
        named = {"key.json", "record.json", ".lock", f"rows.{record.label.version}", f"filter.{record.label.version}"}
        named |= set() if record.older is None else {f"filter.{record.older.version}"}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink()

    def _rows(self, record: LentRecord) -> tuple[U8, U8] | None:
        """Digests and values of the rows that the record is about, unless they were damaged."""
        found = mapped(self._folder / f"rows.{record.label.version}", record.label.entries * ROW_BYTES)
        if found is None or compact.digest(found) != record.rows:
            _log.warning("filter.damaged", code="FILTER_DAMAGED", peer=self._receiver)
            return None
        rows, values = found.reshape(2, -1)
        return rows.reshape(-1, digest.DIGEST_BYTES), values.reshape(-1, compact.VALUE_BYTES)

    def _shared(self, label: FilterLabel) -> SharedFilter | None:
        found = mapped(self._folder / f"filter.{label.version}", label.size)
        return None if found is None else SharedFilter(label, found)

    def _read_record(self) -> LentRecord | None:
        try:
            return LentRecord.parse((self._folder / "record.json").read_bytes())
        except FileNotFoundError:
            return None
        except FedcreditError as damaged:
            _log.warning("filter.damaged", code=damaged.code, peer=self._receiver)
            return None

    def _write(self, record: LentRecord) -> None:
        replace_file(self._folder / "record.json", record.to_bytes())


def lent_filters(folder: Path, me: PartyId) -> list[tuple[PartyId, str, LentFilter]]:
    """What the party with this folder lends: to whom, of which of its tables."""
    places = sorted((folder / "filters" / "lent").glob("*/*/key.json"))
    names = [(PartyId(path.parent.parent.name), path.parent.name) for path in places]
    return [(peer, table, LentFilter(folder, me, peer, table)) for peer, table in names]
