"""Who takes part in a mixed job, with how many rows, and how banks add up: what every party of it has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import ConfigError, Problem
from fedcredit.estimators.sums import Sums
from fedcredit.ids import PartyId
from fedcredit.protocols.mixed import GroupToLeader, MixedShape

__all__ = ["BankRows", "MixedFrame"]


@dataclass(frozen=True, slots=True)
class BankRows:
    """Rows of banks, by bank: those to train on and those held out. A bank gives its own alone, a department all."""

    train: Mapping[PartyId, int]
    held_out: Mapping[PartyId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MixedFrame:
    """`banks`, the leader first; `rows` of those that this party knows; `total`, rows to train on of all banks; `sums`
    over banks, at a bank. Raises: ConfigError CONFIG_VALUE."""

    banks: tuple[PartyId, ...]
    rows: BankRows
    total: int
    sums: Sums | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        if not {*self.rows.train, *self.rows.held_out} <= set(self.banks):
            raise ConfigError(Problem("CONFIG_VALUE", "rows", "are of other parties than banks"))

    @property
    def leader(self) -> PartyId:
        """The bank that settles and plans for all."""
        return self.banks[0]

    def shape(self, departments: tuple[PartyId, ...], params: ScorecardParams | None = None) -> MixedShape:
        """The public frame of a step with these departments."""
        sign = -1 if params is not None and params.signs == "fixed" else 0
        return MixedShape(self.banks, departments, self.rows.train, self.total, sign=sign)

    def to_leader(self, label: str) -> GroupToLeader:
        """How this bank adds up with the others within one step."""
        assert self.sums is not None, "a bank adds up"
        return GroupToLeader(self.sums.group, label)
