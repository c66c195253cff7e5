"""On which ground a provider answers privately: the policy's rule, the table, the permit. All refusals are alike.

Nothing here computes on elements, and nothing is spent: what is refused costs a few comparisons and a signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fedcredit.governance.verification.decisions import decide
from fedcredit.governance.verification.permits import (
    Believed,
    Permit,
    PermitRefused,
    Presented,
    WhyNot,
    believe,
    check_permit,
    elements_digest,
)
from fedcredit.governance.verification.rules import Private, VerifyRule
from fedcredit.ids import PartyId
from fedcredit.node.verification.private import private_terms
from fedcredit.node.verification.standing import Standing
from fedcredit.runtime.verify_file import VerifySection
from fedcredit.wire.membership import EvaluateMembers

__all__ = ["Ground", "Grounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """That a requester may ask a question privately: the rule, its terms, the item, the file of the item's codes."""

    rule: VerifyRule
    private: Private
    item: str
    members: Path = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grounds:
    """Decides at the provider `me`, whose platform's word it takes."""

    me: PartyId
    platform: PartyId
    section: VerifySection

    def admit(self, standing: Standing, caller: PartyId, predicate: str, purpose: str, now: datetime) -> Ground:
        """Why `caller` may ask such a question privately. Raises: PermitRefused."""
        question = None if standing.offer is None else standing.offer.question(predicate)
        if standing.offer is None or question is None:
            raise PermitRefused(WhyNot.OFF)
        ruling = decide(standing.policy, question.asked(caller, purpose, now))
        terms = private_terms(self.section, standing.offer, question, ruling)
        if isinstance(terms, WhyNot):
            raise PermitRefused(terms)
        assert ruling.rule is not None, "the terms are a rule's"
        built = standing.built.get(question.item)
        if built is None or built.members is None:
            raise PermitRefused(WhyNot.NO_TABLE)
        return Ground(rule=ruling.rule, private=terms, item=question.item, members=built.members)

    def believe(self, standing: Standing, request: EvaluateMembers, now: int) -> Permit:
        """The permit of a call, on the authority's word. Raises: PermitRefused."""
        bulletin = standing.bulletin
        if bulletin is None:
            raise PermitRefused(WhyNot.STALE)
        believed = Believed(platform=self.platform, issuers=bulletin.issuers(), heard_at=bulletin.head.time)
        return believe(request.permit, request.kid, request.signature, believed, now)

    def check(
        self, permit: Permit, caller: PartyId, ground: Ground, request: EvaluateMembers, key: bytes, now: int
    ) -> None:
        """See that the permit is for this call. Raises: PermitRefused."""
        presented = Presented(
            requester=caller,
            provider=self.me,
            region=self.section.region,
            item=ground.item,
            key=key,
            count=len(request.points),
            elements=elements_digest(request.points.tobytes()),
            now=now,
        )
        check_permit(permit, presented)
