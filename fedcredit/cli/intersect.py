"""`fedcredit intersect`: which subjects this party and others have in common, between running nodes, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.job import Json, Node, hand_in

__all__ = ["run"]


def run(
    peer: Annotated[
        list[str],
        typer.Option(help="A party to intersect with, or PARTY:TABLE; give it again for more.", show_default=False),
    ],
    table: Annotated[
        str | None,
        typer.Option(help="This node's table: its name in party.toml, or the file that is declared there."),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", help="The columns of the identifier, e.g. uscc or name,phone; as in party.toml."),
    ] = None,
    node: Node = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where the aligned identifiers go, as CSV; a new file.", show_default=False),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of this node's own table to stand beside in --out: a,b. They go to nobody."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="auto, ecdh, fast or unbalanced; auto goes by how many rows the parties bring. In mode unbalanced the "
            "peer evaluates its table once, this node keeps the filter that comes of it, and from then on a job costs "
            "what this table's rows cost; only this party learns the result."
        ),
    ] = "auto",
    min_size: Annotated[int, typer.Option(help="With fewer subjects in common nothing is released.")] = 100,
    receiver_only: Annotated[bool, typer.Option("--receiver-only", help="Only this party learns the result.")] = False,
    size_only: Annotated[
        bool, typer.Option("--size-only", help="How many are in common, and nobody learns which; with one --peer.")
    ] = False,
    line_mbit: Annotated[
        float | None, typer.Option(help="What the slowest line between parties carries, in Mbit/s; auto minds it.")
    ] = None,
    purpose: Annotated[str, typer.Option(help="financing, research or supervision.")] = "financing",
    json_: Json = False,
) -> None:
    """Find the subjects that this party and every --peer hold, and nothing about the others.

    Runs between the parties' nodes, as a job without a model: each party's policy decides on it. All parties learn
    which of their own subjects are common, or with --size-only how many; with --receiver-only, this one alone.

        fedcredit intersect --node parties/bank --peer tax --out aligned.csv

    A few subjects against a peer's millions, again and again:

        fedcredit intersect --node parties/bank --peer tax --mode unbalanced --out aligned.csv
    """
    from fedcredit.intersection import Ask, prepared
    from fedcredit.node.own_node import node_of

    ask = Ask(
        peers=peer,
        table=table or "main",
        id=id_,
        mode=mode,
        min_size=min_size,
        receiver_only=receiver_only,
        size_only=size_only,
        line_mbit=line_mbit,
        purpose=purpose,
        out=out,
        columns=[] if columns is None else columns.split(","),
    )
    with prepared(node_of(node), ask) as ready:
        name, _ = hand_in(ready.job, node, quiet=json_)
        found = ready.finish(name)
    if json_:
        place = None if found.path is None else str(found.path)
        document = {"job": name, "rows": found.size, **found.figures, "aligned": place}
        typer.echo(json.dumps(document))
    else:
        typer.echo(f"{found.size:,} subjects are at all parties ({found.mode}: {found.why}).")
        if found.path is not None:
            typer.echo(f"Aligned subjects: {found.path}")
