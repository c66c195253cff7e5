"""The 128 base transfers, and the 32 seed trees that they plant: what correlated transfers are extended from.

P, the planter, will receive the transfers `t`; A, the chooser, sends them: q = t xor choice Delta, by its secret Delta.

Oblivious transfer as in Masny and Rindal (Endemic Oblivious Transfer, CCS 2019, section 5) over ristretto255:

    P -> A    aG
    A -> P    for each transfer with choice c:  R_{1-c} uniform,  R_c = bG - h(R_{1-c})
    P         K_s = KDF(a (R_s + h(R_{1-s})))      s = 0, 1
    A         K_c = KDF(b aG)

A's choices are the inverse bits of its secret Delta. P plants a tree of 16 leaves for each nibble of Delta and sends,
under the keys, both sides' xor of each level; A grows all leaves but number Delta_j, and renumbers them y = x xor
Delta_j (see `native/core/src/cot.rs`). Fresh for every session: a session that is aborted is not taken up again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest, group
from fedcredit.kernels.onehot import KEY_BYTES, NIBBLES, STREAMS, U8
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.transfers import BASE_TRANSFERS, SeedSums, TransferChoices, TransferKey

I64: TypeAlias = npt.NDArray[np.int64]

__all__ = ["ChooserSeeds", "Transfers", "choose", "plant"]

LEVELS = 4
_DST = b"fedcredit-v1-transfers-endemic-ristretto255"


@dataclass(frozen=True, slots=True)
class Transfers:
    """What both sides know beforehand: the session, who plants and who chooses, and what the transfers are for.

    `session` is 32 bytes that no other run shares; `use` keeps two protocols of one session apart. Raises: ValueError.
    """

    session: bytes
    planter: PartyId
    chooser: PartyId
    use: str
    step: str
    """How errors name these transfers."""

    def __post_init__(self) -> None:
        if len(self.session) != digest.KEY_BYTES:
            raise ValueError("Transfers: a session is 32 bytes")

    @property
    def material(self) -> bytes:
        """What every key of these transfers is derived from. None of its texts holds a slash or a zero byte."""
        return self.session + f"{self.use}/{self.chooser}/{self.planter}\0".encode()


@dataclass(frozen=True, slots=True)
class ChooserSeeds:
    """What A has after the base transfers: Delta, and 15 of the 16 seeds of each nibble. All secret."""

    delta: int = field(repr=False)
    seeds: U8 = field(repr=False)


def plant(transfers: Transfers, randomness: Randomness) -> Steps[U8]:
    """P's side. Returns its seeds (32, 16, 16). Reveals: nothing to P. Assumes: semi-honest A."""
    secret = randomness.scalars(1)
    yield from send(transfers.chooser, TransferKey(group.multiply_base(secret).tobytes()))
    choices = yield from recv(transfers.chooser, TransferChoices)
    keys = np.stack([_sender_keys(transfers, choices.points, side, secret.tobytes()) for side in (0, 1)], axis=1)
    seeds = np.zeros((NIBBLES, STREAMS, KEY_BYTES), np.uint8)
    sums = np.zeros((BASE_TRANSFERS, 2, KEY_BYTES), np.uint8)
    for j in range(NIBBLES):
        nodes = [randomness.bytes(KEY_BYTES)]
        for level in range(LEVELS):
            nodes = [child for node in nodes for child in _children(transfers, node)]
            for side in (0, 1):
                sums[j * LEVELS + level, side] = _xor(nodes[side::2])
        seeds[j] = np.frombuffer(b"".join(nodes), np.uint8).reshape(STREAMS, KEY_BYTES)
    yield from send(transfers.chooser, SeedSums(sums ^ keys))
    return seeds


def choose(transfers: Transfers, randomness: Randomness) -> Steps[ChooserSeeds]:
    """A's side. Reveals: nothing to A but the seeds its Delta leaves open. Assumes: semi-honest P."""
    delta = int.from_bytes(randomness.bytes(KEY_BYTES), "little")
    key = yield from recv(transfers.planter, TransferKey)
    nibbles = [(delta >> (4 * j)) & 15 for j in range(NIBBLES)]
    open_side = np.array([1 - ((x >> (LEVELS - 1 - level)) & 1) for x in nibbles for level in range(LEVELS)])
    secrets = randomness.scalars(BASE_TRANSFERS)
    unknown = group.hash_to_group(randomness.array(BASE_TRANSFERS, 64), dst=_DST + b"-uniform")
    known = group.subtract(group.multiply_base(secrets), _mask_points(transfers, unknown, open_side))
    points = np.empty((BASE_TRANSFERS, 2, group.POINT_BYTES), np.uint8)
    rows = np.arange(BASE_TRANSFERS)
    points[rows, open_side], points[rows, 1 - open_side] = known, unknown
    yield from send(transfers.planter, TransferChoices(points))

    their_key = np.repeat(np.frombuffer(key.point, np.uint8)[None], BASE_TRANSFERS, axis=0)
    shared = _from_peer(transfers, transfers.planter, lambda: group.multiply_each(their_key, secrets))
    keys = _derive(transfers, shared, open_side)
    sums = yield from recv(transfers.planter, SeedSums)
    opened = sums.blocks[rows, open_side] ^ keys
    seeds = np.zeros((NIBBLES, STREAMS, KEY_BYTES), np.uint8)
    for j, hole in enumerate(nibbles):
        leaves = _grow_around(transfers, hole, [opened[j * LEVELS + level].tobytes() for level in range(LEVELS)])
        for y in range(1, STREAMS):
            seeds[j, y] = np.frombuffer(leaves[y ^ hole], np.uint8)
    return ChooserSeeds(delta, seeds)


def _sender_keys(transfers: Transfers, points: U8, side: int, secret: bytes) -> U8:
    sides = np.full(BASE_TRANSFERS, side)
    own, other = np.ascontiguousarray(points[:, side]), np.ascontiguousarray(points[:, 1 - side])

    def shared() -> U8:
        group.check_points(other)
        return group.multiply(group.add(own, _mask_points(transfers, other, sides)), secret)

    return _derive(transfers, _from_peer(transfers, transfers.chooser, shared), sides)


def _mask_points(transfers: Transfers, points: U8, side: I64) -> U8:
    """h(R): the other point of a pair, bound to session, transfer and side, into the group."""
    context = _context(transfers, side)
    return group.hash_to_group(np.concatenate([context, points], axis=1), dst=_DST)


def _derive(transfers: Transfers, points: U8, side: I64) -> U8:
    key = digest.derive("fedcredit v1 base transfer key", transfers.material)
    return digest.keyed(key, np.concatenate([_context(transfers, side), points], axis=1), KEY_BYTES)


def _context(transfers: Transfers, side: I64) -> U8:
    head = np.frombuffer(digest.derive("fedcredit v1 base transfer", transfers.material), np.uint8)
    numbers = np.stack([np.arange(BASE_TRANSFERS), side], axis=1).astype(np.uint8)
    return np.concatenate([np.repeat(head[None], BASE_TRANSFERS, axis=0), numbers], axis=1)


def _from_peer(transfers: Transfers, peer: PartyId, compute: Callable[[], U8]) -> U8:
    try:
        return compute()
    except group.BadPoint:
        raise PeerError(peer, transfers.step, "sent a point that is not a group element", "POINT_INVALID") from None


def _children(transfers: Transfers, node: bytes) -> tuple[bytes, bytes]:
    both = digest.derive("fedcredit v1 seed tree", node + transfers.material, 2 * KEY_BYTES)
    return both[:KEY_BYTES], both[KEY_BYTES:]


def _grow_around(transfers: Transfers, hole: int, opened: list[bytes]) -> list[bytes]:
    """All leaves but number `hole`, which stays zero, from the xor of the side off its path at each level."""
    nodes = [bytes(KEY_BYTES)]
    for level, block in enumerate(opened):
        path = hole >> (LEVELS - level)
        nodes = [
            child
            for p, node in enumerate(nodes)
            for child in ((bytes(KEY_BYTES),) * 2 if p == path else _children(transfers, node))
        ]
        sibling = (hole >> (LEVELS - 1 - level)) ^ 1
        nodes[sibling] = _xor([block, *nodes[sibling & 1 :: 2]]).tobytes()
    return nodes


def _xor(blocks: list[bytes]) -> U8:
    rows = np.frombuffer(b"".join(blocks), np.uint8).reshape(len(blocks), KEY_BYTES)
    total: U8 = np.bitwise_xor.reduce(rows, axis=0)
    return total
