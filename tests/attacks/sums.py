"""Row 3: which group each row of another party's column is in, from sums (reverse sum attack, arXiv 2011.09290).

The adversary is the label party. Keeping to the protocol it has counts of good and bad rows by group, from one round of
binning, and histograms of its gradients from joint boosting. Deviating, it puts powers of two in the place of its
values, one a row, and reads rows off the binary digits of a sum. Any sum is one word of 64 bits for each group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attacks.measures import Finding, read
from attacks.nodes import BANK, TAX, Trees
from attacks.views import Call, View, noting, recorded
from groupsum_cases import asking, holding

from fedcredit.credit.params import TreeParams
from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels.onehot import Assignment
from fedcredit.protocols.binning.counts import LabelCounter, LentColumns
from fedcredit.protocols.binning.layout import Layout
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import Grouping
from fedcredit.protocols.groupsum.onehot import OneHotAsker
from fedcredit.wire.binning import RowCounts
from fedcredit.wire.groupsum import ChoiceCorrections

__all__ = ["counts_of_one_round", "crafted_values", "groups_on_the_wire", "histograms_of_trees"]

GROUPS = 16
DIGITS = 64
"""Of a word: so many rows can be told apart in it."""


class Round:
    """One count of columns with `values` of the asker's choice, by whatever way; its view, and the sums."""

    def __init__(self, codes: Any, values: Any, backend: str) -> None:
        if backend == "rlwe":
            return self._sealed(codes, values[:, 0])
        shape = Grouping(b"c" * 32, BANK, TAX, codes.shape[1], (GROUPS,) * len(codes))
        roles = {
            BANK: lambda: _ask(shape, values, backend),
            TAX: lambda: _hold(shape, codes, values.shape[1], backend),
        }
        views, outcome = recorded(roles)
        self.view: View = views[BANK]
        self.sums: Any = outcome.results[BANK][0].reshape(values.shape[1], len(codes), GROUPS)

    def _sealed(self, codes: Any, values: Any) -> None:
        """Rows in the upper half and what was summed in the lower one, from the numbers that were decrypted."""
        groups = (GROUPS,) * len(codes)
        counter, lent = LabelCounter(values.astype(np.int64)), LentColumns(BANK, codes, groups)
        roles = {
            BANK: lambda: counter.count({TAX: groups}, 1, insecure_seeded(1)),
            TAX: lambda: lent.lend(insecure_seeded(2)),
        }
        self.view = recorded(roles)[0][BANK]
        with noting((rlwe.SecretKey, "decrypt_inner")) as calls:
            self.view.replay()
        rows = np.concatenate([m.rows for m in self.view.of(RowCounts)]).astype(np.int64)
        digits = Layout.of(rows).read(np.concatenate([call.result for call in calls]))
        self.sums = ((rows << 32) + digits).astype(np.uint64).reshape(1, len(codes), GROUPS)


def _ask(shape: Grouping, values: Any, backend: str) -> Steps[Any]:
    side = yield from asking(shape, backend)
    everything = tuple(range(len(shape.groups)))
    shared = yield from side.share(0, everything, values, Assignment.whole(len(values)), keep=False)
    return (yield from side.learn(shared, shared.sums))


def _hold(shape: Grouping, codes: Any, n_values: int, backend: str) -> Steps[None]:
    side = yield from holding(shape, codes, backend)
    everything = tuple(range(len(shape.groups)))
    held = yield from side.take(0, everything, n_values, Assignment.whole(codes.shape[1]), keep=False)
    yield from side.show(held, held.sums)


def _column(n: int, seed: int) -> tuple[Any, Any]:
    """A column in groups of equal size, and labels of which it says something."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(1.5 - x))
    return (x.argsort().argsort() * GROUPS // n).astype(np.uint8)[None], y


def counts_of_one_round(n: int, backend: str, seed: int = 0) -> Finding:
    """Keeping to the protocol: the group of each row from counts, by group-by-sum or under ring-LWE.

    The guess knows the counts that the table of leakage names, and takes the group that most rows of a class are in.
    """
    codes, y = _column(n, seed)
    high = 0 if backend == "rlwe" else 1 << 32
    round_ = Round(codes, (high + y.astype(np.uint64))[:, None], backend)
    rows, bad = (round_.sums[0, 0] >> np.uint64(32)), round_.sums[0, 0] & np.uint64((1 << 32) - 1)
    found = np.where(y, bad.argmax(), (rows - bad).argmax())
    stated = [np.bincount(codes[0][y == label], minlength=GROUPS).argmax() for label in (0, 1)]
    guess = np.where(y, stated[1], stated[0])
    shares = [float((what == codes[0]).mean()) for what in (guess, found)]
    return Finding(
        3, "groups", "label party", f"binning, {backend}", "reverse sum of labels", "exact group", n, *shares,
        None if backend == "rlwe" else crafted_values(DIGITS, backend, seed=seed).success,
    )  # fmt: skip


def groups_on_the_wire(n: int, seed: int = 0) -> Finding:
    """What the holder's choices look like to the asker: the bits of its groups under pads, read with half of them."""
    codes, y = _column(n, seed)
    view = Round(codes, ((1 << 32) + y.astype(np.uint64))[:, None], "onehot").view
    levels = (GROUPS - 1).bit_length()
    bits = np.concatenate(
        [np.unpackbits(m.words.view(np.uint8).reshape(len(m.words), -1), axis=1, bitorder="little")
         for m in view.of(ChoiceCorrections)], axis=1,
    )  # fmt: skip
    upper = codes[0] >> (levels - 1)
    channels = [*bits[:, : n * levels].reshape(len(bits), n, levels)[:, :, 0], *bits[:, :n]]
    return Finding(
        3, "groups", "label party", "binning, onehot", "choices on the wire, read with half the groups", "AUC", n, 0.5,
        read(channels, upper), read([*channels, upper], upper),
    )  # fmt: skip


def crafted_values(n: int, backend: str, seed: int = 0) -> Finding:
    """Deviating: a power of two for each of the first rows and 0 for the others, in one round.

    A word has room for 64 rows; under ring-LWE a cell has room for as many digits as the number of its rows has.
    """
    codes, _ = _column(n, seed)
    room = min(n, (n // GROUPS + 1).bit_length() - 1 if backend == "rlwe" else DIGITS)
    values = np.zeros((n, 1), np.uint64)
    values[:room, 0] = np.uint64(1) << np.arange(room, dtype=np.uint64)
    sums = Round(codes, values, backend).sums[0, 0]
    found = np.random.default_rng(seed).integers(0, GROUPS, n)
    for digit in range(room):
        found[digit] = int(np.flatnonzero((sums >> np.uint64(digit)) & np.uint64(1))[0])
    return Finding(
        3, "groups", "label party, deviating", f"one round, {backend}", "reverse sum of powers of two", "exact group",
        n, 1 / GROUPS, float((found == codes[0]).mean()),
    )  # fmt: skip


def histograms_of_trees(n: int, trees: int, *, hide_nodes: bool, seed: int = 0) -> Finding:
    """Keeping to the protocol: the groups of a column from the histograms of all trees, by least squares.

    The view is replayed, so what is solved are the sums that the label party opened, with its own values.
    """
    params = TreeParams(num_trees=trees, max_depth=4, learning_rate=0.2)
    case = Trees(n, (True, False), params=params, hide_nodes=hide_nodes, bins=GROUPS, seed=seed)
    names = ("share", "further", "learn")
    with noting(*((OneHotAsker, name) for name in names)) as calls:
        case.view[BANK].replay()
    factors, sums = _equations(calls, n, column=1)
    scale = np.linalg.norm(factors, axis=1, keepdims=True)
    kept = scale[:, 0] > 0
    x = np.linalg.lstsq(factors[kept] / scale[kept], sums[kept] / scale[kept], rcond=1e-10)[0]
    found = float((x.argmax(axis=1) == case.theirs[1]).mean())
    mode = f"gbdt, hide_nodes = {str(hide_nodes).lower()}, {trees} trees"
    return Finding(
        3, "groups", "label party", mode, "solving histograms by least squares", "exact group", n, 1 / GROUPS, found
    )


def _equations(calls: Sequence[Call], n: int, column: int) -> tuple[Any, Any]:
    """Values by row (e, n), gradients and hessians apart, and their sums by group of one column (e, groups)."""
    factors: list[Any] = []
    sums: list[Any] = []
    values = np.zeros((n, 1), np.uint64)
    at = Assignment.whole(n)
    for call in calls:
        if call.name == "share":
            _, _, _, given, at = call.args
            values = np.zeros((n, given.shape[1]), np.uint64)
            values[at.rows] = given
        elif call.name == "further":
            at = call.args[2]
        else:
            for node in range(at.n_nodes):
                inside = np.zeros((n, 1), bool)
                inside[at.rows[at.nodes == node]] = True
                of_column = call.result[node, :, column * GROUPS : (column + 1) * GROUPS]
                for value, opened in zip(np.where(inside, values, np.uint64(0)).T, of_column, strict=True):
                    factors += _halves(value)
                    sums += _halves(opened)
    return np.array(factors), np.array(sums)


def _halves(words: Any) -> list[Any]:
    """Gradients and hessians of packed words, in units."""
    return [(words.view(np.int64) >> 32).astype(np.float64), (words & np.uint64(0xFFFFFFFF)).astype(np.float64)]
