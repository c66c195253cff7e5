"""Encrypted scores through nodes: a bank's client, and three departments' nodes, each a process, over TLS.

The town is made up, joined, trained and published as any other; consents are signed with its platform's key. Every
score is compared with that of the whole model, reckoned from the parts and tables of all.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.cli.benches.jobs import median
from fedcredit.credit.binary import probability
from fedcredit.errors import FedcreditError
from fedcredit.estimators.parts import FeaturePart, LabelPart, part_from_bytes
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.ids import PartyId
from fedcredit.node.scoring.client import Line, Lines, Score, ScoreClient, Wanted, Ways
from fedcredit.node.scoring.points import read_points
from fedcredit.node.scoring.sides import Cut, read_sides
from fedcredit.node.scoring.subject_rows import SubjectRows
from fedcredit.node.scoring.version import OwnVersion, find_version, own_points
from fedcredit.node.signing import load_signing
from fedcredit.node.town.consents import signed_at_once
from fedcredit.node.town.models import activate, publish
from fedcredit.node.town.town import Services, Town
from fedcredit.node.trust.keys import open_keyring
from fedcredit.protocols.boosting import BinnedColumns
from fedcredit.protocols.score.trees import MAX_ERROR
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import load_job
from fedcredit.synth import LABEL, generate
from fedcredit.tables import Resources, TableSpec
from fedcredit.wire.message import Message

__all__ = ["Wish", "measured"]

M = TypeVar("M", bound=Message)

PARTIES: Final = ("bank", "tax", "social_insurance", "housing_fund")
AT_A_TIME: Final = 2
"""Requests of a batch under way, as `fedcredit score --file` has them."""

_TICKS = os.sysconf("SC_CLK_TCK")
_JOB: Final = """\
[job]
name = "bench"
purpose = "financing"
seed = 7
{parties}
[split]
holdout = 0.2
[[model]]
kind = "scorecard"
max_bin = 6
max_features = 15
[[model]]
kind = "gbdt"
num_trees = {trees}
max_depth = {depth}
learning_rate = 0.1
max_bin = 32
min_data_in_leaf = 50
"""
_MODELS: Final = {"card": "scorecard.0", "trees": "gbdt.1"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is measured: so many single `requests`, batches of `rows`, each `repeat` times; a model of so many trees."""

    requests: int
    rows: Sequence[int]
    repeat: int
    trees: int = 50
    depth: int = 5


def measured(wish: Wish) -> Iterator[dict[str, Any]]:
    """For a card and for trees: a row for single subjects, one after the other, and one for each size of a batch."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-") as folder:
        yield from asyncio.run(_in(Path(folder), wish))


async def _in(folder: Path, wish: Wish) -> list[dict[str, Any]]:
    requests, rows = wish.requests, wish.rows
    most = max((*rows, requests))
    consortium = generate(max(12_000, 3 * most), seed=7, default_rate=0.08, parties=PARTIES)
    ids = functools.reduce(np.intersect1d, [consortium.holdings[party].ids for party in PARTIES])
    subjects = [bytes(code).decode() for code in ids[:most]]
    if len(subjects) < most:
        raise FedcreditError(f"bench score: {len(subjects)} enterprises are at all parties, not {most}")
    paths = consortium.write(folder / "data")
    text = "".join(_party(party, paths[party]) for party in PARTIES)
    (folder / "data" / "JOB.toml").write_text(_JOB.format(parties=text, trees=wish.trees, depth=wish.depth))
    async with Town(load_job(folder / "data" / "JOB.toml"), folder / "town", Services()) as town:
        job = await town.run(None)
        tokens = signed_at_once(town, subjects, models=tuple(sorted(_MODELS)), purpose="financing", max_uses=1_000_000)
        wanted = [Wanted(*pair) for pair in zip(subjects, tokens, strict=True)]
        found = []
        for name, model in _MODELS.items():
            await activate(town, name, await publish(town, job, model, name))
            bench = await _Bench.of(town, name, wanted)
            try:
                found.append(await bench.singles(requests))
                found += [await bench.batch(n, wish.repeat) for n in rows]
            finally:
                await bench.lines.close()
        return found


def _party(party: str, table: Path) -> str:
    text = f'[parties.{party}]\ntable = "{table.name}"\nid = "uscc"\n'
    return text + (f'label = "{LABEL}"\ndrop = ["observation_month"]\n' if party == "bank" else "")


class _Counted:
    """A line that counts what goes over it."""

    def __init__(self, line: Line, lines: _CountedLines) -> None:
        self._line, self._lines = line, lines

    async def call(self, method: str, request: Message, reply: type[M], *, timeout_s: float, attempts: int = 3) -> M:
        """As the line's."""
        answer = await self._line.call(method, request, reply, timeout_s=timeout_s, attempts=attempts)
        self._lines.sent += _bytes_of(request) + _bytes_of(answer)
        return answer


def _bytes_of(message: Message) -> int:
    """Of its contents, without making it once more: the names and numbers beside them are some tens."""
    as_dataclass: Any = message
    values = [getattr(message, one.name) for one in dataclasses.fields(as_dataclass)]
    return sum(len(value) for value in values if isinstance(value, bytes | str))


@dataclass
class _CountedLines:
    """All lines, and bytes both ways."""

    lines: Lines
    sent: int = 0

    def to(self, provider: PartyId) -> Line:
        """See `Lines`."""
        return _Counted(self.lines.to(provider), self)

    async def close(self) -> None:
        """See `Lines`."""
        await self.lines.close()


@dataclass
class _Bench:
    """The bank's side. `due`: every subject's probability of default, as who has all parts reckons it."""

    town: Town
    wanted: list[Wanted] = field(repr=False)
    client: ScoreClient
    lines: _CountedLines
    own: SubjectRows | None = field(repr=False)
    due: npt.NDArray[np.float64] = field(repr=False)

    @classmethod
    async def of(cls, town: Town, name: str, wanted: list[Wanted]) -> _Bench:
        """Ready to ask."""
        config, clock = town.config(town.bank), SystemClock()
        version: OwnVersion = await find_version(config, name)
        keyring = open_keyring(config, clock)
        lines = _CountedLines(Ways(config, keyring))
        signing = load_signing(config, clock, lambda: keyring.trust)
        client = ScoreClient(config.folder, signing, version, lines)
        await client.meet()
        return cls(town, wanted, client, lines, own_points(config, version), _due(town, version, wanted))

    async def singles(self, requests: int) -> dict[str, Any]:
        """One subject after the other."""
        for k in range(20):
            await self._score(k, k + 1)
        spent, sent = self._spent(), self.lines.sent
        walls = []
        for k in range(requests):
            begun = time.perf_counter()
            await self._score(k, k + 1)
            walls.append(time.perf_counter() - begun)
        spent = {party: (now - spent[party]) / requests for party, now in self._spent().items()}
        walls.sort()
        return {
            "case": {**self._case(), "rows": 1, "requests": requests},
            "seconds": {"p50": median(walls), "p99": round(walls[int(0.99 * len(walls))], 4)},
            "processor": {party: round(seconds, 5) for party, seconds in spent.items()},
            "bytes": round((self.lines.sent - sent) / requests),
        }

    async def batch(self, n: int, repeat: int) -> dict[str, Any]:
        """Many, in requests of as many as all take."""
        walls, spents, sent = [], [], 0
        for _ in range(repeat):
            before, sent, begun = self._spent(), self.lines.sent, time.perf_counter()
            size = self.client.rows_a_call
            starts = iter(range(0, n, size))

            async def work(starts: Iterator[int] = starts, size: int = size) -> None:
                for start in starts:
                    await self._score(start, min(start + size, n))

            await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
            walls.append(time.perf_counter() - begun)
            spents.append({party: now - before[party] for party, now in self._spent().items()})
            sent = self.lines.sent - sent
        wall = median(walls)
        return {
            "case": {**self._case(), "rows": n},
            "seconds": {"total": wall},
            "processor": {party: median([one[party] for one in spents]) for party in spents[0]},
            "rate": round(n / wall),
            "bytes": sent,
            "bytes_each": round(sent / n, 1),
        }

    async def _score(self, start: int, stop: int) -> None:
        found = await self.client.score(self.wanted[start:stop], self.own)
        told = np.array([score.probability if isinstance(score, Score) else np.nan for score in found])
        if not (np.abs(told - self.due[start:stop]) < MAX_ERROR).all():
            raise FedcreditError("bench score: scores are not those of the whole model")

    def _case(self) -> dict[str, Any]:
        return {"case": "nodes", "model": self.client.version.offer.name, "providers": len(self.town.departments)}

    def _spent(self) -> dict[str, float]:
        """Processor seconds of this process and of each node."""
        spent = {"bank": time.process_time()}
        for party in self.town.departments:
            pid = self.town.children[party].process.pid
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            spent[party] = (int(fields[11]) + int(fields[12])) / _TICKS
        return spent


def _due(town: Town, version: OwnVersion, wanted: Sequence[Wanted]) -> npt.NDArray[np.float64]:
    """What every subject is due by all parties' parts and tables, which lie in their folders."""
    codes = np.array([one.subject.encode() for one in wanted], "S18").view(np.uint8).reshape(len(wanted), 18)
    parts = {party: _part(town, party, version) for party in (town.bank, *version.providers)}
    if isinstance(version.part, CardPart):
        points = np.zeros(len(wanted))
        for party, card in parts.items():
            assert isinstance(card, CardPart), "all are parts of one model"
            table = read_points(card, _table(town, party), Resources()) if card.columns else None
            points += (card.base_points or 0) if table is None else table.look(codes)[0]
        return version.part.scale.probability(points)
    raw = np.full(len(wanted), version.part.initial)
    sides = {party: _sides(part, _table(town, party), codes) for party, part in parts.items()}
    for tree, numbers in zip(version.part.trees, version.part.foreign, strict=True):
        left = np.empty((tree.n_splits, len(wanted)), np.bool_)
        for split, owner in enumerate(tree.owner.tolist()):
            columns, rows, cuts = sides[version.part.parties[owner]]
            own = (int(tree.feature[split]), int(tree.bin[split]), bool(tree.missing_left[split]))
            left[split] = columns.sides(*(cuts[numbers[split]] if owner else own))[rows]
        raw += tree.leaf_value[tree.leaf_of(left)]
    return probability(raw)


def _part(town: Town, party: PartyId, version: OwnVersion) -> CardPart | LabelPart | FeaturePart:
    for path in (town.config(party).folder / "models").glob("*.json"):
        data = path.read_bytes()
        if (b'"scorecard"' in data[:200]) == isinstance(version.part, CardPart):
            return CardPart.from_bytes(data) if isinstance(version.part, CardPart) else part_from_bytes(data)
    raise FedcreditError(f"bench score: {party} has no part")


def _table(town: Town, party: PartyId) -> TableSpec:
    config = town.config(party)
    (table,) = config.tables.values()
    return table.spec(config.folder)


def _sides(
    part: CardPart | LabelPart | FeaturePart, spec: TableSpec, codes: npt.NDArray[np.uint8]
) -> tuple[BinnedColumns, npt.NDArray[np.int64], list[Cut]]:
    assert not isinstance(part, CardPart), "all are parts of one model"
    cuts = [(s.feature, s.bin, s.missing_left) for s in part.splits] if isinstance(part, FeaturePart) else []
    table = read_sides(part.columns, cuts, spec, Resources())
    return table.columns, table.rows_of(codes)[0], cuts
