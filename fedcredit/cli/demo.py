"""`fedcredit demo`: a consortium of made-up enterprises, from nothing to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]


def run(
    out: Annotated[Path, typer.Option(help="Folder of the result; the tables go to its data/.")] = Path("runs/demo"),
    rows: Annotated[int, typer.Option(help="Enterprises to make up.", min=500, max=10_000_000)] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed, other enterprises.", min=0)] = 7,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no tables.")] = False,
) -> None:
    """Watch a bank, a tax office and a social insurance office train a credit model together, and use it.

    The enterprises are made up; everything else is real: one process per party, each its own authority, mutual TLS, the
    same protocols. At its end an enterprise agrees at the platform, is scored by all parties' parts of the card, and is
    asked about at the tax office. Look at report.html in the folder afterwards, and at parties/NAME/ for what each of
    them has. Keys are gone then.
    """
    from fedcredit.cli.demo_story import Story
    from fedcredit.cli.simulate import run_job
    from fedcredit.node.outcome import DATA, prepare_folder
    from fedcredit.runtime.config import load_job
    from fedcredit.synth import write_demo

    prepare_folder(out)
    job = load_job(write_demo(out / DATA, rows, seed))
    story = Story()
    run_job(job, out, quiet=quiet, how=story.play)
    if not quiet:
        story.show(out)
