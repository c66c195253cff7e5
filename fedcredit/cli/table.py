"""`fedcredit table`: look at a party's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from fedcredit.errors import Problem
    from fedcredit.runtime.config import PartyFile
    from fedcredit.tables import ColumnQuality, Quality, TableReport

__all__ = ["app", "reports_of"]

app = typer.Typer(help="Look at a party's own tables.", no_args_is_help=True)

_BARS = "▁▂▃▄▅▆▇█"


@app.command("check")
def check(
    folder: Annotated[
        Path, typer.Argument(help="The party's folder, or its party.toml.", metavar="DIR_OR_FILE", show_default=False)
    ],
    table: Annotated[str | None, typer.Option(help="Only the table declared under this name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a table, for another program.")] = False,
) -> None:
    """Read the tables of a party as a job would, and say all that is wrong with them and what is in them.

    Nothing leaves this machine: the report is for the party's own people, who may see ranges of their own values. The
    exit status is 65 if a job would refuse a table, and 0 if there are warnings at most.
    """
    from rich.console import Console

    from fedcredit.runtime.config import load_party

    reports = reports_of(load_party(folder), table)
    for report in reports:
        if as_json:
            import json

            typer.echo(json.dumps(report.to_dict(), ensure_ascii=False, allow_nan=False))
        else:
            _show(report, Console(highlight=False))
    if status := max(report.exit_status for report in reports):
        raise SystemExit(status)


@app.command("example")
def example(
    party: Annotated[
        str,
        typer.Argument(help="bank, tax, social_insurance, housing_fund or electricity.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The CSV file to write.", show_default=False)],
    rows: Annotated[int, typer.Option(help="How many enterprises there are; a party has a part of them.")] = 5_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same enterprises for every party.")] = 7,
) -> None:
    """Write a made-up table of PARTY, to try a node with. No row is of a real enterprise.

    Tables that were made with the same --rows and --seed are about the same enterprises.
    """
    from fedcredit.errors import Problem, UsageError
    from fedcredit.synth import generate

    if out.exists():
        raise UsageError(Problem("EXISTS", str(out), "is there already", "give a new file as --out"))
    made = generate(rows, seed=seed, parties=("bank", party)).holdings[party]
    made.write(out)
    typer.echo(f"{out}: {made.n_rows:,} rows, {len(made.columns)} columns beside the identifier")


def reports_of(config: PartyFile, only: str | None = None) -> list[TableReport]:
    """A report of each table that a party declares, or of the one called `only`. Raises: ConfigError."""
    from fedcredit.errors import ConfigError, Problem
    from fedcredit.runtime.clock import SystemClock
    from fedcredit.runtime.toml import nearest
    from fedcredit.tables import Resources, check_table

    if only is not None and only not in config.tables:
        close = nearest(only, config.tables)
        fix = f"did you mean {close!r}?" if close else f"declared: {', '.join(config.tables) or 'none'}"
        raise ConfigError(Problem("TABLE_UNKNOWN", f"table {only}", "is not declared", fix))
    spill = config.folder / "spill"
    spill.mkdir(mode=0o700, exist_ok=True)
    memory, threads = config.limits.memory_mib << 20, config.limits.threads or 2
    resources = Resources(memory_limit_bytes=memory, threads=threads, spill_dir=spill)
    today = SystemClock().now().date()
    return [
        check_table(name, section.spec(config.folder, name=name), resources=resources, today=today)
        for name, section in config.tables.items()
        if only in (None, name)
    ]


def _show(report: TableReport, console: Console) -> None:
    from rich.text import Text

    state = ("refused", "bold red") if report.problems else ("ok", "bold green")
    size = "" if report.quality is None else f", {report.quality.rows:,} rows, {len(report.quality.columns)} features"
    console.print(Text.assemble((report.name, "bold"), f" ({report.source}{size}): ", state))
    if report.quality is not None:
        for line in _summary(report.quality):
            console.print(f"  {line}")
        if report.quality.columns:
            console.print(_columns(report.quality))
    for problem in report.problems:
        console.print(_problem(problem, "red"), soft_wrap=True)
    for problem in report.warnings:
        console.print(_problem(problem, "yellow"), soft_wrap=True)


def _summary(quality: Quality) -> list[str]:
    lines = []
    normalised = [
        f"{count:,} {what}"
        for count, what in (
            (quality.ids_blanks, "with blanks"),
            (quality.ids_full_width, "full-width"),
            (quality.ids_lower_case, "in lower case"),
        )
        if count
    ]
    if normalised:
        lines.append(f"identifiers normalised: {', '.join(normalised)}")
    collapsed = any(warning.code == "ID_COLLAPSED" for warning in quality.warnings)
    if quality.ids_invalid or (quality.ids_duplicate and not collapsed):
        broken = [f"{count:,} {what}" for what, count in quality.ids_invalid.items()]
        repeated = [] if collapsed else [f"{quality.ids_duplicate:,} duplicate"]
        lines.append(f"identifiers refused: {', '.join([*broken, *repeated])}")
    if quality.positives is not None:
        lines.append(f"label: {quality.positives:,} ones ({quality.positives / max(1, quality.rows):.2%})")
    if quality.newest is not None:
        age = "" if quality.age_days is None else f", {quality.age_days:,} days ago"
        lines.append(f"newest row: {quality.newest}{age}")
    return lines


def _columns(quality: Quality) -> RichTable:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    for name in ("column", "kind", "missing", "smallest", "median", "largest", "spread", "note"):
        table.add_column(name, justify="right" if name in ("missing", "smallest", "median", "largest") else "left")
    for column in quality.columns:
        note = column.useless or (f"{column.invalid:,} invalid" if column.invalid else "")
        if column.kind == "categorical":
            note = note or f"{column.levels} levels" + (f", {column.other:,} other" if column.other else "")
        share = column.missing / max(1, quality.rows)
        missing = Text(f"{share:.1%}" if column.missing else "", "yellow" if share > 0.5 else "")
        table.add_row(Text(column.name), column.kind, missing, *_range(column), note)
    return table


def _range(column: ColumnQuality) -> tuple[str, str, str, Text]:
    from rich.text import Text

    found = column.range
    if found is None:
        return "", "", "", Text("")
    most = max(found.bars, default=0)
    spark = "".join(_BARS[round((len(_BARS) - 1) * n / most)] if n else " " for n in found.bars)
    if found.smallest is None or found.largest is None:
        return "", "", "", Text(spark, "cyan")
    middle = found.quantiles[len(found.quantiles) // 2]
    low, mid, high = (_value(column, value) for value in (found.smallest, middle, found.largest))
    return low, mid, high, Text(spark, "cyan")


def _value(column: ColumnQuality, value: float) -> str:
    import datetime

    if column.kind == "date":
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=int(value))).isoformat()
    return f"{value:,.6g}"


def _problem(problem: Problem, colour: str) -> Text:
    from rich.text import Text

    line = Text.assemble("  ", (problem.code, f"bold {colour}"), f": {problem.where}: {problem.what}")
    return line.append(f" -> {problem.fix}", "cyan") if problem.fix else line
