"""`party check` for the questions that a department answers: its tables are read through, and nothing is started."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.errors import FedcreditError, Problem
from fedcredit.node.verification.building import columns_of, look, resources_of
from fedcredit.node.verification.private import private_items
from fedcredit.node.verification.serving import offer_of, unused
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import load_policy

__all__ = ["Checked", "check_verify"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong, and in words what would be answered."""

    problems: tuple[Problem, ...]
    said: tuple[str, ...] = ()


def check_verify(config: PartyFile, clock: Clock) -> Checked:
    """Look at all that `[verify]` leads to."""
    section = config.verify
    if section is None:
        return Checked(())
    resources = resources_of(config.folder, config.limits.memory_mib, config.limits.threads)
    try:
        policy = load_policy(config.folder).questions
        offer = offer_of(section, policy, columns_of(config.folder, section, resources))
    except FedcreditError as error:
        return Checked(error.problems)
    problems, said = unused(section, offer), list[str]()
    for left in offer.left_out:
        if left.predicate in (section.predicates or ()):
            problems.append(Problem("VERIFY_LEFT_OUT", f"verify.predicates: {left.predicate}", left.why))
    for item, register in offer.registers.items():
        try:
            records = look(register, section, config.folder, resources, clock.now().date())
        except FedcreditError as error:
            problems.extend(error.problems)
            continue
        said.append(f"{item} of {records:,} records")
    if not policy.rules:
        fix = "add [[verify.rule]] to policy.toml; docs/policy.md"
        problems.append(Problem("VERIFY_NO_RULE", "policy.toml", "lets no question be answered", fix))
    wrong, private = private_items(section, offer, policy)
    answers = f"answers {len(offer.questions)} questions of {section.region}"
    return Checked((*problems, *wrong), (answers, *said, *private))
