"""Shamir's secret sharing: any `threshold` of n shares give a secret, fewer say nothing about it.

Byte by byte over GF(2^8), share p at the field's element p + 1, so there are at most 255. Constant time but for what is
public: numbers of secrets and shares, and whose shares are there. More shares than are needed have to agree with the
others: a share that somebody changed is told, though not whose, and not where there are just enough.

Assumes: randomness is uniform and serves once; who holds a share keeps it for itself.
Shapes: k secrets of 32 bytes; n shares; t of them to hand. Source: A. Shamir, How to share a secret, 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.kernels import masks
from fedcredit.kernels.masks import MAX_SHARES

__all__ = ["MAX_SHARES", "SECRET_BYTES", "BadShares", "combine", "split"]

U8: TypeAlias = npt.NDArray[np.uint8]

SECRET_BYTES: Final = 32


class BadShares(DataError):
    """Shares that give no secret. Codes: SHARES_FEW, SHARES_PLACES, SHARES_DIFFER, SHARES_SHAPE."""

    default_code = "SHARES_SHAPE"

    def __init__(self, code: str, what: str, fix: str) -> None:
        super().__init__(Problem(code, "shares of secrets", what, fix))
        self.reason = what

    def of_peer(self, culprit: str, step: str) -> PeerError:
        """The same, said of the peer that sent them."""
        return PeerError(culprit, step, f"shares of secrets: {self.reason}", self.code)


def split(secrets: U8, n: int, threshold: int, randomness: Randomness) -> U8:
    """Shares of each secret for n holders, in the order of their places.

    Shapes: secrets (k, 32); returns (n, k, 32). Range: 1 <= threshold <= n <= 255. Raises: ValueError.
    """
    if secrets.dtype != np.uint8 or secrets.shape != (len(secrets), SECRET_BYTES) or not len(secrets):
        raise ValueError(f"secrets: got {secrets.shape} {secrets.dtype}, not (k, {SECRET_BYTES}) uint8")
    if not 1 <= threshold <= n <= MAX_SHARES:
        raise ValueError(f"{threshold} of {n} shares are not within 1 and {MAX_SHARES}")
    coefficients = randomness.array(threshold - 1, secrets.size)
    shares = masks.split_bytes(np.ascontiguousarray(secrets).reshape(-1), coefficients, n)
    return shares.reshape(n, *secrets.shape)


def combine(places: Sequence[int], shares: U8, threshold: int) -> U8:
    """The secrets whose shares of `places`, 0 to n - 1, are to hand; all were split with this threshold.

    Shapes: shares (t, k, 32); returns (k, 32). Raises: BadShares for fewer than `threshold`, a place that is none or
    comes twice, shares that lie on no polynomial of that degree, or of another shape.
    """
    if shares.dtype != np.uint8 or shares.ndim != 3 or shares.shape[2] != SECRET_BYTES or not shares.shape[1]:
        what = f"got {shares.shape} {shares.dtype}, not (t, k, {SECRET_BYTES}) uint8"
        raise BadShares("SHARES_SHAPE", what, "give one row of shares for each place")
    if len(shares) != len(places):
        raise BadShares("SHARES_SHAPE", f"{len(places)} places of {len(shares)}", "give one place for each share")
    if not all(0 <= place < MAX_SHARES for place in places):
        raise BadShares("SHARES_PLACES", f"a place is not within 0 and {MAX_SHARES - 1}", "number holders from 0 on")
    if len(set(places)) != len(places):
        raise BadShares("SHARES_PLACES", "a place comes twice", "give each holder's shares once")
    if not 1 <= threshold <= len(places):
        what = f"{len(places)} are to hand, where {threshold} are needed"
        raise BadShares("SHARES_FEW", what, "wait for more holders")
    flat = shares.reshape(len(shares), -1)
    enough, used = list(places[:threshold]), flat[:threshold]
    for place, share in zip(places[threshold:], flat[threshold:], strict=True):
        if not np.array_equal(masks.shares_at(place + 1, enough, used), share):
            raise BadShares("SHARES_DIFFER", "they are not of one secret", "have holders send what they were sent")
    return masks.shares_at(0, enough, used).reshape(shares.shape[1:])
