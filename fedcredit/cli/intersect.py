"""`fedcredit intersect`: which subjects this party and others have in common, between running nodes, in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcredit.cli.job import Json, Node, hand_in

if TYPE_CHECKING:
    from fedcredit.runtime.config import PartyFile

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
    from fedcredit.errors import Problem, UsageError
    from fedcredit.node.own_node import node_of
    from fedcredit.runtime.config import MAIN_TABLE, intersection

    if out is not None and size_only:
        what = "there are no identifiers to write where the size alone is asked for"
        raise UsageError(Problem("OPTIONS_CONFLICT", "--out --size-only", what, "leave one of them out"))
    if out is not None and out.exists():
        raise UsageError(Problem("OUT_NOT_EMPTY", str(out), "is there already", "give a new file as --out"))
    config = node_of(node)
    own = _declared(config, table or MAIN_TABLE)
    _check_columns(config, own, id_)
    id_type = list(config.tables[own].id_types)
    alone = receiver_only or mode == "unbalanced"
    section = {"mode": mode, "min_size": min_size, "receiver_only": alone, "id_type": id_type}
    if size_only:
        section["size_only"] = True
    if line_mbit is not None:
        section["line_mbit"] = line_mbit
    job = intersection({str(config.me): own} | dict(map(_peer, peer)), section, purpose)
    name, result = hand_in(job, node, quiet=json_)
    place = None if size_only else result / "aligned.csv"
    if out is not None and place is not None:
        with place.open("rb") as made, out.open("xb") as file:
            shutil.copyfileobj(made, file)
        place = out
    metrics = json.loads((result / "metrics.json").read_bytes())
    if json_:
        found = {
            "job": name,
            "rows": metrics["rows"]["aligned"],
            **metrics["intersect"],
            "aligned": None if place is None else str(place),
        }
        typer.echo(json.dumps(found))
    else:
        chosen = metrics["intersect"]
        typer.echo(f"{metrics['rows']['aligned']:,} subjects are at all parties ({chosen['mode']}: {chosen['why']}).")
        if place is not None:
            typer.echo(f"Aligned subjects: {place}")


def _declared(config: PartyFile, table: str) -> str:
    """The declared table that `table` means: by its name, or by its file."""
    from fedcredit.errors import ConfigError, Problem

    if table in config.tables:
        return table
    wanted = Path(table).absolute()
    for name, section in config.tables.items():
        if section.table is not None and config.path(section.table).resolve() == wanted.resolve():
            return name
    known = ", ".join(sorted(config.tables)) or "none"
    fix = f'declare it in party.toml: [tables.NAME] with table = "{table}" and id, then start the node anew'
    raise ConfigError(Problem("TABLE_UNKNOWN", f"--table {table}", f"is not declared; declared are: {known}", fix))


def _check_columns(config: PartyFile, table: str, column: str | None) -> None:
    """The node reads its identifiers where party.toml says; a command cannot have it read another column."""
    from fedcredit.errors import ConfigError, Problem

    named = ",".join(config.tables[table].id)
    if column not in (None, named):
        what, fix = f"party.toml names {named!r}", f"give --id {named}, or declare another table"
        raise ConfigError(Problem("CONFIG_CONFLICT", f"--id {column}", what, fix))


def _peer(named: str) -> tuple[str, str]:
    from fedcredit.runtime.config import MAIN_TABLE

    party, _, table = named.partition(":")
    return party, table or MAIN_TABLE
