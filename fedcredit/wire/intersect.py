"""The messages of the intersection protocol; `docs/protocols/intersect.md` has them in a table.

Shapes: a chunk has c rows; points (c, 32), slots (c, 16), tags (c, 16), masks (c, w), all uint8; bits are packed.
Chunks are full but for the last one of a stream, so their number and sizes follow from the declared sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedcredit.wire._gen import intersect_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count, flag

__all__ = [
    "BITS_PER_CHUNK",
    "FILTER_KEY_BYTES",
    "MAX_ROWS",
    "POINTS_PER_CHUNK",
    "SLOTS_PER_CHUNK",
    "AlignedPlaces",
    "AlignedTags",
    "BlindedItems",
    "BlindedSlots",
    "EvaluatedItems",
    "FilterHeld",
    "FilterOffer",
    "FilterPiece",
    "FilterProgress",
    "ItemMasks",
    "PairKey",
    "Release",
    "SetSize",
    "StoreSeed",
    "StoreSlots",
]

MAX_ROWS: Final = 1 << 28
"""Rows of a party, and evaluations under one OPRF key: a static Diffie-Hellman oracle costs log2(queries) / 2 bits."""

CHUNK_BYTES: Final = 1 << 20
POINT_BYTES: Final = 32
SLOT_BYTES: Final = 16
POINTS_PER_CHUNK: Final = CHUNK_BYTES // POINT_BYTES
SLOTS_PER_CHUNK: Final = CHUNK_BYTES // SLOT_BYTES
BITS_PER_CHUNK: Final = CHUNK_BYTES * 8

FILTER_KEY_BYTES: Final = 16
"""Bytes of the name of a key under which a filter was made; all zero where none is meant."""

MAX_FILTER_BITS: Final = 8 * SLOT_BYTES
MAX_VERSION: Final = 1 << 40
MAX_PIECES: Final = 1 << 16

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, repr=False)
class PairKey(Message, tag=0x10, proto=pb.PairKey):
    """A fresh Diffie-Hellman key, between every two parties.

    Reveals: nothing.
    Assumes: an authenticated link; computational Diffie-Hellman.
    """

    point: bytes = blob(POINT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class SetSize(Message, tag=0x11, proto=pb.SetSize):
    """How many rows the sender brings; between the receiver and each holder.

    Reveals: that number.
    Assumes: an authenticated link.
    """

    rows: int = count(MAX_ROWS)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.rows == 0:
            raise MessageInvalid("SetSize.rows", "an empty set", "SET_SIZE")


@dataclass(frozen=True, slots=True, repr=False)
class BlindedItems(Message, tag=0x12, proto=pb.BlindedItems):
    """The receiver's items, hashed to the group and blinded.

    Reveals: nothing beyond their number.
    Assumes: decisional Diffie-Hellman, a random oracle; the blind is fresh.
    """

    points: U8 = array(np.uint8, 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _rows_of("BlindedItems.points", self.points, POINT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class EvaluatedItems(Message, tag=0x13, proto=pb.EvaluatedItems):
    """The blinded items of one chunk under the holder's key, in their order.

    Reveals: the holder's pseudorandom function at the receiver's items, which says nothing without the store.
    Assumes: one-more gap Diffie-Hellman (RFC 9497, section 7); the key is fresh.
    """

    points: U8 = array(np.uint8, 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _rows_of("EvaluatedItems.points", self.points, POINT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class StoreSeed(Message, tag=0x14, proto=pb.StoreSeed):
    """The public seed of the holder's oblivious key-value store.

    Reveals: nothing.
    Assumes: a store fails for a seed with negligible probability, so the seed says nothing of the keys.
    """

    seed: bytes = blob(32)


@dataclass(frozen=True, slots=True, repr=False)
class StoreSlots(Message, tag=0x15, proto=pb.StoreSlots):
    """A piece of the holder's store, in order.

    Reveals: with one holder, which of the receiver's items the holder has; with more, which all holders have.
    Assumes: semi-honest parties; an oblivious key-value store over pseudorandom values.
    """

    slots: U8 = array(np.uint8, 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _rows_of("StoreSlots.slots", self.slots, SLOT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class Release(Message, tag=0x16, proto=pb.Release):
    """The end: whether the intersection reaches the agreed minimum, and, where both sides learn it, its size.

    Reveals: whether the minimum is reached; the size of the intersection if both sides learn, otherwise 0 is sent.
    Assumes: a semi-honest receiver.
    """

    released: bool = flag()
    rows: int = count(MAX_ROWS)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.rows and not self.released:
            raise MessageInvalid("Release.rows", "a size beside a refusal")


@dataclass(frozen=True, slots=True, repr=False)
class AlignedTags(Message, tag=0x17, proto=pb.AlignedTags):
    """A piece of the intersection for one holder, in the common order: a tag per row that only this holder can read.

    Reveals: which of the holder's rows are in the intersection.
    Assumes: a semi-honest receiver.
    """

    tags: U8 = array(np.uint8, 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _rows_of("AlignedTags.tags", self.tags, SLOT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class BlindedSlots(Message, tag=0x18, proto=pb.BlindedSlots):
    """A piece of the receiver's own store, in order, hidden under its half of a vector oblivious linear evaluation.

    Reveals: nothing beyond the number of slots.
    Assumes: the evaluation's coefficients look uniform to the holder (`docs/protocols/vole.md`).
    """

    slots: U8 = array(np.uint8, 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _rows_of("BlindedSlots.slots", self.slots, SLOT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class ItemMasks(Message, tag=0x19, proto=pb.ItemMasks):
    """A piece of the list of the holder's items, each as its pseudorandom mask, in the order of the masks.

    Reveals: which of the receiver's items the holder has.
    Assumes: semi-honest parties; masks of items that the receiver does not have look uniform to it.
    """

    masks: U8 = array(np.uint8, 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        if not len(self.masks) or not 1 <= self.masks.shape[1] <= SLOT_BYTES:
            raise MessageInvalid(
                "ItemMasks.masks", f"not rows of 1 to {SLOT_BYTES} bytes, one at least", "ARRAY_INVALID"
            )


@dataclass(frozen=True, slots=True, repr=False)
class AlignedPlaces(Message, tag=0x1A, proto=pb.AlignedPlaces):
    """A piece of the intersection for the one holder: a bit for each place of its list, set if it is in.

    Reveals: which of the holder's rows are in the intersection.
    Assumes: a semi-honest receiver.
    """

    bits: U8 = array(np.uint8, 1, CHUNK_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class FilterHeld(Message, tag=0x1C, proto=pb.FilterHeld):
    """Which filter of the holder the receiver has from earlier sessions; a key of zeros for none.

    Reveals: that, which the holder knows but for a copy that was lost.
    Assumes: an authenticated link.
    """

    key: bytes = blob(FILTER_KEY_BYTES)
    version: int = count(MAX_VERSION)
    digest: bytes = blob(32)


@dataclass(frozen=True, slots=True, repr=False)
class FilterProgress(Message, tag=0x1D, proto=pb.FilterProgress):
    """How far the holder is with bringing its filter up to date: `done` of `total` pieces of work; equal at the end.

    Reveals: how many of the holder's rows are new to its filter, to 131,072 of them.
    Assumes: an authenticated link.
    """

    done: int = count(MAX_PIECES)
    total: int = count(MAX_PIECES)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.done > self.total:
            raise MessageInvalid("FilterProgress.done", "more than there is to do")


@dataclass(frozen=True, slots=True, repr=False)
class FilterOffer(Message, tag=0x1E, proto=pb.FilterOffer):
    """The holder's filter as it is now, and what follows of it: all, or what went and what came, or nothing.

    Reveals: the holder's number of rows; unless the whole follows, how many of them went and came since the version
    that the receiver holds.
    Assumes: an authenticated link; a semi-honest holder, which uses the key that the filter names.
    """

    key: bytes = blob(FILTER_KEY_BYTES)
    version: int = count(MAX_VERSION, 1)
    entries: int = count(MAX_ROWS, 1)
    bits: int = count(MAX_FILTER_BITS, 1)
    digest: bytes = blob(32)
    whole: bool = flag()
    removed: int = count(MAX_ROWS)
    added: int = count(MAX_ROWS)

    def validate(self) -> None:
        """See `Message.validate`."""
        if not any(self.key):
            raise MessageInvalid("FilterOffer.key", "names no key")
        if self.whole and (self.removed or self.added):
            raise MessageInvalid("FilterOffer.whole", "a change beside the whole")


@dataclass(frozen=True, slots=True, repr=False)
class FilterPiece(Message, tag=0x1F, proto=pb.FilterPiece):
    """A piece of the holder's filter, or of a change of it, in order.

    Reveals: nothing but through the pseudorandom function at the receiver's items; over several versions of a filter
    under one key, which of its entries are the same.
    Assumes: entries of items that the receiver did not ask for look uniform to it (one-more gap Diffie-Hellman).
    """

    data: U8 = array(np.uint8, 1, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        if not len(self.data):
            raise MessageInvalid("FilterPiece.data", "an empty piece", "ARRAY_INVALID")


def _rows_of(where: str, chunk: U8, width: int) -> None:
    if chunk.shape[1] != width or not len(chunk):
        raise MessageInvalid(where, f"not rows of {width} bytes, one at least", "ARRAY_INVALID")
