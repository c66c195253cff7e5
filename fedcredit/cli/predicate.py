"""`fedcredit predicate`: questions that are answered yes, no or unknown where the records lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedcredit.cli.predicate_trial import Trial
    from fedcredit.governance.predicates.model import Compiled

__all__ = ["app"]

app = typer.Typer(
    help=(
        "Predicates: questions about an enterprise that a department answers yes, no or unknown.\n\n"
        "Try [bold]fedcredit predicate list --region nanjing[/bold], then [bold]fedcredit predicate show "
        "hf_continuous_k[/bold], and then, with a file of your own, [bold]fedcredit predicate test hf_continuous_k "
        "--region nanjing --param k=6 --table fund.csv[/bold]. Nothing leaves this machine."
    ),
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="The predicate, e.g. tax_in_arrears.", metavar="PREDICATE", show_default=False)
]
Own = Annotated[
    Path | None,
    typer.Option("--file", help="A file of predicates of your own, in which it is.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for another program.")]


@app.command("list")
def list_(
    region: Annotated[str | None, typer.Option(help="Only those of this region.", show_default=False)] = None,
    item: Annotated[str | None, typer.Option(help="Only those on this item.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """List the predicates that came with the package: what each asks, of which item, where.

    A star after a region says that its document names the item and prints no fields: the department's own columns
    decide whether the predicate can be answered.
    """
    from fedcredit.errors import Problem, UsageError
    from fedcredit.runtime.catalog_file import shipped_catalogs
    from fedcredit.runtime.predicate_file import shipped_predicates

    if region is not None and region not in shipped_catalogs():
        fix = f"known: {', '.join(shipped_catalogs())}"
        raise UsageError(Problem("CATALOG_UNKNOWN", "--region", f"no catalog {region[:64]!r}", fix))
    found = [
        compiled
        for compiled in shipped_predicates().values()
        if (item is None or compiled.predicate.item == item)
        and (region is None or any(terms.id == region for terms in compiled.predicate.regions))
    ]
    if as_json:
        for compiled in found:
            _json(_document(compiled))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("predicate", "item", "asks", "regions"):
        table.add_column(title, overflow="fold")
    for compiled in found:
        of = compiled.predicate
        places = ", ".join(terms.id + ("*" if terms.fields == "unprinted" else "") for terms in of.regions)
        table.add_row(of.id, of.item, of.en, places)
    out = Console(highlight=False)
    out.print(table)
    out.print(f"{len(found)} predicates")


@app.command("show")
def show(
    predicate: Name,
    file: Own = None,
    program: Annotated[bool, typer.Option("--program", help="The compiled program, as JSON.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one PREDICATE: its wording, its expression, its parameters and their ladders, and what it takes where.

    A parameter with a ladder may have those values and no others: with free numbers, repeated questions would find the
    value behind.
    """
    from rich.console import Console

    compiled = _named(predicate, file)
    if program:
        _json(compiled.program.to_dict())
        return
    if as_json:
        _json(_document(compiled))
        return
    out, of = Console(highlight=False, soft_wrap=True), compiled.predicate

    def line(text: str) -> None:
        out.print(text, markup=False)

    line(f"{of.id}: {of.en}\n  {of.zh}")
    line(f"  of: {', '.join(compiled.program.items)}; about: {of.subject}")
    line(f"  yes if: {of.expression}")
    line(f"  no record means: {of.no_record}")
    for name, entry in of.parameters.items():
        unit = f" {entry.unit}" if entry.unit else ""
        rungs = f"one of {', '.join(map(str, entry.ladder))}{unit}" if entry.ladder else f"a {entry.type}{unit}"
        line(f"  ${name}: {rungs}{', which the enquirer holds' if entry.match else ''}")
    for terms in of.regions:
        when = {"call": "at each call", "release": "before release", "never": ""}[terms.asked]
        takes = f"authorisation of the {terms.authorization} {when}" if when else "no authorisation"
        kind = "" if terms.fields == "printed" else "; the document prints no fields"
        line(f"  {terms.id}: {takes}{kind}")
    if of.note:
        line(f"  note: {of.note}")


@app.command("check")
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of predicates; those of the package if none.", show_default=False)
    ] = None,
    catalog: Annotated[
        list[Path] | None,
        typer.Option(help="A region's own catalog, in place of the one that came.", show_default=False),
    ] = None,
) -> None:
    """Check FILES of predicates against the catalogs, and list every problem with the file and the predicate.

    An expression is parsed, its fields are looked up in the catalogs, its types are checked, and what the file says of
    regions and authorisation is held against what the catalogs say.
    """
    from fedcredit.errors import ConfigError, Problem
    from fedcredit.runtime.catalog_file import load_catalog, shipped_catalogs
    from fedcredit.runtime.predicate_file import files_of_the_package, load_predicates

    own = [load_catalog(path) for path in catalog or ()]
    catalogs = {**shipped_catalogs(), **{found.region: found for found in own}}
    problems: list[Problem] = []
    for file in files or files_of_the_package():
        try:
            typer.echo(f"{file if files else file.name}: ok, {len(load_predicates(file, catalogs))} predicates")
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)


@app.command("test")
def try_out(
    predicate: Name,
    region: Annotated[
        str, typer.Option(help="The region whose catalog counts, or a catalog file.", show_default=False)
    ],
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="A CSV file of the item's records; ITEM=FILE for another item.", metavar="FILE", show_default=False
        ),
    ] = None,
    record: Annotated[
        list[str] | None,
        typer.Option(
            help='A record as JSON, e.g. \'{"tax_grade": "A", "rating_year": 2024}\'; ITEM={...} for another item.',
            metavar="JSON",
            show_default=False,
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            help="A parameter, e.g. k=6; several texts are separated by commas.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The subject's code: its answer, and why.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="The subject's registered name.", show_default=False)] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="The column that holds the subject's code, where the catalog names none.", show_default=False
        ),
    ] = None,
    institution: Annotated[str | None, typer.Option(help="The enquirer's own code.", show_default=False)] = None,
    asof: Annotated[
        str | None, typer.Option(help="The day, e.g. 2025-06-30; today by default.", show_default=False)
    ] = None,
    complete: Annotated[
        bool | None,
        typer.Option("--complete/--partial", help="Whether no record means that there is nothing.", show_default=False),
    ] = None,
    file: Own = None,
    as_json: AsJson = False,
) -> None:
    """Try a PREDICATE on a CSV file of your own, or on records that are written down, and see the answers and why.

    With --table, all subjects of the file are counted by answer; with --subject, that one's answer is shown. With
    --record, the records are those of one subject. Columns may have the field's id or its name in the catalog. Nothing
    is asked of anybody, logged or spent, and no authorisation is needed for your own data.

    Exit status 0 whatever the answers are; 65 if a file is wrong.
    """
    from fedcredit.cli.predicate_trial import Trial

    trial = Trial.of(
        _named(predicate, file),
        region=region,
        params=param or (),
        asof=asof,
        institution=institution,
        complete=complete,
        key=key,
    )
    if record and not table:
        found = trial.of_records(record, subject, name)
    else:
        found = trial.of_tables(table or (), subject, name)
    if as_json:
        _json(found)
    else:
        _say(trial, found)


def _say(trial: Trial, found: dict[str, Any]) -> None:
    of = trial.compiled.predicate
    typer.echo(f"{of.id} on {found['asof']}, catalog {found['catalog']}: {of.en}")
    if "answer" in found:
        typer.echo(f"  {found['answer']}: {found['reason']}")
    for answer, count in found.get("subjects", {}).items():
        typer.echo(f"  {answer}: {count:,}")
    typer.echo(f"  takes, to share: {found['share']}; to release: {found['release']}")


def _named(predicate: str, file: Path | None) -> Compiled:
    from fedcredit.errors import Problem, UsageError
    from fedcredit.runtime.catalog_file import shipped_catalogs
    from fedcredit.runtime.predicate_file import load_predicates, shipped_predicates
    from fedcredit.runtime.toml import nearest

    known = shipped_predicates() if file is None else load_predicates(file, shipped_catalogs())
    if predicate not in known:
        close = nearest(predicate, known)
        fix = f"did you mean {close!r}?" if close else "fedcredit predicate list shows them"
        raise UsageError(Problem("PREDICATE_UNKNOWN", "predicate", f"no predicate {predicate[:64]!r}", fix))
    return known[predicate]


def _document(compiled: Compiled) -> dict[str, Any]:
    return compiled.predicate.model_dump(mode="json", exclude_defaults=True)


def _json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))
