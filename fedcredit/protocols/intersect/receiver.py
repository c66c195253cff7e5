"""The receiver: learns the intersection, and tells the holders if the job says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.oprf import OprfBlind
from fedcredit.crypto.randomness import Randomness
from fedcredit.ids import PartyId
from fedcredit.kernels import digest, okvs
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import (
    ITEM_BYTES,
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
from fedcredit.protocols.intersect.listing import find_in_list, send_places
from fedcredit.protocols.intersect.pairing import add_zero_share, agree_on_keys
from fedcredit.protocols.intersect.vole_oprf import OwnStore, evaluate_at_receiver
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

__all__ = ["IntersectReceiver", "Sieved"]

U8: TypeAlias = npt.NDArray[np.uint8]
I64: TypeAlias = npt.NDArray[np.int64]

WINDOW: Final = 4
"""Chunks under way before the first one must be back: enough to keep both sides computing, little enough to buffer."""


@dataclass(frozen=True, slots=True, eq=False)
class Sieved:
    """What the receiver has found and not released yet.

    Shapes: rows (m,) positions among the items; tag_seeds[holder] (m, 16), empty unless both learn; places (m,)
    ascending in the holder's list of `listed` items where there is a list, otherwise empty.
    """

    rows: I64 = field(repr=False)
    tag_seeds: Mapping[PartyId, U8] = field(repr=False)
    places: I64 = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    listed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class IntersectReceiver:
    """Learns which of its rows all `holders` hold too; with `both_learn`, so does every holder.

    Reveals: to the receiver the intersection of all sets and each holder's number of rows, and nothing about an item
    that some but not all holders have; to each holder the receiver's number of rows, whether the minimum is reached,
    and, with `both_learn`, which of its own rows are in the intersection.
    Assumes: semi-honest parties, authenticated links, random oracles; in mode `ecdh` decisional and one-more gap
    Diffie-Hellman, in mode `fast` learning parity with noise (`docs/protocols/vole.md`). A receiver that colludes with
    all holders but one learns its intersection with that one.
    Raises: RefusedError (INTERSECTION_TOO_SMALL); DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE); PeerError.
    """

    me: PartyId
    holders: tuple[PartyId, ...]
    ssid: bytes
    ids: Ids = field(repr=False)
    randomness: Randomness = field(repr=False)
    both_learn: bool = True
    minimum: int = 1
    max_rows: int = MAX_ROWS
    mode: Mode = "ecdh"

    def steps(self) -> Steps[Alignment]:
        """The whole protocol. `holders` may come in any order; the rows come out in a random one."""
        items = item_digests(self.ids, self.ssid, self.max_rows)
        found = yield from self.sieve(items)
        return (yield from self.release(found))

    def sieve(self, items: U8) -> Steps[Sieved]:
        """Find which `items` (n, 16) all holders have too. Nobody else hears of it before `release`."""
        if self.mode == "fast" and len(self.holders) == 1:
            return (yield from self._sieve_by_list(self.holders[0], items))
        keys = yield from agree_on_keys(self.me, self.holders, self.ssid, self.randomness)
        sizes = yield from self._exchange_sizes(len(items))

        # Zero at the end for exactly the items of the intersection.
        residue = np.zeros((len(items), VALUE_BYTES), np.uint8)
        add_zero_share(keys, items, residue)
        tag_seeds = yield from (self._evaluate if self.mode == "ecdh" else self._evaluate_fast)(items, residue)
        for holder in self.holders:
            yield from self._read_store(holder, sizes[holder], items, residue)
        rows = np.flatnonzero(~residue.any(axis=1)).astype(np.int64)
        return Sieved(rows, {holder: seeds[rows] for holder, seeds in tag_seeds.items()})

    def release(self, found: Sieved) -> Steps[Alignment]:
        """Tell the holders what was found, if it reaches the minimum. Raises: RefusedError, having told them so."""
        if len(found.rows) < self.minimum:
            for holder in self.holders:
                yield from send(holder, Release(released=False, rows=0))
            raise too_small()
        if found.listed:
            return (yield from self._release_places(found))
        # Whoever knows the key knows the order: it is drawn here and kept nowhere, so the common order says nothing.
        order = np.argsort(self.randomness.words(len(found.rows)), kind="stable")
        for holder in self.holders:
            yield from send(holder, Release(released=True, rows=len(order) if self.both_learn else 0))
        key = tag_key(self.ssid)
        for holder, seeds in found.tag_seeds.items():
            tags = digest.keyed(key, seeds[order], ITEM_BYTES)
            for part in chunks(len(tags), SLOTS_PER_CHUNK):
                yield from send(holder, AlignedTags(tags[part]))
        return Alignment(found.rows[order])

    def _exchange_sizes(self, n_items: int) -> Steps[Mapping[PartyId, int]]:
        for holder in self.holders:
            yield from send(holder, SetSize(n_items))
        sizes = {}
        for holder in self.holders:
            declared = yield from recv(holder, SetSize)
            sizes[holder] = peer_size(holder, declared.rows, n_items, self.max_rows)
        return sizes

    def _sieve_by_list(self, holder: PartyId, items: U8) -> Steps[Sieved]:
        """With one holder there are no shares to add up: its items come as a list of masks."""
        n_holder = (yield from self._exchange_sizes(len(items)))[holder]
        width = mask_bytes(len(items), n_holder)
        store = OwnStore.of(items, self.randomness)
        masks = yield from evaluate_at_receiver(self.me, holder, self.ssid, store, width, self.randomness)
        rows, places = yield from find_in_list(holder, n_holder, masks)
        return Sieved(rows, {}, places, n_holder)

    def _release_places(self, found: Sieved) -> Steps[Alignment]:
        """The order of the holder's list is the common one: it is that of its masks, and says nothing."""
        (holder,) = self.holders
        yield from send(holder, Release(released=True, rows=len(found.rows) if self.both_learn else 0))
        if self.both_learn:
            yield from send_places(holder, found.places, found.listed)
        return Alignment(found.rows)

    def _evaluate_fast(self, items: U8, residue: U8) -> Steps[Mapping[PartyId, U8]]:
        """As `_evaluate`, holder by holder."""
        kept, width = {}, VALUE_BYTES + ITEM_BYTES
        store = OwnStore.of(items, self.randomness)
        for holder in self.holders:
            values = yield from evaluate_at_receiver(self.me, holder, self.ssid, store, width, self.randomness)
            residue ^= values[:, :VALUE_BYTES]
            if self.both_learn:
                kept[holder] = values[:, VALUE_BYTES:].copy()
        return kept

    def _evaluate(self, items: U8, residue: U8) -> Steps[Mapping[PartyId, U8]]:
        """The OPRF of every holder at every item: the first half of a value goes into `residue`, the second is kept."""
        blind = OprfBlind.generate(self.randomness)
        kept = {holder: np.empty_like(items) for holder in self.holders} if self.both_learn else {}
        pending: deque[slice] = deque()

        def collect() -> Steps[None]:
            rows = pending.popleft()
            for holder in self.holders:
                points = (yield from recv(holder, EvaluatedItems)).points
                check_piece(holder, "evaluate", len(points), rows)
                with blaming(holder, "evaluate"):
                    values = blind.finalize(items[rows], points, VALUE_BYTES + ITEM_BYTES)
                residue[rows] ^= values[:, :VALUE_BYTES]
                if self.both_learn:
                    kept[holder][rows] = values[:, VALUE_BYTES:]

        for rows in chunks(len(items), POINTS_PER_CHUNK):
            blinded = BlindedItems(blind.blind(items[rows]))
            for holder in self.holders:
                yield from send(holder, blinded)
            pending.append(rows)
            if len(pending) > WINDOW:
                yield from collect()
        while pending:
            yield from collect()
        return kept

    def _read_store(self, holder: PartyId, n_rows: int, items: U8, residue: U8) -> Steps[None]:
        """XOR what `holder` stored for every item into `residue`."""
        seed = (yield from recv(holder, StoreSeed)).seed
        store = np.empty((okvs.slots(n_rows), okvs.VALUE_BYTES), np.uint8)
        for part in chunks(len(store), SLOTS_PER_CHUNK):
            slots = (yield from recv(holder, StoreSlots)).slots
            check_piece(holder, "store", len(slots), part)
            store[part] = slots
        okvs.decode_xor(store, n_rows, items, seed, residue)
