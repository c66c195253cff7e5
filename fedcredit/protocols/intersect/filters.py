"""A filter: one party's identifiers under a pseudorandom function, as a compact set that another keeps and looks up in.

The function is RFC 9497's under a key that its owner keeps, so whoever has the filter can ask it of nothing but values
that the owner has evaluated. It travels whole once, and from then on as what went and what came.

Reveals: to whoever it is lent to the number of its entries, and about how many went and came since the last time; which
values stayed, not whose they are. To the lender which version the other holds.
Assumes: semi-honest parties, authenticated links; a key that its owner keeps secret (see `UnbalancedReceiver`).

Shapes: n entries; content (bytes,) uint8, a set of `fedcredit.kernels.filter`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.oprf import OprfKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels import filter as compact
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import STATISTICAL_BITS, STEP, Ids, check_piece, chunks, item_digests
from fedcredit.wire.intersect import (
    CHUNK_BYTES,
    FILTER_KEY_BYTES,
    FilterHeld,
    FilterOffer,
    FilterPiece,
    FilterProgress,
)

__all__ = [
    "MOST_ASKED",
    "FilterKey",
    "FilterLabel",
    "Room",
    "SharedFilter",
    "fetch",
    "filter_bits",
    "in_memory",
    "items_for",
    "padded",
    "publish",
]

U8: TypeAlias = npt.NDArray[np.uint8]

Room: TypeAlias = Callable[[int], U8]
"""Gives so many writeable bytes, e.g. of a mapped file."""

MOST_ASKED: Final = 1 << 20
"""Identifiers that may be looked up in one session. A filter is made for as many, so its entries serve all sessions."""

LEAST_CHANGE: Final = 1 << 16
"""Bytes in which the smallest change travels."""


@dataclass(frozen=True, slots=True)
class FilterLabel:
    """What a filter is: the name of its key, which version under that key, its entries and their bits, its digest."""

    key: bytes
    version: int
    entries: int
    bits: int
    digest: bytes

    @property
    def size(self) -> int:
        """Bytes of the filter."""
        return compact.size(self.entries, self.bits)


@dataclass(frozen=True, slots=True, eq=False)
class SharedFilter:
    """A filter with its content."""

    label: FilterLabel
    content: U8 = field(repr=False)

    @classmethod
    def of(
        cls, key: bytes, version: int, values: U8, room: Room | None = None, bits: int | None = None
    ) -> SharedFilter:
        """The filter of `values` (n, 16) under the key of that name."""
        bits = filter_bits(len(values)) if bits is None else bits
        content = compact.encode(values, bits, (room or in_memory)(compact.size(len(values), bits)))
        return cls(FilterLabel(key, version, len(values), bits, compact.digest(content)), content)

    @property
    def intact(self) -> bool:
        """Whether the content is what the label says."""
        return len(self.content) == self.label.size and compact.digest(self.content) == self.label.digest


@dataclass(frozen=True, slots=True)
class FilterKey:
    """A key under which a filter is made for `receiver` by `holder`, and its public name."""

    name: bytes
    receiver: PartyId
    holder: PartyId
    oprf: OprfKey = field(repr=False)

    @classmethod
    def generate(cls, receiver: PartyId, holder: PartyId, randomness: Randomness) -> FilterKey:
        """A fresh key."""
        return cls(randomness.bytes(FILTER_KEY_BYTES), receiver, holder, OprfKey.generate(randomness))

    def values(self, ids: Ids, max_rows: int) -> U8:
        """What stands in the filter for `ids`: (n, 16). Raises: DataError, as `items_for`."""
        items = items_for(ids, self.name, self.receiver, self.holder, max_rows)
        return self.oprf.evaluate(items, compact.VALUE_BYTES)


def items_for(ids: Ids, key: bytes, receiver: PartyId, holder: PartyId, max_rows: int) -> U8:
    """The inputs of the function for `ids`, bound to the two parties and the name of the key: (n, 16).

    Raises: DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE).
    """
    names = b"".join(len(name).to_bytes(1, "big") + name.encode() for name in (receiver, holder))
    return item_digests(ids, digest.derive("fedcredit v1 intersect filter", key + names), max_rows)


def filter_bits(n_holder: int) -> int:
    """Bits of an entry: 40 + log2(n_x n_y), rounded up, for as many as may be asked in one session.

    Any of the n_x n_y pairs of different identifiers looks alike with probability 2^-bits, so a session has a false
    match with probability below 2^-40.
    """
    return _bits_for(MOST_ASKED, n_holder)


def padded(size: int) -> int:
    """Bytes in which a change of `size` bytes travels: a power of two, so that its exact size stays between the two."""
    return max(LEAST_CHANGE, 1 << (size - 1).bit_length()) if size else 0


def in_memory(size: int) -> U8:
    """Room in memory."""
    return np.empty(size, np.uint8)


def publish(
    receiver: PartyId, held: FilterHeld, current: SharedFilter, older: Sequence[SharedFilter] = ()
) -> Steps[None]:
    """Bring `receiver`, which holds `held`, to `current`: by a change where `older` has what it holds."""
    label = current.label
    key, version, entries, bits = label.key, label.version, label.entries, label.bits

    def offer(*, whole: bool = False, removed: int = 0, added: int = 0) -> FilterOffer:
        return FilterOffer(key, version, entries, bits, label.digest, whole, removed, added)

    if held.key == key and held.digest == label.digest:
        yield from send(receiver, offer())
        return
    known = [old for old in older if (old.label.key, old.label.digest) == (held.key, held.digest)]
    if known and known[0].label.bits == bits:
        change = compact.difference(known[0].content, known[0].label.entries, current.content, entries, bits)
        size = padded(len(change.removed) + len(change.added))
        if size < label.size:
            data = np.zeros(size, np.uint8)
            data[: len(change.removed)] = change.removed
            data[len(change.removed) :][: len(change.added)] = change.added
            yield from send(receiver, offer(removed=change.n_removed, added=change.n_added))
            yield from _send_pieces(receiver, data)
            return
    yield from send(receiver, offer(whole=True))
    yield from _send_pieces(receiver, current.content)


def fetch(
    holder: PartyId, n_items: int, n_holder: int, held: SharedFilter | None, room: Room = in_memory
) -> Steps[SharedFilter]:
    """The filter of `holder`, which declared `n_holder` rows, as it is now; `held` is what this party has of it.

    Raises: PeerError (SET_SIZE, FILTER_INVALID).
    """
    if held is None:
        yield from send(holder, FilterHeld(bytes(FILTER_KEY_BYTES), 0, bytes(32)))
    else:
        yield from send(holder, FilterHeld(held.label.key, held.label.version, held.label.digest))
    yield from _hear_progress(holder)
    offer = yield from recv(holder, FilterOffer)
    if offer.entries != n_holder:
        raise PeerError(holder, f"{STEP}/filter", f"has {offer.entries} entries for {n_holder} rows", "SET_SIZE")
    if offer.bits < _bits_for(n_items, n_holder):
        raise _invalid(holder, f"entries of {offer.bits} bits are too short for these sets")
    label = FilterLabel(offer.key, offer.version, offer.entries, offer.bits, offer.digest)
    if offer.whole:
        found = SharedFilter(label, (yield from _read_pieces(holder, room(label.size))))
        _check(holder, found)
        return found
    if held is None or (offer.key, offer.bits) != (held.label.key, held.label.bits):
        raise _invalid(holder, "a change of a filter that this party does not hold")
    if offer.removed == offer.added == 0:
        found = SharedFilter(label, held.content)
        if offer.digest != held.label.digest:
            raise _invalid(holder, "no change, and another digest")
        return found
    found = SharedFilter(label, (yield from _read_change(holder, offer, held, room)))
    _check(holder, found)
    return found


def _hear_progress(holder: PartyId) -> Steps[None]:
    before = -1
    while True:
        progress = yield from recv(holder, FilterProgress)
        if progress.done <= before:
            raise PeerError(holder, f"{STEP}/filter", "said twice how far it is", "MESSAGE_INVALID")
        if progress.done == progress.total:
            return
        before = progress.done


def _read_change(holder: PartyId, offer: FilterOffer, held: SharedFilter, room: Room) -> Steps[U8]:
    bits, before = offer.bits, held.label.entries
    if before - offer.removed + offer.added != offer.entries or offer.removed > before:
        raise _invalid(holder, "a change that leads to another number of entries")
    sizes = compact.size(offer.removed, bits), compact.size(offer.added, bits)
    if (total := padded(sum(sizes))) >= compact.size(offer.entries, bits):
        raise _invalid(holder, "a change that is larger than the whole")
    data = yield from _read_pieces(holder, in_memory(total))
    if data[sum(sizes) :].any():
        raise _invalid(holder, "something behind a change")
    removed, added = data[: sizes[0]], data[sizes[0] : sum(sizes)]
    change = compact.Change(offer.removed, removed, offer.added, added)
    try:
        return compact.apply(held.content, before, change, bits, room(compact.size(offer.entries, bits)))
    except compact.BadFilter as bad:
        raise _invalid(holder, str(bad)) from None


def _check(holder: PartyId, found: SharedFilter) -> None:
    label = found.label
    try:
        compact.check(found.content, label.entries, label.bits)
    except compact.BadFilter as bad:
        raise _invalid(holder, str(bad)) from None
    if compact.digest(found.content) != label.digest:
        raise _invalid(holder, "is not the filter that was announced")


def _send_pieces(receiver: PartyId, data: U8) -> Steps[None]:
    for part in chunks(len(data), CHUNK_BYTES):
        yield from send(receiver, FilterPiece(np.asarray(data[part])))


def _read_pieces(holder: PartyId, into: U8) -> Steps[U8]:
    for part in chunks(len(into), CHUNK_BYTES):
        piece = (yield from recv(holder, FilterPiece)).data
        check_piece(holder, "filter", len(piece), part)
        into[part] = piece
    return into


def _bits_for(n_items: int, n_holder: int) -> int:
    return STATISTICAL_BITS + (n_items * n_holder - 1).bit_length()


def _invalid(holder: PartyId, what: str) -> PeerError:
    return PeerError(holder, f"{STEP}/filter", what, "FILTER_INVALID")
