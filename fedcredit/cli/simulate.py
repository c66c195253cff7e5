"""`fedcredit simulate`: all parties of a job file on this machine, one process each."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from fedcredit.runtime.config import JobFile
    from fedcredit.wire.control import JobEvent

__all__ = ["Run", "run", "run_job"]

Run: TypeAlias = "Callable[[JobFile, Path, Callable[[JobEvent], None]], Coroutine[Any, Any, dict[str, Any]]]"
"""Runs a job on this machine and puts its result into a folder; the last hears every event."""


def run(
    job: Annotated[Path, typer.Argument(help="The job file, e.g. JOB.toml.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the result; runs/NAME by default.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no tables.")] = False,
) -> None:
    """Run a job with all its parties on this machine, from their tables.

    Every party is a process of its own with its own keys; they speak mutual TLS over loopback, as they would between
    machines. What each party will learn is shown before work starts. A job file that names no model aligns subjects
    and stops there. Where its models say split = "horizontal", all parties have the same columns for different
    subjects: nothing is aligned, all end with the same models, and each one's page, with what they are worth on its own
    rows, is in parties/NAME/report.html.
    """
    from fedcredit.runtime.config import load_job

    loaded = load_job(job)
    run_job(loaded, out or Path("runs") / loaded.job.name, quiet=quiet)


def run_job(job: JobFile, out: Path, *, quiet: bool = False, how: Run | None = None) -> dict[str, Any]:
    """Run `job`, show what happens, and leave the result in `out`; metrics.json's content. `how`: else `simulate`."""
    import asyncio
    import signal

    from fedcredit.cli.display import Display
    from fedcredit.node.local import PLATFORM, simulate
    from fedcredit.node.platform import make_proposal

    display = Display(quiet=quiet)
    display.leakage(make_proposal(job.shared(), PLATFORM).leakage)
    with display.progress([*job.parties, PLATFORM]) as progress:
        try:
            metrics: dict[str, Any] = asyncio.run(_until_told((how or simulate)(job, out, progress.show)))
        except asyncio.CancelledError:
            raise SystemExit(128 + signal.SIGTERM) from None
    display.result(metrics, out)
    return metrics


async def _until_told(work: Any) -> Any:
    """`work`, cancelled by SIGTERM as by Ctrl-C, so that no process is left behind."""
    import asyncio
    import signal

    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
