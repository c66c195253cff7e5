"""Which columns a scorecard is made of: figures of every party's columns, and the label party's choices.

Binning before it, the fit within it and the tally after it are protocols of their own: `docs/protocols/scorecard.md`.
"""

from fedcredit.protocols.scorecard.feature import Chosen, SelectionFeature
from fedcredit.protocols.scorecard.label import OwnerKept, SelectionLabel

__all__ = ["Chosen", "OwnerKept", "SelectionFeature", "SelectionLabel"]
