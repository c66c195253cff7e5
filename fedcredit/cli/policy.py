"""`fedcredit policy`: try out what a party lets others compute over its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedcredit.node.policy.explain import Explanation

__all__ = ["app"]

app = typer.Typer(help="Try out a party's policy: which jobs it lets in, and why.", no_args_is_help=True)

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", help="The node's folder; else $FEDCREDIT_NODE, else the current folder.", show_default=False
    ),
]


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(help="The node's folder, with policy.toml in it.", show_default=False)],
) -> None:
    """Check policy.toml of FOLDER, list every problem, and say what each rule lets in."""
    from rich.console import Console

    from fedcredit.governance.policy import Action
    from fedcredit.runtime.policy_file import load_policy
    from fedcredit.runtime.policy_template import known_leakage

    found, out = load_policy(folder), Console(highlight=False, soft_wrap=True)
    counts = f"{len(found.policy.rules)} rules for jobs, {len(found.questions.rules)} for questions"
    counts += f", {len(found.models.rules)} for models"
    out.print(f"{found.path}: ok, {counts}, SHA-256 {found.digest}")
    for rule in found.policy.rules:
        out.print(f"  {rule.name}: {rule.action.value}", markup=False)
        if rule.action is Action.REFUSE:
            continue
        if unknown := sorted(rule.terms.accept_leakage - known_leakage()):
            out.print(f"    no job of this version shows: {', '.join(unknown)}", markup=False)
    out.print("  every other job: refuse")
    for question_rule in found.questions.rules:
        privately = "" if question_rule.private is None else ", also privately"
        out.print(f"  questions, {question_rule.name}: {question_rule.action.value}{privately}", markup=False)
    out.print("  every other question: refuse")
    for model_rule in found.models.rules:
        out.print(f"  models, {model_rule.name}: {'admit' if model_rule.admits else 'refuse'}", markup=False)
    out.print("  everything else about models: refuse")


@app.command("explain")
def explain(
    job: Annotated[Path | None, typer.Argument(help="The job file, with declared tables.", show_default=False)] = None,
    node: Node = None,
    submitter: Annotated[
        str | None, typer.Option(help="Who would hand it in; the label party by default.", show_default=False)
    ] = None,
    table: Annotated[bool, typer.Option(help="Open the table, to count its rows.")] = True,
    predicate: Annotated[
        str | None, typer.Option(help="A question about a subject instead of a job.", show_default=False)
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the question; repeatable.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A published model instead of a job, by its name.", show_default=False)
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="With --model; else the last one known here.", min=1, show_default=False)
    ] = None,
    act: Annotated[str, typer.Option(help="With --model: what would be done, as in `acts` of a rule.")] = "score",
    requester: Annotated[str | None, typer.Option(help="Who would ask.", show_default=False)] = None,
    purpose: Annotated[
        str | None, typer.Option(help="What for; else financing, or what the model is for.", show_default=False)
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="About whom, to see what of the budget is used.", show_default=False)
    ] = None,
    at: Annotated[str | None, typer.Option(help="When: 2026-05-04T09:30+08:00; else now.", show_default=False)] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show what this node would say to JOB, the rule that decides, every reason, and what each rule in turn says.

    With --predicate it is about a question of verification instead, with --model about a published model: what a rule
    for scores comes to, and what of it is used. Nothing is started, asked or spent. Exit status 0: let in, answered,
    or put off until a person approves; 77: refused.

        fedcredit policy explain job.toml --node parties/tax
        fedcredit policy explain --predicate water_in_arrears --requester bank --subject CODE
        fedcredit policy explain --model sme --act score --requester bank --subject CODE
    """
    import json

    from fedcredit.errors import Problem, RefusedError, UsageError

    if sum(one is not None for one in (job, predicate, model)) != 1:
        what = "takes a job, --predicate or --model"
        raise UsageError(Problem("USAGE", "policy explain", what, "give one of the three"))
    if model is not None:
        from fedcredit.cli.model_rules import explain as explain_request

        explain_request(
            node,
            model=model,
            version=version,
            act=act,
            requester=requester,
            purpose=purpose,
            subject=subject,
            at=at,
            as_json=json_,
        )
        return
    if predicate is not None:
        from fedcredit.cli.question import explain as explain_question

        explain_question(
            node,
            predicate=predicate,
            params=param or [],
            requester=requester,
            purpose=purpose or "financing",
            subject=subject,
            at=at,
            as_json=json_,
        )
        return
    assert job is not None, "one of the three is there"
    from fedcredit.ids import party_id
    from fedcredit.node.own_node import node_of
    from fedcredit.node.policy.explain import explain as explained
    from fedcredit.runtime.clock import SystemClock
    from fedcredit.runtime.config import load_job

    config, loaded = node_of(node), load_job(job, declared=True)
    by = party_id(submitter) if submitter else loaded.receiver
    found = explained(config, loaded, by, SystemClock().now(), with_table=table)
    if json_:
        typer.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    else:
        _show(found, str(config.me), str(by))
    if not found.admits:
        raise SystemExit(RefusedError.exit_status)


def _document(found: Explanation) -> dict[str, Any]:
    decision = found.decision
    return {
        "decision": decision.action.value,
        "rule": None if decision.rule is None else decision.rule.name,
        "reasons": [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in decision.reasons],
        "rules": [{"name": s.rule, "action": s.action.value, "misses": list(s.misses)} for s in decision.said],
        "table": found.table,
        "rows": found.rows,
        "columns": None if decision.columns is None else list(decision.columns),
        "budgets": [
            {"name": m.name, "limit": m.limit, "spent": used, "says": m.said(used)} for m, used in found.budgets
        ],
        "shows": [row.row() for row in found.shows],
        "notes": list(found.notes),
        "policy": found.policy.digest,
    }


def _show(found: Explanation, me: str, submitter: str) -> None:
    from rich.console import Console

    from fedcredit.cli.display import Display
    from fedcredit.governance.policy import Action
    from fedcredit.node.specification import LeakageRow

    out, decision = Console(highlight=False, soft_wrap=True), found.decision
    rule = "no rule" if decision.rule is None else f"rule {decision.rule.name!r}"
    verdict = {
        Action.ADMIT: "is let in by",
        Action.APPROVE: "needs a person's approval under",
        Action.REFUSE: "is refused:" if decision.rule is None else "is refused by",
    }[decision.action]
    colour = {Action.ADMIT: "green", Action.APPROVE: "yellow", Action.REFUSE: "red"}[decision.action]
    out.print(f"At {me}, this job of {submitter} {verdict} {rule}.", style=colour, markup=False)
    for problem in decision.reasons:
        out.print(f"  {problem}", markup=False)
    out.print("What each rule said, in order:")
    for said in decision.said:
        ends = "decides" if said.decides else "is not about it: " + "; ".join(said.misses)
        out.print(f"  {said.rule} ({said.action.value}): {ends}", markup=False)
    rows = "" if found.rows is None else f", {found.rows:,} rows"
    lent = found.columns if decision.columns is None else decision.columns
    named = "" if lent is None else f"; columns that enter the job: {', '.join(lent) or 'none'}"
    out.print(f"Table {found.table}{rows}{named}", markup=False)
    for meter, used in found.budgets:
        out.print(f"  {meter.said(used)}", markup=False)
    for note in found.notes:
        out.print(f"  note: {note}", markup=False)
    Display().leakage([LeakageRow(**row.row()) for row in found.shows], title=f"What others would learn about {me}")
