"""The pseudorandom function of mode `fast`: obliviously evaluated with symmetric primitives alone.

VOLE-PSI (Rindal, Schoppmann, EUROCRYPT 2021) with the key-value store and the silent correlations of Raghuraman and
Rindal (CCS 2022), semi-honest. A vector oblivious linear evaluation gives the receiver A and C, the holder Delta and B,
with C = A Delta + B over GF(2^128). The receiver's items are points x with the value x in a key-value store P:

    R          P = store of { x -> x },    C' = C
    R -> H     D = A + P
    H          K = B + Delta D  =  C + Delta P        (characteristic 2)
    R          F(x) = h(C[x], x)
    H          F(y) = h(K[y] + Delta y, y)  =  h(C[y] + Delta (P[y] + y), y)

where S[x] reads the store S at x. For y among the receiver's items P[y] = y and both have the same value. For any
other y, P[y] + y is not zero but with probability 2^-128, so the receiver would have to know Delta, of which it sees
nothing. An item is a digest under a random oracle, so it is its own random value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest, gf128, okvs
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import ITEM_BYTES, check_piece, chunks
from fedcredit.protocols.vole import Correlation, set_up_receiver, set_up_sender
from fedcredit.wire.intersect import SLOTS_PER_CHUNK, BlindedSlots, StoreSeed

__all__ = ["OwnStore", "encode", "evaluate_at_holder", "evaluate_at_receiver"]

U8: TypeAlias = npt.NDArray[np.uint8]

SEEDS_TRIED: Final = 4
"""Distinct keys fail under one seed with probability far below 2^-40; a second failure is a bug."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnStore:
    """The receiver's P, encoded once for all holders: the A of each hides it anew. Shapes: items (n, 16), distinct."""

    items: U8 = field(repr=False)
    seed: bytes
    slots: U8 = field(repr=False)

    @classmethod
    def of(cls, items: U8, randomness: Randomness) -> OwnStore:
        """P over `items`."""
        # What is in the slots that no item fixes does not matter: A hides all of them, and P[y] + y is not zero
        # either way.
        return cls(items, *encode(items, items, randomness, sent_as_it_is=False))


def evaluate_at_receiver(
    me: PartyId, holder: PartyId, ssid: bytes, store: OwnStore, width: int, randomness: Randomness
) -> Steps[U8]:
    """F(x) under the function of `holder` for the items of the receiver's `store`: (n, width).

    Reveals: to the holder the number of items; to the receiver the function at its items.
    Assumes: semi-honest parties; what the evaluation assumes (`VoleSender`); a random oracle.
    """
    items = store.items
    yield from send(holder, StoreSeed(store.seed))
    session = yield from set_up_receiver(_correlation(ssid, me, holder), randomness)
    a, c = yield from session.take(len(store.slots))
    for part in chunks(len(a), SLOTS_PER_CHUNK):
        yield from send(holder, BlindedSlots(store.slots[part] ^ a[part]))
    del a
    values = np.zeros((len(items), okvs.VALUE_BYTES), np.uint8)
    okvs.decode_xor(c, len(items), items, store.seed, values)
    return _function(ssid, me, holder, values, items, width)


def evaluate_at_holder(
    me: PartyId, receiver: PartyId, ssid: bytes, n_receiver: int, items: U8, width: int, randomness: Randomness
) -> Steps[U8]:
    """F(y) under this holder's function for its own `items`: (n, width).

    Shapes: items (n, 16).
    Reveals: see `evaluate_at_receiver`.
    Assumes: see `evaluate_at_receiver`.
    Raises: PeerError (SET_SIZE).
    """
    seed = (yield from recv(receiver, StoreSeed)).seed
    session = yield from set_up_sender(_correlation(ssid, receiver, me), randomness)
    key = yield from session.take(okvs.slots(n_receiver))
    for part in chunks(len(key), SLOTS_PER_CHUNK):
        slots = (yield from recv(receiver, BlindedSlots)).slots
        check_piece(receiver, "evaluate", len(slots), part)
        gf128.scale_add(slots, session.delta, key[part])
    values = gf128.scale(items, session.delta)
    okvs.decode_xor(key, n_receiver, items, seed, values)
    return _function(ssid, receiver, me, values, items, width)


def encode(items: U8, values: U8, randomness: Randomness, *, sent_as_it_is: bool = True) -> tuple[bytes, U8]:
    """The public seed of a store of `values` (n, 16) at distinct `items` (n, 16), and the store.

    Slots that no item fixes are random where the store is sent as it is, and zero where it is not.
    """
    shape = (okvs.slots(len(items)), okvs.VALUE_BYTES)
    for _ in range(SEEDS_TRIED):
        seed = randomness.bytes(okvs.SEED_BYTES)
        free = randomness.array(*shape) if sent_as_it_is else np.zeros(shape, np.uint8)
        try:
            return seed, okvs.encode(items, values, seed, free)
        except okvs.NoAssignment:
            continue
    raise FedcreditError(f"{len(items)} distinct keys have no store under {SEEDS_TRIED} seeds")


def _correlation(ssid: bytes, receiver: PartyId, holder: PartyId) -> Correlation:
    """The evaluation of this pair. Whoever holds items is the sender of it."""
    return Correlation(digest.derive("fedcredit v1 intersect vole", ssid), holder, receiver)


def _function(ssid: bytes, receiver: PartyId, holder: PartyId, values: U8, items: U8, width: int) -> U8:
    """h: bound to the session and to the two ends."""
    names = b"".join(len(name).to_bytes(1, "big") + name.encode() for name in (receiver, holder))
    key = digest.derive("fedcredit v1 intersect fast", ssid + names)
    inputs = np.concatenate([values, items], axis=1)
    assert inputs.shape[1] == okvs.VALUE_BYTES + ITEM_BYTES
    return digest.keyed(key, inputs, width)
