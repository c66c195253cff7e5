"""Large sets in buckets: an intersection that can be kept piece by piece, and taken up again after a crash.

Items fall into buckets by their own digest, so every party puts the same subject into the same one, and each bucket is
an intersection of its own. What a bucket shows is what the whole would show: every bucket of a party is filled up with
random items to one size that follows from the number of its rows alone.

Reveals: nothing beyond the sizes that are declared. Assumes: items are digests under a key of the session.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import FedcreditError
from fedcredit.protocols.intersect.alignment import ITEM_BYTES, STATISTICAL_BITS, Mode

__all__ = ["BUCKET_ROWS", "bucket_count", "bucket_size", "deal", "fill_up", "overfull"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

BUCKET_ROWS: Final[Mapping[Mode, int]] = {"ecdh": 1 << 17, "fast": 1 << 20}
"""Rows of the largest party in a bucket: some seconds of work, which is what a crash may cost."""

MAX_BUCKETS: Final = 1 << 12


def bucket_count(declared: Iterable[int], mode: Mode) -> int:
    """Into how many buckets the parties put their items, given how many rows each declared before the start."""
    return min(MAX_BUCKETS, max(1, math.ceil(max(declared) / BUCKET_ROWS[mode])))


def bucket_size(n_rows: int, count: int) -> int:
    """How many items each bucket of a party with `n_rows` holds, filled up.

    The largest of `count` buckets exceeds mean + t with probability below 2^-40 for t as here.
    Source: Bernstein's inequality, P[X > m + t] <= exp(-t^2 / (2 m + 2 t / 3)), over all buckets.
    """
    if count == 1:
        return n_rows
    mean, exponent = n_rows / count, math.log(count) + STATISTICAL_BITS * math.log(2)
    slack = exponent / 3 + math.sqrt((exponent / 3) ** 2 + 2 * exponent * mean)
    return min(n_rows, math.ceil(mean + slack))


def deal(items: U8, count: int) -> tuple[I64, I64]:
    """The rows of all buckets, one bucket after another and ascending in each, and where each bucket begins and ends.

    Shapes: items (n, 16); rows (n,); edges (count + 1,), the rows of bucket k from edges[k] to edges[k + 1].
    """
    # The low half of a digest as a number; its remainder is uniform up to count / 2^64.
    halves = np.ascontiguousarray(items[:, :8]).view("<u8")[:, 0]
    # There are few buckets: numbers of 16 bits are sorted digit by digit.
    numbers = (halves % np.uint64(count)).astype(np.uint16)
    order = np.argsort(numbers, kind="stable")
    return order, np.searchsorted(numbers[order], np.arange(count + 1))


def fill_up(items: U8, size: int, randomness: Randomness) -> U8:
    """`items` and behind them random ones, `size` in all: a random item is nobody's, but for one in 2^128.

    Raises: FedcreditError if there are more than `size`, which happens less than once in 2^40 jobs.
    """
    if len(items) > size:
        raise overfull(len(items), size)
    return np.concatenate([items, randomness.array(size - len(items), ITEM_BYTES)])


def overfull(found: int, size: int) -> FedcreditError:
    """More items in a bucket than `bucket_size` allows for."""
    return FedcreditError(f"a bucket of {found} items does not fit {size}")
