"""Which subjects are held out for testing: a share by keyed hash, or those from a point in time on.

The keyed hash puts a subject on the same side at every party that holds it, whatever the order of its rows, and nobody
without the key can tell which side. SipHash-2-4 is a pseudorandom function of its 128-bit key and short inputs.
"""

from __future__ import annotations

import datetime

import numpy as np
import numpy.typing as npt

__all__ = ["KEY_BYTES", "holdout_mask", "out_of_time_mask", "siphash", "time_value"]

KEY_BYTES = 16

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.bytes_]
U64 = npt.NDArray[np.uint64]

_EPOCH = datetime.date(1970, 1, 1)


def holdout_mask(ids: Ids, share: float, key: bytes) -> Bools:
    """For each identifier whether it is held out; about `share` of them are.

    The same at every party with the same key: depends on the identifier alone, not on the array's width.
    Shapes: ids (n,) of dtype S; returns (n,). Range: 0 < share < 1; key of 16 bytes.
    Raises: ValueError.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"the held-out share {share} is not between 0 and 1")
    return siphash(ids, key) < np.uint64(int(share * 2.0**64))


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


def siphash(ids: Ids, key: bytes) -> U64:
    """SipHash-2-4 of each identifier, without the zero bytes that pad it.

    Shapes: ids (n,) of dtype S; returns (n,). Source: Aumasson, Bernstein, SipHash: a fast short-input PRF (2012).
    Raises: ValueError unless the key has 16 bytes.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"the split key has {len(key)} bytes, not {KEY_BYTES}")
    out = np.empty(len(ids), np.uint64)
    lengths = np.strings.str_len(ids)
    # Identifiers have few lengths (18 for all social credit codes), and rows of one length take the same steps.
    for length in np.unique(lengths):
        rows = lengths == length
        out[rows] = _siphash_of_length(ids[rows], int(length), key)
    return out


def _siphash_of_length(ids: Ids, length: int, key: bytes) -> U64:
    n_words = length // 8 + 1
    text = np.zeros((len(ids), 8 * n_words), np.uint8)
    text[:, :length] = ids.view(np.uint8).reshape(len(ids), -1)[:, :length]
    text[:, -1] = length & 0xFF
    words = text.view("<u8").astype(np.uint64)
    k = np.frombuffer(key, "<u8").astype(np.uint64)
    v = [
        np.full(len(ids), constant, np.uint64) ^ k[i % 2]
        for i, constant in enumerate((0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573))
    ]
    for i in range(n_words):
        v[3] ^= words[:, i]
        _rounds(v, 2)
        v[0] ^= words[:, i]
    v[2] ^= np.uint64(0xFF)
    _rounds(v, 4)
    out: U64 = v[0] ^ v[1] ^ v[2] ^ v[3]
    return out


def _rounds(v: list[U64], count: int) -> None:
    for _ in range(count):
        v[0] += v[1]
        v[2] += v[3]
        v[1] = _rotated(v[1], 13) ^ v[0]
        v[3] = _rotated(v[3], 16) ^ v[2]
        v[0] = _rotated(v[0], 32)
        v[2] += v[1]
        v[0] += v[3]
        v[1] = _rotated(v[1], 17) ^ v[2]
        v[3] = _rotated(v[3], 21) ^ v[0]
        v[2] = _rotated(v[2], 32)


def _rotated(words: U64, bits: int) -> U64:
    out: U64 = (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
    return out
