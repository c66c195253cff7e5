"""What a department's questions are decided by at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.node.verification.building import Built
from fedcredit.node.verification.serving import Offer

__all__ = ["Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The policy, what is offered, from which tables, and what the platform said of consents. No `offer`: the tables
    were not read yet."""

    policy: VerifyPolicy
    offer: Offer | None
    built: Mapping[str, Built]
    bulletin: Bulletin | None = field(repr=False)
