"""What both roles share: items, sizes, chunks, the result.

Shapes: n rows of this party; items (n, 16) uint8, an identifier's digest each.
Reveals: nothing by itself; what is sent is said where it is sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, FedcreditError, PeerError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels.group import BadPoint
from fedcredit.wire.intersect import MAX_ROWS

__all__ = [
    "ITEM_BYTES",
    "STATISTICAL_BITS",
    "VALUE_BYTES",
    "Alignment",
    "Ids",
    "Mode",
    "blaming",
    "check_piece",
    "chunks",
    "false_match_bits",
    "item_digests",
    "item_key",
    "mask_bytes",
    "peer_size",
    "refuse_size",
    "repeated",
    "tag_key",
    "too_small",
]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
Ids: TypeAlias = npt.NDArray[np.bytes_] | Iterable[npt.NDArray[np.bytes_]]
"""A party's identifiers: one `S` array, or an iterable of them, e.g. the chunks of a file."""

Mode: TypeAlias = Literal["ecdh", "fast"]
"""Which pseudorandom function the parties evaluate obliviously: on an elliptic curve, or from symmetric primitives."""

ITEM_BYTES: Final = 16
VALUE_BYTES: Final = 16
STATISTICAL_BITS: Final = 40
STEP: Final = "intersect"


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The rows of this party's table that all parties hold; row i is the same subject at every party.

    Shapes: rows (m,) int64, row numbers in the order of the party's own identifiers.
    """

    rows: I64 = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)


def item_digests(ids: Ids, ssid: bytes, max_rows: int) -> U8:
    """The items of the protocol: a 16-byte digest of every identifier, bound to the session.

    Raises: DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE).
    """
    key = item_key(ssid)
    parts = [ids] if isinstance(ids, np.ndarray) else ids
    pieces = [digest.keyed(key, part, ITEM_BYTES) for part in parts if len(part)]
    items = np.concatenate(pieces) if pieces else np.empty((0, ITEM_BYTES), np.uint8)
    refuse_size(len(items), max_rows)
    if (row := digest.find_repeat(items)) is not None:
        raise repeated(row)
    return items


def item_key(ssid: bytes) -> bytes:
    """The key of the digests that are the items of a session."""
    return digest.derive("fedcredit v1 intersect items", ssid)


def refuse_size(n_items: int, max_rows: int) -> None:
    """Raises: DataError (SET_EMPTY, SET_SIZE) unless a party may bring so many items."""
    if not n_items:
        raise DataError(Problem("SET_EMPTY", STEP, "there are no identifiers", "check the table and its filters"))
    if n_items > min(max_rows, MAX_ROWS):
        what = f"{n_items} identifiers are more than the job allows ({min(max_rows, MAX_ROWS)})"
        raise DataError(Problem("SET_SIZE", STEP, what, "raise the limit of the job, or intersect in shards"))


def repeated(row: int) -> DataError:
    """The identifier of `row` is that of an earlier one."""
    what, fix = "its identifier stands in an earlier row too", "keep one row per subject"
    return DataError(Problem("ID_DUPLICATE", f"row {row}", what, fix))


def tag_key(ssid: bytes) -> bytes:
    """The key under which the second half of an OPRF value becomes the tag of an aligned row."""
    return digest.derive("fedcredit v1 intersect aligned", ssid)


def chunks(n: int, size: int) -> list[slice]:
    """[0, n) in pieces of `size`; the last one may be smaller."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def check_piece(peer: PartyId, step: str, found: int, due: slice) -> None:
    """Raises: PeerError (SET_SIZE) unless `peer` sent as many rows, or bytes, as were `due` next."""
    if found != due.stop - due.start:
        reason = f"sent a piece of {found} where {due.stop - due.start} were due"
        raise PeerError(peer, f"{STEP}/{step}", reason, "SET_SIZE")


def peer_size(peer: PartyId, rows: int, own_rows: int, max_rows: int) -> int:
    """`rows`, which `peer` declared, if the job and the statistical security allow it. Raises: PeerError (SET_SIZE)."""
    if rows > max_rows:
        raise PeerError(peer, STEP, f"declared {rows} rows where the job allows {max_rows}", "SET_SIZE")
    if false_match_bits(own_rows, rows) < STATISTICAL_BITS:
        # Unreachable for sizes up to MAX_ROWS; a change of the sizes must not pass unseen.
        raise FedcreditError(f"{own_rows} x {rows} rows leave fewer than {STATISTICAL_BITS} bits against a false match")
    return rows


def false_match_bits(n_receiver: int, n_holder: int) -> int:
    """-log2 of the probability, rounded up, that any item not in all sets looks as if it were.

    Each of the n_x n_y pairs of different identifiers collides in its digest, and each of the n_x sums of
    pseudorandom values is zero by chance, with probability 2^-128.
    """
    bits = 8 * min(ITEM_BYTES, VALUE_BYTES)
    return bits - math.ceil(math.log2(n_receiver * n_holder + n_receiver))


def mask_bytes(n_receiver: int, n_holder: int) -> int:
    """Bytes of a mask in a list of masks: at least 40 + ceil(log2(n_x n_y)) bits, in whole bytes.

    Any of the n_x n_y pairs of different items has the same mask with probability 2^-bits.
    """
    bits = STATISTICAL_BITS + (n_receiver * n_holder - 1).bit_length()
    width = -(-bits // 8)
    if width > ITEM_BYTES:
        # Unreachable for sizes up to MAX_ROWS; a change of the sizes must not pass unseen.
        raise FedcreditError(f"{n_receiver} x {n_holder} rows need masks of {width} bytes")
    return width


def too_small() -> RefusedError:
    """The intersection does not reach the minimum; its size is not said."""
    return RefusedError(
        Problem(
            "INTERSECTION_TOO_SMALL",
            STEP,
            "the parties share fewer subjects than the minimum of the job",
            "bring more subjects, or agree on a lower minimum",
        )
    )


@contextmanager
def blaming(peer: PartyId, step: str) -> Iterator[None]:
    """A bad point inside is `peer`'s doing: PeerError (POINT_INVALID)."""
    try:
        yield
    except BadPoint as bad:
        raise PeerError(peer, f"{STEP}/{step}", str(bad), "POINT_INVALID") from None
