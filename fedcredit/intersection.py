"""Common subjects of this party and others, from Python: what `fedcredit intersect` does, with a typed result.

```python
from fedcredit.intersection import intersect

found = intersect("parties/bank", ["tax"], out="aligned.csv", columns=["city"])
print(found.size, found.mode, found.why)
for uscc, city in found.rows():
    ...
```

The party's node and those of its peers have to run; each party's policy decides on the job. What is asked for goes
to all of them, but `columns`: these are the party's own, are read from its own file on this machine, and
never leave it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.errors import ConfigError, DataError, Problem, UsageError
from fedcredit.node.end_of_job import refuse_a_bad_end
from fedcredit.node.own_node import OwnNode, node_of
from fedcredit.runtime import one_loop
from fedcredit.runtime.config import MAIN_TABLE, JobFile, PartyFile, intersection
from fedcredit.tables import Resources, Table, open_table
from fedcredit.tables.export import identifier_lines, write_lines
from fedcredit.wire.control import JobEvent

__all__ = ["Ask", "Intersection", "Prepared", "intersect", "prepared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked: with which `peers` (PARTY, or PARTY:TABLE), over which own table, and what is to be learned.

    `table` is the name in party.toml or its file; `id` is checked against party.toml. `out` is a new CSV file for the
    identifiers of the common subjects, and beside each the party's own `columns`.
    """

    peers: Sequence[str]
    table: str = MAIN_TABLE
    id: str | None = None
    mode: str = "auto"
    min_size: int = 100
    receiver_only: bool = False
    size_only: bool = False
    line_mbit: float | None = None
    purpose: str = "financing"
    out: Path | None = None
    columns: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Intersection:
    """How many subjects are common, how that was found, and, unless the size alone was asked for, the file of them.

    `names` are the columns of the file: those of the identifier, then the party's own that were asked for. `figures`
    are those of the intersection in the job's `metrics.json`.
    """

    job: str
    size: int
    mode: str
    why: str
    path: Path | None
    names: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of each common subject, in the order that all parties share. None for a size alone."""
        if self.path is None:
            return
        with self.path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            next(lines)
            yield from map(tuple, lines)


def intersect(
    node: str | Path | None,
    peers: Sequence[str],
    *,
    table: str = MAIN_TABLE,
    mode: str = "auto",
    min_size: int = 100,
    receiver_only: bool = False,
    size_only: bool = False,
    line_mbit: float | None = None,
    purpose: str = "financing",
    out: str | Path | None = None,
    columns: Sequence[str] = (),
    on_event: Callable[[JobEvent], object] | None = None,
) -> Intersection:
    """Find the subjects that the party of the folder `node` and all `peers` hold; blocks until the job has ended.

    `node` None: of $FEDCREDIT_NODE, or the current folder. `on_event` hears what happens in the job, on another thread.

    Raises: UsageError, ConfigError before anything starts; the error that ended the job, e.g. RefusedError
    (POLICY_REFUSED, INTERSECTION_TOO_SMALL), PeerLost; DataError (DATASET_CHANGED).
    """
    ask = Ask(
        peers=peers,
        table=table,
        mode=mode,
        min_size=min_size,
        receiver_only=receiver_only,
        size_only=size_only,
        line_mbit=line_mbit,
        purpose=purpose,
        out=None if out is None else Path(out),
        columns=columns,
    )
    config = node_of(None if node is None else Path(node))
    with prepared(config, ask) as ready:
        name, end = one_loop.run(_run(config, ready.job, on_event))
        refuse_a_bad_end(config.folder, name, end)
        return ready.finish(name)


async def _run(config: PartyFile, job: JobFile, on_event: Callable[[JobEvent], object] | None) -> tuple[str, JobEvent]:
    async with OwnNode(config) as own:
        own.check_running()
        name = await own.platform().submit(job.shared())
        last: JobEvent | None = None
        async for event in own.platform().watch(name):
            if on_event is not None:
                on_event(event)
            last = event
    assert last is not None, "a watch ends with the platform's last word"
    return name, last


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that may be handed in, and what becomes of its result at this party."""

    job: JobFile
    config: PartyFile
    ask: Ask
    table: str
    own: Table | None = field(default=None, repr=False)

    def finish(self, name: str) -> Intersection:
        """The result of the job `name`, which has succeeded. Raises: DataError (DATASET_CHANGED), OSError."""
        result = self.config.folder / "jobs" / name / "result"
        metrics: dict[str, Any] = json.loads((result / "metrics.json").read_bytes())
        chosen, key = metrics["intersect"], self.config.tables[self.table].id
        place = None if self.ask.size_only else result / "aligned.csv"
        if place is not None and self.ask.out is not None:
            write_lines(self.ask.out, self._lines(result))
            place = self.ask.out
        names = (*key, *(self.ask.columns if place is not None else ()))
        size = int(metrics["rows"]["aligned"])
        return Intersection(name, size, chosen["mode"], chosen["why"], place, names, chosen)

    def _lines(self, result: Path) -> Iterator[bytes]:
        aligned = result / "aligned.csv"
        if self.own is None:
            with aligned.open("rb") as file:
                while piece := file.read(1 << 20):
                    yield piece
            return
        table = self.own
        rows = np.fromfile(result / "aligned.rows", "<i8").astype(np.int64)
        known = not rows.size or (int(rows.min()) >= 0 and int(rows.max()) < table.n_rows)
        if not known or not _says(aligned, identifier_lines(table.spec.key, table.ids(), rows)):
            what, fix = "is not the table that the job was run over", f"without --columns: {aligned}"
            raise DataError(Problem("DATASET_CHANGED", table.spec.title, what, fix))
        yield from identifier_lines(table.spec.key, table.ids(), rows, table.texts())


@contextmanager
def prepared(config: PartyFile, ask: Ask) -> Iterator[Prepared]:
    """Everything that can be checked before anything starts; holds the own table open where `columns` are asked for.

    Raises: UsageError (OUT_NOT_EMPTY, OPTIONS_CONFLICT), ConfigError, DataError with what is wrong with the own table.
    """
    _check(ask)
    name = _declared(config, ask.table)
    _check_key(config, name, ask.id)
    section: dict[str, Any] = {
        "mode": ask.mode,
        "min_size": ask.min_size,
        # In this mode the peer never learns the result.
        "receiver_only": ask.receiver_only or ask.mode == "unbalanced",
        "id_type": list(config.tables[name].id_types),
    }
    if ask.size_only:
        section["size_only"] = True
    if ask.line_mbit is not None:
        section["line_mbit"] = ask.line_mbit
    job = intersection({str(config.me): name} | dict(map(_peer, ask.peers)), section, ask.purpose)
    with ExitStack() as held:
        own = held.enter_context(_open(config, name, ask.columns)) if ask.columns else None
        yield Prepared(job, config, ask, name, own)


def _check(ask: Ask) -> None:
    if ask.size_only and (ask.out is not None or ask.columns):
        given = "--out" if ask.out is not None else "--columns"
        what = "there are no identifiers to write where the size alone is asked for"
        raise UsageError(Problem("OPTIONS_CONFLICT", f"{given} --size-only", what, "leave one of them out"))
    if ask.columns and ask.out is None:
        raise UsageError(Problem("OPTIONS_CONFLICT", "--columns", "has no file to go to", "give a new file as --out"))
    if len(set(ask.columns)) != len(ask.columns):
        raise UsageError(Problem("OPTIONS_CONFLICT", "--columns", "names a column twice", "name each column once"))
    if ask.out is not None and ask.out.exists():
        raise UsageError(Problem("OUT_NOT_EMPTY", str(ask.out), "is there already", "give a new file as --out"))


def _open(config: PartyFile, name: str, columns: Sequence[str]) -> Table:
    section = config.tables[name]
    if section.table is None:
        what = "is no file: the rows of a job over it are gone when it has ended"
        fix = "leave --columns out, and join the identifiers at the source"
        raise ConfigError(Problem("CONFIG_SOURCE", f"--columns: table {name}", what, fix))
    spill = config.folder / "spill"
    spill.mkdir(mode=0o700, exist_ok=True)
    memory, threads = config.limits.memory_mib << 20, config.limits.threads or 2
    resources = Resources(memory_limit_bytes=memory, threads=threads, spill_dir=spill)
    # None of its features is needed, so none is looked at.
    spec = replace(section.spec(config.folder, name=name), only=(), updated=None, max_age_days=None, label=None)
    return open_table(replace(spec, columns=(), beside=tuple(columns)), resources=resources)


def _says(file: Path, lines: Iterator[bytes]) -> bool:
    """Whether `file` is what `lines` are, together."""
    with file.open("rb") as found:
        return all(found.read(len(piece)) == piece for piece in lines) and not found.read(1)


def _declared(config: PartyFile, table: str) -> str:
    """The declared table that `table` means: by its name, or by its file."""
    if table in config.tables:
        return table
    wanted = Path(table).absolute()
    for name, section in config.tables.items():
        if section.table is not None and config.path(section.table).resolve() == wanted.resolve():
            return name
    known = ", ".join(sorted(config.tables)) or "none"
    fix = f'declare it in party.toml: [tables.NAME] with table = "{table}" and id, then start the node anew'
    raise ConfigError(Problem("TABLE_UNKNOWN", f"--table {table}", f"is not declared; declared are: {known}", fix))


def _check_key(config: PartyFile, table: str, columns: str | None) -> None:
    """The node reads its identifiers where party.toml says; nobody can have it read another column."""
    named = ",".join(config.tables[table].id)
    if columns not in (None, named):
        what, fix = f"party.toml names {named!r}", f"give --id {named}, or declare another table"
        raise ConfigError(Problem("CONFIG_CONFLICT", f"--id {columns}", what, fix))


def _peer(named: str) -> tuple[str, str]:
    party, _, table = named.partition(":")
    return party, table or MAIN_TABLE
