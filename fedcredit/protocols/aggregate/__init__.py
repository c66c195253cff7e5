"""Sums of vectors over members that have the same columns of different subjects: nobody learns anything but the sum.

`group` has the keys of each two members, `total` the rounds that need them all. Read `docs/protocols/aggregate.md`
beside them.
"""

from fedcredit.protocols.aggregate.group import Group, agree
from fedcredit.protocols.aggregate.total import scattered, total

__all__ = ["Group", "agree", "scattered", "total"]
