"""A column as groups of rows that may be counted, each large enough.

Every group has at least `min_rows` rows, so that a table by one column has no cell that is too small: what is smaller
is joined before anybody sees it. A table by two columns has: see `cell_hiding`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binning import cut_bins, fit_bins
from fedcredit.errors import DataError, Problem

__all__ = ["MAX_GROUPS", "MISSING", "OTHERS", "Groups", "groups_of", "intervals", "joined_groups", "too_close"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

MAX_GROUPS: Final = 63
"""Of a column; the smallest beyond are counted together. One more in a table are rows without a value to sum."""

MISSING: Final = "(missing)"
OTHERS: Final = "(others)"
MAX_NAME: Final = 80
"""Characters of a group's name; a longer level is cut."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows by group. Shapes: codes (n,), numbers of `names`. No group has fewer rows than was asked for."""

    names: tuple[str, ...]
    codes: U8 = field(repr=False)

    @property
    def sizes(self) -> I64:
        """Rows of each group. Shapes: (groups,)."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)


def groups_of(
    values: F64,
    *,
    min_rows: int,
    quantiles: int,
    levels: tuple[str, ...] | None = None,
    special: tuple[float, ...] = (),
    splits: tuple[float, ...] = (),
) -> Groups:
    """The groups of a column: its levels; or its numbers from split point to split point; or as many quantiles.

    Numbers that are no more different ones than `quantiles` are groups by themselves. Missing and special values have
    their own. A group of numbers with fewer than `min_rows` rows joins the smaller neighbour; all other small groups
    become one, which takes in the next larger ones until it is large enough. Where nothing is, there is one group.

    Shapes: values (n,), NaN where missing; level numbers where `levels` is given. Raises: DataError (VALUE_INFINITE).
    """
    if np.isinf(values).any():
        fix = "declare them as missing or special"
        raise DataError(Problem("VALUE_INFINITE", "column", "has infinite values", fix))
    names: list[str] = []
    codes = np.zeros(values.size, np.int64)
    plain = ~np.isnan(values)
    apart: list[tuple[str, Bool]] = [(f"{value:g}", values == value) for value in special]
    for _, rows in apart:
        plain &= ~rows
    if levels is not None:
        names += [_shown(level) for level in levels]
        codes[plain] = values[plain].astype(np.int64)
    elif plain.any():
        of_numbers, codes[plain] = _numbers(values[plain], min_rows, quantiles, splits)
        names += of_numbers
    for name, rows in (*apart, (MISSING, np.isnan(values))):
        codes[rows] = len(names)
        names.append(name)
    return _joined(names, codes, min_rows)


def too_close(one: Groups, other: Groups, min_rows: int) -> bool:
    """Whether two tables over one column, by these categories of the same rows, would tell more together than apart.

    They would if some categories of the one together are some of the other together, but for less than `min_rows` rows:
    the tables would tell about just these, and a cell that the one hides might follow from what the other shows. They
    are not if there are ways from every category to every other one, along pairs of categories, one of each table, that
    have `min_rows` rows in common: such a way leads out of every union. The same categories hide the same.

    Shapes: both of the same n rows.
    """
    if len(one.names) == len(other.names) and (one.codes == other.codes).all():
        return False
    both = np.zeros((len(one.names), len(other.names)), np.int64)
    np.add.at(both, (one.codes.astype(np.intp), other.codes.astype(np.intp)), 1)
    ways = both >= min_rows
    reached = np.zeros(len(one.names), bool)
    reached[0] = True
    for _ in range(len(one.names)):
        reached |= ways[:, ways[reached].any(axis=0)].any(axis=1)
    return not (reached.all() and ways[reached].any(axis=0).all())


def _numbers(values: F64, min_rows: int, quantiles: int, splits: tuple[float, ...]) -> tuple[list[str], I64]:
    if splits:
        # A bin ends with its edge, a group before its split point.
        edges = np.nextafter(np.array(splits, np.float64), -np.inf)
        bins = cut_bins(values, edges, min_rows=min_rows)
        kept = set(bins.edges)
        points = [f"{point:.6g}" for point, edge in zip(splits, edges.tolist(), strict=True) if edge in kept]
        return intervals(points), bins.codes(values).astype(np.int64)
    distinct = np.unique(values)
    if distinct.size <= quantiles:
        return [f"{value:.6g}" for value in distinct], np.searchsorted(distinct, values).astype(np.int64)
    bins = fit_bins(values, max_bin=quantiles, min_rows=min_rows)
    # Where an edge lies may be somebody's value; which part of all it is says enough.
    names = [f"part {k + 1} of {bins.n_bins}" for k in range(bins.n_bins)]
    return names, bins.codes(values).astype(np.int64)


def _interval(points: list[str], k: int) -> str:
    if not points:
        return "all values"
    if k == 0:
        return f"below {points[0]}"
    return f"from {points[-1]}" if k == len(points) else f"{points[k - 1]} to {points[k]}"


def joined_groups(names: list[str], sizes: I64, min_rows: int) -> tuple[tuple[str, ...], U8]:
    """The names of groups without empty and small ones, at most `MAX_GROUPS`, and to which of them each one goes.

    Shapes: sizes (groups,), rows of each of `names`; returns (groups,).
    """
    by_size = [int(k) for k in np.argsort(sizes, kind="stable") if sizes[k]]
    pool = [k for k in by_size if sizes[k] < min_rows]
    rest = by_size[len(pool) :]
    while rest and ((pool and sizes[pool].sum() < min_rows) or len(rest) + bool(pool) > MAX_GROUPS):
        pool.append(rest.pop(0))
    kept = sorted(rest)
    to = np.full(len(names), len(kept), np.int64)
    to[kept] = np.arange(len(kept))
    found = _distinct([names[k] for k in kept] + ([OTHERS] if pool else []))
    return tuple(found), to.astype(np.uint8)


def intervals(points: list[str]) -> list[str]:
    """What groups of numbers are called that begin at these split points."""
    return [_interval(points, k) for k in range(len(points) + 1)]


def _joined(names: list[str], codes: I64, min_rows: int) -> Groups:
    """Without empty groups and small ones; with at most `MAX_GROUPS`."""
    found, to = joined_groups(names, np.bincount(codes, minlength=len(names)), min_rows)
    return Groups(found, to[codes])


def _distinct(names: list[str]) -> list[str]:
    """Names that are cut, or that a special value has as well, told apart by their number."""
    return [name if names.count(name) == 1 else f"{name} #{k + 1}" for k, name in enumerate(names)]


def _shown(level: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in level).strip() or "(blank)"
    return plain if len(plain) <= MAX_NAME else f"{plain[: MAX_NAME - 1]}…"
