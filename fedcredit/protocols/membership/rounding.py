"""How many subjects a table is said to have: a number that is rounded up, and filled with entries of nobody.

No role of its own. Reveals: through what a role sends of it, the rounded number, and to who holds the filter nothing of
which entries are nobody's. Assumes: as `MembershipAsker`.

Shapes: codes (n,) `S`, distinct; the padded ones after them.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_ENTRIES", "padded_subjects", "rounded"]

Codes: TypeAlias = npt.NDArray[np.bytes_]

LEAST_ENTRIES: Final = 1024
"""Entries of the smallest filter, that of an empty table among them."""

_CODE_BYTES: Final = 18
_PARTS_BITS: Final = 5


def rounded(n: int) -> int:
    """`n` rounded up, by a sixteenth at most above 16,384: what a filter's number of entries tells."""
    step = max(LEAST_ENTRIES, 1 << max(n.bit_length() - _PARTS_BITS, 0))
    return max(-(-n // step), 1) * step


def padded_subjects(codes: Codes) -> Codes:
    """`codes` and as many names of nobody as make their number `rounded`. The same names each time, so that a filter
    changes by no more than its table does."""
    missing = rounded(len(codes)) - len(codes)
    names = np.empty((missing, _CODE_BYTES), np.uint8)
    # A number sign is no character of a code, so nobody has a consent of such a subject.
    names[:, 0] = ord("#")
    for place in range(1, _CODE_BYTES):
        names[:, -place] = ord("0") + np.arange(missing) // 10 ** (place - 1) % 10
    nobody = names.view(f"S{_CODE_BYTES}").reshape(-1)
    return np.concatenate((codes.astype(f"S{_CODE_BYTES}", copy=False), nobody))
