"""Federated binning as a modeller calls it: the same call at every party, each on its own columns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.settling import PrebinShape, SettledColumn, prebins_of, taken
from fedcredit.credit.telling import OUT_OF_BAND, Counted, tellable
from fedcredit.credit.woe import TELL_VALUES, BinCounts, IvDisclosure, WoeTable
from fedcredit.errors import DataError, Problem, RefusedError
from fedcredit.estimators.bin_records import CountedBatch, LentBatch, ShapesKnown, ToldBins, ToldOthers
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId
from fedcredit.protocols.binning import BinningFeature, BinningLabel, PrebinnedColumns, ToldColumn
from fedcredit.protocols.binning.columns import Counting, told_columns
from fedcredit.protocols.groupsum.paillier import OwnKey
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column

__all__ = ["BinnedColumn", "Binning", "ForeignColumn", "OwnColumns"]

U8: TypeAlias = npt.NDArray[np.uint8]
COUNTING: dict[str, Counting] = {"auto": "rlwe", "rlwe": "rlwe", "onehot": "onehot", "paillier": "paillier"}
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BinnedColumn:
    """A column of this party's own, as far as this party knows it.

    `bins` None: `refused` is the code that says why. With `iv_disclosure = "none"` they are the bins that this party
    itself cut. `rows` of each bin. `iv`: the information value, or with "rank" its rank, or None, as this party was
    told. `table`: good and bad rows, at the label party.
    """

    column: Column
    bins: ScorecardBins | None
    refused: str | None
    iv: float | None
    rows: tuple[int, ...] = field(default=(), repr=False)
    table: WoeTable | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ForeignColumn:
    """Another party's column at the label party: by number, with its information value. Where the owner is told of
    values, it is as the owner is told, since reports are handed on; else it is this party's alone.

    `refused`: why it has no bins, or why its owner is told of none.
    """

    party: PartyId
    number: int
    bins: int
    refused: str | None
    iv: float | None


class Binning:
    """Bins, weight of evidence and information value of every party's columns.

    Parameters are those of `credit.bin_params.BinParams`; `groupsum` is how counts are made; `band` the information
    values outside which, with `iv_disclosure = "coarse"`, nobody is told of a column.

    Learned, after `fit`: `columns_`, this party's own, of which the first `numbered_` are those that others know by
    number and the rest could not be cut; `seconds_`, of each stage run here and now; at the label party
    `foreign_`, the others'. What it knows of their bins is not kept: it is theirs.

    Reveals: `docs/protocols/binning.md`; `leakage.json` of a job says it in plain words.
    """

    def __init__(
        self,
        params: BinParams | None = None,
        *,
        groupsum: Literal["auto", "rlwe", "onehot", "paillier"] = "auto",
        band: tuple[float, float] | None = None,
        **names: Any,
    ) -> None:
        self.params = BinParams.from_mapping(names) if params is None else params
        self.groupsum = groupsum
        self.band = band

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        n_rows: int,
        name: str = "binning",
        run_stage: StageRunner = run_at_once,
        progress: Callable[[str, int, int], None] = lambda _phase, _done, _all: None,
    ) -> Self:
        """Bin all columns with the other parties, who call it with the same parameters and the same row order.

        `run_stage` may keep the record of each stage and thaw it in a later start of the job. `progress` is told the
        phase, how many batches are counted, and of how many.

        Shapes: columns of n aligned rows each; label (n,) 0 or 1 at the label party, None elsewhere.
        Raises: DataError (LABEL_*, VALUE_INFINITE), PeerLost, PeerError.
        """
        stages = Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds
        own = await asyncio.to_thread(OwnColumns.cut, columns, self.params, n_rows)
        backend = COUNTING[self.groupsum]
        if label is None:
            party = BinningFeature(federation.me, federation.label_party, own.prebinned(), self.params, backend)
            await self._lend(party, own, stages, progress)
        else:
            _two_classes(label)
            settles = BinningLabel(federation.me, federation.feature_parties, label, self.params, backend)
            await self._settle(settles, stages, progress)
            self.columns_ = await asyncio.to_thread(own.settled, label, self.params)
            self.numbered_ = len(own.columns)
        return self

    async def _lend(
        self,
        party: BinningFeature,
        own: OwnColumns,
        stages: Stages,
        progress: Callable[[str, int, int], None],
        *,
        peers: Collection[PartyId] | None = None,
    ) -> None:
        """Have this party's columns counted by `peers`, and hear their bins."""
        federation = stages.federation

        async def declare() -> ShapesKnown:
            batches = await federation.run(stages.channel("declare"), party.declare())
            return ShapesKnown.of([own.shapes], batches)

        async def lend(batch: int) -> LentBatch:
            phase = stages.channel(f"counts.{batch}")
            steps = party.lend(batch, federation.session(phase), federation.randomness)
            await federation.run(phase, steps, peers=peers)
            return LentBatch(len(party.batches[batch]))

        async def hear() -> ToldBins:
            return ToldBins.of(await federation.run(stages.channel("bins"), party.hear()))

        known = await stages.run("declare", ShapesKnown, declare)
        known.check(own.shapes)
        for batch in range(known.batches):
            await stages.run(f"counts.{batch}", LentBatch, partial(lend, batch))
            progress("counts", batch + 1, known.batches)
        record = await stages.run("bins", ToldBins, hear)
        self.columns_ = own.told(record.told(own.shapes))
        self.numbered_ = len(own.columns)

    async def _settle(
        self,
        party: BinningLabel,
        stages: Stages,
        progress: Callable[[str, int, int], None],
        *,
        peers: Collection[PartyId] | None = None,
    ) -> None:
        """Count others' columns together with `peers`, settle their bins, and tell their owners."""
        federation = stages.federation

        async def learn() -> ShapesKnown:
            shapes = await federation.run(stages.channel("declare"), party.learn_shapes(), peers=peers)
            return ShapesKnown.of(shapes, max((len(party.batches(of)) for of in shapes), default=0))

        async def count(batch: int, shapes: tuple[tuple[PrebinShape, ...], ...]) -> CountedBatch:
            phase = stages.channel(f"counts.{batch}")
            nonlocal party
            if party.backend == "paillier" and party.key is None:
                # One key for all peers and batches: what one of them holds under it says nothing to another.
                party = replace(party, key=await asyncio.to_thread(OwnKey.fresh, federation.randomness))
            steps = party.count(batch, shapes, federation.session(phase), federation.randomness)
            return CountedBatch.of(await federation.run(phase, steps, peers=peers))

        known = await stages.run("declare", ShapesKnown, learn)
        shapes = known.shapes(len(party.peers))
        counted = [party.batches(of) for of in shapes]
        found: dict[tuple[PartyId, int], BinCounts] = {}
        for batch in range(known.batches):
            record = await stages.run(f"counts.{batch}", CountedBatch, partial(count, batch, shapes))
            groups = [of.groups(batch) for of in counted]
            for peer, of, counts in zip(party.peers, counted, record.counts(groups), strict=True):
                found |= {(peer, f): c for f, c in zip(of[batch], counts, strict=True)}
            progress("counts", batch + 1, known.batches)
        whole = party.known_counts()
        columns = {
            peer: await asyncio.to_thread(
                _counted, of, [found.get((peer, f), whole) for f in range(len(of))], self.params
            )
            for peer, of in zip(party.peers, shapes, strict=True)
        }
        how = self.params.iv_disclosure
        told = {
            peer: await asyncio.to_thread(tellable, columns[peer], how, party.n_rows, self.band) for peer in party.peers
        }

        async def tell() -> ToldOthers:
            await federation.run(stages.channel("bins"), party.tell(told))
            return ToldOthers()

        await stages.run("bins", ToldOthers, tell)
        self.foreign_ = tuple(
            column
            for peer in party.peers
            for column in _foreign(peer, [c.settled for c in columns[peer]], told[peer], how)
        )


@dataclass(frozen=True, slots=True)
class OwnColumns:
    """A party's columns, cut into pre-bins; those that cannot be cut as their owner asks have no bins and no number."""

    columns: tuple[Column, ...]
    bins: tuple[ScorecardBins, ...]
    shapes: tuple[PrebinShape, ...]
    codes: U8 = field(repr=False)
    left_out: tuple[BinnedColumn, ...]

    @classmethod
    def cut(cls, columns: Mapping[str, Column], params: BinParams, n_rows: int) -> Self:
        """Pre-bins of these columns. Raises: DataError VALUE_INFINITE, SPLITS_INVALID."""
        kept: list[tuple[Column, ScorecardBins]] = []
        left_out = []
        for column in columns.values():
            levels = column.kind == "categorical"
            try:
                cut = prebins_of(column.values, params, levels=levels, special=column.special, splits=column.splits)
            except RefusedError as refused:
                left_out.append(BinnedColumn(column, None, refused.code, None))
            else:
                kept.append((column, cut))
        codes = np.empty((len(kept), n_rows), np.uint8)
        for f, (column, bins) in enumerate(kept):
            codes[f] = bins.codes(column.values)
        shapes = tuple(PrebinShape.of(bins, by_hand=bool(column.splits)) for column, bins in kept)
        of_columns = tuple(column for column, _ in kept)
        return cls(of_columns, tuple(bins for _, bins in kept), shapes, codes, tuple(left_out))

    def prebinned(self) -> PrebinnedColumns:
        """The columns as they are counted."""
        return PrebinnedColumns(self.codes, self.shapes)

    def told(self, told: Sequence[ToldColumn]) -> tuple[BinnedColumn, ...]:
        """At a feature party: each column with the bins that it was told."""
        found = []
        for f, (column, bins, heard) in enumerate(zip(self.columns, self.bins, told, strict=True)):
            if heard.refused is not None:
                found.append(BinnedColumn(column, None, heard.refused, None))
                continue
            final = taken(bins, heard.labels)
            if heard.woe is not None:
                final = final.with_evidence(np.array(heard.woe))
            found.append(BinnedColumn(column, final, None, heard.iv, self._rows(f, heard.labels)))
        return (*found, *self.left_out)

    def settled(self, label: U8, params: BinParams) -> tuple[BinnedColumn, ...]:
        """At the label party: each column binned where it is."""
        counts = [
            BinCounts.of(codes, label, shape.n_bins) for codes, shape in zip(self.codes, self.shapes, strict=True)
        ]
        found = []
        settled = [column.settled for column in _counted(self.shapes, counts, params)]
        for f, (column, bins, mine) in enumerate(zip(self.columns, self.bins, settled, strict=True)):
            if mine.table is None:
                found.append(BinnedColumn(column, None, mine.refused, None))
                continue
            final = taken(bins, mine.labels).with_evidence(mine.table.woe)
            found.append(BinnedColumn(column, final, None, mine.iv, self._rows(f, mine.labels), mine.table))
        return (*found, *self.left_out)

    def _rows(self, f: int, labels: I64) -> tuple[int, ...]:
        rows = np.bincount(self.codes[f], minlength=labels.size)
        return tuple(np.bincount(labels, weights=rows).astype(np.int64).tolist())


def _counted(shapes: Sequence[PrebinShape], counts: Sequence[BinCounts], params: BinParams) -> tuple[Counted, ...]:
    return tuple(Counted.settle(shape, of, params) for shape, of in zip(shapes, counts, strict=True))


def _foreign(
    peer: PartyId, settled: Sequence[SettledColumn], told: Sequence[SettledColumn], how: IvDisclosure
) -> Iterator[ForeignColumn]:
    """What the label party knows of a peer's columns, of which that peer is told what `told` and `how` say."""
    values = [column.iv for column in told_columns(told, how)] if how in TELL_VALUES else [c.iv for c in settled]
    for f, (column, of_owner, iv) in enumerate(zip(settled, told, values, strict=True)):
        # That a column is out of the band of values is no reason why it should have no bins.
        refused = column.refused if of_owner.refused == OUT_OF_BAND else of_owner.refused
        gone = how in TELL_VALUES and refused is not None
        yield ForeignColumn(peer, f, 0 if gone else column.n_bins, refused, iv)


def _two_classes(label: U8) -> None:
    if label.size == 0 or label.min() == label.max():
        fix = "take more rows, or another split, so that there are good and bad rows"
        raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only", fix))
