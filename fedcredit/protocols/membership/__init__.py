"""Private membership: a bank learns which of its consented subjects are in a provider's table, who sees none of them.

    A -> H   which question, and which filter A has         H -> A   terms; what leads to the filter as it is now
    A -> P   consents, and the blind for their subjects     P -> A   which of them hold, and a permit for those elements
    A -> H   the permit and the blinded elements            H -> A   their evaluation; A unblinds, and looks them up

A is who asks, H the holder of the table, P the platform that issued the consents. The function, the filter and its
changes are those of mode `unbalanced`; what is new is that H evaluates nothing without P's word that a consent stands
behind every element: else whoever may ask could test any subject for being in the table.
"""

from __future__ import annotations

from fedcredit.protocols.membership.asker import Asked, MembershipAsker
from fedcredit.protocols.membership.holder import MembershipHolder
from fedcredit.protocols.membership.permitter import MembershipPermitter, elements_of
from fedcredit.protocols.membership.rounding import padded_subjects, rounded

__all__ = [
    "Asked",
    "MembershipAsker",
    "MembershipHolder",
    "MembershipPermitter",
    "elements_of",
    "padded_subjects",
    "rounded",
]
