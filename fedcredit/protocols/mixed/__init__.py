"""Models whose labels are at several banks, and whose columns are at departments: `docs/protocols/mixed.md`.

`shape` is the public frame, `columns` what parties bring; of the fit, `leader`, `bank` and `department` are the sides.
"""

from fedcredit.protocols.mixed.bank import MixedBank
from fedcredit.protocols.mixed.columns import PooledMoments
from fedcredit.protocols.mixed.department import MixedDepartment
from fedcredit.protocols.mixed.leader import MixedLeader
from fedcredit.protocols.mixed.shape import BankShape, MixedShape, ToLeader

__all__ = ["BankShape", "MixedBank", "MixedDepartment", "MixedLeader", "MixedShape", "PooledMoments", "ToLeader"]
