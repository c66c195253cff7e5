"""`fedcredit watch`: a bank's borrowers scored month by month, and told of where that has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    help=(
        "Score borrowers once a month, and say whose band has changed and who has no score any more.\n\n"
        "At the bank, by the service of `fedcredit score`: the same consents, rules and budgets count. What is kept of "
        "borrowers is in a private folder of the bank's node. Departments hear whom a run asks about, as with any "
        "score, and write it down under a key of their own, never by its code."
    ),
    no_args_is_help=True,
)

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", help="Your node's folder; else $FEDCREDIT_NODE, else the current folder.", show_default=False
    ),
]
Model = Annotated[str, typer.Option(help="The published model: fedcredit model list.", show_default=False)]
State = Annotated[
    Path | None,
    typer.Option("--state", help="Where scores are kept; else watch/MODEL in the node's folder.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command("run")
def run(
    model: Model,
    file: Annotated[
        Path, typer.Option("--file", help="A CSV file with columns uscc and consent (a token).", show_default=False)
    ],
    state: State = None,
    version: Annotated[
        int | None, typer.Option(help="One of its versions; else its champion.", min=1, show_default=False)
    ] = None,
    month: Annotated[
        str | None, typer.Option(help="2026-05; else this month, in the policy's zone.", show_default=False)
    ] = None,
    cutoff: Annotated[
        list[float] | None,
        typer.Option(help="A score at which a band begins; repeatable, and the same each month.", show_default=False),
    ] = None,
    only_band: Annotated[
        bool, typer.Option("--only-band", help="Learn bands alone: some providers tell no more of a card.")
    ] = False,
    least_change: Annotated[int, typer.Option(help="Bands by which a score has to change to be told.", min=1)] = 1,
    again: Annotated[
        bool, typer.Option("--again", help="Ask anew for those refused this month, with the same consent.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Subjects in one request.", min=1, max=4096)] = 256,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit status 1 where a band fell or a score was lost.")
    ] = False,
    json_: AsJson = False,
    node: Node = None,
) -> None:
    """Score all borrowers of this month that are not scored yet, then write alerts.csv and alerts.json of the month.

    A run that was cut short goes on where it stopped when it is started again: what came of a request is on disk before
    the next one is made, so one request's uses of consents are spent in vain at most. Borrowers with the same consent
    are not asked for twice in a month; one that was refused is when its consent is a new one. Exit status 0: all were
    asked for; else what ended it, and what was scored is kept.

        fedcredit watch run --node parties/bank --model sme --file borrowers.csv
        fedcredit watch run --node parties/bank --model sme --file borrowers.csv --least-change 2 --exit-code --json
    """
    from fedcredit.cli.watch_running import Watching

    watching = Watching.of(node, model, state)
    fell = watching.run(
        file,
        version=version,
        month=month,
        cutoffs=tuple(sorted(cutoff or ())),
        only_band=only_band,
        least_change=least_change,
        again=again,
        batch=batch,
        as_json=json_,
    )
    if exit_code and fell:
        raise SystemExit(1)


@app.command("list")
def list_(
    model: Model,
    state: State = None,
    month: Annotated[
        str | None, typer.Option(help="Its borrowers one by one, the worst band first.", show_default=False)
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table to this file.", show_default=False)] = None,
    json_: AsJson = False,
    node: Node = None,
) -> None:
    """What is kept: a line a month; or, with --month, a line a borrower. Nobody is asked for anything.

    fedcredit watch list --node parties/bank --model sme
    fedcredit watch list --node parties/bank --model sme --month 2026-05 --csv may.csv
    """
    from fedcredit.cli.watch_running import Watching

    Watching.of(node, model, state).show(month, csv, as_json=json_)
