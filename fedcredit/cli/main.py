"""`fedcredit`: one file per command. Heavy modules are imported by the command that needs them, so help is quick.

Exit statuses: 0 done, 2 usage, 65 bad data, 69 peer lost, 70 a bug of ours, 75 a node cut short (`node up` alone),
76 peer broke the protocol, 77 refused by policy or consent, 78 bad configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from fedcredit import failpoints
from fedcredit.cli import (
    audit,
    bench,
    card,
    catalog,
    consent,
    demo,
    filters,
    intersect,
    job,
    model,
    node,
    party,
    platform,
    policy,
    predicate,
    score,
    simulate,
    table,
    usage,
    verify,
    watch,
    whitelist,
)
from fedcredit.errors import FedcreditError, Problem

__all__ = ["app", "main"]

_DEBUG_VARIABLE = "FEDCREDIT_DEBUG"

app = typer.Typer(
    name="fedcredit",
    help=(
        "Credit models across organisations that do not show each other a row.\n\n"
        "Start with [bold]fedcredit demo[/bold]: a bank, a tax office and a social insurance office train a model "
        "together on this machine, each a process of its own. Then [bold]fedcredit simulate JOB.toml[/bold] with "
        "your own tables."
    ),
    epilog=(
        "Exit statuses: 0 done, 2 usage, 65 bad data, 69 peer lost, 70 a bug, 75 a node cut short (start it again), "
        "76 peer broke the protocol, 77 refused by policy or consent, 78 bad configuration."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("demo")(demo.run)
app.command("simulate")(simulate.run)
app.add_typer(node.app, name="node")
app.add_typer(party.app, name="party")
app.add_typer(platform.app, name="platform")
app.add_typer(table.app, name="table")
app.add_typer(policy.app, name="policy")
app.add_typer(job.app, name="job")
app.command("intersect")(intersect.run)
app.add_typer(filters.app, name="filter")
app.add_typer(card.app, name="card")
app.add_typer(model.app, name="model")
app.add_typer(audit.app, name="audit")
app.add_typer(consent.app, name="consent")
app.add_typer(catalog.app, name="catalog")
app.add_typer(predicate.app, name="predicate")
app.add_typer(usage.app, name="usage")
app.command("score")(score.run)
app.add_typer(watch.app, name="watch")
app.add_typer(whitelist.app, name="whitelist")
app.command("verify")(verify.run)
app.command("bench")(bench.run)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"fedcredit {metadata.version('fedcredit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if debug:
        os.environ[_DEBUG_VARIABLE] = "1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status. Every error becomes readable problems on standard error."""
    try:
        failpoints.load()
        app(args=list(arguments) if arguments is not None else None, prog_name="fedcredit")
    except FedcreditError as error:
        if os.environ.get(_DEBUG_VARIABLE):
            raise
        _print_problems(error.problems)
        return error.exit_status
    except Exception as bug:
        if os.environ.get(_DEBUG_VARIABLE):
            raise
        # The message of a foreign error might hold data; its kind does not.
        what = f"{type(bug).__name__}: this is a bug"
        _print_problems([Problem("INTERNAL", "fedcredit", what, "run again with --debug and report it")])
        return FedcreditError.exit_status
    return 0


def _print_problems(problems: Sequence[Problem]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for problem in problems:
        line = Text.assemble((problem.code, "bold red"), ": ", (problem.where, "bold"), f": {problem.what}")
        if problem.fix:
            line.append(f" -> {problem.fix}", "cyan")
        console.print(line)


if __name__ == "__main__":
    sys.exit(main())
