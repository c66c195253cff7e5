"""`fedcredit model drift` and `model compare`: how far a version's scores have moved, and two versions side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcredit.cli.job import Json, Node

if TYPE_CHECKING:
    from fedcredit.node.watching.drift import Drifted
    from fedcredit.runtime.config import PartyFile

__all__ = ["compare", "drift"]


def drift(
    name: Annotated[str, typer.Argument(help="The name the model is published under.", show_default=False)],
    state: Annotated[
        Path | None,
        typer.Option("--state", help="A folder of fedcredit watch; else watch/NAME of the node.", show_default=False),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(help="Instead: a file of scores that fedcredit score wrote before.", show_default=False),
    ] = None,
    now: Annotated[Path | None, typer.Option(help="With --before: one of now.", show_default=False)] = None,
    version: Annotated[
        int | None, typer.Option(help="Of which version; else the last month's.", min=1, show_default=False)
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="The month to hold others against; else the first.", show_default=False)
    ] = None,
    month: Annotated[
        str | None, typer.Option(help="Which month to send, or of which --now is; else the last.", show_default=False)
    ] = None,
    cutoff: Annotated[
        list[float] | None,
        typer.Option(help="A score at which a band begins; repeatable. Else tenths of before.", show_default=False),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Tell the platform's registry: month, index, number of scores.")
    ] = False,
    json_: Json = False,
    node: Node = None,
) -> None:
    """Say how far a version's scores have drifted: the population stability index over bands, month by month.

    Below 0.1 is stable, from 0.1 on to be watched, from 0.25 on shifted. At the bank that has published the version,
    from what fedcredit watch keeps, or from two files of scores. --send tells the platform one month, signed: the
    index and the number of scores in whole hundreds, for `model show`; a month is told once. Needs 100 scores each.

        fedcredit model drift sme --node parties/bank
        fedcredit model drift sme --node parties/bank --month 2026-06 --send
        fedcredit model drift sme --version 1 --before may.csv --now june.csv --month 2026-06 --send
    """
    from fedcredit.cli.watch_running import month_of
    from fedcredit.errors import DataError, Problem, UsageError
    from fedcredit.node.own_node import node_of

    if (before is None) != (now is None) or (before is not None and (state is not None or against is not None)):
        what = "takes --before and --now, or what is kept of months"
        raise UsageError(Problem("USAGE", "model drift", what, "give one of the two"))
    config, cutoffs = node_of(node), tuple(sorted(cutoff or ()))
    if before is not None and now is not None:
        if send and version is None:
            raise UsageError(Problem("USAGE", "--version", "is missing: of which version the scores are"))
        of, number, first, found = _of_files(before, now, cutoffs), version, None, month_of(config, month)
        rows = [(found, of)]
    else:
        number, first, rows = _of_state(config, name, state, version, against, cutoffs)
    told = None
    if send:
        wanted = month or (rows[-1][0] if rows else "")
        chosen = next((one for at, one in rows if at == wanted), None)
        if chosen is None or number is None:
            what = f"has no drift of {wanted[:7] or 'any month'}"
            raise DataError(Problem("DRIFT_FEW", f"model {name[:32]}", what, "fedcredit watch list"))
        told = _sent(config, name, number, wanted, chosen)
    _show(name, number, first, rows, told, as_json=json_)


def compare(
    champion: Annotated[Path, typer.Argument(help="Scores of the one version, a file.", show_default=False)],
    challenger: Annotated[Path, typer.Argument(help="Scores of the other.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Write both scores of each subject to this CSV file.", show_default=False)
    ] = None,
    json_: Json = False,
) -> None:
    """Lay two versions' scores of the same subjects side by side, from files that fedcredit score wrote.

    Says how many stay in their band, how far scores move, and the stability index between the two. Needs no node.

        fedcredit score --model sme --file clients.csv --out champion.csv
        fedcredit score --model sme --version 2 --file clients.csv --out challenger.csv
        fedcredit model compare champion.csv challenger.csv --out both.csv
    """
    import json

    from fedcredit.node.watching.drift import compared
    from fedcredit.node.watching.score_files import read_scores
    from fedcredit.tables.export import write_csv

    found = compared(read_scores(champion), read_scores(challenger))
    if out is not None:
        names = ("uscc", "champion_score", "champion_band", "challenger_score", "challenger_band", "shift")
        write_csv(out, names, ((*row, row[3] - row[1]) for row in found.rows))
    told = found.document()
    if json_:
        typer.echo(json.dumps(told))
        return
    typer.echo(
        f"{told['both']:,} subjects have both scores; {told['only_champion']:,} only the first, "
        f"{told['only_challenger']:,} only the second"
    )
    typer.echo(
        f"Same band: {found.same_band:.1%}; higher: {found.up:,}, lower: {found.down:,}; the second is on average "
        f"{found.shift:+.1f} points away, {found.absolute:.1f} either way"
    )
    if found.drift is not None:
        typer.echo(f"Stability index between the two: {found.drift.index:.4f}, {found.drift.says}")


def _of_files(before: Path, now: Path, cutoffs: tuple[float, ...]) -> Drifted:
    import numpy as np

    from fedcredit.node.watching.drift import drift as drift_of
    from fedcredit.node.watching.score_files import read_scores

    old, new = (np.array([one.points for one in read_scores(path).values()], np.int64) for path in (before, now))
    return drift_of(old, new, cutoffs, f"{before.name} and {now.name}")


def _of_state(
    config: PartyFile,
    name: str,
    state: Path | None,
    version: int | None,
    against: str | None,
    cutoffs: tuple[float, ...],
) -> tuple[int, str, list[tuple[str, Drifted]]]:
    from fedcredit.cli.watch_running import Watching
    from fedcredit.node.watching.drift import drift_of_months
    from fedcredit.node.watching.state import WatchState

    watching = Watching.of(config.folder, name, state)
    return drift_of_months(WatchState.open(watching.folder, name), version, against, cutoffs)


def _sent(config: PartyFile, name: str, version: int, month: str, found: Drifted) -> dict[str, Any]:
    import asyncio

    from fedcredit.cli.job import user_name
    from fedcredit.governance.registry.drift import MILLIONTHS
    from fedcredit.node.registry.counter import ModelCounter
    from fedcredit.wire.registry import DriftOrder

    index, scores = round(found.index * MILLIONTHS), found.scores // 100 * 100

    async def work() -> dict[str, Any]:
        async with ModelCounter(config) as counter:
            return await counter.drift(DriftOrder(name, version, month, index, scores, user_name()))

    return asyncio.run(work())


def _show(
    name: str,
    version: int | None,
    first: str | None,
    rows: list[tuple[str, Drifted]],
    told: dict[str, Any] | None,
    *,
    as_json: bool,
) -> None:
    import json

    if as_json:
        months = [{"month": month, **found.document()} for month, found in rows]
        said = {"name": name, "version": version, "against": first, "months": months}
        typer.echo(json.dumps({**said, "told": told}, indent=1))
        return
    of = "" if version is None else f" {version}"
    typer.echo(f"{name}{of}, beside {first or 'the file of before'}:")
    for month, found in rows:
        typer.echo(
            f"  {month}: stability index {found.index:.4f}, {found.says}; {found.scores:,} scores beside "
            f"{found.before:,}, {found.shift:+.1f} points on average"
        )
    if not rows:
        typer.echo("  no later month yet")
    if told is not None:
        typer.echo(f"The platform has {told['month']}" + ("" if told["new"] else " (it had it already)"))
