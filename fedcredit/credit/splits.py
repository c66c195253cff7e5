"""The best split of each tree node from its histograms, as LightGBM finds it.

Shapes: N nodes, F features, B bins of the widest feature. A feature's bins are 0 .. n_bins[f] - 1; histograms are zero
above. If `missing[f]`, the last bin holds the missing values.

Source: LightGBM 4.7, src/treelearner/feature_histogram.hpp (`FindBestThresholdSequentially`). Its order of scanning is
kept, since it decides ties, and its order of additions, since a difference in the last bit can decide one. One thing
depends on the data there and is fixed here: bin 0 is taken as the bin that LightGBM does not store but derives from the
node's total (`offset == 1`), as it does for all columns of non-negative codes unless another bin has 70 % of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.params import TreeParams

__all__ = ["Splits", "TreeParams", "find_best_splits", "leaf_value"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

Number = TypeVar("Number", float, F64)
Cells = TypeVar("Cells", F64, I64)

K_EPSILON = float(np.float32(1e-15))
"""LightGBM's kEpsilon, a float there; keeps a hessian away from zero."""

_BLOCK_CELLS = 1 << 19
"""Histogram cells looked at together: some 10 temporaries of 4 MiB, whatever the depth and the number of features."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The best split of each node.

    Shapes: all (N,) but `splittable` (N, F). Where there is none: `feature` is -1, `gain` is -inf, the rest is 0.
    Fields: rows with code <= `bin` of `feature` go left, the missing ones too if `missing_left`; `gain` is the gain
    above `min_gain_to_split`; `left_*`, `right_*` are the children's sums; `left_rows` is LightGBM's estimate from
    hessians, not a count; `splittable[n, f]` says whether f had any gainful split at all: LightGBM does not look again
    at a feature in the descendants of a node where it had none.
    """

    gain: F64
    feature: I64
    bin: I64
    missing_left: Bool
    left_g: F64
    left_h: F64
    right_g: F64
    right_h: F64
    left_rows: I64
    right_rows: I64
    splittable: Bool


def find_best_splits(
    G: F64,
    H: F64,
    rows: I64,
    n_bins: I64,
    missing: Bool,
    allowed: Bool,
    params: TreeParams,
    totals: tuple[F64, F64] | None = None,
) -> Splits:
    """The best split of every node over all allowed features and bins.

    Missing values are tried on both sides. Ties: missing left before missing right; then, missing left, the highest
    bin, missing right, the lowest bin; then the lowest feature.

    Shapes: G, H (N, F, B) sums of gradients and hessians; rows (N,) true row counts; n_bins, missing (F,); allowed (F,)
    or (N, F); totals two (N,), each node's gradient and hessian, by default the sums of one allowed feature.
    Raises: ValueError for shapes that do not fit.
    """
    N, F, B = G.shape
    if H.shape != G.shape or rows.shape != (N,) or n_bins.shape != (F,) or missing.shape != (F,):
        raise ValueError(f"find_best_splits: got {G.shape}, {H.shape}, {rows.shape}, {n_bins.shape}, {missing.shape}")
    if F and (n_bins.min() < 1 or n_bins.max() > B):
        raise ValueError(f"find_best_splits: features of {n_bins.min()} to {n_bins.max()} bins, histograms of {B}")
    allowed = np.broadcast_to(allowed, (N, F))
    if totals is None:
        used = allowed.any(axis=0)
        some = int(np.argmax(used)) if used.any() else 0
        totals = (G[:, some].sum(axis=1), H[:, some].sum(axis=1)) if F else (np.zeros(N), np.zeros(N))
    step = max(1, _BLOCK_CELLS // max(1, F * B))
    blocks = [
        _best_of_block(
            _Nodes(G[at], H[at], totals[0][at], totals[1][at], rows[at], params), n_bins, missing, allowed[at]
        )
        for at in (slice(start, start + step) for start in range(0, max(N, 1), step))
    ]
    if len(blocks) == 1:
        return blocks[0]
    return Splits(*(np.concatenate([getattr(b, name) for b in blocks]) for name in Splits.__slots__))


def leaf_value(G: Number, H: Number, params: TreeParams) -> Number:
    """The raw score a leaf adds, before `learning_rate`: minus the regularised gradient over the hessian."""
    value: Number = -_shrunk(G, params.lambda_l1) / (H + K_EPSILON + params.lambda_l2)
    return value


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The histograms of some nodes with what does not depend on the feature."""

    G: F64
    H: F64
    total_g: F64
    total_h: F64
    rows: I64
    params: TreeParams

    @property
    def sum_h(self) -> F64:
        """The node's hessian as LightGBM carries it through the search."""
        return self.total_h + 2 * K_EPSILON

    @property
    def min_gain_shift(self) -> F64:
        """What both children together must exceed: the gain of the unsplit node plus the minimum asked for."""
        return _leaf_gain(self.total_g, self.sum_h, self.params) + self.params.min_gain_to_split

    @property
    def counts(self) -> I64:
        """Rows of each bin, estimated as LightGBM does (it keeps no counts): hessian share of the node's rows."""
        factor = self.rows / self.sum_h
        counts: I64 = (self.H * factor[:, None, None] + 0.5).astype(np.int64)
        return counts


@dataclass(frozen=True, slots=True)
class _Scan:
    """The best threshold of each (node, feature) in one direction. `gain` is -inf where there is none."""

    gain: F64
    bin: I64
    left_g: F64
    left_h: F64
    left_rows: I64


def _best_of_block(nodes: _Nodes, n_bins: I64, missing: Bool, allowed: Bool) -> Splits:
    N, F, B = nodes.G.shape
    if N == 0 or F == 0 or B < 2:
        return _no_splits(N, F)
    counts = nodes.counts
    shift = nodes.min_gain_shift[:, None]
    # With one bin of values beside the missing one there is one way to cut; LightGBM takes the missing bin as a value.
    two_sided = missing & (n_bins > 2)
    best = _scan_down(nodes, counts, n_bins - two_sided, allowed)
    splittable = np.isfinite(best.gain)
    gain = np.where(splittable, best.gain - shift, -np.inf)
    missing_left = np.broadcast_to(~(missing & ~two_sided), (N, F)).copy()

    both = np.flatnonzero(two_sided)
    if both.size:
        up = _scan_up(nodes, counts[:, both], n_bins[both], allowed[:, both], both)
        # The comparison is LightGBM's to the letter: adding the shift back may differ from the gain in its last bit.
        better = np.isfinite(up.gain) & (up.gain > gain[:, both] + shift)
        for field in ("bin", "left_g", "left_h", "left_rows"):
            whole = getattr(best, field)
            whole[:, both] = np.where(better, getattr(up, field), whole[:, both])
        gain[:, both] = np.where(better, up.gain - shift, gain[:, both])
        missing_left[:, both] &= ~better
        splittable[:, both] |= np.isfinite(up.gain)

    feature = np.argmax(gain, axis=1)
    at = (np.arange(N), feature)
    found = np.isfinite(gain[at])
    left_g, left_h, left_rows = best.left_g[at], best.left_h[at], best.left_rows[at]
    return Splits(
        gain=gain[at],
        feature=np.where(found, feature, -1),
        bin=np.where(found, best.bin[at], 0),
        missing_left=missing_left[at] & found,
        left_g=np.where(found, left_g, 0.0),
        left_h=np.where(found, left_h - K_EPSILON, 0.0),
        right_g=np.where(found, nodes.total_g - left_g, 0.0),
        right_h=np.where(found, nodes.sum_h - left_h - K_EPSILON, 0.0),
        left_rows=np.where(found, left_rows, 0),
        right_rows=np.where(found, nodes.rows - left_rows, 0),
        splittable=splittable,
    )


def _scan_down(nodes: _Nodes, counts: I64, n_values: I64, allowed: Bool) -> _Scan:
    """From the highest bin down, what is not summed goes left: missing values too.

    `n_values` (F,): bins that take part as values; thresholds are 0 .. n_values - 2.
    """
    B = nodes.G.shape[2]
    value = np.arange(1, B) < n_values[:, None]  # (F, B - 1): bins 1 .. B - 1 that are values
    right_g, right_h = _sum_above(nodes.G, value, 0.0), _sum_above(nodes.H, value, K_EPSILON)
    right_rows = _sum_above(counts, value, 0)
    left_g = nodes.total_g[:, None, None] - right_g
    left_h = nodes.sum_h[:, None, None] - right_h
    left_rows = nodes.rows[:, None, None] - right_rows
    usable = value[None] & allowed[:, :, None]
    gain = _gains(nodes, usable, left_g, left_h, left_rows, right_g, right_h, right_rows)
    highest = B - 2 - np.argmax(gain[:, :, ::-1], axis=2)
    return _pick(gain, highest, left_g, left_h, left_rows)


def _scan_up(nodes: _Nodes, counts: I64, n_bins: I64, allowed: Bool, features: NDArray[np.intp]) -> _Scan:
    """From the lowest bin up, what is not summed goes right: missing values too."""
    left_g = _sum_to(nodes.G[:, features], nodes.total_g)
    left_h = _sum_to(nodes.H[:, features], nodes.sum_h - K_EPSILON)
    left_rows = _sum_to(counts, nodes.rows)
    right_g = nodes.total_g[:, None, None] - left_g
    right_h = nodes.sum_h[:, None, None] - left_h
    right_rows = nodes.rows[:, None, None] - left_rows
    usable = (np.arange(left_g.shape[2]) <= n_bins[:, None] - 2)[None] & allowed[:, :, None]
    gain = _gains(nodes, usable, left_g, left_h, left_rows, right_g, right_h, right_rows)
    return _pick(gain, np.argmax(gain, axis=2), left_g, left_h, left_rows)


def _sum_above(cells: Cells, value: Bool, start: float) -> Cells:
    """Sums of the value bins above each threshold, added from the top as LightGBM does, beginning with `start`."""
    N, F, _ = cells.shape
    terms = np.where(value, cells[:, :, 1:], cells.dtype.type(0))[:, :, ::-1]
    first = np.full((N, F, 1), start, cells.dtype)
    sums: Cells = np.cumsum(np.concatenate([first, terms], axis=2), axis=2)[:, :, 1:][:, :, ::-1]
    return sums


def _sum_to(cells: Cells, total: Cells) -> Cells:
    """Sums of the bins 0 .. k for each threshold k.

    Bin 0 is the total less all other bins, the missing one included; then bins 1, 2, ... are added again.
    """
    N, F, B = cells.shape
    first = np.broadcast_to(total[:, None, None], (N, F, 1))
    rest = cells[:, :, 1:]
    sums: Cells = np.cumsum(np.concatenate([first, -rest, rest], axis=2), axis=2)[:, :, B - 1 : 2 * B - 2]
    return sums


def _gains(
    nodes: _Nodes, usable: Bool, left_g: F64, left_h: F64, left_rows: I64, right_g: F64, right_h: F64, right_rows: I64
) -> F64:
    """Gain of both children where the split is allowed and better than none, else -inf."""
    p = nodes.params
    usable = usable & (left_rows >= p.min_data_in_leaf) & (right_rows >= p.min_data_in_leaf)
    least_h = max(p.min_sum_hessian_in_leaf, K_EPSILON)
    usable &= (left_h >= least_h) & (right_h >= least_h)
    # Unusable sides may hold no hessian at all; any positive number will do for them.
    left_h, right_h = np.where(usable, left_h, 1.0), np.where(usable, right_h, 1.0)
    gain = _leaf_gain(left_g, left_h, p) + _leaf_gain(right_g, right_h, p)
    return np.where(usable & (gain > nodes.min_gain_shift[:, None, None]), gain, -np.inf)


def _pick(gain: F64, threshold: NDArray[np.intp], left_g: F64, left_h: F64, left_rows: I64) -> _Scan:
    at = threshold[:, :, None]
    return _Scan(
        _take(gain, at), threshold.astype(np.int64), _take(left_g, at), _take(left_h, at), _take(left_rows, at)
    )


def _take(values: Cells, at: NDArray[np.intp]) -> Cells:
    taken: Cells = np.take_along_axis(values, at, axis=2)[:, :, 0]
    return taken


def _leaf_gain(G: F64, H: F64, params: TreeParams) -> F64:
    shrunk = _shrunk(G, params.lambda_l1)
    return shrunk * shrunk / (H + params.lambda_l2)


def _shrunk(G: Number, l1: float) -> Number:
    """Soft threshold of the L1 penalty (`ThresholdL1`)."""
    if l1 == 0.0:
        return G
    value: Number = np.sign(G) * np.maximum(0.0, np.abs(G) - l1)
    return value


def _no_splits(N: int, F: int) -> Splits:
    none, zero, no = np.zeros(N), np.zeros(N, np.int64), np.zeros(N, bool)
    return Splits(
        np.full(N, -np.inf), np.full(N, -1), zero, no, none, none, none, none, zero, zero, np.zeros((N, F), bool)
    )
