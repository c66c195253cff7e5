"""Which backend carries a model's sums where the job leaves it open: decided by what all have signed, so all agree.

Times are those of the machine of `benchmarks/results/groupsum.json`, two cores on which both parties run. They are for
comparing, and for telling hours from minutes; nothing else hangs on them.
Reveals: nothing; sizes and what the line carries are in that job. Assumes: nothing beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["MAX_HOURS", "Choice", "Chosen", "Cost", "Work", "choose", "cost_of"]

Chosen = Literal["rlwe", "onehot", "paillier"]
"""Under `rlwe` counts of labels are made, which are no group-by-sum of any values: nothing is chosen there."""

MAX_HOURS: Final = 48.0
"""What a job may be expected to compute under Paillier; beyond, it is a mistake in the job more likely than a wish."""

SAVED_S: Final = 60.0
"""What Paillier must save on a slow line to be taken where nobody asked for it."""

_ENCRYPT_S, _ADD_S, _SUM_S = 3.3e-4, 3.0e-6, 8.0e-4
"""Seconds for a ciphertext, for multiplying one into one sum, and for a sum to be merged, blinded and decrypted."""

_CIPHERTEXT_BYTES, _MERGED = 768, 20
"""At 3072 bits: length, and sums that travel in one."""

_SETUP_S, _GROW_S, _MASK_S, _AGAIN_S = 5.0e-7, 1.8e-7, 1.0e-7, 1.0e-7
"""Seconds for a row and feature of `onehot`: in set-up, for the tree of a round, for each value of it, for a level that
sums the same values again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The sums of one boosted model, at most: what all parties know of them before it is trained."""

    rows: int
    features: tuple[int, ...]
    """Of each feature party."""
    bins: int
    trees: int
    depth: int
    hide_nodes: bool

    @property
    def nodes(self) -> tuple[int, ...]:
        """Nodes that are summed at each level of a tree: of two siblings one."""
        return tuple(max(1, (1 << level) >> 1) for level in range(self.depth))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a backend takes for a model. Units: seconds of computing without the line, bytes on all lines."""

    seconds: float
    bytes: float

    def over(self, line_mbit: float | None) -> float:
        """Seconds over a line of so many Mbit/s; None for one that costs no time."""
        return self.seconds + (0.0 if line_mbit is None else self.bytes * 8 / (line_mbit * 1e6))


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, and in a sentence why it is that one."""

    backend: Chosen
    why: str


def choose(asked: Literal["auto", "onehot", "paillier"], work: Work, *, line_mbit: float | None = None) -> Choice:
    """The backend of a job that asked for `asked`.

    Units: `line_mbit` in Mbit/s, what the slowest line between two parties carries; None for one that costs no time.
    """
    if asked == "paillier":
        hours = cost_of("paillier", work).seconds / 3600
        return Choice("paillier", f"the job names it; computing takes about {hours:.2g} hours on two cores")
    if asked == "onehot":
        return Choice("onehot", "the job names it")
    if line_mbit is None:
        return Choice("onehot", "no line is stated (intersect.line_mbit) that would be too slow for it")
    transfer, sums = (cost_of(backend, work).over(line_mbit) for backend in ("onehot", "paillier"))
    if transfer - sums >= SAVED_S and cost_of("paillier", work).seconds <= MAX_HOURS * 3600:
        why = f"over a line of {line_mbit:g} Mbit/s it takes about {sums:,.0f} s, and onehot {transfer:,.0f} s"
        return Choice("paillier", why)
    why = f"over a line of {line_mbit:g} Mbit/s it takes about {transfer:,.0f} s, and paillier {sums:,.0f} s"
    return Choice("onehot", why)


def cost_of(backend: Chosen, work: Work) -> Cost:
    """What `backend` takes for `work`, all feature parties together."""
    seconds = size = 0.0
    of_one = _onehot if backend == "onehot" else _paillier
    for features in work.features:
        cost = of_one(work, features)
        seconds, size = seconds + cost.seconds, size + cost.bytes
    return Cost(seconds, size)


def _onehot(work: Work, features: int) -> Cost:
    """84 bytes a row and feature of 32 groups once, and 8 a tree, or with hidden rows 8 a node."""
    cells, bits = work.rows * features, (work.bins - 1).bit_length()
    values = sum(work.nodes) if work.hide_nodes else 1
    sent = cells * (4 * bits + 16 * (bits - 1) + 8 * values * work.trees)
    opened = 8 * sum(work.nodes) * features * work.bins * work.trees
    rounds, again = (work.depth, 0) if work.hide_nodes else (1, work.depth - 1)
    computed = cells * (_SETUP_S + (_GROW_S * rounds + _MASK_S * values + _AGAIN_S * again) * work.trees)
    return Cost(computed, sent + opened)


def _paillier(work: Work, features: int) -> Cost:
    """A ciphertext a row and tree, or with hidden rows one for every 20 nodes of a level, if the party has features."""
    if not features:
        return Cost(0.0, 0.0)
    ciphertexts = sum(-(-nodes // _MERGED) for nodes in work.nodes) if work.hide_nodes else 1
    # Below the first level about half of the rows are in nodes that are summed.
    added = ciphertexts if work.hide_nodes else 1 + (work.depth - 1) / 2
    sums = sum(work.nodes) * features * work.bins
    sent = _CIPHERTEXT_BYTES * (work.rows * ciphertexts + sums / _MERGED)
    computed = _ENCRYPT_S * work.rows * ciphertexts + _ADD_S * work.rows * features * added + _SUM_S * sums
    return Cost(computed * work.trees, sent * work.trees)
