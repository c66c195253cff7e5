"""Bins, weight of evidence and information value of the columns of several parties: `docs/protocols/binning.md`.

`label` counts and settles, `feature` lends its pre-bins and is told its bins; `columns` is what a party brings.
"""

from fedcredit.protocols.binning.columns import Batches, PrebinnedColumns, ToldColumn, told_columns
from fedcredit.protocols.binning.feature import BinningFeature
from fedcredit.protocols.binning.label import BinningLabel

__all__ = ["Batches", "BinningFeature", "BinningLabel", "PrebinnedColumns", "ToldColumn", "told_columns"]
