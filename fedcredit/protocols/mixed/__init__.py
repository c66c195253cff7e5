"""Models whose labels are at several banks, and whose columns are at departments: `docs/protocols/mixed.md`.

`shape` is the public frame, `columns` what parties bring, `adding` how banks add up. `binning` counts, `moments`
correlates; of the fit, `leader`, `bank` and `department` are the sides.
"""

from fedcredit.protocols.mixed.adding import GroupToLeader, ToLeader
from fedcredit.protocols.mixed.bank import MixedBank
from fedcredit.protocols.mixed.binning import MixedBinningBank, MixedBinningDepartment, MixedBinningLeader
from fedcredit.protocols.mixed.columns import PooledMoments
from fedcredit.protocols.mixed.department import MixedDepartment
from fedcredit.protocols.mixed.leader import MixedLeader
from fedcredit.protocols.mixed.moments import MixedMomentsBank, MixedMomentsDepartment, MixedMomentsLeader
from fedcredit.protocols.mixed.shape import BankShape, MixedShape

__all__ = [
    "BankShape",
    "GroupToLeader",
    "MixedBank",
    "MixedBinningBank",
    "MixedBinningDepartment",
    "MixedBinningLeader",
    "MixedDepartment",
    "MixedLeader",
    "MixedMomentsBank",
    "MixedMomentsDepartment",
    "MixedMomentsLeader",
    "MixedShape",
    "PooledMoments",
    "ToLeader",
]
