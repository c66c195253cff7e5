"""What `fedcredit policy explain --model` does: a request about a model, what comes of it, what is used up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from fedcredit.cli.question import moment_of
from fedcredit.errors import Problem, RefusedError, UsageError
from fedcredit.governance.registry.rules import ACTS, Act, ScoreGrant
from fedcredit.ids import party_id
from fedcredit.node.own_node import node_of
from fedcredit.node.registry.explain import ModelExplained, ScoresUsed, explain_model

__all__ = ["explain"]


def explain(
    node: Path | None,
    *,
    model: str,
    version: int | None,
    act: str,
    requester: str | None,
    purpose: str | None,
    subject: str | None,
    at: str | None,
    as_json: bool,
) -> None:
    """Show what the node would say to the request. Raises: SystemExit with 77 where it would be refused."""
    config = node_of(node)
    if act not in ACTS:
        raise UsageError(Problem("USAGE", "--act", f"{act[:32]!r} is none", f"one of {', '.join(ACTS)}"))
    if requester is None:
        raise UsageError(Problem("USAGE", "--requester", "is missing: who would ask", "--requester bank"))
    found = explain_model(
        config,
        act=Act(act),
        model=model,
        version=version,
        requester=party_id(requester),
        purpose=purpose,
        subject=subject,
        now=moment_of(at),
    )
    if as_json:
        typer.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    else:
        _show(found, str(config.me))
    if not found.admits:
        raise SystemExit(RefusedError.exit_status)


def _document(found: ModelExplained) -> dict[str, Any]:
    asked, grant = found.asked, None if found.rule is None or found.used is None else found.rule.score
    return {
        "decision": "admit" if found.admits else "refuse",
        "rule": None if found.rule is None else found.rule.name,
        "reasons": [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in found.reasons],
        "rules": [
            {"name": one.rule.name, "action": _action(one.rule.admits), "misses": list(one.misses)}
            for one in found.said
        ],
        "requester": asked.caller,
        "act": asked.act.value,
        "model": asked.model,
        "version": found.version,
        "kind": asked.kind,
        "purpose": asked.purpose,
        "grant": None
        if grant is None
        else {"per_day": grant.per_day, "again_days": grant.again_days, "without": sorted(grant.without)}
        | {"only_bands": grant.only_bands},
        "used": None if found.used is None else _used_document(found.used),
        "notes": list(found.notes),
        "policy": found.policy.digest,
    }


def _used_document(used: ScoresUsed) -> dict[str, Any]:
    if used.scored is None:
        return {"today": used.today, "subject": None}
    subject = {"scored": used.scored, "last": _moment(used.last), "again": _moment(used.again)}
    return {"today": used.today, "subject": subject | {"lists": used.lists, "consents": list(used.consents)}}


def _show(found: ModelExplained, me: str) -> None:
    out, asked = Console(highlight=False, soft_wrap=True), found.asked
    rule = "no rule" if found.rule is None else f"rule {found.rule.name!r}"
    verdict = f"is let be by {rule}" if found.admits else f"is refused by {rule}"
    of = f"{asked.model}{'' if found.version is None else f' {found.version}'}"
    style = "green" if found.admits else "red"
    out.print(f"At {me}, {asked.act.value} of {of} for {asked.caller} {verdict}.", style=style, markup=False)
    for problem in found.reasons:
        out.print(f"  {problem}", markup=False)
    out.print("What each rule said, in order:")
    for one in found.said:
        ends = "decides" if not one.misses else "is not about it: " + "; ".join(one.misses)
        out.print(f"  {one.rule.name} ({_action(one.rule.admits)}): {ends}", markup=False)
    if found.rule is not None and found.used is not None:
        for line in _grant_lines(found.rule.score, found.used):
            out.print(line, markup=False)
    for note in found.notes:
        out.print(f"  note: {note}", markup=False)


def _grant_lines(grant: ScoreGrant, used: ScoresUsed) -> Iterator[str]:
    bound = "any number of subjects" if grant.per_day is None else f"{grant.per_day:,} subjects"
    left = "" if grant.per_day is None else f", {max(0, grant.per_day - used.today):,} left"
    yield f"A day: {bound} of this model; today {used.today:,}{left}"
    again = f"after {grant.again_days} days at the soonest" if grant.again_days else "as often as its consent says"
    yield f"A subject again: {again}, and always with the same providers"
    yield f"May be missing while they are down: {', '.join(sorted(grant.without)) or 'nobody'}"
    yield f"Is told: {'the band of a card alone, and nothing of trees' if grant.only_bands else 'the score'}"
    if used.scored is None:
        yield "Give --subject to see what was had of one"
        return
    yield f"This subject: scored {used.scored} times under this version"
    if used.last is not None:
        yield f"  last {_moment(used.last)}" + ("" if used.again is None else f", again from {_moment(used.again)}")
    if used.consents:
        yield f"  uses of its consents here: {', '.join(map(str, used.consents))}"


def _action(admits: bool) -> str:
    return "admit" if admits else "refuse"


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
