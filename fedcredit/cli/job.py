"""`fedcredit job`: hand in a job, follow it, see how jobs stand, approve or refuse what waits, cancel."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from fedcredit.cli.display import Progress
    from fedcredit.node.operator import Operator
    from fedcredit.node.own_node import OwnNode
    from fedcredit.runtime.config import JobFile
    from fedcredit.wire.control import JobEvent

__all__ = ["Json", "Node", "app", "hand_in", "user_name", "whole"]

T = TypeVar("T")

DETACHED = 130
"""The exit status of a command that was told to stop watching; the job goes on."""

app = typer.Typer(help="Run jobs on real nodes, and look after them.", no_args_is_help=True)

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", help="The node's folder; else $FEDCREDIT_NODE, else the current folder.", show_default=False
    ),
]
Job = Annotated[str, typer.Argument(help="The job's name, as `job list` shows it.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")]


@app.command("run")
def run(
    job: Annotated[Path, typer.Argument(help="The job file; each party is named with a declared table.")],
    node: Node = None,
    out: Annotated[
        Path | None, typer.Option(help="Copy this party's result to a new folder.", show_default=False)
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Hand it in and do not wait for its end.")] = False,
    json_: Json = False,
) -> None:
    """Hand JOB in at the platform with the node's own identity, and follow all parties until it ends.

    What each party will learn is shown before. Ctrl-C stops watching, not the job. With --detach the job's name is all
    that standard output gets.

    With --out the result is copied, with a report where this party has figures: the party with the label; of a
    horizontal job (the same columns everywhere) every party, its own rows' figures in its own report alone.
    """
    from fedcredit.node.outcome import prepare_own
    from fedcredit.runtime.config import load_job

    loaded = load_job(job, declared=True)
    if out is not None and not detach:
        prepare_own(out)
    folder, name, end = _hand_in(loaded, node, detach=detach, quiet=json_)
    if end is None:
        typer.echo(f"Look at it with: {_show_again(name, node)}", err=True)
        typer.echo(json.dumps({"job": name}) if json_ else name)
        return
    _finish(folder, name, end, out, json_=json_)


def hand_in(job: JobFile, node: Path | None, *, quiet: bool) -> tuple[str, Path]:
    """Hand `job` in at the platform and follow it to a good end: its name, and the folder of this party's result.

    Raises: FedcreditError, that which ended it.
    """
    folder, name, end = _hand_in(job, node, detach=False, quiet=quiet)
    assert end is not None, "a job that is followed ends"
    from fedcredit.node.end_of_job import refuse_a_bad_end

    refuse_a_bad_end(folder, name, end)
    return name, folder / "jobs" / name / "result"


def _hand_in(loaded: JobFile, node: Path | None, *, detach: bool, quiet: bool) -> tuple[Path, str, JobEvent | None]:
    from fedcredit.cli.display import Display
    from fedcredit.errors import ConfigError, Problem
    from fedcredit.ids import PartyId
    from fedcredit.node.platform import make_proposal

    display = Display(quiet=quiet)

    async def work(own: OwnNode) -> tuple[str, JobEvent | None]:
        if own.is_platform:
            what, fix = "is the platform's", "run it from the node of a party that takes part"
            raise ConfigError(Problem("NODE_KIND", str(own.config.folder), what, fix))
        if own.me in loaded.parties:
            own.check_running()
        proposal = make_proposal(loaded.shared(), PartyId(own.config.trust.platform), own.me)
        display.leakage(proposal.leakage)
        name = await own.platform().submit(loaded.shared())
        typer.echo(f"Job {name} is with the platform.", err=True)
        if detach:
            return name, None
        with display.progress([*loaded.parties, own.config.trust.platform]) as progress:
            return name, await _follow(own.platform(), name, progress, node)

    folder, (name, end) = _with_node(node, work)
    return folder, name, end


@app.command("watch")
def watch(
    job: Job,
    node: Node = None,
    out: Annotated[
        Path | None, typer.Option(help="Copy this party's result to a new folder.", show_default=False)
    ] = None,
) -> None:
    """Follow a job of this party until it ends. Ctrl-C stops watching, not the job."""
    from fedcredit.cli.display import Display
    from fedcredit.node.outcome import prepare_own

    if out is not None:
        prepare_own(out)

    async def work(own: OwnNode) -> tuple[str, JobEvent | None]:
        seats = (await own.platform().job(job))["parties"]
        with Display().progress([*seats, own.config.trust.platform]) as progress:
            return job, await _follow(own.platform(), job, progress, node)

    folder, (name, end) = _with_node(node, work)
    assert end is not None, "a job that is followed ends"
    _finish(folder, name, end, out, json_=False)


@app.command("list")
def list_(node: Node = None, json_: Json = False) -> None:
    """The jobs of this node, newest first: at a party its own part, at the platform all of them."""
    from fedcredit.cli.job_display import show_list

    async def work(own: OwnNode) -> tuple[list[dict[str, Any]], bool]:
        return await own.jobs(), own.is_platform

    _, (jobs, at_platform) = _with_node(node, work)
    if json_:
        typer.echo(json.dumps(jobs, indent=2, ensure_ascii=False))
    else:
        show_list(jobs, at_platform=at_platform)


@app.command("show")
def show(job: Job, node: Node = None, json_: Json = False) -> None:
    """How a job stands: state, parties, stages, the policy's rule and reasons, who is awaited, where the result is.

    At a party that is what its own node knows, with what the platform knows of all parties where it can be reached.
    """
    from fedcredit.cli.job_display import show_job

    _, found = _with_node(node, lambda own: whole(own, job))
    if json_:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show_job(found)


@app.command("approve")
def approve(
    job: Job,
    node: Node = None,
    refuse: Annotated[bool, typer.Option("--refuse", help="Turn it down instead.")] = False,
    reason: Annotated[str, typer.Option(help="Why it is turned down; for this party's own people.")] = "",
) -> None:
    """Let in a job that waits for a person of this party, or with --refuse turn it down.

    Who did is recorded in the node's audit log: the user of this machine.
    """
    from fedcredit.errors import Problem, UsageError

    if reason and not refuse:
        raise UsageError(Problem("USAGE", "--reason", "says why a job is refused", "add --refuse"))
    by = user_name()

    async def work(own: OwnNode) -> None:
        await own.approve(job, by, refuse=refuse, reason=reason)

    _with_node(node, work)
    typer.echo(f"{job}: {'refused' if refuse else 'approved'} by {by}")


@app.command("cancel")
def cancel(job: Job, node: Node = None) -> None:
    """End a job. A party may end each job in which it takes part; all others then end it, too."""
    from fedcredit.errors import FedcreditError

    async def work(own: OwnNode) -> None:
        try:
            await own.job(job)
        except FedcreditError as error:
            if own.is_platform or error.code not in ("JOB_UNKNOWN", "NODE_DOWN"):
                raise
            # It has not come to this node yet; whoever handed it in may stop it at the platform.
            await own.platform().cancel(job)
            return
        await own.cancel(job)

    _with_node(node, work)
    typer.echo(f"{job}: cancelled")


def _with_node(node: Path | None, work: Callable[[OwnNode], Awaitable[T]]) -> tuple[Path, T]:
    """The node's folder, and what `work` makes of the node."""
    from fedcredit.node.own_node import OwnNode, node_of

    config = node_of(node)

    async def run() -> T:
        async with OwnNode(config) as own:
            return await work(own)

    return config.folder, asyncio.run(run())


async def whole(own: OwnNode, job: str) -> dict[str, Any]:
    """What is known of a job: `own` by the node itself, `all` by the platform; None where it is not known."""
    from fedcredit.errors import FedcreditError

    if own.is_platform:
        return {"id": job, "all": await own.job(job), "own": None}
    mine: dict[str, Any] | None = None
    unknown: FedcreditError | None = None
    try:
        mine = await own.job(job)
    except FedcreditError as error:
        if error.code != "JOB_UNKNOWN":
            raise
        unknown = error
    everybody: dict[str, Any] | None = None
    with contextlib.suppress(FedcreditError):  # the platform may be away; what is known here is worth showing
        everybody = await own.platform().job(job, timeout_s=5.0)
    if mine is None and everybody is None and unknown is not None:
        raise unknown
    return {"id": job, "all": everybody, "own": mine}


async def _follow(platform: Operator, name: str, progress: Progress, node: Path | None) -> JobEvent:
    """The job's last event. Stopped by Ctrl-C, it says how to come back."""
    try:
        last: JobEvent | None = None
        async for event in platform.watch(name):
            progress.show(event)
            last = event
        assert last is not None, "a watch ends with the platform's last word"
        return last
    except asyncio.CancelledError:
        typer.echo(f"\nStopped watching; the job goes on. Come back with: {_show_again(name, node)}", err=True)
        raise SystemExit(DETACHED) from None


def _finish(folder: Path, name: str, end: JobEvent, out: Path | None, *, json_: bool) -> None:
    """Show how the job ended. Raises what ended it."""
    from fedcredit.cli.display import Display
    from fedcredit.ids import PartyId
    from fedcredit.node.end_of_job import refuse_a_bad_end
    from fedcredit.node.outcome import publish_own

    refuse_a_bad_end(folder, name, end)
    result = folder / "jobs" / name / "result"
    place = result if out is None or not result.exists() else out
    metrics = None
    if out is not None and result.exists():
        from fedcredit.runtime.config import load_party

        metrics = publish_own(result, PartyId(load_party(folder).me), out)
    if json_:
        typer.echo(json.dumps({"job": name, "state": "succeeded", "result": str(place) if place.exists() else None}))
    elif metrics is not None and out is not None:
        Display().result(metrics, out)
    else:
        typer.echo(f"{name}: succeeded. " + (f"Result: {place}" if place.exists() else "No result is for this party."))


def _show_again(name: str, node: Path | None) -> str:
    return f"fedcredit job watch {name}" + ("" if node is None else f" --node {node}")


def user_name() -> str:
    """Who runs this command, for the audit log."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
