"""A holder: lends the receiver a pseudorandom function and a store of its own items under it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.oprf import OprfKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import (
    ITEM_BYTES,
    STEP,
    VALUE_BYTES,
    Alignment,
    Ids,
    Mode,
    blaming,
    check_piece,
    chunks,
    item_digests,
    mask_bytes,
    peer_size,
    tag_key,
    too_small,
)
from fedcredit.protocols.intersect.listing import read_places, send_list
from fedcredit.protocols.intersect.pairing import add_zero_share, agree_on_keys
from fedcredit.protocols.intersect.vole_oprf import encode, evaluate_at_holder
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

__all__ = ["IntersectHolder", "Lent"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Lent:
    """What a holder keeps from `sieve` for `release`.

    Shapes: tag_seeds (n, 16) of its items in their order; or order (n,), the item at each place of its list, -1 where
    there is none.
    """

    tag_seeds: U8 = field(default_factory=lambda: np.empty((0, ITEM_BYTES), np.uint8), repr=False)
    order: I64 = field(default_factory=lambda: np.empty(0, np.int64), repr=False)


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
    mode: Mode = "ecdh"

    def steps(self) -> Steps[Alignment | None]:
        """The whole protocol. None when only the receiver learns."""
        items = item_digests(self.ids, self.ssid, self.max_rows)
        lent = yield from self.sieve(items)
        return (yield from self.release(lent))

    def sieve(self, items: U8) -> Steps[Lent]:
        """Help the receiver to find which of its items all parties have, given this party's `items` (n, 16)."""
        if self.mode == "fast" and not self.others:
            return (yield from self._sieve_by_list(items))
        keys = yield from agree_on_keys(self.me, (self.receiver, *self.others), self.ssid, self.randomness)
        n_receiver = yield from self._exchange_sizes(len(items))
        if self.mode == "ecdh":
            values = yield from self._evaluate(items, n_receiver)
        else:
            width = VALUE_BYTES + ITEM_BYTES
            values = yield from evaluate_at_holder(
                self.me, self.receiver, self.ssid, n_receiver, items, width, self.randomness
            )
        masked = values[:, :VALUE_BYTES].copy()
        tag_seeds = values[:, VALUE_BYTES:].copy()
        del values
        add_zero_share(keys, items, masked)
        yield from self._send_store(items, masked)
        return Lent(tag_seeds)

    def release(self, lent: Lent) -> Steps[Alignment | None]:
        """Hear which rows are in the intersection.

        The receiver cannot name more rows than this party has. None when only the receiver learns.
        """
        release = yield from recv(self.receiver, Release)
        if not release.released:
            raise too_small()
        self._check_release(release, len(lent.tag_seeds) + int((lent.order >= 0).sum()))
        if not self.both_learn:
            return None
        if not len(lent.order):
            return (yield from self._find_rows(release.rows, lent.tag_seeds))
        rows = lent.order[(yield from read_places(self.receiver, len(lent.order), release.rows))]
        if (rows < 0).any():
            raise PeerError(self.receiver, f"{STEP}/release", "named a place at which no row of ours is", "TAG_INVALID")
        return Alignment(rows)

    def _exchange_sizes(self, n_items: int) -> Steps[int]:
        yield from send(self.receiver, SetSize(n_items))
        declared = yield from recv(self.receiver, SetSize)
        return peer_size(self.receiver, declared.rows, n_items, self.max_rows)

    def _sieve_by_list(self, items: U8) -> Steps[Lent]:
        n_receiver = yield from self._exchange_sizes(len(items))
        width = mask_bytes(n_receiver, len(items))
        masks = yield from evaluate_at_holder(
            self.me, self.receiver, self.ssid, n_receiver, items, width, self.randomness
        )
        return Lent(order=(yield from send_list(self.receiver, masks)))

    def _evaluate(self, items: U8, n_receiver: int) -> Steps[U8]:
        """Evaluate the receiver's blinded items, and between its chunks our own: (n, 32)."""
        key = OprfKey.generate(self.randomness)
        values = np.empty((len(items), VALUE_BYTES + ITEM_BYTES), np.uint8)
        own = iter(chunks(len(items), POINTS_PER_CHUNK))
        for due in chunks(n_receiver, POINTS_PER_CHUNK):
            points = (yield from recv(self.receiver, BlindedItems)).points
            check_piece(self.receiver, "evaluate", len(points), due)
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
        seed, store = encode(items, masked, self.randomness)
        yield from send(self.receiver, StoreSeed(seed))
        for part in chunks(len(store), SLOTS_PER_CHUNK):
            yield from send(self.receiver, StoreSlots(store[part]))

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
            check_piece(self.receiver, "release", len(tags), part)
            wanted[part] = tags
        rows = digest.lookup(digest.keyed(tag_key(self.ssid), tag_seeds, ITEM_BYTES), wanted)
        if (rows < 0).any() or digest.find_repeat(wanted) is not None:
            raise PeerError(
                self.receiver, f"{STEP}/release", "named a row that is not ours, or one twice", "TAG_INVALID"
            )
        return Alignment(rows)
