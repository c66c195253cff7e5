"""What `fedcredit score` does: one subject, or a file of them, request after request."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import typer

from fedcredit.cli.consented_subjects import read_subjects, read_token
from fedcredit.errors import DataError, FedcreditError, Problem, RefusedError
from fedcredit.node.own_node import node_of
from fedcredit.node.scoring.client import NotScored, Score, ScoreClient, Wanted
from fedcredit.node.scoring.version import OwnVersion, find_version, own_points
from fedcredit.runtime.config import PartyFile
from fedcredit.tables.export import write_csv

__all__ = ["Asking"]

REFUSED: Final = "SCORE_REFUSED"
_NOT_ASKED: Final = "not asked"
_AT_A_TIME: Final = 2
"""Requests: while providers look at the consents of one, the bank opens the sums of another."""

_COLUMNS: Final = ("uscc", "outcome", "score", "probability", "band", "reasons", "without")


@dataclass(frozen=True, slots=True)
class Asking:
    """Whose scores of which model are wanted."""

    config: PartyFile
    model: str
    version: int | None
    without: tuple[str, ...]
    cutoffs: tuple[float, ...]
    only_band: bool = False

    @classmethod
    def of(
        cls,
        node: Path | None,
        model: str,
        version: int | None,
        without: tuple[str, ...],
        cutoffs: tuple[float, ...],
        *,
        only_band: bool = False,
    ) -> Self:
        """Raises: UsageError, ConfigError where the folder is no node's."""
        return cls(node_of(node), model, version, without, cutoffs, only_band)

    def one(self, subject: str, consent: Path, *, as_json: bool) -> None:
        """Score one subject. Raises: RefusedError (SCORE_REFUSED), and what the way to a score raises."""
        version, (found,), failed = asyncio.run(self._scored([Wanted(subject, read_token(consent))], 1))
        if failed is not None:
            raise failed
        if not isinstance(found, Score):
            fix = "a provider's people can say why: its node's log, fedcredit usage"
            raise RefusedError(Problem(REFUSED, f"subject {subject[:18]}", found, fix))
        told = {"model": version.offer.name, "version": version.number, "role": version.role, **_told(found)}
        if as_json:
            typer.echo(json.dumps(told))
            return
        points = "" if found.points is None else f"{found.points} points, "
        risk = "" if found.probability is None else f", {found.probability:.2%} probability of default"
        typer.echo(
            f"{found.subject}: {points}band {found.band} of {version.bands.n_bands} (the higher the better){risk}\n"
            f"{version.offer.name} {version.number} ({version.role}), parts of {', '.join(version.providers)}"
        )
        if found.reasons:
            typer.echo(f"Falls shortest, of your own columns, in: {', '.join(found.reasons)}")
        if found.without:
            typer.echo(f"Without the part of {', '.join(found.without)}: not to be compared with whole scores")

    def many(self, file: Path, out: Path, batch: int, *, as_json: bool) -> None:
        """Score the rows of a file, which is written also when some requests fail: what was scored is used up.

        Raises: DataError; as `one`.
        """
        rows = [Wanted(row.subject, row.consent) for row in read_subjects(file)]
        if not rows:
            raise DataError(Problem("SET_EMPTY", str(file), "has no row", "name one subject at least"))
        began = time.monotonic()
        version, found, failed = asyncio.run(self._scored(rows, batch))
        write_csv(out, _COLUMNS, [_row(one, score) for one, score in zip(rows, found, strict=True)])
        counts = Counter("scored" if isinstance(score, Score) else score for score in found)
        seconds = round(time.monotonic() - began, 3)
        told = {"model": version.offer.name, "version": version.number, "subjects": len(rows), **counts}
        if as_json:
            typer.echo(json.dumps(told | {"seconds": seconds}))
        else:
            said = ", ".join(f"{name}: {count:,}" for name, count in counts.items())
            typer.echo(f"{version.offer.name} {version.number}: {len(rows):,} subjects in {seconds:g} s ({said})")
        if failed is not None:
            raise failed
        if counts["scored"] == 0:
            raise RefusedError(Problem(REFUSED, str(file), "none of them was scored"))

    async def _scored(
        self, wanted: Sequence[Wanted], batch: int
    ) -> tuple[OwnVersion, list[Score | NotScored], FedcreditError | None]:
        """The version, what came of each subject, and why the rest was given up, if it was."""
        found_version = await find_version(self.config, self.model, self.version, self.cutoffs)
        version = replace(found_version, only_bands=self.only_band)
        own = await asyncio.to_thread(own_points, self.config, version)
        found: list[Score | NotScored] = [_NOT_ASKED] * len(wanted)
        failed: list[FedcreditError] = []
        async with ScoreClient.of(self.config, version, without=self.without) as client:
            if client.lacking:
                typer.echo(f"  down: {', '.join(client.lacking)}; scores lack their parts", err=True)
            size = min(batch, client.rows_a_call)
            starts = iter(range(0, len(wanted), size))
            done = 0

            async def work() -> None:
                nonlocal done
                for start in starts:
                    if failed:
                        return
                    part = wanted[start : start + size]
                    try:
                        found[start : start + size] = await client.score(part, own)
                    except FedcreditError as error:
                        failed.append(error)
                        return
                    done += len(part)
                    if len(wanted) > size:
                        typer.echo(f"  {done:,} of {len(wanted):,}", err=True)

            await asyncio.gather(*(work() for _ in range(_AT_A_TIME)))
        return version, found, failed[0] if failed else None


def _told(score: Score) -> dict[str, Any]:
    risk = None if score.probability is None else round(score.probability, 6)
    told = {"subject": score.subject, "score": score.points, "probability": risk}
    return told | {"band": score.band, "reasons": list(score.reasons), "without": list(score.without)}


def _row(wanted: Wanted, score: Score | NotScored) -> tuple[object, ...]:
    if not isinstance(score, Score):
        return wanted.subject, score, "", "", "", "", ""
    points, risk = ("", "") if score.probability is None else (score.points, f"{score.probability:.6f}")
    said = points, risk, score.band, " ".join(score.reasons), " ".join(score.without)
    return wanted.subject, "scored", *said
