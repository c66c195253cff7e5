"""`fedcredit demo`: a consortium of made-up enterprises, from nothing to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]


def run(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the result, runs/demo or runs/cities; the tables go to its data/."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            help="Enterprises to make up: 20,000 in one region, 13,300 in five cities.", min=500, max=10_000_000
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other enterprises.", min=0)] = 7,
    cities: Annotated[
        bool, typer.Option("--cities", help="Five cities with the same columns for different enterprises, instead.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no tables.")] = False,
) -> None:
    """Watch a bank, a tax office and a social insurance office train a credit model together, and use it.

    The enterprises are made up; everything else is real: one process per party, each its own authority, mutual TLS, the
    same protocols. At its end an enterprise agrees at the platform, is scored by all parties' parts of the card, and is
    asked about at the tax office. Look at report.html in the folder afterwards, and at parties/NAME/ for what each of
    them has. Keys are gone then.

    With --cities: five city platforms have the same columns, and each knows how its own enterprises turned out: from
    6,000 with 4 % bad ones to 600 with 20 %. None shows a row to another; a scorecard, a logistic regression and trees
    of LightGBM are made of sums under masks, and all five end with the same models. Afterwards each city alone, all
    together, and all rows in one place are compared. Only the demonstration can do that: it made the tables up, and
    reads them all.

        fedcredit demo --cities
    """
    from fedcredit.cli.simulate import run_job
    from fedcredit.node.outcome import DATA, prepare_folder
    from fedcredit.runtime.config import load_job

    if cities:
        _cities(out or Path("runs/cities"), rows, seed, quiet=quiet)
        return
    from fedcredit.cli.demo_story import Story
    from fedcredit.synth import write_demo

    out = out or Path("runs/demo")
    prepare_folder(out)
    job = load_job(write_demo(out / DATA, rows or 20_000, seed))
    story = Story()
    run_job(job, out, quiet=quiet, how=story.play)
    if not quiet:
        story.show(out)


def _cities(out: Path, rows: int | None, seed: int, *, quiet: bool) -> None:
    from fedcredit.cli import demo_cities
    from fedcredit.cli.demo_pooled import compare
    from fedcredit.cli.simulate import run_job
    from fedcredit.node.outcome import DATA, prepare_folder
    from fedcredit.runtime.config import load_job
    from fedcredit.synth import write_cities
    from fedcredit.synth.cities import CITY_ROWS

    prepare_folder(out)
    job = load_job(write_cities(out / DATA, rows or CITY_ROWS, seed))
    run_job(job, out, quiet=quiet)
    found = compare(job, out)
    (out / demo_cities.PLOT).write_text(demo_cities.plot(found), encoding="utf-8")
    if not quiet:
        demo_cities.show(found, out)
