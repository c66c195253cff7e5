"""Whether a question may be asked privately: what party.toml and policy.toml say, before any table is looked at.

Both have to: `private` of `[verify]` names the item, and the rule that decides on the question has `private`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedcredit.errors import Problem
from fedcredit.governance.verification.decisions import Ruling
from fedcredit.governance.verification.permits import WhyNot
from fedcredit.governance.verification.rules import Private, VerifyPolicy, VerifyRule
from fedcredit.node.verification.serving import Offer, Question
from fedcredit.runtime.verify_file import VerifySection

__all__ = ["WORDS", "private_items", "private_terms"]

WORDS: Mapping[WhyNot, str] = {
    WhyNot.OFF: "private of [verify] in party.toml does not name the item",
    WhyNot.COMPLETE: "that there is no record is an answer to the question, which has to be signed",
    WhyNot.NO_TABLE: "the item's records are not found by unified social credit code",
    WhyNot.RULE: "the rule of policy.toml that decides on the question refuses it or has no private, or there is none",
}
"""What `private_terms` says, for the provider's own people."""


def private_terms(section: VerifySection, offer: Offer, question: Question, ruling: Ruling) -> Private | WhyNot:
    """On which terms a question on which the policy ruled so may be asked privately, or why it may not."""
    if question.item not in section.private:
        return WhyNot.OFF
    if question.complete:
        # That there is no record is an answer then, which has to be signed.
        return WhyNot.COMPLETE
    if not offer.registers[question.item].codes:
        return WhyNot.NO_TABLE
    if not ruling.admits or ruling.rule is None or ruling.rule.private is None:
        return WhyNot.RULE
    return ruling.rule.private


def private_items(section: VerifySection, offer: Offer, policy: VerifyPolicy) -> tuple[list[Problem], list[str]]:
    """What is wrong with `private` of `[verify]`; and in words what may be asked privately, under which rules."""
    problems, said, open_to = list[Problem](), list[str](), list[Question]()
    for item in dict.fromkeys(section.private):
        questions = [question for question in offer.questions if question.item == item]
        if not questions:
            continue
        why = _never(offer, questions)
        if why is not None:
            fix = "drop it: such questions are asked openly"
            problems.append(Problem("VERIFY_PRIVATE", f"verify.private: {item}", WORDS[why], fix))
            continue
        rules = [repr(rule.name) for rule in policy.rules if any(_lets(rule, one) for one in questions)]
        under = f"under {', '.join(rules)}" if rules else "by nobody: no rule of policy.toml has private for it"
        said.append(f"{item} asked privately {under}")
        open_to += questions
    for rule in policy.rules:
        if rule.private is not None and not any(_lets(rule, one) for one in open_to):
            said.append(f"private of rule {rule.name!r} without effect: party.toml names no item of its in private")
    return problems, said


def _never(offer: Offer, questions: Sequence[Question]) -> WhyNot | None:
    """Why none of the questions about one item is ever asked privately, whatever the policy says."""
    if all(question.complete for question in questions):
        return WhyNot.COMPLETE
    return None if offer.registers[questions[0].item].codes else WhyNot.NO_TABLE


def _lets(rule: VerifyRule, question: Question) -> bool:
    """Whether the rule can let the question be asked privately; an earlier one may decide instead."""
    of_item = rule.items is None or question.item in rule.items
    of_name = rule.predicates is None or question.id in rule.predicates
    return rule.private is not None and of_item and of_name and not question.complete
