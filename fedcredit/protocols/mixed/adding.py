"""How banks add up to their leader: nobody else sees the total, and the leader nothing but the total."""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe import PLAIN_MODULUS
from fedcredit.protocols.aggregate import Group, scattered
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear.fixed import centred

__all__ = ["GroupToLeader", "ToLeader", "residues_to_leader"]

I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]

_SPARE_BITS: Final = 4


class ToLeader(Protocol):
    """Adds up a vector over all banks, mod 2^64, for the leader alone: every bank makes the same calls in the same
    order."""

    def __call__(self, values: U64) -> Steps[U64 | None]:
        """The total at the leader, None at the others. Shapes: (n,)."""


class GroupToLeader:
    """`ToLeader` under the masks of `protocols.aggregate`. `label` has served for nothing else in this group.

    Reveals: to the leader, each total. Assumes: what `scattered` assumes.
    """

    def __init__(self, group: Group, label: str) -> None:
        self._group, self._label, self._rounds = group, label, 0

    def __call__(self, values: U64) -> Steps[U64 | None]:
        """The total at the leader, None at the others. Raises: PeerError."""
        group, self._rounds = self._group, self._rounds + 1
        sizes = [values.size if member == group.leader else 0 for member in group.members]
        block = yield from scattered(group, f"{self._label}.{self._rounds}", values, sizes)
        return block if group.me == group.leader else None


def residues_to_leader(to_leader: ToLeader, values: I64, randomness: Randomness) -> Steps[I64 | None]:
    """The sum over banks of numbers modulo t, of least size, at the leader. Shapes: values (n,); returns (n,).

    Each bank adds a random multiple of t, so that how often the sum passes t says little of any bank's number.
    Range: numbers of 54 bits, multiples of 4, and at most 2^6 banks fit 64 bits.
    """
    multiples = randomness.words(values.size) >> np.uint64(64 - _SPARE_BITS)
    lifted = np.remainder(values, PLAIN_MODULUS).astype(np.uint64) + multiples * np.uint64(PLAIN_MODULUS)
    total = yield from to_leader(lifted)
    if total is None:
        return None
    return centred(np.remainder(total, np.uint64(PLAIN_MODULUS)).astype(np.int64))
