"""Correlations of the columns of several parties, for the label party, and of no row anything.

`MomentsLabel` learns the matrix; `MomentsFeature` are the parties that bring columns. What is sent when, and what each
party learns: `docs/protocols/moments.md`.
"""

from fedcredit.protocols.moments.feature import MomentsFeature
from fedcredit.protocols.moments.label import Moments, MomentsLabel
from fedcredit.protocols.moments.shape import MomentsShape

__all__ = ["Moments", "MomentsFeature", "MomentsLabel", "MomentsShape"]
