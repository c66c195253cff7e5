"""Joint logistic regression: the coefficients of every party's columns, which it alone learns.

`LinearLabel` leads; `LinearPartner`, the first feature party, holds the other share; `LinearFeature` are the others.
What is sent when, and what each party learns: `docs/protocols/linear.md`.
"""

from fedcredit.protocols.linear.cost import CORES, seconds_of_fit
from fedcredit.protocols.linear.feature import LinearFeature, LinearFeatureFit, LinearPartner
from fedcredit.protocols.linear.label import LinearLabel, LinearLabelFit
from fedcredit.protocols.linear.paillier_keys import PaillierOwnKey, PaillierPeerKey
from fedcredit.protocols.linear.shape import MAX_INFORMATION_COLUMNS, ROWS_A_COLUMN, Encryption, LinearShape

__all__ = [
    "CORES",
    "MAX_INFORMATION_COLUMNS",
    "ROWS_A_COLUMN",
    "Encryption",
    "LinearFeature",
    "LinearFeatureFit",
    "LinearLabel",
    "LinearLabelFit",
    "LinearPartner",
    "LinearShape",
    "PaillierOwnKey",
    "PaillierPeerKey",
    "seconds_of_fit",
]
