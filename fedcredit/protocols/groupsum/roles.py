"""The two sides of a group-by-sum, whatever the backend.

    asker = yield from set_up_asker("onehot", shape, randomness)       holder = yield from set_up_holder(...)
    shared = yield from asker.share(7, features, values, at)           held = yield from holder.take(7, features, 1, at)
    sums = yield from asker.learn(shared, shared.sums)                 yield from holder.show(held, held.sums)

`share` and `take` move the values once, hidden; what each side then holds are its parts of the sums over any
assignment of those rows to nodes (`further`), for no message at all. `learn` and `show` open them to the asker. A
caller that stops before keeps shares: `settle`, at both sides, turns the parts into arrays of which the holder's less
the asker's is the sum, and neither alone says anything. Of shares (`onehot`) that is no work, of ciphertexts a message.
Rows that the asker wants left out without saying so have value zero. Further sums of a round end where the next round
is opened: what they need is kept for one round at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import FedcreditError
from fedcredit.kernels.onehot import U8, U64, Assignment, Round
from fedcredit.protocols.effects import Steps

__all__ = ["Asker", "Backend", "Held", "Holder", "Part", "Sealed", "Shared", "words_of"]

Backend = Literal["onehot", "paillier", "plain"]


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """A part that nobody can read yet: sums under the asker's key at the holder, and at the asker what is due to it.

    Shapes: `shape` is that of the sums (q, K, groups); ciphertexts (sums, bytes of one), None at the asker.
    """

    shape: tuple[int, int, int]
    ciphertexts: U8 | None = field(repr=False, default=None)


Part: TypeAlias = U64 | Sealed
"""One side's part of sums (q, K, groups): a share of them, or sealed."""


def words_of(part: Part) -> U64:
    """The share that `part` is. Raises: FedcreditError for a part that has to be settled first."""
    if isinstance(part, Sealed):
        raise FedcreditError("a sealed part of a group-by-sum is no share before it is settled")
    return part


@dataclass(frozen=True, slots=True)
class Shared:
    """The asker's side of an open round: `sums` is its part (q, K, groups) for the first assignment.

    `values` and `sent` are what a backend has to know again of what it shared.
    """

    number: int
    round: Round
    sums: Part = field(repr=False)
    values: U64 | None = field(repr=False, default=None)
    sent: U64 | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Held:
    """The holder's side of an open round: what came of each row, and its part of the first sums.

    Shapes: corrections by row number; or ciphertexts (m, a row's, bytes of one) with the place of each row, -1 for
    those that are not in it.
    """

    number: int
    round: Round
    corrections: U64 = field(repr=False)
    sums: Part = field(repr=False)
    ciphertexts: U8 | None = field(repr=False, default=None)
    places: npt.NDArray[np.int64] | None = field(repr=False, default=None)


class Asker(Protocol):
    """Holds values, learns their sums over the holder's groups, or a share of them.

    Reveals: to the asker, of each opened sum, the sum of its own values over each group; to the holder nothing of the
    values, but the rows of each node that is named to it.
    Assumes: semi-honest parties that do not collude with each other; an authenticated link.
    """

    def share(
        self, number: int, features: tuple[int, ...], values: U64, at: Assignment, *, keep: bool = True
    ) -> Steps[Shared]:
        """Open round `number`: share `values` (m, K) of the rows in `at` over `features`, and sum them once.

        Without `keep` there are no `further` sums, and no memory for them.
        """

    def further(self, shared: Shared, at: Assignment) -> Part:
        """The asker's part of the sums over another assignment of (some of) the shared rows."""

    def learn(self, shared: Shared, part: Part) -> Steps[U64]:
        """Receive the holder's part, sealed or settled as ours, and return the sums (q, K, groups), modulo 2^64."""

    def settle(self, shared: Shared, part: Part) -> Steps[U64]:
        """Our share of the sums (q, K, groups): the holder's less ours is the sum."""


class Holder(Protocol):
    """Holds groups, learns nothing of the values.

    Reveals: to the asker, of each opened sum, the sum of the asker's values over each of the holder's groups, by opaque
    number. Assumes: semi-honest parties that do not collude with each other; an authenticated link.
    """

    def take(
        self, number: int, features: tuple[int, ...], n_values: int, at: Assignment, *, keep: bool = True
    ) -> Steps[Held]:
        """Follow the asker into round `number`. Without `keep` there are no `further` sums, and no memory for them."""

    def further(self, held: Held, at: Assignment) -> Part:
        """The holder's part of the sums over another assignment of (some of) the shared rows."""

    def show(self, held: Held, part: Part) -> Steps[None]:
        """Open a part to the asker."""

    def settle(self, held: Held, part: Part) -> Steps[U64]:
        """Our share of the sums (q, K, groups), of which the asker has the other."""
