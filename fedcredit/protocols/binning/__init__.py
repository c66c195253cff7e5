"""Bins, weight of evidence and information value of the columns of several parties: `docs/protocols/binning.md`.

`label` counts and settles, `feature` lends its pre-bins and is told its bins; `columns` is what a party brings,
`counts` how bad rows are counted, `layout` which counts travel in one number.
"""

from fedcredit.protocols.binning.columns import Batches, PrebinnedColumns, ToldColumn, told_columns
from fedcredit.protocols.binning.counts import LabelCounter, LentColumns
from fedcredit.protocols.binning.feature import BinningFeature
from fedcredit.protocols.binning.label import BinningLabel

__all__ = [
    "Batches",
    "BinningFeature",
    "BinningLabel",
    "LabelCounter",
    "LentColumns",
    "PrebinnedColumns",
    "ToldColumn",
    "told_columns",
]
