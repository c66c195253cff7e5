"""How the total points of good and of bad rows are spread, for the label party, and no row's points for anybody.

`TallyLabel` learns the counts; `TallyPartner`, the first feature party, holds the other share; `TallyFeature` are the
others. What is sent when, and what each party learns: `docs/protocols/tally.md`.
"""

from fedcredit.protocols.tally.feature import TallyFeature, TallyPartner, feature_role
from fedcredit.protocols.tally.label import Tally, TallyLabel
from fedcredit.protocols.tally.shape import CardPoints, TallyShape
from fedcredit.wire.tally import MAX_LEVELS

__all__ = [
    "MAX_LEVELS",
    "CardPoints",
    "Tally",
    "TallyFeature",
    "TallyLabel",
    "TallyPartner",
    "TallyShape",
    "feature_role",
]
