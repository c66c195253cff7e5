"""`fedcredit party`: look after a party's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Look after a party's folder: keys, configuration, table.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own while it is the only one."""


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(help="The party's folder, with party.toml in it.", show_default=False)],
) -> None:
    """Check configuration, keys and table of FOLDER, list every problem, start nothing."""
    from fedcredit.errors import ConfigError, DataError, FedcreditError, Problem
    from fedcredit.node.server import check_node
    from fedcredit.tables import open_table

    problems: list[Problem] = []
    kind: type[FedcreditError] = ConfigError
    config = check_node(folder)
    rows = ""
    for name, section in config.tables.items():
        try:
            with open_table(section.spec(config.folder, name=name)) as table:
                rows += f", table {name} of {table.n_rows:,} rows and {len(table.features)} features"
        except FedcreditError as error:
            problems.extend(error.problems)
            kind = DataError if isinstance(error, DataError) else ConfigError
    if problems:
        raise kind(problems)
    where = f"would listen on {config.listen.host}" if config.listens else f"would join {config.relay.via}'s relay"
    typer.echo(f"{config.me}: ok ({config.party.kind}, {where}{rows})")
