"""Sums of vectors over members that have the same columns of different subjects: nobody learns anything but the sum.

`group` has the keys of each two members, `total` the rounds that need them all; `surviving` the round that does not, on
`dealing`, its secrets and their shares. Read `docs/protocols/aggregate.md` beside them.
"""

from fedcredit.protocols.aggregate.dealing import Round, default_threshold, least_threshold, refuse_threshold
from fedcredit.protocols.aggregate.group import Group, agree, refuse_repeat
from fedcredit.protocols.aggregate.surviving import LeftOut, Survived, SurvivingSum, TooFewLeft
from fedcredit.protocols.aggregate.total import scattered, total

__all__ = [
    "Group",
    "LeftOut",
    "Round",
    "Survived",
    "SurvivingSum",
    "TooFewLeft",
    "agree",
    "default_threshold",
    "least_threshold",
    "refuse_repeat",
    "refuse_threshold",
    "scattered",
    "total",
]
