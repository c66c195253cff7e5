"""What `fedcredit policy explain --predicate` does: a question, what the policy makes of it, and what is used up."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from fedcredit.cli.predicate_trial import parameters_of
from fedcredit.errors import Problem, RefusedError, UsageError
from fedcredit.governance.verification.levels import level_name
from fedcredit.governance.verification.permits import WhyNot
from fedcredit.governance.verification.rules import Action, Private
from fedcredit.ids import party_id
from fedcredit.node.own_node import node_of
from fedcredit.node.verification.explain import QuestionExplained, explain_question
from fedcredit.node.verification.private import WORDS
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.predicate_file import shipped_predicates

__all__ = ["explain", "moment_of"]


def explain(
    node: Path | None,
    *,
    predicate: str,
    params: list[str],
    requester: str | None,
    purpose: str,
    subject: str | None,
    at: str | None,
    as_json: bool,
) -> None:
    """Show what the node would say to the question. Raises: SystemExit with 77 where it would be refused."""
    import json

    config = node_of(node)
    if requester is None:
        raise UsageError(Problem("USAGE", "--requester", "is missing: who would ask", "--requester bank"))
    compiled = shipped_predicates().get(predicate)
    values = {} if compiled is None else parameters_of(compiled, params)
    found = explain_question(
        config,
        requester=party_id(requester),
        predicate=predicate,
        purpose=purpose,
        values=values,
        at=moment_of(at),
        subject=subject,
    )
    if as_json:
        typer.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    else:
        _show(found, str(config.me))
    if not found.ruling.admits:
        raise SystemExit(RefusedError.exit_status)


def moment_of(at: str | None) -> datetime:
    """The moment of `--at`, by default now. Raises: UsageError."""
    if at is None:
        return SystemClock().now()
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise UsageError(Problem("USAGE", "--at", "is no moment with a zone", "write 2026-05-04T09:30+08:00"))
    return moment


def _document(found: QuestionExplained) -> dict[str, Any]:
    ruling, asked, used = found.ruling, found.asked, found.used
    budget = None if ruling.rule is None else ruling.rule.budget
    return {
        "decision": ruling.action.value,
        "rule": None if ruling.rule is None else ruling.rule.name,
        "reasons": [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in ruling.reasons],
        "rules": [{"name": s.rule, "action": s.action.value, "misses": list(s.misses)} for s in ruling.said],
        "predicate": asked.predicate,
        "item": asked.item,
        "level": level_name(asked.level),
        "consent_of": list(found.question.consent_of),
        "budget": None if budget is None else {"questions": budget.questions, "days": budget.days},
        "used": None
        if used is None
        else {"today": used.today, "questions": used.questions, "asked_today": used.asked_today},
        "private": _private_document(found.private),
        "policy": found.policy.digest,
    }


def _private_document(private: Private | WhyNot) -> dict[str, Any]:
    if isinstance(private, WhyNot):
        return {"allowed": False, "code": private.value, "what": WORDS[private]}
    return {"allowed": True, "per_day": private.per_day, "key_days": private.key_days}


def _private_line(private: Private | WhyNot) -> str:
    if isinstance(private, WhyNot):
        return f"Not to be asked privately: {WORDS[private]}"
    days = f"the key of its filter changes after {private.key_days} days"
    return f"May be asked privately, for {private.per_day:,} subjects a day, whoever of them is in the table; {days}"


def _show(found: QuestionExplained, me: str) -> None:
    out, ruling, asked = Console(highlight=False, soft_wrap=True), found.ruling, found.asked
    rule = "no rule" if ruling.rule is None else f"rule {ruling.rule.name!r}"
    verdict = "would be answered under" if ruling.admits else "would be refused by"
    style = "green" if ruling.admits else "red"
    out.print(f"At {me}, {asked.predicate} for {asked.requester} {verdict} {rule}.", style=style, markup=False)
    for problem in ruling.reasons:
        out.print(f"  {problem}", markup=False)
    out.print("What each rule said, in order:")
    for said in ruling.said:
        ends = "decides" if said.decides else "is not about it: " + "; ".join(said.misses)
        out.print(f"  {said.rule} ({said.action.value}): {ends}", markup=False)
    needed = " and ".join(found.question.consent_of) or "nobody"
    if found.question.consent_of or (ruling.rule is not None and ruling.rule.no_consent):
        out.print(f"Item {asked.item}, data of level {level_name(asked.level)}; takes the consent of: {needed}")
    else:
        out.print(f"Item {asked.item}, data of level {level_name(asked.level)}; takes a consent token, whoever's it is")
    out.print(_private_line(found.private), markup=False)
    if ruling.rule is None or ruling.rule.action is Action.REFUSE:
        return
    budget, used = ruling.rule.budget, found.used
    if budget is None:
        out.print("No budget: every rung of a ladder may be asked about a subject.", style="yellow")
        return
    limit = f"{budget.questions} different questions within {budget.days} days about one subject and item"
    if used is None:
        out.print(f"Budget: {limit}; give --subject to see what of it is used", markup=False)
    else:
        again = "; this one was asked today, and costs nothing more" if used.asked_today else ""
        out.print(f"Budget: {limit}; used about this subject: {used.questions}{again}", markup=False)
