"""What `fedcredit demo --cities` shows after its job: each city alone, all together, and all rows in one place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from fedcredit.cli.demo_pooled import Compared

__all__ = ["ALL", "PLOT", "plot", "show", "table"]

PLOT: Final = "cities.svg"
ALL: Final = "all cities"
TITLE: Final = "AUC on each city's rows held out: alone, joint, pooled"


def table(found: Sequence[Compared]) -> Table:
    """The comparison for a terminal, a row for each model and city."""
    shown = Table(title=TITLE, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left")
    for column in ("model", "city", "rows", "bad", "alone", "joint", "gained", "pooled"):
        name = column in ("model", "city")
        shown.add_column(column, justify="left" if name else "right", style="bold" if column == "joint" else "")
    last = ""
    for row in found:
        gained = None if row.alone is None or row.joint is None else f"{row.joint - row.alone:+.3f}"
        figures = (_figure(row.alone), _figure(row.joint), gained or "-", _figure(row.pooled))
        model = Text("" if row.model == last else row.model)
        last = row.model
        if row.party is None:
            shown.add_row(model, Text(ALL), f"{row.rows:,}", f"{row.bads:,}", *figures, style="dim", end_section=True)
        else:
            shown.add_row(model, Text(row.party), f"{row.rows:,}", f"{row.bads:,}", *figures)
    return shown


def plot(found: Sequence[Compared]) -> str:
    """The same as a bar chart, an SVG file's content."""
    from fedcredit.report.comparison import draw_comparison

    models: dict[str, list[tuple[str, Sequence[float | None]]]] = {}
    for row in found:
        figures = (row.alone, row.joint, row.pooled)
        models.setdefault(row.model, []).append((ALL if row.party is None else row.party, figures))
    return draw_comparison(TITLE, models)


def show(found: Sequence[Compared], out: Path) -> None:
    """Print the table, and say what it says and where to look."""
    console = Console(highlight=False)
    console.print(table(found))
    console.print(
        "alone: the model of a city's own rows. joint: the one model that all five have now. pooled: a model of all "
        "rows in one place, which nobody may make; this demonstration owns the tables and reads them all. "
        f"{ALL}: over pairs of a good and a bad row of the same city.\n"
    )
    console.print(f"Bars: [bold]{out / PLOT}[/bold]")
    own = out / "parties" / _smallest(found) / "report.html"
    console.print(f"What the smallest city has, its own rows included: [bold]{own}[/bold]")


def _smallest(found: Sequence[Compared]) -> str:
    return min((row.rows, row.party) for row in found if row.party is not None)[1]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
