"""`[aggregate]` of a job file: how values of parties with the same columns, or of labels of theirs, are added up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Protocol

from pydantic import Field, model_validator

from fedcredit.errors import Problem
from fedcredit.protocols.aggregate import least_threshold
from fedcredit.runtime.model_file import Layout
from fedcredit.runtime.table_file import refuse
from fedcredit.runtime.toml import Reader, Section

__all__ = [
    "MAX_MEMBERS",
    "MIN_MEMBERS",
    "NOISED_KINDS",
    "AggregateSection",
    "check_members",
    "check_noise",
    "may_be_threshold",
    "read_aggregate",
]

MAX_MEMBERS = 100
"""Parties of a job whose values are only ever added up."""

MIN_MEMBERS = 3
"""Of two, either knows the other's values: the sum less its own."""

NOISED_KINDS = ("binning",)
"""Models all of whose sums can have noise: how far one row moves each of them is known."""


class AggregateSection(Section):
    """`[aggregate]`: how values of parties with the same columns are added up under masks.

    `threshold`: how few parties a sum may come from, all unless it is given. A party that is away for longer than
    `wait_s` is left out then, and the job goes on. `two_parties`: whether two may add up, of which each knows the
    other's values from the sum; every party's policy has to accept that. `epsilon` and `delta`: every sum has noise, so
    that all of the job says little of any one row (`docs/protocols/aggregate.md`); two may add up then as well.
    """

    threshold: Annotated[int, Field(ge=2, le=MAX_MEMBERS)] | None = None
    wait_s: Annotated[float, Field(ge=0, le=86_400)] = 120.0
    two_parties: Literal["refuse", "accept"] = "refuse"
    epsilon: Annotated[float, Field(ge=0.001, le=20)] | None = None
    delta: Annotated[float, Field(gt=0, le=1e-3)] | None = None

    @model_validator(mode="after")
    def _noise(self) -> AggregateSection:
        if (self.epsilon is None) != (self.delta is None):
            refuse("CONFIG_CONFLICT", "epsilon and delta go together", "e.g. epsilon = 2.0, delta = 1e-6")
        if self.noised and self.two_parties == "accept":
            what = "two_parties = 'accept' is for exact sums, and with epsilon there are none"
            refuse("CONFIG_CONFLICT", what, "drop one of the two")
        return self

    @property
    def noised(self) -> bool:
        """Whether sums have noise."""
        return self.epsilon is not None and self.delta is not None

    @property
    def noise(self) -> tuple[float, float] | None:
        """Epsilon and delta of all sums of the job together, if they have noise."""
        return None if self.epsilon is None or self.delta is None else (self.epsilon, self.delta)

    @property
    def least(self) -> int:
        """The fewest parties that a sum may come from."""
        return 2 if self.noised or self.two_parties == "accept" else MIN_MEMBERS


class _Table(Protocol):
    @property
    def is_label(self) -> bool: ...


def read_aggregate(reader: Reader, layout: Layout) -> AggregateSection | None:
    """How values are added up; by the defaults where a job needs it and does not say."""
    if layout != "vertical":
        return reader.section("aggregate", reader.raw.get("aggregate", {}), AggregateSection)
    if "aggregate" in reader.raw:
        what, fix = "is for models with split = 'horizontal' or 'mixed'", "take it out, or set split"
        reader.report("CONFIG_CONFLICT", "aggregate", what, fix)
    return None


def check_members(
    reader: Reader,
    parties: Mapping[str, _Table | None],
    layout: Layout,
    aggregate: AggregateSection | None,
    *,
    labelled: bool,
) -> None:
    """Note what keeps parties from adding up: too few of them, or none of what is to be added up."""
    have = [name for name, table in parties.items() if table is None or table.is_label]
    without = [name for name in parties if name not in have]
    if layout == "horizontal" and labelled and without:
        what = f"a horizontal model needs the label at every party; {', '.join(without)} names none"
        reader.report("CONFIG_LABEL", "parties", what, "add label = COLUMN, or role = 'label'")
    if layout == "mixed" and not without:
        what, fix = "a mixed model needs a party without a label, whose columns it takes", "set split = 'horizontal'"
        reader.report("CONFIG_PARTIES", "parties", what, fix)
    if layout == "horizontal" and "intersect" in reader.raw:
        what = "parties of a horizontal model have different subjects: there is nothing in common to find"
        reader.report("CONFIG_CONFLICT", "intersect", what, "take it out")
    members = len(have) if layout == "mixed" else len(parties)
    least = MIN_MEMBERS if aggregate is None else aggregate.least
    if not least <= members <= MAX_MEMBERS:
        what = f"values of {members} parties are to be added up, where {least} to {MAX_MEMBERS} can"
        fix = (
            "of two, either knows the other's from the sum: [aggregate] epsilon and delta hide them in noise, "
            "two_parties = 'accept' says that it may"
        )
        reader.report("CONFIG_PARTIES", "parties", what, fix if members == MIN_MEMBERS - 1 else "add [parties.NAME]")
    threshold = None if aggregate is None else aggregate.threshold
    if layout == "mixed" and threshold not in (None, members):
        what = "a mixed model cannot go on without a bank: departments' sums are over all banks"
        reader.report("CONFIG_CONFLICT", "aggregate.threshold", what, "leave it out")
        return
    if threshold is not None and not may_be_threshold(threshold, members, least):
        what = f"is {threshold}, where {min(members, least_threshold(members))} to {members} can be asked for"
        reader.report("CONFIG_VALUE", "aggregate.threshold", what, "mend it, or leave it out: all parties are needed")


def check_noise(aggregate: AggregateSection, kinds: Sequence[str], members: int) -> Iterator[Problem]:
    """What noise in sums does not go with: kinds of models that are not made so, and parties that may be left out."""
    if not aggregate.noised:
        return
    for index, kind in enumerate(kinds):
        if kind not in NOISED_KINDS:
            what = f"a {kind} is not made of sums with noise; made so are: {', '.join(NOISED_KINDS)}"
            fix = f"drop epsilon and delta, and have {MIN_MEMBERS} parties or two_parties = 'accept'; or drop the model"
            yield Problem("CONFIG_NOISE", f"model.{index}.kind", what, fix)
    if aggregate.threshold not in (None, members):
        # A start of the job with other members asks other sums of the same rows, which nobody has planned to spend.
        what = "with epsilon no party can be left out: sums without it are further ones, each of which costs privacy"
        yield Problem("CONFIG_NOISE", "aggregate.threshold", what, "drop it: all parties are needed")


def may_be_threshold(threshold: int, members: int, least: int) -> bool:
    """Whether a sum may come from so few of its members: twice as many are more than all and one that lies to them."""
    return least <= threshold == members or least_threshold(members) <= threshold < members
