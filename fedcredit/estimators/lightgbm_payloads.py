"""What LightGBM hands to its network, told apart by when and how large it is, and turned into sums that can be masked.

LightGBM sums over few bytes by gathering every machine's own numbers and adding them up everywhere. Nothing says which
bytes are such a sum; but the course of training does, and is the same at all members. So each payload has to be the
one that is due, of exactly its size, or training ends before anything is sent.

Sums are in fixed point at the finest scale that the public bound of the total allows, so that the order of additions
never matters and members agree to the last bit.

Source: LightGBM 4.6 and 4.7, src/treelearner/data_parallel_tree_learner.cpp, split_info.hpp, src/network/network.cpp.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import FedcreditError, Problem
from fedcredit.protocols.collectives import Collective, Reply, Scattered, Splits, Summed
from fedcredit.wire.collectives import NO_SPLIT, NUMBERS, PER_MESSAGE, REALS

__all__ = ["MAX_CAT_THRESHOLD", "Answer", "Bounds", "FixedPoint", "Payloads", "unknown_payload"]

F64: TypeAlias = npt.NDArray[np.float64]
U64: TypeAlias = npt.NDArray[np.uint64]

Answer: TypeAlias = Callable[[Reply], tuple[bytes, ...]]
"""From the reply to what LightGBM reads: for each member a block to gather; of a scattered sum, the own block alone."""

MAX_CAT_THRESHOLD: Final = 32
"""LightGBM's default. A split's payload has room for as many words, unused here and full of whatever lay there before:
numbers of the member's own histograms. They are never looked at."""

_SPLIT = np.dtype(
    {
        "names": [
            *("feature", "left_count", "right_count", "gain", "threshold", "left_output", "right_output"),
            *("left_sum_gradient", "left_sum_hessian", "right_sum_gradient", "right_sum_hessian"),
            *("default_left", "monotone_type", "num_cat_threshold"),
        ],
        "formats": ["<i4", "<i4", "<i4", "<f8", "<u4", "<f8", "<f8", "<f8", "<f8", "<f8", "<f8", "|u1", "|i1", "<i4"],
        "offsets": [0, 4, 8, 12, 20, 24, 32, 40, 48, 64, 72, 88, 89, 90],
        "itemsize": 94 + 4 * MAX_CAT_THRESHOLD,
    }
)
"""`SplitInfo::CopyTo`. At 56 and 80 are packed sums of quantised training, which is not used."""

_ROOT = np.dtype({"names": ["hessian", "gradient", "rows"], "formats": ["<f8", "<f8", "<i4"], "itemsize": 24})
"""`std::tuple<int, double, double>`, which lies in memory the wrong way round."""

_ENTRY_BYTES: Final = 16
"""A bin of a histogram: gradient and hessian, 8 bytes each."""

_MAX_SCORE: Final = 64.0
"""More than the size of any log-odds that boosting begins with: LightGBM keeps the rate 1e-15 from 0 and from 1."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is public of the totals: no more than `rows` in all, none of which weighs more than `weight`."""

    rows: int
    weight: float
    machines: int


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Numbers as whole multiples of `2**-bits`, modulo 2^64.

    Range: what is summed stays within 2^62 in size, for any split of a total within the bound among members.
    """

    bits: int
    bound: float

    @classmethod
    def below(cls, bound: float) -> FixedPoint:
        """The finest scale at which totals up to `bound` fit."""
        return cls(62 - math.frexp(bound)[1], bound)

    def words(self, values: F64) -> U64:
        """Shapes: any, kept. Raises: FedcreditError (SUM_RANGE) for what is no number or beyond the bound."""
        # Not `abs(values) > bound`, which is false of NaN.
        if not (np.abs(values) <= self.bound).all():
            raise FedcreditError(Problem("SUM_RANGE", "LightGBM", "a sum is no number, or larger than can be"))
        return np.rint(np.ldexp(values, self.bits)).astype(np.int64).view(np.uint64)

    def values(self, words: U64) -> F64:
        """The inverse of `words`, of a total."""
        values: F64 = np.ldexp(words.view(np.int64).astype(np.float64), -self.bits)
        return values


class Payloads:
    """Follows one booster from its making through its trees. `begin_booster`, then `begin_tree` before each tree.

    Raises: FedcreditError (ENGINE_PAYLOAD) from `gathered` and `scattered` for whatever is not due; SUM_RANGE.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        most = bounds.rows * bounds.weight * (1 + 2.0**-20)  # LightGBM rounds gradients to 24 bits
        self._totals = FixedPoint.below(most)
        self._scores = FixedPoint.below(_MAX_SCORE * bounds.machines)
        self._due: deque[str] = deque()
        self._growing = False

    def begin_booster(self) -> None:
        """Good and bad rows are counted while a booster is made."""
        self._due.extend(("count", "count"))

    def begin_tree(self, *, scores_given: bool) -> None:
        """A tree begins with the sums of all rows; the first one, where no scores are given, with the start of all."""
        if self._due:
            raise unknown_payload(f"{self._due[0]} was due, and never came")
        self._growing = True
        if not scores_given:
            self._due.extend(("sum", "sum", "score"))
        self._due.append("root")

    def end_tree(self) -> None:
        """Raises: FedcreditError (ENGINE_PAYLOAD) when a tree ended in the middle of its collectives."""
        self._growing = False
        if self._due:
            raise unknown_payload(f"{self._due[0]} was due, and never came")

    def gathered(self, data: bytes) -> tuple[Collective, Answer]:
        """What to ask for in place of everybody's `data`."""
        kind = self._due.popleft() if self._due else "nothing"
        if len(data) != _SIZES.get(kind):
            raise unknown_payload(f"{len(data)} bytes to gather where {kind} was due")
        if kind == "splits":
            return self._splits(data)
        if kind == "count":
            return self._count(data)
        if kind == "root":
            return self._root(data)
        scale = self._scores if kind == "score" else self._totals
        words = scale.words(np.frombuffer(data, "<f8"))
        return Summed(words), lambda reply: self._alone(scale.values(_words(reply, 1)).tobytes())

    def scattered(
        self, data: bytes, type_bytes: int, starts: tuple[int, ...], sizes: tuple[int, ...]
    ) -> tuple[Collective, Answer]:
        """What to ask for in place of adding up blocks of histograms."""
        expected = tuple(sum(sizes[:k]) for k in range(len(sizes)))
        fits = len(sizes) == self._bounds.machines and starts == expected and sum(sizes) == len(data)
        if not self._growing or self._due or type_bytes != 8 or not fits or any(s % _ENTRY_BYTES for s in sizes):
            raise unknown_payload(f"{len(data)} bytes to add up in blocks of {type_bytes}-byte numbers")
        self._due.append("splits")
        words = self._totals.words(np.frombuffer(data, "<f8"))
        request = Scattered(words, tuple(size // 8 for size in sizes))
        return request, lambda reply: (self._totals.values(_words(reply)).tobytes(),)

    def _count(self, data: bytes) -> tuple[Collective, Answer]:
        words = np.frombuffer(data, "<i4").astype(np.int64).view(np.uint64)
        return Summed(words), lambda reply: self._alone(_words(reply, 1).view(np.int64).astype("<i4").tobytes())

    def _root(self, data: bytes) -> tuple[Collective, Answer]:
        root = np.frombuffer(data, _ROOT)
        sums = self._totals.words(np.concatenate([root["hessian"], root["gradient"]]))
        words = np.concatenate([sums, root["rows"].astype(np.int64).view(np.uint64)])

        def answer(reply: Reply) -> tuple[bytes, ...]:
            total, made = _words(reply, 3), np.zeros(1, _ROOT)
            made["hessian"], made["gradient"] = self._totals.values(total[:2])
            made["rows"] = total[2:].view(np.int64)
            return self._alone(made.tobytes())

        return Summed(words), answer

    def _splits(self, data: bytes) -> tuple[Collective, Answer]:
        found = np.frombuffer(data, _SPLIT)
        numbers = np.zeros((PER_MESSAGE, len(NUMBERS)), np.int64)
        reals = np.zeros((PER_MESSAGE, len(REALS)))
        if found["num_cat_threshold"].any() or found["monotone_type"].any():
            raise unknown_payload("a split by categories or under constraints")
        numbers[:, 0] = NO_SPLIT
        there = (found["feature"] != NO_SPLIT) & np.isfinite(found["gain"])
        for k, name in enumerate(NUMBERS):
            numbers[there, k] = found[name][there]
        for k, name in enumerate(REALS):
            reals[there, k] = found[name][there]
        return Splits(numbers, reals), _split_bytes

    def _alone(self, block: bytes) -> tuple[bytes, ...]:
        """The total as the first machine's block and nothing from the others: what LightGBM adds up is the total."""
        return (block, *(bytes(len(block)),) * (self._bounds.machines - 1))


_SIZES: Final = {
    "count": 4,
    "sum": 8,
    "score": 8,
    "root": _ROOT.itemsize,
    "splits": PER_MESSAGE * _SPLIT.itemsize,
}


def unknown_payload(what: str) -> FedcreditError:
    """LightGBM does something else than the versions that this was tested with; nothing of it was sent."""
    fix = "install a version of LightGBM that is named in setup.cfg"
    return FedcreditError(Problem("ENGINE_PAYLOAD", "LightGBM", what, fix))


def _words(reply: Reply, due: int | None = None) -> U64:
    assert isinstance(reply, np.ndarray), "the role answers what was asked"
    assert due is None or reply.size == due, "the role answers as much as was asked"
    return reply


def _split_bytes(reply: Reply) -> tuple[bytes, ...]:
    assert isinstance(reply, tuple), "the role answers what was asked"
    blocks = []
    for splits in reply:
        made = np.zeros(PER_MESSAGE, _SPLIT)
        for k, name in enumerate(NUMBERS):
            made[name] = splits.numbers[:, k]
        for k, name in enumerate(REALS):
            made[name] = splits.reals[:, k]
        made["gain"][splits.numbers[:, 0] == NO_SPLIT] = -np.inf
        blocks.append(made.tobytes())
    return tuple(blocks)
