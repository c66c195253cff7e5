"""`fedcredit whitelist`: enterprises of good standing for another institution, which alone can read them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    help=(
        "Pass on which enterprises stand well, to an institution that they have consented to.\n\n"
        "Each institution gets a file of its own, sealed from your key to its key: a platform that hands it on sees "
        "from whom it is, to whom, and about how long. Only enterprises are on it whose consent names that institution "
        "as requester, yours as provider, and the model."
    ),
    no_args_is_help=True,
)

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", help="Your node's folder; else $FEDCREDIT_NODE, else the current folder.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command("key")
def key(
    out: Annotated[Path, typer.Option(help="The file to write; others need it to seal for you.", show_default=False)],
    node: Node = None,
) -> None:
    """Write your signed word on your present keys. It is no secret; whoever seals for you checks the signature.

    fedcredit whitelist key --node parties/city_bank --out city_bank.key
    """
    from fedcredit.cli.whitelist_making import write_key

    write_key(node, out)


@app.command("make")
def make(
    model: Annotated[str, typer.Option(help="The published model that the scores are of.", show_default=False)],
    scores: Annotated[Path, typer.Option(help="A file that fedcredit score wrote.", show_default=False)],
    consents: Annotated[
        Path,
        typer.Option(
            help="A CSV file with columns uscc and consent (a token), and industry if you have it; one row a consent.",
            show_default=False,
        ),
    ],
    to: Annotated[
        list[Path],
        typer.Option("--to", help="A key file of an institution (whitelist key); repeatable.", show_default=False),
    ],
    band: Annotated[int, typer.Option(help="From this band on, 1 the worst.", min=1, max=256, show_default=False)],
    consent_region: Annotated[
        str, typer.Option(help="The region that the consents are for, e.g. nanjing.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder for the lists, one file each.", show_default=False)],
    region: Annotated[str, typer.Option(help="Registered in divisions that begin so: digits 3 to 8 of a code.")] = "",
    industry: Annotated[
        list[str] | None, typer.Option(help="Only of this industry; repeatable.", show_default=False)
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Of which version; else the last known here.", min=1, show_default=False)
    ] = None,
    json_: AsJson = False,
    node: Node = None,
) -> None:
    """Make a list for each institution from scores, by one rule. No score and no band of anybody is in it.

    Your node has to have heard of its platform in the last five minutes, or no consent counts.

        fedcredit whitelist make --node parties/bank --model sme --scores scores.csv --consents consents.csv \\
            --to city_bank.key --band 7 --region 3201 --consent-region nanjing --out lists
    """
    from fedcredit.cli.whitelist_making import Making

    Making.of(node, model, version, consent_region).make(
        scores, consents, to, (band, region, tuple(industry or ())), out, as_json=json_
    )


@app.command("open")
def open_(
    file: Annotated[Path, typer.Argument(help="A list that was sealed for you.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The CSV file to write.", show_default=False)],
    json_: AsJson = False,
    node: Node = None,
) -> None:
    """Open a list that was sealed for you, after checking from whom it is by your node's pins.

    fedcredit whitelist open bank-to-city_bank.sealed --node parties/city_bank --out good.csv
    """
    from fedcredit.cli.whitelist_making import open_file

    open_file(node, file, out, as_json=json_)
