"""What a department would say to a question, and why, without anything being asked or counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fedcredit.errors import ConfigError, Problem, UsageError
from fedcredit.governance.verification.decisions import Ruling, Used, decide
from fedcredit.governance.verification.permits import WhyNot
from fedcredit.governance.verification.rules import Asked, Private
from fedcredit.ids import PartyId
from fedcredit.node.verification.private import private_terms
from fedcredit.node.verification.question_hash import question_hash
from fedcredit.node.verification.serving import Offer, Question, offer_of
from fedcredit.node.verification.uses import used_of
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import PolicyFile, load_policy
from fedcredit.runtime.toml import nearest

__all__ = ["QuestionExplained", "explain_question", "question_named"]

Values = Mapping[str, float | str | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionExplained:
    """A ruling with what it was made from. `used` is None where nobody said about which subject is asked.

    `private`: on which terms the requester may look subjects up privately before it asks, or why it may not.
    """

    policy: PolicyFile
    question: Question
    asked: Asked
    ruling: Ruling
    used: Used | None
    private: Private | WhyNot


def question_named(offer: Offer, predicate: str) -> Question:
    """The question of that name. Raises: UsageError (PREDICATE_UNKNOWN), with why it is not answered."""
    if (question := offer.question(predicate)) is not None:
        return question
    why = next((left.why for left in offer.left_out if left.predicate == predicate), "is not answered here")
    close = nearest(predicate, [question.id for question in offer.questions])
    fix = f"did you mean {close!r}?" if close else "fedcredit predicate list"
    raise UsageError(Problem("PREDICATE_UNKNOWN", f"predicate {predicate[:64]}", why, fix))


def explain_question(
    config: PartyFile,
    *,
    requester: PartyId,
    predicate: str,
    purpose: str,
    values: Values,
    at: datetime,
    subject: str | None = None,
) -> QuestionExplained:
    """What the policy in the node's folder makes of a question at that moment. `subject`: to look up its budget.

    Raises: ConfigError (VERIFY_OFF: no [verify]; what is wrong with the policy), UsageError (PREDICATE_*).
    """
    if config.verify is None:
        what, fix = "answers no questions", "add [verify] to party.toml; docs/verify.md"
        raise ConfigError(Problem("VERIFY_OFF", f"node {config.me}", what, fix))
    source = load_policy(config.folder)
    offer = offer_of(config.verify, source.questions)
    question = question_named(offer, predicate)
    question.compiled.enquiry(values, at.date(), institution="-" if _asks_institution(question) else None)
    asked = question.asked(requester, purpose, at)
    used = (
        None
        if subject is None
        else used_of(config, source.questions, asked, subject, question_hash(question.compiled, values))
    )
    ruling = decide(source.questions, asked, used or Used())
    # What is used up of a budget counts for open questions alone.
    private = private_terms(config.verify, offer, question, decide(source.questions, asked))
    return QuestionExplained(policy=source, question=question, asked=asked, ruling=ruling, used=used, private=private)


def _asks_institution(question: Question) -> bool:
    return "institution" in question.compiled.program.parameters
