"""What both sides of scores of trees go by: the bank's view of a model, and who seals what for whom.

No role of its own. Reveals: nothing. Assumes: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from fedcredit.crypto.rlwe_chain import PLAIN_MODULUS, Parameters, Passage
from fedcredit.crypto.sealed import Seal
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import ConfigError, Problem
from fedcredit.protocols.score.leaf_map import LeafMap
from fedcredit.wire.score import HASH_BYTES
from fedcredit.wire.score_trees import CONTENT_BYTES, MAX_ROWS

__all__ = ["MAX_ERROR", "PLACE", "TreesModel", "most_rows", "seal_between"]

MAX_ERROR: Final = 1e-6
"""Of a probability, at most, by fixed point."""

PLACE: Final = 0
"""Of what is sealed: one message each way, in a request."""

_FINEST: Final = 1 << 20
"""Units of a weight, for each tree: an error of 2^-24 of a probability, where there is room for it."""

_STEEPEST: Final = 0.25
"""What a probability changes by with the log-odds, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class TreesModel:
    """A version of a model, as the bank knows it. `model`: its hash, 32 bytes; `initial`: log-odds without any tree.

    Raises: ConfigError (SCORE_RANGE) where leaves are too large or trees too many for an error of `MAX_ERROR`;
    ValueError for a hash of another length.
    """

    model: bytes
    leaves: LeafMap
    initial: float
    scale: float = field(init=False)
    """Units of a weight in 1 of log-odds."""

    def __post_init__(self) -> None:
        if len(self.model) != HASH_BYTES:
            raise ValueError(f"TreesModel: a model of {len(self.model)} bytes, not {HASH_BYTES}")
        leaves = self.leaves
        room = (PLAIN_MODULUS // 2 - leaves.trees) / max(leaves.spread, 1e-300)
        # A power of two, so that what is computed with it is exact.
        scale = 1.0
        while scale * 2 <= min(room, leaves.trees * _FINEST):
            scale *= 2
        object.__setattr__(self, "scale", scale)
        if self.error > MAX_ERROR:
            what = f"an error of {self.error:.1e} of a probability, where {MAX_ERROR:.0e} is the most"
            fix = "have fewer trees, or a lower learning rate"
            raise ConfigError(Problem("SCORE_RANGE", "weights of leaves", what, fix))

    @property
    def error(self) -> float:
        """Of a probability, at most: half a unit for each tree."""
        return _STEEPEST * self.leaves.trees / 2 / self.scale

    @property
    def most(self) -> int:
        """The most units that a sum can have, in size."""
        return int(self.leaves.spread * self.scale) + self.leaves.trees

    @property
    def parameters(self) -> Parameters:
        """The smallest of a key for it. Raises: BadPassage."""
        return Parameters.least(len(self.leaves.conditions), len(self.leaves))


def most_rows(passage: Passage) -> int:
    """Subjects of one request: as many as go into one message wherever they are."""
    return min(MAX_ROWS, passage.rows_within(CONTENT_BYTES))


def seal_between(bank: Member, providers: Sequence[Member], place: int, key: PairKey, bound: bytes) -> tuple[str, Seal]:
    """What comes to the party at `place` is sealed with, and who sealed it; at `len(providers)` stands the bank.

    Raises: BadKey.
    """
    ring = [bank, *providers, bank]
    sender, recipient = ring[place], ring[place + 1]
    return sender.name, Seal(sender, recipient, key, bound)
