"""The `plain` backend: no cryptography, for tests of what stands on group-by-sum. Same rounds, same results.

It refuses to run unless its caller says that nothing is at stake; jobs never say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.kernels import onehot as kernels
from fedcredit.kernels.onehot import U8, U64, Assignment
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum.roles import Held, Part, Shared, words_of
from fedcredit.protocols.groupsum.shape import Grouping
from fedcredit.wire.groupsum import PlainGroups

__all__ = ["PlainAsker", "PlainHolder", "set_up_asker", "set_up_holder"]


@dataclass(frozen=True, slots=True)
class PlainAsker:
    """The asker that was told the groups. Reveals: to the asker, every group. Assumes: a test."""

    shape: Grouping
    codes: U8 = field(repr=False)

    def share(
        self, number: int, features: tuple[int, ...], values: U64, at: Assignment, *, keep: bool = True
    ) -> Steps[Shared]:
        """Sum at once; nothing is sent."""
        round_ = self.shape.round(number, features, values.shape[1])
        by_row = np.zeros((self.shape.n_rows, values.shape[1]), np.uint64)
        by_row[at.rows] = values
        yield from ()
        return Shared(number, round_, self._share_of(features, at, values), by_row)

    def further(self, shared: Shared, at: Assignment) -> Part:
        """Sum again."""
        assert shared.values is not None
        return self._share_of(shared.round.features, at, shared.values[at.rows])

    def learn(self, shared: Shared, part: Part) -> Steps[U64]:
        """The holder's zero less ours."""
        yield from ()
        return np.uint64(0) - words_of(part)

    def settle(self, shared: Shared, part: Part) -> Steps[U64]:
        """A part is a share."""
        yield from ()
        return words_of(part)

    def _share_of(self, features: tuple[int, ...], at: Assignment, values: U64) -> U64:
        return np.uint64(0) - kernels.bin_sums(self.codes, self.shape.groups, features, at, values)


@dataclass(frozen=True, slots=True)
class PlainHolder:
    """The holder that told its groups; its shares are zero. Reveals: every group. Assumes: a test."""

    shape: Grouping

    def take(
        self, number: int, features: tuple[int, ...], n_values: int, at: Assignment, *, keep: bool = True
    ) -> Steps[Held]:
        """Nothing to do."""
        yield from ()
        none = np.zeros((0, 0, 0), np.uint64)
        held = Held(number, self.shape.round(number, features, n_values), none, none)
        return Held(number, held.round, none, self.further(held, at))

    def further(self, held: Held, at: Assignment) -> Part:
        """Zero."""
        return np.zeros((at.n_nodes, held.round.n_values, self.shape.cells(held.round.features)), np.uint64)

    def show(self, held: Held, part: Part) -> Steps[None]:
        """Nothing to do."""
        yield from ()

    def settle(self, held: Held, part: Part) -> Steps[U64]:
        """Zero."""
        yield from ()
        return words_of(part)


def set_up_asker(shape: Grouping, *, insecure_plain: bool) -> Steps[PlainAsker]:
    """Receive the groups in the clear. Raises: ConfigError (INSECURE), PeerError."""
    _refuse_unless(insecure_plain)
    codes = np.zeros((len(shape.groups), shape.n_rows), np.uint8)
    for feature, groups in enumerate(shape.groups):
        got = yield from recv(shape.holder, PlainGroups)
        if got.feature != feature or got.codes.shape != (shape.n_rows,) or (got.codes >= groups).any():
            raise PeerError(shape.holder, shape.step, "sent groups of another shape", "SHAPE")
        codes[feature] = got.codes
    return PlainAsker(shape, codes)


def set_up_holder(shape: Grouping, codes: U8, *, insecure_plain: bool) -> Steps[PlainHolder]:
    """Send the groups in the clear. Raises: ConfigError (INSECURE)."""
    _refuse_unless(insecure_plain)
    for feature in range(len(shape.groups)):
        yield from send(shape.asker, PlainGroups(feature, np.ascontiguousarray(codes[feature])))
    return PlainHolder(shape)


def _refuse_unless(insecure_plain: bool) -> None:
    if not insecure_plain:
        raise ConfigError(
            Problem("INSECURE", "groupsum", "the plain backend shows every group to the asker", 'use "onehot"')
        )
