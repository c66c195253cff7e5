"""`fedcredit filter`: what this party lends of its tables in mode unbalanced, what it holds of others'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Filters that this party lends to others and holds of theirs.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The node's folder.", show_default=False)]


@app.command("list")
def list_(folder: Folder) -> None:
    """List the filters that this party lends and holds: of which table, how many entries, how large, since when."""
    from fedcredit.node.filters.held import held_filters
    from fedcredit.node.filters.lent import lent_filters
    from fedcredit.node.membership.folder import private_folder
    from fedcredit.runtime.config import load_party

    config = load_party(folder)
    for place, kind in ((config.folder, "table"), (private_folder(config.folder), "item")):
        for peer, name, lent in lent_filters(place, config.me):
            record, kept = lent.record, lent.kept_key
            made = "" if kept is None else f", key of {kept.made:%F}"
            label = None if record is None else record.label
            what = "not made yet" if label is None else f"version {label.version}, {label.entries:,} entries"
            typer.echo(f"lent to {peer}: {kind} {name}: {what}{made}")
        for peer, name, label in held_filters(place):
            size = f"{label.size / 1e6:,.1f} MB"
            typer.echo(f"held of {peer}: {kind} {name}: version {label.version}, {label.entries:,} entries, {size}")


@app.command("forget")
def forget(
    folder: Folder,
    peer: Annotated[str, typer.Option(help="The party that it is lent to.", show_default=False)],
    table: Annotated[
        str | None,
        typer.Option(help="The table's or the item's name in party.toml; all by default.", show_default=False),
    ] = None,
) -> None:
    """Throw away the key of what is lent to --peer: its copy is of no use any more, and the next job begins anew."""
    from fedcredit.errors import ConfigError, Problem
    from fedcredit.node.filters.lent import lent_filters
    from fedcredit.node.membership.folder import private_folder
    from fedcredit.runtime.config import load_party

    config = load_party(folder)
    places = config.folder, private_folder(config.folder)
    found = [(name, lent) for place in places for to, name, lent in lent_filters(place, config.me) if to == peer]
    chosen = [(name, lent) for name, lent in found if table in (None, name)]
    if not chosen:
        fix = "see what there is with: fedcredit filter list DIR"
        raise ConfigError(Problem("FILTER_UNKNOWN", f"filter for {peer}", "is not lent by this party", fix))
    for name, lent in chosen:
        lent.forget()
        typer.echo(f"The filter of table {name} for {peer} is forgotten.")
