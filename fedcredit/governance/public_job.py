"""What everybody knows of a job before it starts, and a row of the table of what its parties will learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fedcredit.credit.woe import IvDisclosure
from fedcredit.ids import PartyId

__all__ = ["STATISTICS_SHOW", "Disclosure", "ModelKind", "PublicJob", "PublicModel"]

ModelKind: TypeAlias = Literal["gbdt", "binning", "linear", "logistic", "scorecard", "statistics"]

STATISTICS_SHOW = frozenset({"sums", "cells", "shared"})
"""What statistics may show beyond rows by group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicModel:
    """What everybody knows of a model before it is trained."""

    name: str
    kind: ModelKind = "gbdt"
    hide_nodes: bool = False
    split: Literal["vertical", "horizontal", "mixed"] = "vertical"
    iv_disclosure: IvDisclosure = "exact"
    merged_card: bool = False
    fixed_signs: bool = False
    """Of a fit whose coefficients must not leave their side of 0."""
    period_scores: bool = False
    """Of a scorecard, whether its scores are told period by period."""
    tables: frozenset[str] = frozenset()
    """Of statistics, which of `STATISTICS_SHOW` there are."""
    groupsum: frozenset[str] = frozenset({"onehot"})
    """The backends that its sums may be made with; nothing to a model that makes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicJob:
    """What everybody knows of a job before it starts, as far as it decides who learns what."""

    platform: PartyId
    label_party: PartyId
    feature_parties: tuple[PartyId, ...]
    members: tuple[PartyId, ...] = ()
    """Further parties with a label, for other subjects than the label party's."""
    threshold: int = 1
    """Of how many parties with a label a sum may come at the least."""
    noised: bool = False
    """Whether sums over parties with a label have noise."""
    receiver_only: bool = False
    size_only: bool = False
    unbalanced: bool = False
    time_split: bool = False
    models: tuple[PublicModel, ...] = ()

    @property
    def horizontal(self) -> bool:
        """Whether all parties have the same columns, for different subjects."""
        return any(model.split == "horizontal" for model in self.models)

    @property
    def mixed(self) -> bool:
        """Whether several parties have a label, and others columns of their subjects."""
        return any(model.split == "mixed" for model in self.models)

    @property
    def data_parties(self) -> tuple[PartyId, ...]:
        """All parties with a table, the label party first."""
        return (self.label_party, *self.members, *self.feature_parties)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One row of the table: each of `parties` learns `learns` about the subjects or the part of each in `about`.

    `through` is the step that shows it. Where it is a role, its text says who of the parties learns what.
    """

    id: str
    parties: tuple[PartyId, ...]
    learns: str
    about: tuple[PartyId, ...]
    through: str

    def row(self) -> dict[str, str]:
        """The row as it stands in `leakage.json`, `metrics.json` and the report."""
        return {
            "id": self.id,
            "party": ", ".join(self.parties),
            "learns": self.learns,
            "about": ", ".join(self.about),
            "through": self.through,
        }
