"""The two sides of a group-by-sum, whatever the backend.

    asker = yield from set_up_asker("onehot", shape, randomness)       holder = yield from set_up_holder(...)
    shared = yield from asker.share(7, features, values, at)           held = yield from holder.take(7, features, 1, at)
    sums = yield from asker.learn(shared, shared.sums)                 yield from holder.show(held, held.sums)

`share` and `take` move the values once, hidden; what each side then holds are additive shares of the sums over any
assignment of those rows to nodes (`further`), for no message at all. A caller that stops there keeps shares; `learn`
and `show` open them to the asker. Rows that the asker wants left out without saying so have value zero. Further sums of
a round end where the next round is opened: what they need is kept for one round at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from fedcredit.kernels.onehot import U64, Assignment, Round
from fedcredit.protocols.effects import Steps

__all__ = ["Asker", "Backend", "Held", "Holder", "Shared"]

Backend = Literal["onehot", "plain"]


@dataclass(frozen=True, slots=True)
class Shared:
    """The asker's side of an open round: `sums` is its share (q, K, groups) for the first assignment."""

    number: int
    round: Round
    sums: U64 = field(repr=False)
    values: U64 | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Held:
    """The holder's side of an open round: corrections by row number, and its share of the first sums."""

    number: int
    round: Round
    corrections: U64 = field(repr=False)
    sums: U64 = field(repr=False)


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

    def further(self, shared: Shared, at: Assignment) -> U64:
        """The asker's share of the sums over another assignment of (some of) the shared rows."""

    def learn(self, shared: Shared, share: U64) -> Steps[U64]:
        """Receive the holder's share and return the sums (q, K, groups), modulo 2^64."""


class Holder(Protocol):
    """Holds groups, learns nothing of the values.

    Reveals: to the asker, of each opened sum, the sum of the asker's values over each of the holder's groups, by opaque
    number. Assumes: semi-honest parties that do not collude with each other; an authenticated link.
    """

    def take(
        self, number: int, features: tuple[int, ...], n_values: int, at: Assignment, *, keep: bool = True
    ) -> Steps[Held]:
        """Follow the asker into round `number`. Without `keep` there are no `further` sums, and no memory for them."""

    def further(self, held: Held, at: Assignment) -> U64:
        """The holder's share of the sums over another assignment of (some of) the shared rows."""

    def show(self, held: Held, share: U64) -> Steps[None]:
        """Open a share to the asker."""
