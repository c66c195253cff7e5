"""Statistics over members are those of the pooled rows, and cells of few rows are not in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from horizontal.plain_sums import Board, PlainSums, outcomes, parties, together
from scorecard_cases import Kept, numbers

from fedcredit.credit.statistics_groups import groups_of
from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.errors import DataError
from fedcredit.estimators.horizontal_groups import agreed_groups
from fedcredit.estimators.horizontal_statistics import HorizontalStatistics, correlations, describe_columns
from fedcredit.estimators.statistics_documents import statistics_document, table_csv
from fedcredit.tables import Column

N = 4000


def whole() -> tuple[dict[str, Column], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(9)
    loan = np.exp(rng.normal(10, 1, N)).round(2)
    loan[rng.random(N) < 0.05] = np.nan
    level = rng.choice(5, N, p=[0.5, 0.3, 0.15, 0.0475, 0.0025]).astype(float)
    branch = np.where(level == 1, 0.0, rng.choice(3, N, p=[0.6, 0.38, 0.02]))
    columns = {
        "loan": numbers("loan", loan),
        "level": Column("level", "categorical", level, ("A", "B", "C", "M", "D")),
        "branch": Column("branch", "categorical", branch, ("north", "south", "west")),
        "staff": numbers("staff", np.where(rng.random(N) < 0.1, -1.0, rng.poisson(1.0, N)), special=(-1.0,)),
        "power": numbers("power", rng.gamma(2.0, 500, N), splits=(100.0, 1000.0, 9000.0)),
    }
    return columns, (rng.random(N) < 0.1).astype(np.uint8), rng.integers(0, 3, N)


def part(columns: dict[str, Column], rows: np.ndarray) -> dict[str, Column]:
    return {k: Column(k, c.kind, c.values[rows], c.levels, c.special, c.splits) for k, c in columns.items()}


def play(kept: list[Kept] | None = None, board: Board | None = None, **params: Any) -> list[HorizontalStatistics]:
    columns, label, owner = whole()

    async def work(sums: PlainSums, k: int) -> HorizontalStatistics:
        more = {"run_stage": kept[k]} if kept else {}
        made = HorizontalStatistics(StatisticsParams.from_mapping(params))
        return await made.fit(sums.federation, part(columns, owner == k), label[owner == k], sums=sums, **more)

    return together(3, work, board)


def test_groups_are_those_of_the_pooled_rows() -> None:
    columns, _, owner = whole()

    async def work(sums: PlainSums, k: int) -> Any:
        return await agreed_groups(sums, part(columns, owner == k), min_rows=50, quantiles=5)

    found = together(3, work)
    for name, column in columns.items():
        levels = column.levels or None
        true = groups_of(
            column.values, min_rows=50, quantiles=5, levels=levels, special=column.special, splits=column.splits
        )
        codes = np.empty(N, np.uint8)
        for k in range(3):
            codes[owner == k] = found[k][name].codes
            assert found[k][name].names == found[0][name].names
        rows = np.bincount(codes, minlength=len(found[0][name].names))
        if name == "loan":
            assert len(found[0][name].names) == 6
            assert np.abs(rows[:5] - true.sizes[:5]).max() < 0.2 * N / 5
        elif name == "staff":
            assert rows.min() >= 50
        else:
            assert found[0][name].names == true.names
            assert rows.tolist() == true.sizes.tolist()


def test_a_table_by_one_column_is_that_of_the_pooled_rows() -> None:
    columns, label, _ = whole()
    kept = [Kept() for _ in range(3)]
    table = {"name": "t", "by": ["city-1.level"], "sum": ["city-0.loan", "city-0.label"], "spread": True}
    each = play(kept, table=[table | {"missing": "zero"}], min_cell=50)
    found = each[0].tables_[0]
    assert found.rows == ("",)
    assert found.columns == ("A", "B", "C", "M", "(others)") or found.columns == ("A", "B", "C", "(others)")
    assert not found.hidden.any()
    loan = np.nan_to_num(columns["loan"].values)
    for b in range(3):
        rows = columns["level"].values == b
        assert found.counts[0, b] == rows.sum()
        assert found.sums[0, 0, b] == pytest.approx(loan[rows].sum(), rel=1e-13)
        assert found.sums[1, 0, b] == label[rows].sum()
        assert found.spreads[0, 0, b] == pytest.approx(loan[rows].std(ddof=1), rel=1e-10)
    assert found.missing[0] == np.isnan(columns["loan"].values).sum()
    again = play([Kept(one.states) for one in kept], table=[table | {"missing": "zero"}], min_cell=50)
    assert again[1].tables_[0].sums.tolist() == found.sums.tolist()
    document = statistics_document("city-0", "city-0", each[0].params, each[0].tables_, ())
    assert b'"city-0.loan"' in document
    assert table_csv(found, "city-0").count(b"\n") == 1 + len(found.columns)


def test_small_cells_are_hidden_and_nothing_of_them_is_summed() -> None:
    columns, _, _ = whole()
    board = Board(parties(3))
    table = {"name": "t", "by": ["city-1.level", "city-0.branch"], "sum": ["city-0.loan"]}
    found = play(board=board, table=[table], min_cell=60)[0].tables_[0]
    assert found.rows[-1] == "(missing)"
    assert found.hidden.any()
    assert not found.hidden.all()
    assert (found.counts[~found.hidden] >= 60).all()
    assert (found.counts[found.hidden] == 0).all()
    assert (found.sums[0][found.hidden] == 0).all()
    loan, level, branch = (columns[key].values for key in ("loan", "level", "branch"))
    north_a = (branch == 0) & (level == 0) & ~np.isnan(loan)
    assert found.counts[0, 0] == north_a.sum()
    assert found.sums[0, 0, 0] == pytest.approx(loan[north_a].sum(), rel=1e-13)
    sums = board.totals["sums/statistics/table.0.sums"].reshape(-1, found.hidden.size)
    assert not sums[:, found.hidden.ravel()].any()


def test_columns_that_make_no_table_are_named() -> None:
    columns, label, _ = whole()

    async def work(sums: PlainSums, k: int) -> None:
        params = StatisticsParams.from_mapping({"table": [{"name": "t", "by": ["city-1.gone"]}]})
        await HorizontalStatistics(params).fit(sums.federation, columns, label, sums=sums)

    for error in outcomes(3, work):
        assert isinstance(error, DataError)
        assert (error.code, error.problems[0].where) == ("COLUMN_MISSING", "gone")
    one = {"name": "t", "by": ["city-1.level"]}
    assert play(table=[one], min_cell=3000)[0].tables_[0].refused == "GROUPS_TOO_SMALL"


def test_means_quantiles_and_correlations_are_those_of_the_pooled_rows() -> None:
    columns, _, owner = whole()
    columns["power"] = numbers("power", columns["power"].values + 0.01 * np.nan_to_num(columns["loan"].values))

    async def work(sums: PlainSums, k: int) -> Any:
        mine = part(columns, owner == k)
        numeric = {name: column for name, column in mine.items() if column.kind == "numeric"}
        return await describe_columns(sums, mine), await correlations(sums, numeric)

    found, r = together(3, work)[0]
    assert found.names == ["loan", "staff", "power"]
    table = []
    for j, name in enumerate(found.names):
        values = columns[name].values
        known = values[~(np.isnan(values) | np.isin(values, columns[name].special))]
        assert (found.rows[j], found.missing[j]) == (known.size, np.isnan(values).sum())
        assert found.mean[j] == pytest.approx(known.mean(), rel=1e-13)
        assert found.std[j] == pytest.approx(known.std(), rel=1e-12)
        true = np.quantile(known, found.shares, method="inverted_cdf")
        assert ((found.low[j] <= true) & (true <= found.high[j])).all()
        rank = np.searchsorted(np.sort(known), found.quantiles[j]) / known.size
        assert name == "staff" or np.abs(rank - found.shares).max() < 20 / known.size
        table.append(np.where(np.isin(values, known), values, known.mean()))
    assert r == pytest.approx(np.corrcoef(np.array(table)), abs=1e-12)
