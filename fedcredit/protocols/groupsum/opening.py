"""How shares of sums are opened to the asker, alike for every backend that has shares.

Reveals: to the asker, the sums. Assumes: semi-honest parties.
"""

from __future__ import annotations

import numpy as np

from fedcredit.errors import PeerError
from fedcredit.kernels.onehot import U64
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum.shape import CHUNK_BYTES, Grouping
from fedcredit.wire.groupsum import GroupSums

__all__ = ["learn_words", "runs", "show_words"]


def learn_words(shape: Grouping, number: int, share: U64) -> Steps[U64]:
    """The holder's share minus ours. Raises: PeerError (SHAPE)."""
    theirs = np.empty(share.size, np.uint64)
    for run in runs(share.size, 8):
        got = yield from recv(shape.holder, GroupSums)
        if (got.round, got.first, got.words.size) != (number, run.start, run.stop - run.start):
            raise PeerError(shape.holder, shape.step, "sent the sums of another round or shape", "SHAPE")
        theirs[run] = got.words
    return theirs.reshape(share.shape) - share


def show_words(shape: Grouping, number: int, share: U64) -> Steps[None]:
    """Our share, to the asker."""
    flat = share.reshape(-1)
    for run in runs(flat.size, 8):
        yield from send(shape.asker, GroupSums(number, run.start, flat[run]))


def runs(n: int, item_bytes: int) -> list[slice]:
    """`n` items of so many bytes in runs that fit a chunk, at least one item each."""
    step = max(1, CHUNK_BYTES // item_bytes)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
