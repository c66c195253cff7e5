"""Decoders of the parts of models that parties keep, and hand over where a job says so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from fuzz import mutate
from fuzz.engine import Target

from fedcredit.credit.binning import Bins
from fedcredit.credit.params import TreeParams
from fedcredit.credit.points import PointScale
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.trees import Tree
from fedcredit.estimators.card_column import CardColumn
from fedcredit.estimators.columns import ColumnBins
from fedcredit.estimators.parts import FeaturePart, LabelPart, part_from_bytes
from fedcredit.estimators.scorecard_part import CardPart, OtherPart
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting import OwnSplit
from fedcredit.tables import Column

__all__ = ["models"]

TAX, BANK = PartyId("tax"), PartyId("bank")


def models() -> Iterator[Target]:
    """The parts of boosted trees and of a scorecard."""
    parts = tuple(part.to_bytes() for part in _parts())
    yield Target("model.part", parts, part_from_bytes, mutate.json_text)
    yield Target("model.card", (_card().to_bytes(),), CardPart.from_bytes, mutate.json_text)


def _parts() -> tuple[LabelPart, FeaturePart]:
    bins = (Bins((0.5, 1.5), True, 3, None), Bins((0.5,), False, 0, 2))
    columns = ColumnBins(("income", "sector"), bins)
    tree = Tree(
        owner=np.array([0, 1], np.int32),
        feature=np.array([0, 2], np.int32),
        bin=np.array([1, 0], np.int32),
        missing_left=np.array([True, False]),
        left=np.array([1, -1], np.int32),
        right=np.array([-2, -3], np.int32),
        gain=np.array([2.0, 1.0]),
        leaf_value=np.array([0.1, -0.2, 0.3]),
    )
    params = TreeParams.from_mapping({"num_trees": 1, "max_depth": 2})
    foreign = (np.array([-1, 0], np.int64),)
    label = LabelPart(params, (BANK, TAX), columns, 0.5, (tree,), foreign, (0, 2))
    return label, FeaturePart(BANK, columns, (OwnSplit(0, 0, 1, True), OwnSplit(0, 1, 0, False)))


def _card() -> CardPart:
    scale, none = PointScale(), np.zeros(0)
    income, sector = Column("income", "numeric", none), Column("sector", "categorical", none, ("farm", "shop"))
    own = ScorecardBins(Bins((0.5, 1.5), True, 3, None), (-9.0,), (4,), evidence=(-0.4, 0.1, 0.6, 0.2, -0.1))
    groups = ScorecardBins(Bins((0.5,), False, 0, 2), groups=((0,), (1,)), other=1, evidence=(-0.3, 0.3))
    return CardPart(
        model="a/scorecard.0",
        party=BANK,
        label_party=BANK,
        scale=scale,
        intercept=-2.0,
        base_points=round(scale.base_points(-2.0)),
        others=(OtherPart(TAX, 2),),
        columns=(
            CardColumn.of(income, own, [50] * 5, -0.9, 0.1, scale),
            CardColumn.of(sector, groups, [60, 70], -0.5, None, scale, reference="best"),
        ),
        n_reasons=3,
    )
