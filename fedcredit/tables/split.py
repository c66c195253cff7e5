"""Which subjects are held out for testing: a share by keyed hash, or those from a point in time on.

The keyed hash puts a subject on the same side at every party that holds it, whatever the order of its rows, and nobody
without the key can tell which side.
"""

from __future__ import annotations

import datetime

import numpy as np
import numpy.typing as npt

from fedcredit.kernels.digest import KEY_BYTES, keyed

__all__ = ["KEY_BYTES", "holdout_mask", "out_of_time_mask", "time_value"]

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.bytes_]

_EPOCH = datetime.date(1970, 1, 1)


def holdout_mask(ids: Ids, share: float, key: bytes) -> Bools:
    """For each identifier whether it is held out; about `share` of them are.

    The same at every party with the same key: depends on the identifier alone, not on the array's width.
    Shapes: ids (n,) of dtype S; returns (n,). Range: 0 < share < 1; key of 32 bytes.
    Raises: ValueError.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"the held-out share {share} is not between 0 and 1")
    hashed = keyed(key, ids, width=8).view("<u8").reshape(-1)
    held_out: Bools = hashed < np.uint64(int(share * 2.0**64))
    return held_out


def out_of_time_mask(time: F64, start: float | str) -> Bools:
    """For each row whether its time is `start` or later: it is held out.

    Shapes: time (n,), as in `Rows.time`; returns (n,). Raises: ValueError if a time is missing, or as `time_value`.
    """
    if np.isnan(time).any():
        raise ValueError("a row has no time")
    held_out: Bools = time >= time_value(start)
    return held_out


def time_value(start: float | str) -> float:
    """A point in time as `Rows.time` holds it: a number as it is, an ISO date as days since 1970-01-01.

    Raises: ValueError if a text is no ISO date.
    """
    if isinstance(start, str):
        return float((datetime.date.fromisoformat(start) - _EPOCH).days)
    return float(start)
