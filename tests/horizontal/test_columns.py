"""Edges that members agree on are those of the pooled rows, and nothing but totals is seen on the way."""

from __future__ import annotations

import numpy as np
import pytest
from horizontal.plain_sums import Board, PlainSums, outcomes, parties, together
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.credit.agreed_bins import keys_of, numbers_of
from fedcredit.errors import DataError
from fedcredit.estimators.horizontal_columns import agreed_bins, agreed_cells, agreed_cuts, agreed_totals
from fedcredit.tables import Column

RNG = np.random.default_rng(5)


def columns(n: int) -> dict[str, Column]:
    rng = np.random.default_rng(n)
    amounts = np.exp(rng.normal(11, 1.5, n)).round(2)
    amounts[rng.random(n) < 0.1] = np.nan
    values = {
        "amount": amounts,
        "balance": rng.normal(-3, 1000, n),
        "flag": (rng.random(n) < 0.03).astype(float),
        "count": rng.poisson(0.7, n).astype(float),
        "tiny": rng.normal(0, 1e-9, n),
        "code": np.where(rng.random(n) < 0.3, -999.0, rng.random(n)),
        "empty": np.full(n, np.nan),
    }
    special = {"code": (-999.0,)}
    named = {name: Column(name, "numeric", v, special=special.get(name, ())) for name, v in values.items()}
    levels = np.where(rng.random(n) < 0.8, 1.0, rng.integers(0, 4, n))
    return named | {"town": Column("town", "categorical", levels, ("a", "b", "c", "d"))}


def part(whole: dict[str, Column], rows: np.ndarray) -> dict[str, Column]:
    return {name: Column(name, c.kind, c.values[rows], c.levels, c.special) for name, c in whole.items()}


def cuts(whole: dict[str, Column], owner: np.ndarray, n: int, max_bin: int, min_rows: int = 20) -> list[dict]:
    async def work(sums: PlainSums, k: int) -> dict[str, tuple[float, ...]]:
        return await agreed_cuts(sums, part(whole, owner == k), max_bin=max_bin, min_rows=min_rows)

    return together(n, work)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_keys_are_in_the_order_of_numbers(values: list[float]) -> None:
    x = np.array(values)
    keys = keys_of(x)
    assert (np.argsort(keys, kind="stable") == np.argsort(x + 0.0, kind="stable")).all()
    assert (numbers_of(keys) == x).all()


@pytest.mark.parametrize(("members", "uneven"), [(3, False), (5, True)])
def test_edges_are_those_of_the_pooled_rows(members: int, uneven: bool) -> None:
    whole, n = columns(6000), 6000
    # A member may have all of the large amounts, or hardly a row.
    owner = np.minimum(np.argsort(np.argsort(whole["balance"].values)) * 30 // n, members - 1) if uneven else None
    owner = RNG.integers(0, members, n) if owner is None else owner
    each = cuts(whole, owner, members, 16)
    assert all(one == each[0] for one in each)
    assert each[0] == cuts(whole, np.zeros(n, int), 1, 16)[0]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(-1e6, 1e6), st.integers(-3, 3).map(float), st.just(float("nan")), st.just(-0.0)),
        min_size=1,
        max_size=200,
    ),
    st.integers(2, 8),
    st.integers(1, 5),
)
def test_any_rows_in_any_hands_give_the_same_edges(values: list[float], max_bin: int, min_rows: int) -> None:
    x = np.array(values)
    whole = {"x": Column("x", "numeric", x)}
    owner = np.arange(x.size) % 3
    found = cuts(whole, owner, 3, max_bin, min_rows)[0]["x"]
    assert found == cuts(whole, owner * 0, 1, max_bin, min_rows)[0]["x"]
    known = x[~np.isnan(x)]
    rows = np.bincount(np.searchsorted(np.array(found), known), minlength=len(found) + 1)
    assert len(found) < max_bin
    assert (rows >= min_rows).all() or len(found) == 0


def test_bins_are_of_about_equal_numbers_of_rows() -> None:
    whole, n = columns(20_000), 20_000
    found = cuts(whole, RNG.integers(0, 3, n), 3, 16)[0]
    for name in ("amount", "balance", "tiny"):
        known = whole[name].values[~np.isnan(whole[name].values)]
        at = (np.searchsorted(np.sort(known), found[name], side="right")) / known.size
        expected = np.arange(1, len(found[name]) + 1) / (len(found[name]) + 1)
        assert len(found[name]) >= 13, name
        assert np.abs(at - expected).max() < 0.05, name
        rows = np.diff(np.r_[0, at, 1]) * known.size
        assert rows.max() < 1.6 * known.size / 15, name


def test_values_that_differ_are_parted_half_way() -> None:
    found = cuts(columns(20_000), RNG.integers(0, 3, 20_000), 3, 8)[0]
    assert found["flag"] == (0.5,)
    assert found["count"][:3] == (0.5, 1.5, 2.5)
    assert found["town"] == (0.5, 1.5, 2.5)
    assert all(0 < edge < 1 for edge in found["code"])
    assert found["empty"] == ()


def test_missing_values_get_a_bin_where_enough_rows_have_none() -> None:
    whole, owner = columns(3000), RNG.integers(0, 3, 3000)

    async def work(sums: PlainSums, k: int) -> dict:
        return await agreed_bins(sums, part(whole, owner == k), max_bin=8)

    bins = together(3, work)[0]
    assert bins["amount"].missing
    assert bins["amount"].n_bins == 8
    assert not bins["balance"].missing
    assert bins["empty"].n_values == 0
    codes = bins["town"].codes(whole["town"].values)
    assert np.bincount(codes).min() >= 20


def test_quantiles_are_those_of_the_pooled_rows() -> None:
    whole, owner = columns(9000), RNG.integers(0, 3, 9000)
    shares = np.array([0.05, 0.25, 0.5, 0.75, 0.95])

    async def work(sums: PlainSums, k: int) -> dict:
        return await agreed_cells(sums, part(whole, owner == k), few=lambda n: 20, shares=shares)

    found = together(3, work)[0]
    for name in ("amount", "balance", "count", "tiny"):
        known = whole[name].values[~np.isnan(whole[name].values)]
        told = found[name].cells.quantiles(shares)
        low, high = found[name].cells.spread(shares)
        true = np.quantile(known, shares, method="inverted_cdf")
        assert ((low <= true) & (true <= high) & (low <= told) & (told <= high)).all(), name
        rank = np.searchsorted(np.sort(known), told) / known.size
        if name == "count":
            assert (told == true).all()
        else:
            assert np.abs(rank - shares).max() <= 20 / known.size, name
    assert np.isnan(found["empty"].cells.quantiles(shares)).all()


def test_a_lone_extreme_value_is_not_looked_into() -> None:
    x = RNG.normal(0, 1, 2000)
    x[7] = 123_456.789
    board = Board(parties(3))

    async def work(sums: PlainSums, k: int) -> dict:
        return await agreed_cells(sums, {"x": Column("x", "numeric", x[k::3])}, few=lambda n: 20)

    cells = together(3, work, board)[0]["x"].cells
    assert cells.counts[-1, 0] == 1
    assert (cells.low[-1], cells.high[-1]) == (2.0**16, np.nextafter(2.0**17, 0))
    assert cells.bound == cells.high[-1]
    divided = cells.rows[cells.bits > 8]
    assert divided.size > 50
    assert len(board.totals) <= 10


def test_edges_keep_clear_of_the_outermost_rows() -> None:
    x = np.r_[RNG.normal(0, 1, 500), 1e7, -1e8, 1e9]
    found = cuts({"x": Column("x", "numeric", x)}, np.arange(x.size) % 3, 3, 64)[0]["x"]
    ordered = np.sort(x)
    assert ordered[19] <= found[0]
    assert found[-1] < ordered[-20]


def test_special_values_and_totals_are_counted_apart() -> None:
    whole, owner = columns(3000), RNG.integers(0, 3, 3000)
    bad = (RNG.random(3000) < 0.2).astype(np.uint8)

    async def work(sums: PlainSums, k: int) -> tuple:
        rows = owner == k
        cells = await agreed_cells(sums, part(whole, rows), few=lambda n: 100, classes=bad[rows], n_classes=2)
        return cells, await agreed_totals(sums, int(rows.sum()), bad[rows])

    cells, totals = together(3, work)[0]
    assert (totals.rows, totals.bad) == (3000, bad.sum())
    special = whole["code"].values == -999
    assert cells["code"].special[-999.0].tolist() == [(special & (bad == k)).sum() for k in (0, 1)]
    assert cells["code"].rows == 3000 - special.sum()
    assert cells["amount"].missing.sum() == np.isnan(whole["amount"].values).sum()
    assert cells["balance"].cells.counts.sum(axis=0).tolist() == [3000 - bad.sum(), bad.sum()]


def test_what_cannot_be_counted_is_named() -> None:
    async def work(sums: PlainSums, k: int) -> None:
        await agreed_cuts(sums, {"debt": Column("debt", "numeric", np.array([1.0, np.inf]))}, max_bin=4)

    for error in outcomes(2, work):
        assert isinstance(error, DataError)
        assert (error.code, error.problems[0].where) == ("VALUE_INFINITE", "debt")
