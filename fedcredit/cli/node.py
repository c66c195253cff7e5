"""`fedcredit node`: run a party's or a platform's process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Run a node: the process of a party or of a platform.", no_args_is_help=True)


@app.command("up")
def up(
    folder: Annotated[Path, typer.Argument(help="The node's folder, with party.toml in it.", show_default=False)],
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="Stop when standard input ends.", hidden=True)
    ] = False,
) -> None:
    """Run the node of FOLDER until SIGTERM or Ctrl-C.

    It listens on the one port of party.toml, with mutual TLS, and writes one line with its address when it is ready.
    Only the platform named in party.toml may start jobs on it.

    Exit status 0 when it was told to stop and stopped in good order; 75 when that took more than nine seconds, or when
    it stood still for a minute and a half: start it again, it finds all that it has acknowledged.
    """
    from fedcredit import failpoints
    from fedcredit.node.server import run_node
    from fedcredit.observe import logs

    failpoints.load()
    logs.set_up()
    run_node(folder, with_parent=with_parent)


@app.command("status")
def status(
    folder: Annotated[Path, typer.Argument(help="The node's folder, with party.toml in it.", show_default=False)],
    wait: Annotated[float, typer.Option(min=0, max=3600, help="Seconds to wait until it takes work.")] = 0.0,
) -> None:
    """Say whether the node of FOLDER takes work, and if not, the codes of what keeps it from that.

    Asks the running node by gRPC's health protocol. Exit status 0 when it is ready, 69 when it is not, 78 when it does
    not run.
    """
    import asyncio
    import time

    from fedcredit.errors import ConfigError
    from fedcredit.node.own_node import OwnNode, node_of

    async def ask() -> tuple[str, bool, tuple[str, ...]]:
        async with OwnNode(node_of(folder)) as node:
            return node.me, *await node.health()

    until = time.monotonic() + wait
    while True:
        last = time.monotonic() >= until
        try:
            name, ready, reasons = asyncio.run(ask())
        except ConfigError as error:
            if last or error.code not in ("NODE_DOWN", "CONFIG_PATH"):  # its keys are not made yet
                raise
        else:
            if ready or last:
                break
        time.sleep(0.2)
    typer.echo(f"{name}: ready" if ready else f"{name}: not ready: {', '.join(reasons)}")
    if not ready:
        raise typer.Exit(69)


@app.command("refresh")
def refresh(
    folder: Annotated[Path, typer.Argument(help="The node's folder, with party.toml in it.", show_default=False)],
    wait: Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds to wait until it has.")] = 600.0,
) -> None:
    """Have the running node of FOLDER read the tables of its [verify] anew, and say what it found in them.

    What it answered from before is served until the new tables are complete, and goes on being served if one of them
    cannot be read: exit status 65 then, with every problem.
    """
    from fedcredit.node.own_node import node_of
    from fedcredit.node.verification.state import wait_for_refresh

    found = wait_for_refresh(node_of(folder).folder, wait)
    for one in found.built:
        left = f", {one['left_out']:,} records without a key left out" if one["left_out"] else ""
        latest = f", the latest of {one['latest']}" if one["latest"] else ""
        typer.echo(f"{one['item']}: {one['records']:,} records of {one['subjects']:,} subjects{latest}{left}")
    typer.echo(f"{found.questions} questions are answered at {found.address}")


@app.command("fsck")
def fsck(
    folder: Annotated[Path, typer.Argument(help="The node's folder, with party.toml in it.", show_default=False)],
) -> None:
    """Check everything that the node of FOLDER has kept, and change nothing. The node must not run.

    The store and its checkpoints; the audit logs, of jobs and of answers, against the store and against what peers have
    signed; what this node keeps of its peers' logs; the results on disk: exit status 65 and every problem if there is
    any.
    """
    from fedcredit.node.server import check_kept

    found = check_kept(folder)
    counts = f"{found.jobs} jobs, {found.stages} stages, {found.files} result files, {found.entries} audit entries"
    counts += f", heads of {found.heads} logs of peers"
    typer.echo(f"whole: {counts}")
