"""`fedcredit bench`: measurements that print JSON, one object a line.

A bench is a function from `Options` to an iterator of rows; `BENCHES` names its module, which is loaded when it is
asked for. A row holds, as far as it applies: `case`, `seconds`, `rate`, `bytes`, `rounds`, `rss_mib` (the peak memory
of a party), `peer`; `bench`, `machine` and `commit` are added here, and this process's memory where there is no party.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

__all__ = ["BENCHES", "Bench", "Options", "run"]

BENCHES: dict[str, str] = {
    "aggregate": "fedcredit.cli.benches.aggregate:run",
    "audit": "fedcredit.cli.benches.audit:run",
    "binning": "fedcredit.cli.benches.binning:run",
    "gbdt": "fedcredit.cli.benches.gbdt:run",
    "groupsum": "fedcredit.cli.benches.groupsum:run",
    "horizontal": "fedcredit.cli.benches.horizontal_gbdt:run",
    "index": "fedcredit.cli.benches.index:run",
    "intersect": "fedcredit.cli.benches.intersect:run",
    "logistic": "fedcredit.cli.benches.logistic:run",
    "score": "fedcredit.cli.benches.score:run",
    "scorecard": "fedcredit.cli.benches.scorecard:run",
    "verify": "fedcredit.cli.benches.verify:run",
    "vole": "fedcredit.cli.benches.vole:run",
}
"""Name -> `module:function` of the bench."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for. `rows` empty: the bench's own sizes. `repeat`: runs a case is the median of."""

    rows: tuple[int, ...] = ()
    repeat: int = 5
    settings: dict[str, str] = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        """A setting as a number. Raises UsageError."""
        from fedcredit.errors import Problem, UsageError

        try:
            return float(self.settings.get(name, default))
        except ValueError:
            raise UsageError(Problem("USAGE", f"--set {name}", "is not a number")) from None


Bench = Callable[[Options], Iterator[dict[str, Any]]]


def run(
    name: Annotated[str, typer.Argument(help=f"What to measure: {', '.join(sorted(BENCHES))}.", show_default=False)],
    rows: Annotated[list[int] | None, typer.Option(help="Rows; give it again for several sizes.", min=1)] = None,
    repeat: Annotated[int, typer.Option(help="Runs of each case; the median is printed.", min=1)] = 5,
    setting: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of this bench; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Measure one thing on this machine.

    Both parties run on it, over gRPC with mutual TLS on loopback, unless the bench says otherwise.
    """
    bench = _find(name)
    for row in bench(Options(tuple(rows or ()), repeat, _settings(setting or []))):
        full = {"bench": name, **row, **_where(row)}
        typer.echo(json.dumps(full, allow_nan=False) if as_json else _plain(full))


def _find(name: str) -> Bench:
    from fedcredit.errors import Problem, UsageError

    if name not in BENCHES:
        raise UsageError(Problem("USAGE", f"bench {name}", "no such bench", f"one of {', '.join(sorted(BENCHES))}"))
    module, _, function = BENCHES[name].partition(":")
    bench: Bench = getattr(importlib.import_module(module), function)
    return bench


def _settings(pairs: list[str]) -> dict[str, str]:
    from fedcredit.errors import Problem, UsageError

    if bad := [pair for pair in pairs if "=" not in pair]:
        raise UsageError(Problem("USAGE", f"--set {bad[0]}", "is not KEY=VALUE"))
    return dict(pair.split("=", 1) for pair in pairs)


def _where(row: dict[str, Any]) -> dict[str, Any]:
    from fedcredit.node.figures import environment, peak_memory_mib

    found = environment()
    memory = row.get("rss_mib", peak_memory_mib())
    return {"rss_mib": memory, "machine": found["machine"], "commit": found["commit"]}


def _plain(row: dict[str, Any]) -> str:
    return "  ".join(f"{key}={json.dumps(value) if isinstance(value, dict) else value}" for key, value in row.items())
