"""`Statistics.fit` at three parties: the numbers of the pooled table, tables that cannot be had, a job that goes on."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from unit.test_binning_oracle import Kept

from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.credit.summed_values import summed_column
from fedcredit.errors import ConfigError, DataError, FedcreditError
from fedcredit.estimators import Federation, Statistics
from fedcredit.estimators.statistics import TableFigures
from fedcredit.estimators.statistics_documents import statistics_document, table_csv
from fedcredit.ids import PartyId
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryNetwork

BANK, TAX, WATER = PartyId("bank"), PartyId("tax"), PartyId("water")
PARTIES = (BANK, TAX, WATER)
N = 3000
BY_LEVEL = {"name": "loans", "by": ["tax.level"], "sum": ["bank.loan", "bank.label"], "spread": True}
CROSS = {"name": "cross", "by": ["tax.level", "bank.branch"], "sum": ["bank.loan"]}
BY_USE = {"name": "use", "by": ["water.use"], "sum": ["bank.loan"]}


class World:
    """Columns of three parties over the same rows."""

    def __init__(self, seed: int = 4) -> None:
        rng = np.random.default_rng(seed)
        level = rng.choice(5, N, p=[0.5, 0.3, 0.15, 0.045, 0.005])
        branch = (level + rng.choice(3, N, p=[0.9, 0.09, 0.01])) % 3
        self.loan = np.round(rng.lognormal(10, 1, N) * (1 + level), 2)
        self.y = (rng.random(N) < 0.1 + 0.05 * level).astype(np.uint8)
        self.level = np.array(["A", "B", "C", "D", "E"])[level]
        self.branch = np.array(["north", "south", "west"])[branch]
        self.use = rng.gamma(2.0, 100.0, N)
        self.columns = {
            BANK: {
                "loan": Column("loan", "numeric", self.loan),
                "branch": Column("branch", "categorical", branch.astype(float), ("north", "south", "west")),
            },
            TAX: {"level": Column("level", "categorical", level.astype(float), ("A", "B", "C", "D", "E"))},
            WATER: {"use": Column("use", "numeric", self.use, splits=(100.0, 300.0))},
        }

    def fit(
        self, *tables: dict[str, Any], kept: dict[PartyId, Kept] | None = None, epoch: int = 0, **how: Any
    ) -> dict[PartyId, Statistics]:
        network = MemoryNetwork(PARTIES, insecure_in_process=True)
        groupsum = how.pop("groupsum", "auto")
        params = StatisticsParams.from_mapping({"table": list(tables)} | how)
        kept = kept or {party: Kept() for party in PARTIES}

        async def party(me: PartyId) -> Statistics:
            federation = Federation(
                me=me,
                label_party=BANK,
                feature_parties=(TAX, WATER),
                transport=network.transport(me),
                ssid=b"s" * 32,
                epoch=epoch,
                deadline_s=60,
            )
            label = self.y if me == BANK else None
            found = Statistics(params, groupsum=groupsum)
            return await found.fit(federation, self.columns[me], label, n_rows=N, run_stage=kept[me])

        async def all_() -> list[Statistics]:
            parties = [asyncio.create_task(party(me)) for me in PARTIES]
            done, waiting = await asyncio.wait(parties, return_when=asyncio.FIRST_EXCEPTION)
            if any(isinstance(task.exception(), ConnectionError) for task in done):
                await asyncio.wait(parties, timeout=300)
            elif waiting:
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)
            errors = [task.exception() for task in parties if not task.cancelled() and task.exception()]
            if errors:
                raise next((e for e in errors if not isinstance(e, FedcreditError)), errors[0])
            return [task.result() for task in parties]

        return dict(zip(PARTIES, asyncio.run(all_()), strict=True))


def by_group(names: np.ndarray, values: np.ndarray) -> dict[str, list[float]]:
    """Rows, sum, mean and standard deviation of each group, by taking them apart."""
    found = {}
    for name in np.unique(names):
        some = values[names == name]
        found[str(name)] = [some.size, some.sum(), some.mean(), some.std(ddof=1)]
    return found


@pytest.mark.parametrize("groupsum", ["onehot", pytest.param("paillier", marks=pytest.mark.slow)])
def test_tables_are_those_of_the_pooled_table(groupsum: str) -> None:
    world = World()
    found = world.fit(BY_LEVEL, CROSS, BY_USE, groupsum=groupsum)
    loans, cross, use = found[BANK].tables_
    # E has 13 rows, so it is counted with D, the smallest of the rest.
    level = np.where(np.isin(world.level, ["D", "E"]), "(others)", world.level)
    want = by_group(level, world.loan)
    bad = by_group(level, world.y.astype(float))
    assert set(loans.columns) == set(want)
    for b, name in enumerate(loans.columns):
        assert loans.counts[0, b] == want[name][0]
        assert loans.sums[0, 0, b] == pytest.approx(want[name][1], abs=0.01)
        assert loans.sums[1, 0, b] == bad[name][1]
        assert loans.spreads[0, 0, b] == pytest.approx(want[name][3], rel=1e-4)
        assert loans.spreads[1, 0, b] == pytest.approx(bad[name][3], rel=1e-4)
    assert cross.hidden.any()
    assert not cross.hidden.all()
    for k, row in enumerate(cross.rows):
        for b, name in enumerate(cross.columns):
            some = (world.branch == row) & (level == name)
            assert some.sum() >= 50 or cross.hidden[k, b]
            if not cross.hidden[k, b]:
                assert cross.counts[k, b] == some.sum()
                assert cross.sums[0, k, b] == pytest.approx(world.loan[some].sum(), abs=0.01)
    part = np.select([world.use < 100, world.use < 300], ["below 100", "100 to 300"], "from 300")
    assert {name: int(n) for name, n in zip(use.columns, use.counts[0], strict=True)} == {
        name: figures[0] for name, figures in by_group(part, world.loan).items()
    }
    # Whoever lends learns nothing of it, but that it was counted.
    assert found[TAX].tables_ == found[WATER].tables_ == ()
    assert [(lent.params.name, lent.counted) for lent in found[TAX].lent_] == [("loans", True), ("cross", True)]
    assert [lent.names for lent in found[WATER].lent_] == [use.columns]


def same(one: TableFigures, other: TableFigures) -> bool:
    arrays = ("hidden", "counts", "sums", "spreads")
    return (one.refused, one.rows, one.columns) == (other.refused, other.rows, other.columns) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays
    )


def test_tables_are_shared_where_the_job_says_so() -> None:
    found = World().fit(BY_LEVEL, CROSS, share=True)
    for party in (TAX, WATER):
        for mine, theirs in zip(found[party].tables_, found[BANK].tables_, strict=True):
            assert same(mine, theirs)
            assert mine.missing == ()
            assert not mine.counts[mine.hidden].any()


def test_rows_without_a_value_are_apart_where_they_are_enough() -> None:
    world = World()
    gone = np.zeros(N, bool)
    gone[::3] = True
    world.columns[BANK]["loan"] = Column("loan", "numeric", np.where(gone, np.nan, world.loan))
    (table,) = world.fit(BY_USE)[BANK].tables_
    assert table.rows == ("with a value", "(missing)")
    assert table.missing == (int(gone.sum()),)
    part = np.select([world.use < 100, world.use < 300], ["below 100", "100 to 300"], "from 300")
    for b, name in enumerate(table.columns):
        assert table.counts[:, b].tolist() == [(~gone & (part == name)).sum(), (gone & (part == name)).sum()]
        assert table.sums[0, 0, b] == pytest.approx(world.loan[~gone & (part == name)].sum(), abs=0.01)
        assert table.sums[0, 1, b] == 0
    (table,) = world.fit(BY_USE | {"missing": "zero"})[BANK].tables_
    assert table.rows == ("",)
    assert table.counts.sum() == N


def test_a_few_rows_without_a_value_do_not_show_where_they_are() -> None:
    """Were they left out, what a group has with them and without would tell of the few."""
    world = World()
    world.loan[:3] = np.nan
    world.columns[BANK]["loan"] = Column("loan", "numeric", world.loan)
    counts = {"name": "counts", "by": ["water.use"]}
    whole, few = world.fit(counts, BY_USE)[BANK].tables_
    assert whole.refused is None
    assert few.refused == "TABLES_TOO_CLOSE"
    (alone,) = world.fit(BY_USE)[BANK].tables_
    assert alone.hidden[1].all()
    assert alone.hidden.all()


def test_a_column_without_large_groups_gives_no_table_and_the_others_go_on() -> None:
    world = World()
    values = np.arange(N, dtype=float)
    world.columns[TAX]["level"] = Column("level", "categorical", values, tuple(f"l{k}" for k in range(N)))
    first, second = world.fit(BY_LEVEL, BY_USE, share=True)[WATER].tables_
    assert first.refused == "GROUPS_TOO_SMALL"
    assert second.counts.sum() == N


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"loan": None}, "COLUMN_MISSING", "loan"),
        ({"branch": None}, "COLUMN_MISSING", "branch"),
        ({"loan": Column("loan", "categorical", np.zeros(N), ("a",))}, "COLUMN_KIND", "bank.loan"),
        ({"loan": Column("loan", "numeric", np.full(N, np.inf))}, "VALUE_INFINITE", "bank.loan"),
        ({"loan": Column("loan", "numeric", np.full(N, 1e15))}, "SUM_OVERFLOW", "bank.loan"),
    ],
)
def test_own_columns_that_cannot_be_summed_are_named(change: dict[str, Any], code: str, where: str) -> None:
    world = World()
    columns = world.columns[BANK] | change
    world.columns[BANK] = {name: column for name, column in columns.items() if column is not None}
    with pytest.raises(DataError) as refused:
        world.fit(CROSS)
    assert [(problem.code, problem.where) for problem in refused.value.problems] == [(code, where)]


def test_a_job_goes_on_behind_each_table() -> None:
    world = World()
    whole = world.fit(BY_LEVEL, CROSS, BY_USE, share=True)
    for until in range(1, 4):
        kept = {party: Kept(until=until) for party in PARTIES}
        with pytest.raises(ConnectionError):
            world.fit(BY_LEVEL, CROSS, BY_USE, share=True, kept=kept)
        again = {party: Kept(kept[party].states) for party in PARTIES}
        found = world.fit(BY_LEVEL, CROSS, BY_USE, share=True, kept=again, epoch=1)
        assert all(len(again[party].made) == 4 - until for party in PARTIES)
        for party in PARTIES:
            for one, other in zip(found[party].tables_, whole[party].tables_, strict=True):
                assert same(one, other)


def test_documents_say_what_a_party_knows_and_no_more() -> None:
    world = World()
    found = world.fit(BY_LEVEL, CROSS)
    params = found[BANK].params
    document = json.loads(statistics_document(BANK, BANK, params, found[BANK].tables_, ()))
    loans, cross = document["tables"]
    assert loans["means"]["bank.label"][0][0] == loans["sums"]["bank.label"][0][0] / loans["count"][0][0]
    assert sum(value is None for row in cross["count"] for value in row) == cross["hidden"] > 0
    lines = list(csv.reader(io.StringIO(table_csv(found[BANK].tables_[1], BANK).decode())))
    assert lines[0] == ["tax.level", "bank.branch", "hidden", "count", "sum bank.loan", "mean bank.loan"]
    assert all(line[3:] == ["", "", ""] for line in lines if line[2] == "yes")
    lender = json.loads(statistics_document(TAX, BANK, params, (), found[TAX].lent_))
    assert lender["tables"] == []
    assert [lent["column"] for lent in lender["lent"]] == ["level", "level"]
    assert sum(group["rows"] for group in lender["lent"][0]["groups"]) == N


def test_as_many_sums_as_a_table_may_have() -> None:
    world = World()
    names = [f"loan{k}" for k in range(8)]
    world.columns[BANK] |= {name: Column(name, "numeric", world.loan + k) for k, name in enumerate(names)}
    (table,) = world.fit({"name": "all", "by": ["tax.level"], "sum": [f"bank.{n}" for n in names], "spread": True})[
        BANK
    ].tables_
    assert table.sums.shape[0] == table.spreads.shape[0] == 8
    assert table.sums[7].sum() == pytest.approx(world.loan.sum() + 7 * N, abs=0.05)


@pytest.mark.parametrize("spread", [False, True])
def test_sums_are_exact_and_spreads_nearly(spread: bool) -> None:
    rng = np.random.default_rng(3)
    values = np.round(rng.normal(1e6, 1e3, 10_000), 2)
    column = summed_column("x", values, decimals=2, spread=spread)
    sums = column.words.sum(axis=0)[None]
    counts = np.array([values.size])
    assert column.total(sums, counts)[0] == pytest.approx(values.sum(), rel=1e-15)
    if spread:
        assert column.spread(sums, counts)[0] == pytest.approx(values.std(ddof=1), rel=1e-5)


def test_tables_that_are_not_of_these_parties_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        World().fit({"name": "x", "by": ["police.level"], "sum": ["tax.level"]})
    assert {problem.where for problem in refused.value.problems} == {"table.0.by", "table.0.sum"}
