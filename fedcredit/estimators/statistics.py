"""Statistics over rows in common as a modeller calls them: the same call at every party, each on its own columns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.credit.statistics_groups import Groups, groups_of, too_close
from fedcredit.credit.statistics_params import StatisticsParams, TableParams
from fedcredit.credit.summed_values import SummedColumn, own_categories, summed_column
from fedcredit.errors import ConfigError, DataError, PeerError, Problem
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.gradient_boosting import BACKENDS
from fedcredit.estimators.statistics_records import REFUSALS, AskedTable, HeardTables, LentTable, Told
from fedcredit.estimators.training import Stages
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import Backend
from fedcredit.protocols.groupsum.paillier import OwnKey
from fedcredit.protocols.statistics import LentColumn, OpenedTable, StatisticsAsker, StatisticsHolder
from fedcredit.runtime.driver import drive
from fedcredit.runtime.state import StageRunner, run_at_once
from fedcredit.tables import Column
from fedcredit.wire.statistics import SharedTable, names_of, text_of

__all__ = ["LentGroups", "Statistics", "TableFigures"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class TableFigures:
    """A finished table as one party knows it; `refused` is the code that says why there is none.

    `rows` are names of the asker's categories, ("",) for a table by one column alone. Shapes: hidden, counts (K, B);
    sums, spreads (columns of `sum`, K, B), 0 where hidden. `missing`: rows without a value, of each summed column, at
    the asker alone.
    """

    params: TableParams
    refused: str | None
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    hidden: Bool = field(repr=False)
    counts: I64 = field(repr=False)
    sums: F64 = field(repr=False)
    spreads: F64 = field(repr=False)
    missing: tuple[int, ...] = ()

    @classmethod
    def none(cls, params: TableParams, refused: str) -> Self:
        """A table that there is not."""
        flat, deep = np.zeros((0, 0)), np.zeros((len(params.sum), 0, 0))
        return cls(params, refused, (), (), flat.astype(bool), flat.astype(np.int64), deep, deep)


@dataclass(frozen=True, slots=True)
class LentGroups:
    """What a party has lent to a table: its groups and their rows, and whether they were counted."""

    params: TableParams
    names: tuple[str, ...]
    rows: tuple[int, ...]
    counted: bool


class Statistics:
    """Joint counts, sums and means by groups of another party's column, without cells of few rows.

    The asker is the party that a `Federation` calls the label party; it needs no label. Learned, after `fit`:
    `tables_`, all tables, at the asker, and with `share` at every party; `lent_`, what this party lent; `seconds_`.

    Reveals: `docs/protocols/statistics.md`; `leakage.json` of a job says it in plain words.
    """

    def __init__(self, params: StatisticsParams, *, groupsum: Literal["auto", "onehot", "paillier"] = "auto") -> None:
        self.params, self.groupsum = params, groupsum

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        n_rows: int,
        name: str = "statistics",
        run_stage: StageRunner = run_at_once,
        progress: Callable[[str, int, int], None] = lambda _phase, _done, _all: None,
    ) -> Self:
        """Make all tables with the other parties, who call it with the same parameters and the same row order.

        `run_stage` may keep the record of each stage and thaw it in a later start of the job.

        Shapes: columns of n aligned rows each; label (n,) 0 or 1 at the asker if its table has one.
        Raises: DataError (COLUMN_MISSING, COLUMN_KIND, VALUE_INFINITE, SUM_OVERFLOW), PeerLost, PeerError; ConfigError
        for tables that are not of these parties.
        """
        asker, others = federation.label_party, federation.feature_parties
        if problems := list(self.params.misfits(asker, (asker, *others))):
            raise ConfigError(problems)
        stages = Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds
        self.tables_: tuple[TableFigures, ...] = ()
        self.lent_: tuple[LentGroups, ...] = ()
        work = _Asking if federation.is_label_party else _Lending
        side = work(self.params, BACKENDS[self.groupsum], stages, columns, label, n_rows)
        await asyncio.to_thread(side.check)
        for number in range(len(self.params.table)):
            await side.make(number)
            progress("table", number + 1, len(self.params.table))
        if self.params.share:
            await side.share()
        self.tables_, self.lent_ = tuple(side.tables), tuple(side.lent)
        return self


class _Side:
    """One party's part in all tables."""

    def __init__(
        self,
        params: StatisticsParams,
        backend: Backend,
        stages: Stages,
        columns: Mapping[str, Column],
        label: U8 | None,
        n_rows: int,
    ) -> None:
        self.params, self.backend, self.stages = params, backend, stages
        self.columns, self.label, self.n_rows = columns, label, n_rows
        self.federation = stages.federation
        self.tables: list[TableFigures] = []
        self.lent: list[LentGroups] = []

    def groups(self, name: str) -> Groups:
        """The groups of one of this party's columns."""
        column = self.columns[name]
        return groups_of(
            column.values,
            min_rows=self.params.min_cell,
            quantiles=self.params.quantiles,
            levels=column.levels if column.kind == "categorical" else None,
            special=column.special,
            splits=column.splits,
        )

    async def with_peer(self, phase: str, peer: PartyId, steps: Steps[T]) -> T:
        """Run this party's role with one other party; the rest have nothing to do with it."""
        federation = self.federation
        stage = self.stages.channel(phase)
        channel = federation.transport.open(federation.ssid, stage, peers=(peer,), epoch=federation.epoch)
        return await drive(steps, channel, deadline_s=federation.deadline_s, meter=federation.meter)


class _Asking(_Side):
    """The asker's part."""

    def check(self) -> None:
        """Have all that will be summed and grouped, before anybody is asked. Raises: DataError."""
        asker, absent = self.federation.me, []
        for table in self.params.table:
            names = [own] if (own := table.own(asker)) is not None else []
            absent += [name for name in names if name not in self.columns]
        _refuse_absent(absent)
        self._summed = [self._values(table) for table in self.params.table]
        self._own = [self._categories(k) for k in range(len(self.params.table))]
        self._key: OwnKey | None = None

    async def make(self, number: int) -> None:
        """One table, with the party that lends to it."""
        table = self.params.table[number]
        peer, phase = party_id(table.holder(self.federation.me)), f"table.{number}"
        own, summed = self._own[number], self._summed[number]
        close = await asyncio.to_thread(self._too_close, number)

        async def ask() -> AskedTable:
            key = None
            if self.backend == "paillier" and not close:
                # One key for all tables: what one peer holds under it says nothing to another.
                self._key = key = self._key or await asyncio.to_thread(OwnKey.fresh, self.federation.randomness)
            values = np.concatenate([np.zeros((self.n_rows, 0), np.uint64), *(column.words for column in summed)], 1)
            role = StatisticsAsker(
                self.federation.me, peer, own.codes, len(own.names), values, self.params.min_cell, self.backend, key=key
            )
            if close:
                await self.with_peer(phase, peer, role.decline())
                return AskedTable.none("TABLES_TOO_CLOSE")
            session = self.federation.session(self.stages.channel(phase))
            found = await self.with_peer(phase, peer, role.steps(session, self.federation.randomness))
            return AskedTable.none("GROUPS_TOO_SMALL") if found is None else AskedTable.of(found)

        record = await self.stages.run(phase, AskedTable, ask)
        if record.refused is not None:
            self.tables.append(TableFigures.none(table, record.refused))
            return
        opened = record.opened(len(own.names), values=1 + sum(column.words.shape[1] for column in summed))
        self.tables.append(_figures(table, own.names, opened, summed))

    async def share(self) -> None:
        """Show the finished tables to all other parties."""
        peers = self.federation.feature_parties

        def tell() -> Steps[None]:
            for number, table in enumerate(self.tables):
                for peer in peers:
                    yield from send(peer, _message(number, table))

        async def work() -> Told:
            await self.federation.run(self.stages.channel("share"), tell())
            return Told()

        await self.stages.run("share", Told, work)

    def _values(self, table: TableParams) -> tuple[SummedColumn, ...]:
        found = []
        for column in table.sum:
            of_column = self.columns.get(column.column)
            if of_column is None and column.column == "label" and self.label is not None:
                values = self.label.astype(np.float64)
            elif of_column is None:
                raise _absent([column.column])
            elif of_column.kind != "numeric":
                what = "holds categories, which have no sum"
                raise DataError(Problem("COLUMN_KIND", str(column), what, "name it in by, or name a numeric column"))
            else:
                values = of_column.values
            found.append(summed_column(str(column), values, decimals=self.params.decimals, spread=table.spread))
        return tuple(found)

    def _categories(self, number: int) -> Groups:
        """The rows of the table: groups of the own column if it names one, and rows without a value apart."""
        table = self.params.table[number]
        name = table.own(self.federation.me)
        own = Groups(("",), np.zeros(self.n_rows, np.uint8)) if name is None else self.groups(name)
        gone = np.zeros(self.n_rows, bool)
        if table.missing == "apart":
            for column in self._summed[number]:
                gone |= column.missing
        return own_categories(own, gone)

    def _too_close(self, number: int) -> bool:
        """Whether an earlier table over the same column and this one would tell more together than apart."""
        asker, table = self.federation.me, self.params.table[number]
        lent = table.holder(asker), table.lent(asker)
        earlier = [
            self._own[k]
            for k, other in enumerate(self.params.table[:number])
            if (other.holder(asker), other.lent(asker)) == lent
        ]
        return any(too_close(self._own[number], other, self.params.min_cell) for other in earlier)


class _Lending(_Side):
    """A party's part that does not ask."""

    def check(self) -> None:
        """Have all columns that are to be lent, before anybody is answered. Raises: DataError."""
        asker, me = self.federation.label_party, self.federation.me
        mine = [table.lent(asker) for table in self.params.table if table.holder(asker) == me]
        _refuse_absent([name for name in mine if name not in self.columns])

    async def make(self, number: int) -> None:
        """Lend to one table, or let the other parties make it."""
        table = self.params.table[number]
        asker, me, phase = self.federation.label_party, self.federation.me, f"table.{number}"
        mine = table.holder(asker) == me
        groups = await asyncio.to_thread(self.groups, table.lent(asker)) if mine else None

        async def lend() -> LentTable:
            if groups is None:
                return LentTable(False)
            column = LentColumn(groups.names, groups.codes)
            least, words, most = self.params.min_cell, table.words, table.most_categories
            role = StatisticsHolder(me, asker, column, least, words, most, self.backend)
            session = self.federation.session(self.stages.channel(phase))
            return LentTable(await self.with_peer(phase, asker, role.steps(session, self.federation.randomness)))

        record = await self.stages.run(phase, LentTable, lend)
        if groups is not None:
            self.lent.append(LentGroups(table, groups.names, tuple(groups.sizes.tolist()), record.counted))

    async def share(self) -> None:
        """Receive the finished tables."""
        asker, tables = self.federation.label_party, self.params.table

        def hear() -> Steps[tuple[SharedTable, ...]]:
            found = []
            for number, table in enumerate(tables):
                got = yield from recv(asker, SharedTable)
                spreads = len(table.sum) if table.spread else 0
                if got.number != number or (len(got.sums), len(got.spreads)) != (len(table.sum), spreads):
                    step = f"statistics of {asker}"
                    raise PeerError(asker, step, "showed another table than was due", "SHAPE")
                if (got.counts[got.hidden == 0] < self.params.min_cell).any():
                    raise PeerError(asker, f"statistics of {asker}", "showed a cell of few rows", "COUNTS_INVALID")
                found.append(got)
            return tuple(found)

        async def work() -> HeardTables:
            return HeardTables.of(await self.federation.run(self.stages.channel("share"), hear()))

        record = await self.stages.run("share", HeardTables, work)
        for table, got in zip(tables, record.tables(len(tables)), strict=True):
            if got.refused:
                self.tables.append(TableFigures.none(table, REFUSALS[got.refused] or ""))
                continue
            rows = names_of("rows", got.row_sizes, got.row_text)
            columns = names_of("columns", got.column_sizes, got.column_text)
            shown = tuple("" if len(rows) == 1 else name for name in rows)
            hidden = got.hidden.astype(bool)
            self.tables.append(TableFigures(table, None, shown, columns, hidden, got.counts, got.sums, got.spreads))


def _figures(
    table: TableParams, rows: tuple[str, ...], opened: OpenedTable, summed: Sequence[SummedColumn]
) -> TableFigures:
    counts = opened.words[:, :, 0].astype(np.int64)
    sums, spreads, at = [], [], 1
    for column in summed:
        of_column = opened.words[:, :, at : at + column.words.shape[1]]
        at += column.words.shape[1]
        sums.append(column.total(of_column, counts))
        if table.spread:
            spreads.append(column.spread(of_column, counts))
    none = np.zeros((0, *counts.shape))
    missing = tuple(int(column.missing.sum()) for column in summed)
    return TableFigures(
        table,
        None,
        rows,
        opened.names,
        opened.hidden,
        counts,
        np.stack(sums) if sums else none,
        np.stack(spreads) if spreads else none,
        missing,
    )


def _message(number: int, table: TableFigures) -> SharedTable:
    rows = text_of([name or "all" for name in table.rows])
    spreads = table.spreads if table.params.spread else table.spreads[:0]
    return SharedTable(
        number,
        REFUSALS.index(table.refused),
        *rows,
        *text_of(table.columns),
        table.hidden.astype(np.uint8),
        table.counts,
        table.sums,
        spreads,
    )


def _refuse_absent(names: Sequence[str]) -> None:
    if names:
        raise _absent(names)


def _absent(names: Sequence[str]) -> DataError:
    fix = "name another, or have the policy lend it"
    return DataError([Problem("COLUMN_MISSING", name, "is no column of this party's table", fix) for name in names])
