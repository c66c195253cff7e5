"""`fedcredit score`: encrypted scores of enterprises under a published model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", help="Your node's folder; else $FEDCREDIT_NODE, else the current folder.", show_default=False
    ),
]


def run(
    model: Annotated[str, typer.Option(help="The published model: fedcredit model list.", show_default=False)],
    version: Annotated[
        int | None, typer.Option(help="One of its versions; else its champion.", min=1, show_default=False)
    ] = None,
    subject: Annotated[str | None, typer.Option(help="The enterprise's code.", show_default=False)] = None,
    consent: Annotated[
        Path | None, typer.Option(help="The file with the enterprise's consent token.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A CSV file with columns uscc and consent (a token).", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --file: the CSV file to write.", show_default=False)] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="A provider whose part may be missing if it is down; repeatable.", show_default=False),
    ] = None,
    cutoff: Annotated[
        list[float] | None,
        typer.Option(help="A score at which a band begins; repeatable. Else bands of one pdo.", show_default=False),
    ] = None,
    only_band: Annotated[
        bool, typer.Option("--only-band", help="Learn the band alone: some providers tell no more of a card.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Subjects in one request.", min=1, max=4096)] = 2048,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    node: Node = None,
) -> None:
    """Score enterprises that consent: the sum of all parties' points, which nobody but your bank can read.

    Your node has to run, and the nodes of all providers of the model. Exit status 0: scored; 77: refused, and the
    providers say no more than that; 76: an answer that cannot be right.

        fedcredit score --node parties/bank --model sme --subject CODE --consent consent.jwt
        fedcredit score --node parties/bank --model sme --file clients.csv --out scores.csv
        fedcredit score --node parties/bank --model sme --version 2 --file clients.csv --out challenger.csv
    """
    from fedcredit.cli import score_asking as asking
    from fedcredit.errors import Problem, UsageError

    if (subject is None) == (file is None):
        raise UsageError(Problem("USAGE", "score", "takes --subject or --file", "fedcredit score --help"))
    asked = asking.Asking.of(
        node, model, version, tuple(without or ()), tuple(sorted(cutoff or ())), only_band=only_band
    )
    if subject is not None:
        if consent is None or out is not None:
            what = "needs --consent, and writes no file"
            raise UsageError(Problem("USAGE", "--subject", what, "--consent consent.jwt"))
        asked.one(subject, consent, as_json=json_)
        return
    if file is None or out is None or consent is not None:
        what = "needs --out, and has the consents in its column"
        raise UsageError(Problem("USAGE", "--file", what, "--out scores.csv"))
    asked.many(file, out, batch, as_json=json_)
