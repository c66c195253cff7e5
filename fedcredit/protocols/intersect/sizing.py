"""How many subjects two parties have in common, and nothing of which: the size of the intersection alone.

    R -> P     H(x)^r                          in R's order
    P -> R     H(x)^(r k), permuted            P draws the order, over the whole set, and keeps it nowhere
    P -> R     h(H(y)^k), in their own order   h: keyed, cut to what the sizes need
    R          counts the h(H(x)^k) that are in P's list

R takes its own mask off and has H(x)^k for all of its items, but not for which: the holder has shuffled them between
the two maskings. That is why it is elliptic curves: in mode `fast` the receiver computes the values of its items
itself, so nobody could shuffle them.
Source: Huberman, Franklin, Hogg, EC 1999; De Cristofaro, Gasti, Tsudik, CANS 2012.

It runs in one piece whatever the size: the sizes of buckets would say more than that of the whole.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.commutative import CommutativeKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels.group import POINT_BYTES
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import (
    STEP,
    Ids,
    blaming,
    check_piece,
    chunks,
    item_digests,
    mask_bytes,
    peer_size,
    too_small,
)
from fedcredit.protocols.intersect.listing import find_in_list, send_list
from fedcredit.wire.intersect import MAX_ROWS, POINTS_PER_CHUNK, BlindedItems, EvaluatedItems, Release, SetSize

__all__ = ["SizeHolder", "SizeReceiver"]

U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SizeReceiver:
    """Learns how many of its rows `holder` has too; with `both_learn`, so does the holder.

    Reveals: to the receiver how many subjects both have, and the holder's number of rows, not which subjects these are;
    to the holder the receiver's number of rows, whether the minimum is reached, and, with `both_learn`, how many
    subjects both have.
    Assumes: semi-honest parties, authenticated links, decisional Diffie-Hellman, random oracles. A receiver that
    deviates can learn of a subject of its choice whether the holder has it.
    Raises: RefusedError (INTERSECTION_TOO_SMALL); DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE); PeerError.
    """

    me: PartyId
    holder: PartyId
    ssid: bytes
    ids: Ids = field(repr=False)
    randomness: Randomness = field(repr=False)
    both_learn: bool = True
    minimum: int = 1
    max_rows: int = MAX_ROWS

    def steps(self) -> Steps[int]:
        """The whole protocol: how many subjects are common."""
        items = item_digests(self.ids, self.ssid, self.max_rows)
        yield from send(self.holder, SetSize(len(items)))
        declared = yield from recv(self.holder, SetSize)
        n_holder = peer_size(self.holder, declared.rows, len(items), self.max_rows)
        masks = yield from self._mask(items, mask_bytes(len(items), n_holder))
        rows, _ = yield from find_in_list(self.holder, n_holder, masks)
        if len(rows) < self.minimum:
            yield from send(self.holder, Release(released=False, rows=0))
            raise too_small()
        yield from send(self.holder, Release(released=True, rows=len(rows) if self.both_learn else 0))
        return len(rows)

    def _mask(self, items: U8, width: int) -> Steps[U8]:
        """The values of all items, in the order that the holder drew: (n, width)."""
        key = CommutativeKey.generate(self.randomness)
        for rows in chunks(len(items), POINTS_PER_CHUNK):
            yield from send(self.holder, BlindedItems(key.mask(items[rows])))
        masks = np.empty((len(items), width), np.uint8)
        for due in chunks(len(items), POINTS_PER_CHUNK):
            points = (yield from recv(self.holder, EvaluatedItems)).points
            check_piece(self.holder, "size", len(points), due)
            with blaming(self.holder, "size"):
                masks[due] = _values(self.ssid, key.unmask(points), width)
        return masks


@dataclass(frozen=True, slots=True, eq=False)
class SizeHolder:
    """Helps `receiver` to the size of the intersection, and shuffles so that it is the size alone.

    Reveals: to the receiver how many subjects both have, and this holder's number of rows.
    Assumes: as `SizeReceiver`. Both must be given the same ssid, `both_learn`, `minimum` and `max_rows`.
    Raises: RefusedError (INTERSECTION_TOO_SMALL); DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE); PeerError.
    """

    me: PartyId
    receiver: PartyId
    ssid: bytes
    ids: Ids = field(repr=False)
    randomness: Randomness = field(repr=False)
    both_learn: bool = True
    minimum: int = 1
    max_rows: int = MAX_ROWS

    def steps(self) -> Steps[int | None]:
        """The whole protocol: how many subjects are common; None when only the receiver learns."""
        items = item_digests(self.ids, self.ssid, self.max_rows)
        yield from send(self.receiver, SetSize(len(items)))
        declared = yield from recv(self.receiver, SetSize)
        n_receiver = peer_size(self.receiver, declared.rows, len(items), self.max_rows)
        points, masks = yield from self._mask(items, n_receiver, mask_bytes(n_receiver, len(items)))
        # Only when all have come may the first go back: an order within chunks would tell in which of them a match is.
        points = points[np.argsort(self.randomness.words(n_receiver), kind="stable")]
        for part in chunks(n_receiver, POINTS_PER_CHUNK):
            yield from send(self.receiver, EvaluatedItems(points[part]))
        yield from send_list(self.receiver, masks)
        return (yield from self._hear(min(n_receiver, len(items))))

    def _mask(self, items: U8, n_receiver: int, width: int) -> Steps[tuple[U8, U8]]:
        """The receiver's points under our key too (n_receiver, 32), and our own values (n, width)."""
        key = CommutativeKey.generate(self.randomness)
        points = np.empty((n_receiver, POINT_BYTES), np.uint8)
        masks = np.empty((len(items), width), np.uint8)
        own = deque(chunks(len(items), POINTS_PER_CHUNK))

        def mask_own() -> None:
            rows = own.popleft()
            masks[rows] = _values(self.ssid, key.mask(items[rows]), width)

        for due in chunks(n_receiver, POINTS_PER_CHUNK):
            blinded = (yield from recv(self.receiver, BlindedItems)).points
            check_piece(self.receiver, "size", len(blinded), due)
            with blaming(self.receiver, "size"):
                points[due] = key.mask_again(blinded)
            if own:
                mask_own()  # while the receiver works on its next chunk
        while own:
            mask_own()
        return points, masks

    def _hear(self, most: int) -> Steps[int | None]:
        release = yield from recv(self.receiver, Release)
        if not release.released:
            raise too_small()
        due = range(self.minimum, most + 1) if self.both_learn else range(1)
        if release.rows not in due:
            reason = f"released a size of {release.rows}, which is not in [{due.start}, {due.stop - 1}]"
            raise PeerError(self.receiver, f"{STEP}/release", reason, "SET_SIZE")
        return release.rows if self.both_learn else None


def _values(ssid: bytes, points: U8, width: int) -> U8:
    """h: bound to the session."""
    return digest.keyed(digest.derive("fedcredit v1 intersect size", ssid), points, width)
