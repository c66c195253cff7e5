"""`fedcredit usage`: who used which data for what; what institutions report back of their loans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import date, tzinfo

    from fedcredit.governance.verification.outcomes import Standing

__all__ = ["app"]

app = typer.Typer(
    help="Who used which data for what, and what institutions report back of their loans.", no_args_is_help=True
)

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", help="The node's folder; else $FEDCREDIT_NODE, else the current folder.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
AsCsv = Annotated[Path | None, typer.Option("--csv", help="Write the table to this file.", show_default=False)]


@app.command("report")
def report(
    node: Node = None,
    since: Annotated[
        str | None, typer.Option(help="The first day, 2026-05-01; else 30 days back.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(help="The last day; else today.", show_default=False)] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="At a provider: all that was asked about this subject, one by one.", show_default=False),
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="At a provider: send the report to the platform.")] = False,
    json_: AsJson = False,
    csv: AsCsv = None,
) -> None:
    """Say how data were used: by requester, item, question, purpose and outcome; of scores, by model and version.

    At a provider it is read from its own audit logs, which are checked on the way, and scores from its store, whose
    rows have to be those that the log has hashes of; at a platform it is what providers have sent. A report has no
    subjects; --subject is for the provider's answer to "who asked what about me".

        fedcredit usage report --node parties/tax --since 2026-05-01 --until 2026-05-31 --send
    """
    from fedcredit.cli.usage_display import show_report, show_uses
    from fedcredit.errors import Problem, UsageError
    from fedcredit.node.own_node import node_of
    from fedcredit.node.scoring.ledger import scores_about
    from fedcredit.node.verification.reporting import platform_report, send_report
    from fedcredit.node.verification.uses import report_of_node, uses_about, zone_of

    config = node_of(node)
    is_platform = config.party.kind == "platform"
    zone = None if is_platform else zone_of(config)
    first, last = _days(since, until, zone)
    if is_platform and (subject is not None or send):
        option = "--subject" if subject is not None else "--send"
        raise UsageError(Problem("USAGE", option, "is for providers: a platform has reports without subjects"))
    if subject is not None:
        uses = [use for use in uses_about(config, subject) if first <= use.at.astimezone(zone).date() <= last]
        scores = [line for line in scores_about(config, subject) if first <= line.at.astimezone(zone).date() <= last]
        show_uses(uses, scores, json_, csv)
        return
    found = platform_report(config, first, last) if is_platform else report_of_node(config, first, last)
    if send:
        send_report(config, found)
    show_report(found, json_, csv)


@app.command("outcome")
def outcome(
    reference: Annotated[str | None, typer.Option(help="Your own name of the loan.", show_default=False)] = None,
    subject: Annotated[str | None, typer.Option(help="The enterprise's code.", show_default=False)] = None,
    status: Annotated[
        str | None,
        typer.Option(help="granted, refused, current, overdue, repaid or written_off.", show_default=False),
    ] = None,
    day: Annotated[str | None, typer.Option(help="Since when; else today.", show_default=False)] = None,
    amount_yuan: Annotated[int, typer.Option(help="Granted, owed or lost.", min=0)] = 0,
    rate_bp: Annotated[int, typer.Option(help="Yearly interest in basis points.", min=0)] = 0,
    file: Annotated[
        Path | None,
        typer.Option(help="A CSV file with these columns, instead of one loan.", show_default=False),
    ] = None,
    node: Node = None,
) -> None:
    """Report to the platform how a loan, or a file of them, stands. Sent again, it counts once.

    fedcredit usage outcome --node parties/bank --reference L-17 --subject CODE --status granted --amount-yuan 500000
    """
    from fedcredit.errors import Problem, UsageError
    from fedcredit.node.own_node import node_of
    from fedcredit.node.verification.reporting import read_outcomes, send_outcomes

    config = node_of(node)
    single = (reference, subject, status)
    if (file is None) == (None in single):
        what = "takes --reference, --subject and --status, or --file"
        raise UsageError(Problem("USAGE", "usage outcome", what, "give one of the two"))
    found = read_outcomes(file) if file is not None else [_standing(*single, day, amount_yuan, rate_bp)]
    send_outcomes(config, found)
    typer.echo(f"{config.me}: {len(found)} reported to {config.trust.platform}")


@app.command("outcomes")
def outcomes(node: Node = None, json_: AsJson = False, csv: AsCsv = None) -> None:
    """At a platform: how the loans that institutions reported stand, by institution."""
    from fedcredit.cli.usage_display import show_outcomes
    from fedcredit.node.own_node import node_of
    from fedcredit.node.verification.reporting import platform_outcomes

    show_outcomes(platform_outcomes(node_of(node)), json_, csv)


@app.command("privacy")
def privacy(
    node: Node = None,
    days: Annotated[int, typer.Option(help="How far back.", min=1, max=36_500)] = 365,
    delta: Annotated[float, typer.Option(help="At which delta epsilon is said.", min=1e-12, max=1e-3)] = 1e-6,
    json_: AsJson = False,
    csv: AsCsv = None,
) -> None:
    """Say what jobs with noise in their sums have cost over each table, as epsilon of differential privacy.

    It is what counts against privacy_epsilon of policy.toml, from the node's store.

        fedcredit usage privacy --node parties/tax
    """
    from fedcredit.cli.usage_display import show_privacy
    from fedcredit.node.own_node import node_of
    from fedcredit.node.policy.privacy_ledger import privacy_ledger
    from fedcredit.runtime.clock import SystemClock

    show_privacy(privacy_ledger(node_of(node), SystemClock().now(), days=days, delta=delta), json_, csv)


def _days(since: str | None, until: str | None, zone: tzinfo | None) -> tuple[date, date]:
    """The first day and the last, by default up to today: in `zone`, or without one wherever a provider may be."""
    from datetime import timedelta

    from fedcredit.errors import Problem, UsageError
    from fedcredit.runtime.clock import SystemClock

    now = SystemClock().now()
    if zone is None:
        earliest, latest = (now - timedelta(hours=12)).date(), (now + timedelta(hours=14)).date()
    else:
        earliest = latest = now.astimezone(zone).date()
    last = _day("--until", until) or latest
    first = _day("--since", since) or min(earliest, last) - timedelta(days=30)
    if first > last:
        raise UsageError(Problem("USAGE", "--since", "is after --until"))
    return first, last


def _day(option: str, text: str | None) -> date | None:
    from datetime import date

    from fedcredit.errors import Problem, UsageError

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(Problem("USAGE", option, "is not a day", "write 2026-05-31")) from None


def _standing(
    reference: str | None, subject: str | None, status: str | None, day: str | None, amount_yuan: int, rate_bp: int
) -> Standing:
    from pydantic import ValidationError

    from fedcredit.errors import Problem, UsageError
    from fedcredit.governance.verification.outcomes import STATUSES, Standing
    from fedcredit.runtime.clock import SystemClock

    if status not in STATUSES:
        raise UsageError(Problem("USAGE", "--status", "is not one", f"one of {', '.join(STATUSES)}"))
    raw = {
        "reference": reference,
        "subject": subject,
        "status": status,
        "day": _day("--day", day) or SystemClock().now().date(),
        "amount_yuan": amount_yuan,
        "rate_bp": rate_bp,
    }
    try:
        return Standing.model_validate(raw)
    except ValidationError as invalid:
        where = ".".join(map(str, invalid.errors()[0]["loc"]))
        raise UsageError(Problem("USAGE", f"--{where.replace('_', '-')}", "is not what it has to be")) from None
