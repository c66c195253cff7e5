"""Two parties alone: the holder's items as a list of masks, and the intersection as bits over that list.

With one holder there is nothing to share but the pseudorandom function itself, so the holder sends its values cut to
what the sizes need, and the receiver looks its own up. The order of the list is that of the masks, which says nothing
of the holder's rows; both ends know it, so it is the common order as well.

Reveals: to the receiver which of its items the holder has; to the holder, where both learn, which of its own these are.
Assumes: semi-honest parties; masks of items that the receiver does not have look uniform to it (`vole_oprf`).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import ITEM_BYTES, STEP, check_piece, chunks
from fedcredit.wire.intersect import BITS_PER_CHUNK, SLOTS_PER_CHUNK, AlignedPlaces, ItemMasks

__all__ = ["find_in_list", "read_places", "send_list", "send_places"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


def send_list(receiver: PartyId, masks: U8) -> Steps[I64]:
    """Send the masks of all items (n, w) to `receiver`; the item that stands at each place: (n,)."""
    # Masks are uniform, so their first eight bytes order them; equal ones are nobody's bad luck but ours.
    head = np.zeros((len(masks), 8), np.uint8)
    head[:, : masks.shape[1]] = masks[:, :8]
    order = np.argsort(head.view("<u8")[:, 0])
    for part in chunks(len(masks), SLOTS_PER_CHUNK):
        yield from send(receiver, ItemMasks(masks.take(order[part], axis=0)))
    return order


def find_in_list(holder: PartyId, n_holder: int, masks: U8) -> Steps[tuple[I64, I64]]:
    """Which of this party's `masks` (n, w) stand in the list of `holder`, and at which places: two arrays (m,).

    They come in the order of the places.
    Raises: PeerError (SET_SIZE, ARRAY_INVALID, TAG_INVALID).
    """
    step = f"{STEP}/list"
    width = masks.shape[1]
    table = np.zeros((n_holder, ITEM_BYTES), np.uint8)
    for part in chunks(n_holder, SLOTS_PER_CHUNK):
        piece = (yield from recv(holder, ItemMasks)).masks
        check_piece(holder, "list", len(piece), part)
        if piece.shape[1] != width:
            raise PeerError(
                holder, step, f"sent masks of {piece.shape[1]} bytes where {width} were due", "ARRAY_INVALID"
            )
        table[part, :width] = piece
    wanted = np.zeros((len(masks), ITEM_BYTES), np.uint8)
    wanted[:, :width] = masks
    places = digest.lookup(table, wanted)
    rows = np.flatnonzero(places >= 0)
    rows = rows[np.argsort(places[rows])]
    if (np.diff(places[rows]) == 0).any():
        raise PeerError(holder, step, "has one mask for two of this party's items", "TAG_INVALID")
    return rows, places[rows]


def send_places(holder: PartyId, places: I64, listed: int) -> Steps[None]:
    """Tell `holder` which places of its list of `listed` items are in the intersection."""
    chosen = np.zeros(listed, np.bool_)
    chosen[places] = True
    for part in chunks(listed, BITS_PER_CHUNK):
        yield from send(holder, AlignedPlaces(np.packbits(chosen[part], bitorder="little")))


def read_places(receiver: PartyId, listed: int, released: int) -> Steps[I64]:
    """The places of this party's list that `receiver` names, ascending: (released,).

    Raises: PeerError (SET_SIZE).
    """
    chosen = np.zeros(listed, np.bool_)
    for part in chunks(listed, BITS_PER_CHUNK):
        bits = (yield from recv(receiver, AlignedPlaces)).bits
        if len(bits) != -(-(part.stop - part.start) // 8):
            raise PeerError(
                receiver, f"{STEP}/release", "sent another number of bits than the list has places", "SET_SIZE"
            )
        chosen[part] = np.unpackbits(bits, count=part.stop - part.start, bitorder="little").view(np.bool_)
    places = np.flatnonzero(chosen)
    if len(places) != released:
        raise PeerError(receiver, f"{STEP}/release", f"named {len(places)} places and released {released}", "SET_SIZE")
    return places
