"""`fedcredit model`: publish a trained model, approve one's part of it, say which version counts, take it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fedcredit.cli import model_drift
from fedcredit.cli.job import Json, Node, user_name

if TYPE_CHECKING:
    from fedcredit.node.registry.counter import ModelCounter

__all__ = ["app"]

T = TypeVar("T")

app = typer.Typer(
    help=(
        "Publish models, approve one's own part of them, and say which version counts.\n\n"
        "A model stays in parts. The party with the label publishes it, each party's people approve their own part, "
        "and once all have, a version can be the champion of its name. Each step needs a \\[\\[model.rule]] in "
        "policy.toml; taking back one's own approval needs none."
    ),
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The name it is published under, e.g. sme-default.", show_default=False)]
Version = Annotated[int, typer.Argument(help="The version's number.", min=1, show_default=False)]


@app.command("publish")
def publish(
    job: Annotated[str, typer.Argument(help="The job that trained it, as `job list` shows it.", show_default=False)],
    model: Annotated[
        str, typer.Option("--model", help="The model's name in the job, e.g. scorecard.0.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--as", help="The name to publish it under.", show_default=False)],
    node: Node = None,
    json_: Json = False,
) -> None:
    """Offer a model of a finished job to the platform, as the next version of a name. At the party with the label.

    The platform gets the job's hash, the parties, the purpose, and what everybody may know: the scale of a scorecard,
    or how many trees and leaves there are. No part leaves its party. The same model again is the version that it was.

        fedcredit model publish sme-default-3f2a --model scorecard.0 --as sme-default --node parties/bank
    """
    from fedcredit.wire.registry import ModelOrder

    made = _ordered(node, lambda: ModelOrder("publish", name, 0, job, model, user_name()))
    if json_:
        typer.echo(json.dumps(made))
        return
    typer.echo(f"{made['name']} {made['version']}: {'published' if made['new'] else 'is published already'}")
    typer.echo(f"Now at each of {', '.join(made['parties'])}: fedcredit model approve {made['name']} {made['version']}")


@app.command("approve")
def approve(name: Name, version: Version, node: Node = None, json_: Json = False) -> None:
    """Let this party's own part of a version be scored with, after it was compared with what the job left here.

    The part is copied to models/ in the node's folder, under its hash, and served from there. Others get a hash of it
    under a key that stays here, and of a scorecard how much it can add to a score, rounded out to 32 points.
    """
    from fedcredit.wire.registry import ModelOrder

    made = _ordered(node, lambda: ModelOrder("approve", name, version, "", "", user_name()))
    if json_:
        typer.echo(json.dumps(made))
        return
    typer.echo(f"{name} {version}: approved; this party's part has SHA-256 {made['content']}")
    if made["reach"] is not None:
        least, most = made["reach"]
        typer.echo(f"Others are told that it adds {least} to {most} points to a score.")
    _say_untold(made)


@app.command("withdraw")
def withdraw(name: Name, version: Version, node: Node = None, json_: Json = False) -> None:
    """Take this party's approval back, at once: its part is not scored with any more. The platform shows who did.

    It holds here also while the platform is away. `model approve` gives the approval again.
    """
    from fedcredit.wire.registry import ModelOrder

    made = _ordered(node, lambda: ModelOrder("withdraw", name, version, "", "", user_name()))
    if json_:
        typer.echo(json.dumps(made))
        return
    typer.echo(f"{name} {version}: withdrawn; this party's part is not served")
    _say_untold(made)


@app.command("activate")
def activate(
    name: Name,
    version: Version,
    node: Node = None,
    challenger: Annotated[
        bool, typer.Option("--challenger", help="Score with it beside the champion, not in its place.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make a version that all parties approve the champion of its name; the one before stays to go back to."""
    _change("challenge" if challenger else "activate", name, version, node, json_=json_)


@app.command("rollback")
def rollback(name: Name, node: Node = None, json_: Json = False) -> None:
    """Go back to the champion before, the last one that all parties still approve."""
    from fedcredit.errors import PeerLost, Problem, RefusedError
    from fedcredit.wire.registry import ModelOrder

    async def work(counter: ModelCounter) -> dict[str, Any]:
        found = await counter.shown(name)
        if "away" in found:
            raise PeerLost(found["away"], "model rollback", "cannot be reached")
        champion = next((row["version"] for row in found["models"] if row["role"] == "champion"), None)
        if champion is None:
            raise RefusedError(Problem("MODEL_STATE", name, "has no champion to leave", "fedcredit model list"))
        return await counter.order(ModelOrder("rollback", name, champion, "", "", user_name()))

    _say_roles(_with_node(node, work), json_=json_)


@app.command("retire")
def retire(name: Name, version: Version, node: Node = None, json_: Json = False) -> None:
    """Take a version out of use for good, the champion as well; nothing takes its place by itself.

    At the platform, or at a party that its policy lets. A party that wants its own part back needs nobody's leave: see
    `model withdraw`.
    """
    _change("retire", name, version, node, json_=json_)


@app.command("list")
def list_(
    name: Annotated[str, typer.Argument(help="Of this name alone.", show_default=False)] = "",
    node: Node = None,
    json_: Json = False,
) -> None:
    """The models that this node may see: each version, where it stands, what it is for, and who has approved it."""
    from fedcredit.cli.model_display import show_list

    found = _with_node(node, lambda counter: counter.shown(name))
    if json_:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show_list(found)


@app.command("show")
def show(
    name: Name,
    version: Annotated[int, typer.Argument(help="Left out: the champion, else the last one.", show_default=False)] = 0,
    node: Node = None,
    json_: Json = False,
) -> None:
    """A version: what it is, each party's part by its hash, who has approved or withdrawn, and what was changed when.

    At a party every signature is checked by the pins of this node, and beside it stands what the party itself serves.
    """
    from fedcredit.cli.model_display import show_model
    from fedcredit.errors import Problem, RefusedError

    async def work(counter: ModelCounter) -> dict[str, Any]:
        if version:
            return await counter.shown(name, version)
        found = await counter.shown(name)
        rows = found["models"]
        if "away" in found:
            return found
        if not rows:
            raise RefusedError(Problem("MODEL_UNKNOWN", name, "is not known here", "fedcredit model list"))
        wanted = next((row["version"] for row in rows if row["role"] == "champion"), rows[-1]["version"])
        return await counter.shown(name, wanted)

    found = _with_node(node, work)
    if json_:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show_model(found)


@app.command("keys")
def keys(
    node: Node = None,
    renew: Annotated[bool, typer.Option("--renew", help="Make new keys, which count at once.")] = False,
    json_: Json = False,
) -> None:
    """This party's own keys for encrypted scores: which count, and from when to when. Nothing of them that is secret.

    The last one is shown to others from now on; those before it serve what was asked under them, until they end. Keys
    are made when they are first needed and renewed a month before they end; --renew is for a folder that somebody else
    may have seen. The node may run.

        fedcredit model keys --node parties/bank
        fedcredit model keys --node parties/bank --renew
    """
    from fedcredit.cli.model_display import key_row, show_keys
    from fedcredit.errors import Problem, UsageError
    from fedcredit.node.own_node import node_of
    from fedcredit.node.scoring.own_keys import kept_keys, renewed_keys
    from fedcredit.runtime.clock import SystemClock

    config = node_of(node)
    if config.party.kind == "platform":
        what, fix = "is a platform, which takes no part in scores", "give --node DIR of a party"
        raise UsageError(Problem("USAGE", str(config.folder), what, fix))
    now = int(SystemClock().now().timestamp())
    found = renewed_keys(config.folder, config.me, now).every if renew else kept_keys(config.folder, config.me, now)
    rows = [key_row(one.word, newest=one is found[-1]) for one in found]
    if json_:
        typer.echo(json.dumps({"party": config.me, "keys": rows}, indent=2))
    else:
        show_keys(config.me, rows)


app.command("drift")(model_drift.drift)
app.command("compare")(model_drift.compare)


def _change(change: str, name: str, version: int, node: Path | None, *, json_: bool) -> None:
    from fedcredit.wire.registry import ModelOrder

    _say_roles(_ordered(node, lambda: ModelOrder(change, name, version, "", "", user_name())), json_=json_)


def _ordered(node: Path | None, order: Callable[[], Any]) -> dict[str, Any]:
    """What came of an order. Raises: UsageError for one that cannot be written, e.g. with a name that is too long."""
    from fedcredit.errors import Problem, UsageError
    from fedcredit.wire.message import MessageInvalid

    try:
        made = order()
    except MessageInvalid as error:
        what = error.problems[0].what
        raise UsageError(Problem("USAGE", error.problems[0].where.partition(".")[2] or "order", what)) from None
    return _with_node(node, lambda counter: counter.order(made))


def _say_roles(made: dict[str, Any], *, json_: bool) -> None:
    if json_:
        typer.echo(json.dumps(made))
        return
    champion = "no champion" if made["champion"] is None else f"champion {made['champion']}"
    challenger = "" if made["challenger"] is None else f", challenger {made['challenger']}"
    already = "" if made["changed"] else " (it was so already)"
    typer.echo(f"{made['name']}: {champion}{challenger}{already}")


def _say_untold(made: dict[str, Any]) -> None:
    if not made["told"]:
        typer.echo("The platform cannot be reached; the node tells it when it is back.", err=True)


def _with_node(node: Path | None, work: Callable[[ModelCounter], Awaitable[T]]) -> T:
    from fedcredit.node.own_node import node_of
    from fedcredit.node.registry.counter import ModelCounter

    config = node_of(node)

    async def run() -> T:
        async with ModelCounter(config) as counter:
            return await work(counter)

    return asyncio.run(run())
