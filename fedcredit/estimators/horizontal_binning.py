"""Binning over the rows of all members, who have the same columns and a label: every member ends with the same bins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.binning import MAX_BIN
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.settling import PrebinShape, settle_column, taken
from fedcredit.credit.woe import MAX_ROWS, BinCounts
from fedcredit.errors import ConfigError, DataError, Problem, RefusedError
from fedcredit.estimators.bin_records import CountedBatch
from fedcredit.estimators.binning import BinnedColumn
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.horizontal_binning_cells import Cells, declared, is_cut
from fedcredit.estimators.horizontal_binning_records import CellRows, ClassRows, CutColumns, TotalRows
from fedcredit.estimators.horizontal_columns import FINER_THAN_BINS, agreed_cells
from fedcredit.estimators.noised_binning import ROUNDS, TOTAL_SENSITIVITY, NoisedBinning, counts_in, total_of
from fedcredit.estimators.noised_counts import CellNoise
from fedcredit.estimators.sums import Sums
from fedcredit.estimators.training import Stages
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column

__all__ = ["BOUND", "HorizontalBinning", "refuse_labels"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

BOUND: Final = 1 << 48
"""Counts of rows are far below it, however many members there are."""


class HorizontalBinning:
    """Bins, weight of evidence and information value of columns that all members have, over the rows of all of them.

    Parameters are those of `credit.bin_params.BinParams`; `iv_disclosure` says nothing here, since every member has the
    counts that information values are from. `method = "width"` is refused: the least and the largest value of a column
    are values of single rows.

    Learned, after `fit`, the same at every member but for the rows' values: `columns_`, by name, those without bins
    last; `total_`, rows and bad rows; `missing_`, the share of each column's rows that is missing; `seconds_`, of each
    stage run here and now; `noise_`, what noise the sums had, if they had any (`noised_binning`).

    Reveals: to every member, sums over all members: rows and bad rows; what agreeing on edges shows (`agreed_cells`);
    how many rows have each level, each special value, a missing value, or lie between edges; good and bad rows of each
    pre-bin, none of which has fewer than `min_rows` rows, but in a column that has fewer altogether. A member that
    takes its own away has those of the others together, where a pre-bin may have fewer rows. With noise all of it is
    differentially private (`noised_sums`).
    Assumes: semi-honest members, of which at least three have rows; what `estimators.sums` assumes.
    """

    def __init__(self, params: BinParams | None = None, **names: Any) -> None:
        self.params = BinParams.from_mapping(names) if params is None else params
        if self.params.method == "width":
            fix = "choose quantile, optimal or chimerge, or declare split points"
            what = "would tell every member the least and the largest value of others' rows"
            raise ConfigError(Problem("CONFIG_CONFLICT", "method", what, fix))

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8,
        *,
        sums: Sums,
        name: str = "binning",
        run_stage: StageRunner = run_at_once,
        progress: Callable[[str, int, int], None] = lambda _phase, _done, _all: None,
    ) -> Self:
        """Bin all columns with the other members, who call it with the same parameters.

        `run_stage` may keep the record of each stage and thaw it in a later start of the job. `progress` is told the
        phase, how many sums are done, and of how many.

        Shapes: columns of n rows each, label (n,) 0 or 1, n being this member's own.
        Raises: DataError (LABEL_*, VALUE_INFINITE, COLUMNS_DIFFER, SPLITS_INVALID), PeerLost, PeerError.
        """
        refuse_labels(label)
        stages = Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds
        work = _Counting([columns[of] for of in sorted(columns)], label, self.params, sums, stages)
        self.total_ = await stages.run("total", TotalRows, work.total)
        work.refuse_one_class(self.total_)
        cut = [column for column in work.columns if is_cut(column)]
        progress("counts", 1, 4)
        cuts = iter((await stages.run("cuts", CutColumns, lambda: work.cuts(self.total_))).cuts(len(cut)))
        none = np.empty(0)
        cells = [Cells.of(column, next(cuts) if is_cut(column) else none) for column in work.columns]
        progress("counts", 2, 4)
        params, noised = self.params, work.noised
        self.noise_ = None if noised is None else noised.figures()
        if noised is not None:
            # One sum says how many rows the cells have, and which of them are bad: less noise than two.
            params = noised.floors(params)
            known = await stages.run("counts", ClassRows, lambda: noised.count(cells, label, self.total_))
            by_class = known.of_columns([of.n_cells for of in cells])
            rows = [of.rows for of in by_class]
            prebins, refused = _prebins(cells, rows, params)
            counts = tuple(counts_in(cells[k], by_class[k], bins) for k, bins in prebins.items())
        else:
            counted = await stages.run("rows", CellRows, lambda: work.rows(cells))
            rows = counted.of_columns([of.n_cells for of in cells])
            progress("counts", 3, 4)
            prebins, refused = _prebins(cells, rows, params)
            codes = {k: await asyncio.to_thread(bins.codes, cells[k].column.values) for k, bins in prebins.items()}
            record = await stages.run("counts", CountedBatch, lambda: work.counts(prebins, codes))
            counts = record.counts([[bins.n_bins for bins in prebins.values()]])[0]
        progress("counts", 4, 4)
        found = [
            await asyncio.to_thread(_settled, cells[k].column, bins, of, params)
            for (k, bins), of in zip(prebins.items(), counts, strict=True)
        ]
        left_out = [BinnedColumn(cells[k].column, None, code, None) for k, code in refused.items()]
        self.columns_ = (*found, *left_out)
        self.missing_ = np.array([cells[k].missing(rows[k]) for k in (*prebins, *refused)], np.float64)
        return self


class _Counting:
    """What a member adds up with the others, sum by sum."""

    def __init__(self, columns: Sequence[Column], label: U8, params: BinParams, sums: Sums, stages: Stages) -> None:
        self.columns, self._label, self._params, self._sums, self._stages = columns, label, params, sums, stages
        self.noised = None if sums.noise is None else NoisedBinning(sums, len(columns), stages.channel("counts"))

    async def total(self) -> TotalRows:
        """Rows and bad rows of all. Raises: DataError COLUMNS_DIFFER unless all members have the same columns."""
        own = declared(self.columns)
        hashed = np.array([own], np.uint64)
        whole = await self._sums.words(self._label_of("columns"), hashed, **self._moved_by(0.0))
        if int(whole[0]) != own * len(self._sums.members) % (1 << 64):
            what = "are not the same at all members: names, kinds, levels, special values or split points differ"
            fix = "declare them alike in every member's table"
            raise DataError(Problem("COLUMNS_DIFFER", "columns", what, fix))
        counted = np.array([self._label.size, np.count_nonzero(self._label)], np.int64)
        at = self._label_of("total")
        moved = self._moved_by(TOTAL_SENSITIVITY)
        rows, bads = (await self._sums.integers(at, counted, bound=BOUND, **moved)).tolist()
        return TotalRows(rows, bads) if self.noised is None else total_of(rows, bads)

    def refuse_one_class(self, total: TotalRows) -> None:
        """Raises: DataError LABEL_ONE_CLASS, LIMIT_ROWS."""
        if not 0 < total.bads < total.rows:
            fix = "take more rows, or another split, so that there are good and bad rows"
            raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only at all members together", fix))
        if total.rows > MAX_ROWS:
            raise DataError(Problem("LIMIT_ROWS", "rows", f"are more than {MAX_ROWS} at all members together"))

    async def cuts(self, total: TotalRows) -> CutColumns:
        """Edges of columns of numbers, at about the same numbers of rows of all members."""
        params = self._params if self.noised is None else self.noised.floors(self._params)
        most, least = params.cuts, params.min_rows
        columns = {column.name: column for column in self.columns if is_cut(column)}
        if not columns:
            return CutColumns.of([])
        found = await agreed_cells(
            self._sums,
            columns,
            few=lambda rows: max(least, rows // (FINER_THAN_BINS * most)),
            label=self._label_of("cuts"),
            noise=self._cell_noise(total, len(columns)),
        )
        return CutColumns.of(
            [
                # Special values have bins besides, as far as codes are bytes.
                np.array(found[name].edges(max_bin=min(most + len(column.special), MAX_BIN - 1), min_rows=least))
                for name, column in columns.items()
            ]
        )

    async def rows(self, cells: Sequence[Cells]) -> CellRows:
        """Rows in each cell."""
        own = [await asyncio.to_thread(of.rows) for of in cells]
        return CellRows(await self._add("rows", own))

    async def counts(self, prebins: Mapping[int, ScorecardBins], codes: Mapping[int, U8]) -> CountedBatch:
        """Good and bad rows of each pre-bin."""
        own = [BinCounts.of(codes[k], self._label, bins.n_bins) for k, bins in prebins.items()]
        whole = await self._add("counts", [*(of.non_events for of in own), *(of.events for of in own)])
        good, bad = np.split(whole, 2)
        return CountedBatch(good, bad)

    async def _add(self, phase: str, own: Sequence[I64]) -> I64:
        values = np.concatenate([np.zeros(0, np.int64), *own])
        return await self._sums.integers(self._label_of(phase), values, bound=BOUND) if values.size else values

    def _moved_by(self, sensitivity: float) -> dict[str, float]:
        return {} if self.noised is None else {"sensitivity": sensitivity}

    def _cell_noise(self, total: TotalRows, columns: int) -> CellNoise | None:
        if self.noised is None:
            return None
        return CellNoise(self._sums, total.rows, columns, ROUNDS, self._label_of("cuts"))

    def _label_of(self, phase: str) -> str:
        return self._stages.channel(phase)


def refuse_labels(label: U8) -> None:
    """Raises: DataError LABEL_INVALID unless all labels are 0 or 1; a member may have one class only, or no rows."""
    if (label > 1).any():
        raise DataError(Problem("LABEL_INVALID", "label", "has values other than 0 and 1"))


def _prebins(
    cells: Sequence[Cells], rows: Sequence[I64], params: BinParams
) -> tuple[dict[int, ScorecardBins], dict[int, str]]:
    """Pre-bins of the columns that have any, and of the others why they have none."""
    found, refused = dict[int, ScorecardBins](), dict[int, str]()
    for k, (of, counted) in enumerate(zip(cells, rows, strict=True)):
        try:
            found[k] = of.prebins(counted, params)
        except RefusedError as error:
            refused[k] = error.code
    return found, refused


def _settled(column: Column, prebins: ScorecardBins, counts: BinCounts, params: BinParams) -> BinnedColumn:
    """A column with the bins that the counts of its pre-bins make: at every member the same."""
    settled = settle_column(PrebinShape.of(prebins, by_hand=bool(column.splits)), counts, params)
    if settled.table is None:
        return BinnedColumn(column, None, settled.refused, None)
    final = taken(prebins, settled.labels).with_evidence(settled.table.woe)
    rows = tuple(settled.table.counts.rows.tolist())
    return BinnedColumn(column, final, None, settled.iv, rows, settled.table)
