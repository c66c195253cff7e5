"""Joint gradient boosting over the columns of several parties: `docs/protocols/boosting.md`.

`label` grows the trees, `feature` lends its bins, `scoring` applies the model that stays split between them; `columns`
is what a party brings.
"""

from fedcredit.protocols.boosting.columns import BinnedColumns, FeatureMap
from fedcredit.protocols.boosting.feature import FeatureParty, FeatureState, LentTree, OwnSplit
from fedcredit.protocols.boosting.label import GrownTree, LabelParty, LabelState
from fedcredit.protocols.boosting.scoring import FeatureScorer, LabelScorer

__all__ = [
    "BinnedColumns",
    "FeatureMap",
    "FeatureParty",
    "FeatureScorer",
    "FeatureState",
    "GrownTree",
    "LabelParty",
    "LabelScorer",
    "LabelState",
    "LentTree",
    "OwnSplit",
]
