"""The public frame of a model whose labels are at several banks.

Banks have labels of rows of their own; departments have columns of the rows of all banks. Between a bank and the
departments runs what runs between a label party and its feature parties, over the rows of that bank; binary points are
those of all rows, since numbers are added over banks before anybody sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.linear.shape import Bits, LinearShape
from fedcredit.protocols.parties import refuse_parties
from fedcredit.wire.linear import MAX_PARTIES

__all__ = ["BankShape", "MixedShape"]


@dataclass(frozen=True, slots=True)
class BankShape(LinearShape):
    """The rows of one bank of a fit over `total` rows of all banks: the bank is the label party of its own.

    Reveals: nothing: all of it is known to the bank and the departments. Assumes: all parties were told the same.
    """

    total: int = 0

    @property
    def bits(self) -> Bits:
        """Where the binary points are: sums over all rows have to have room."""
        return Bits.of(self.total, 2 if self.inference else 1)

    @property
    def column_bits(self) -> int:
        """Binary digits of the largest number of a column of mean square 1 over all rows."""
        return self.bits.column + (self.total.bit_length() + 1) // 2 + 1


@dataclass(frozen=True, slots=True)
class MixedShape:
    """What all parties know before they begin. `banks`, the leader first; `peers` are the departments, the partner H
    first. `rows` of each bank: a department knows all, a bank its own and the `total`.

    Reveals: nothing: all of it is public among those who have it. Assumes: all parties were told the same.
    Raises: ConfigError CONFIG_VALUE, DataError ROWS_TOO_MANY.
    """

    banks: tuple[PartyId, ...]
    peers: tuple[PartyId, ...]
    rows: Mapping[PartyId, int]
    total: int
    inference: bool = True
    sign: int = 0

    def __post_init__(self) -> None:
        refuse_parties((*self.banks, *self.peers), MAX_PARTIES)
        if len(self.banks) < 2:
            what, fix = "are labels at one party alone", "run a vertical job"
            raise ConfigError(Problem("CONFIG_VALUE", "banks", what, fix))
        known = sum(self.rows.values())
        if not self.rows.keys() <= set(self.banks) or known > self.total or min(self.rows.values(), default=0) < 1:
            raise ConfigError(Problem("CONFIG_VALUE", "rows", "are not those of these banks"))
        _ = self.whole

    @property
    def leader(self) -> PartyId:
        """The bank that settles and plans for all."""
        return self.banks[0]

    @property
    def whole(self) -> LinearShape:
        """The fit over the rows of all banks, as the leader and departments speak of it."""
        return LinearShape(self.leader, self.peers, self.total, self.inference, self.sign)

    def part(self, bank: PartyId) -> BankShape:
        """The fit over the rows of one bank."""
        return BankShape(bank, self.peers, self.rows[bank], self.inference, self.sign, total=self.total)

    def slices(self) -> dict[PartyId, slice]:
        """Where the rows of each bank are among all, at a department. Raises: ValueError where not all are known."""
        if tuple(self.rows) != self.banks or sum(self.rows.values()) != self.total:
            raise ValueError("MixedShape: a department knows the rows of all banks, in their order")
        ends = np.cumsum(list(self.rows.values())).tolist()
        return {bank: slice(end - self.rows[bank], end) for bank, end in zip(self.banks, ends, strict=True)}
