"""A holder: lends the receiver a pseudorandom function and a store of its own items under it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.oprf import OprfKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest, okvs
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import (
    ITEM_BYTES,
    STEP,
    VALUE_BYTES,
    Alignment,
    Ids,
    blaming,
    chunks,
    item_digests,
    peer_size,
    tag_key,
    too_small,
)
from fedcredit.protocols.intersect.pairing import add_zero_share, agree_on_keys
from fedcredit.wire.intersect import (
    MAX_ROWS,
    POINTS_PER_CHUNK,
    SLOTS_PER_CHUNK,
    AlignedTags,
    BlindedItems,
    EvaluatedItems,
    Release,
    SetSize,
    StoreSeed,
    StoreSlots,
)

__all__ = ["IntersectHolder"]

U8: TypeAlias = npt.NDArray[np.uint8]

SEEDS_TRIED: Final = 4
"""Distinct keys fail under one seed with probability far below 2^-40; a second failure is a bug."""


@dataclass(frozen=True, slots=True, eq=False)
class IntersectHolder:
    """Helps `receiver` to the intersection; with `both_learn` it learns which of its own rows are in it.

    `others` are the other holders.
    Reveals: to the receiver this holder's number of rows and which of the receiver's items all parties hold; to other
    holders nothing.
    Assumes: as `IntersectReceiver`. Both must be given the same ssid, holders, `both_learn`, `minimum` and `max_rows`.
    Raises: RefusedError (INTERSECTION_TOO_SMALL); DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE); PeerError.
    """

    me: PartyId
    receiver: PartyId
    others: tuple[PartyId, ...]
    ssid: bytes
    ids: Ids = field(repr=False)
    randomness: Randomness = field(repr=False)
    both_learn: bool = True
    minimum: int = 1
    max_rows: int = MAX_ROWS

    def steps(self) -> Steps[Alignment | None]:
        """The whole protocol. None when only the receiver learns."""
        items = item_digests(self.ids, self.ssid, self.max_rows)
        tag_seeds = yield from self.sieve(items)
        return (yield from self.release(tag_seeds))

    def sieve(self, items: U8) -> Steps[U8]:
        """Help the receiver to find which of its items all parties have; the seeds of this party's own tags: (n, 16).

        Shapes: items (n, 16).
        """
        keys = yield from agree_on_keys(self.me, (self.receiver, *self.others), self.ssid, self.randomness)
        yield from send(self.receiver, SetSize(len(items)))
        declared = yield from recv(self.receiver, SetSize)
        n_receiver = peer_size(self.receiver, declared.rows, len(items), self.max_rows)

        values = yield from self._evaluate(items, n_receiver)
        masked = values[:, :VALUE_BYTES].copy()
        tag_seeds = values[:, VALUE_BYTES:].copy()
        del values
        add_zero_share(keys, items, masked)
        yield from self._send_store(items, masked)
        return tag_seeds

    def release(self, tag_seeds: U8) -> Steps[Alignment | None]:
        """Hear which rows are in the intersection, given the seeds (n, 16) of the tags of all rows.

        The receiver cannot name more rows than this party has. None when only the receiver learns.
        """
        release = yield from recv(self.receiver, Release)
        if not release.released:
            raise too_small()
        self._check_release(release, len(tag_seeds))
        return (yield from self._find_rows(release.rows, tag_seeds)) if self.both_learn else None

    def _evaluate(self, items: U8, n_receiver: int) -> Steps[U8]:
        """Evaluate the receiver's blinded items, and between its chunks our own: (n, 32)."""
        key = OprfKey.generate(self.randomness)
        values = np.empty((len(items), VALUE_BYTES + ITEM_BYTES), np.uint8)
        own = iter(chunks(len(items), POINTS_PER_CHUNK))
        for due in chunks(n_receiver, POINTS_PER_CHUNK):
            points = (yield from recv(self.receiver, BlindedItems)).points
            if len(points) != due.stop - due.start:
                reason = f"sent a chunk of {len(points)} rows where {due.stop - due.start} were due"
                raise PeerError(self.receiver, f"{STEP}/evaluate", reason, "SET_SIZE")
            with blaming(self.receiver, "evaluate"):
                evaluated = key.blind_evaluate(points)
            yield from send(self.receiver, EvaluatedItems(evaluated))
            # While the receiver works on that one.
            if (rows := next(own, None)) is not None:
                values[rows] = key.evaluate(items[rows], VALUE_BYTES + ITEM_BYTES)
        for rows in own:
            values[rows] = key.evaluate(items[rows], VALUE_BYTES + ITEM_BYTES)
        return values

    def _send_store(self, items: U8, masked: U8) -> Steps[None]:
        """Send the store that maps every item to its masked value."""
        seed, store = self._encode(items, masked)
        yield from send(self.receiver, StoreSeed(seed))
        for part in chunks(len(store), SLOTS_PER_CHUNK):
            yield from send(self.receiver, StoreSlots(store[part]))

    def _encode(self, items: U8, masked: U8) -> tuple[bytes, U8]:
        for _ in range(SEEDS_TRIED):
            seed = self.randomness.bytes(okvs.SEED_BYTES)
            fill = self.randomness.array(okvs.slots(len(items)), okvs.VALUE_BYTES)
            try:
                return seed, okvs.encode(items, masked, seed, fill)
            except okvs.NoAssignment:
                continue
        raise FedcreditError(f"{len(items)} distinct keys have no store under {SEEDS_TRIED} seeds")

    def _check_release(self, release: Release, most: int) -> None:
        due = range(self.minimum, most + 1) if self.both_learn else range(1)
        if release.rows not in due:
            reason = f"released {release.rows} rows, which is not in [{due.start}, {due.stop - 1}]"
            raise PeerError(self.receiver, f"{STEP}/release", reason, "SET_SIZE")

    def _find_rows(self, n_rows: int, tag_seeds: U8) -> Steps[Alignment]:
        """Our rows of the intersection, in the order the receiver names them."""
        wanted = np.empty((n_rows, ITEM_BYTES), np.uint8)
        for part in chunks(n_rows, SLOTS_PER_CHUNK):
            tags = (yield from recv(self.receiver, AlignedTags)).tags
            if len(tags) != part.stop - part.start:
                reason = f"sent a chunk of {len(tags)} rows where {part.stop - part.start} were due"
                raise PeerError(self.receiver, f"{STEP}/release", reason, "SET_SIZE")
            wanted[part] = tags
        rows = digest.lookup(digest.keyed(tag_key(self.ssid), tag_seeds, ITEM_BYTES), wanted)
        if (rows < 0).any() or digest.find_repeat(wanted) is not None:
            raise PeerError(
                self.receiver, f"{STEP}/release", "named a row that is not ours, or one twice", "TAG_INVALID"
            )
        return Alignment(rows)
