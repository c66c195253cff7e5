"""Bins over the rows of all members are those of the rows in one place, to the last bit, and the same at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from horizontal.members import Split, made, rows_of
from horizontal.plain_sums import Board, PlainSums, outcomes, parties, together
from scorecard_cases import Kept, levels, numbers

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import PrebinShape, prebins_of, settle_column
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import ConfigError, DataError, PeerLost, RefusedError
from fedcredit.estimators.bin_documents import bins_document
from fedcredit.estimators.horizontal_binning import HorizontalBinning
from fedcredit.estimators.horizontal_binning_cells import Cells
from fedcredit.tables import Column


def fitted(
    split: Split, *, board: Board | None = None, kept: list[Kept] | None = None, **params: Any
) -> list[HorizontalBinning]:
    async def work(sums: PlainSums, k: int) -> HorizontalBinning:
        more = {"run_stage": kept[k]} if kept else {}
        return await HorizontalBinning(**params).fit(sums.federation, *split.train(k), sums=sums, **more)

    return together(split.members, work, board)


@pytest.mark.parametrize(
    ("shares", "params"),
    [
        ((0.7, 0.25, 0.05), {}),
        ((0.02, 0.5, 0.3, 0.1, 0.08), {"method": "chimerge"}),
        ((0.5, 0.49, 0.01), {"method": "quantile", "max_bin": 6}),
    ],
)
def test_bins_counts_and_evidence_are_those_of_the_pooled_rows(shares: tuple[float, ...], params: Any) -> None:
    split = made(shares)
    each = fitted(split, **params)
    columns, y = split.train()
    settings = BinParams(**params)
    documents = {bins_document(parties(1)[0], parties(1)[0], settings, of.columns_) for of in each}
    assert len(documents) == 1
    assert (each[0].total_.rows, each[0].total_.bads) == (y.size, int(y.sum()))
    assert [c.column.name for c in each[0].columns_] == sorted(columns)
    for place, found in enumerate(each[0].columns_):
        values = columns[found.column.name].values
        assert each[0].missing_[place] == np.isnan(values).mean()
        assert found.bins is not None
        counts = BinCounts.of(found.bins.codes(values), y, found.bins.n_bins)
        assert found.table.counts.events.tolist() == counts.events.tolist()
        assert found.rows == tuple(counts.rows.tolist())
    pooled = fitted(Split(split.columns, split.y, np.zeros_like(split.owner), split.held), **params)
    assert documents == {bins_document(parties(1)[0], parties(1)[0], settings, pooled[0].columns_)}
    # Where somebody has said what is cut, or levels do, nothing is agreed on: the bins are those of a vertical card.
    for found in each[0].columns_:
        column = columns[found.column.name]
        if column.kind == "categorical" or column.splits:
            special = {"special": column.special, "splits": column.splits}
            prebins = prebins_of(column.values, settings, levels=column.kind == "categorical", **special)
            counts = BinCounts.of(prebins.codes(column.values), y, prebins.n_bins)
            settled = settle_column(PrebinShape.of(prebins, by_hand=bool(column.splits)), counts, settings)
            assert settled.iv == found.iv
            assert settled.table.woe.tolist() == list(found.bins.evidence)


@pytest.mark.parametrize("small", ["merge", "refuse"])
def test_declared_cuts_give_the_pre_bins_of_the_pooled_rows(small: Any) -> None:
    rng = np.random.default_rng(1)
    params = BinParams(small=small)
    for trial in range(40):
        n = int(rng.integers(0, 900))
        values = rng.normal(size=n).round(1)
        values[rng.random(n) < rng.choice([0, 0.02, 0.3, 1])] = np.nan
        cuts = tuple(sorted(rng.choice(np.arange(-20, 20) / 10, int(rng.integers(1, 6)), replace=False).tolist()))
        codes = (0.0, 0.5) if trial % 2 else ()
        town = np.where(np.isnan(values), np.nan, rng.integers(0, 9, n) ** 2 // 9)
        for column in (numbers("x", values, special=codes, splits=cuts), levels("t", town, tuple("abcdefghi"))):
            cells = Cells.of(column, np.empty(0))
            parts = [
                Cells.of(replace(column, values=part), np.empty(0)).rows()
                for part in np.split(column.values, 3 * [n // 2])
            ]
            rows = np.sum(parts, axis=0)
            assert rows.sum() == n
            how = {"levels": column.kind == "categorical", "special": column.special, "splits": column.splits}
            try:
                expected: Any = prebins_of(column.values, params, **how)
            except RefusedError:
                with pytest.raises(RefusedError):
                    cells.prebins(rows, params)
            else:
                assert cells.prebins(rows, params) == expected


def test_only_pre_bins_with_enough_rows_are_counted_by_class() -> None:
    split, board = made((0.4, 0.4, 0.2), n=1500), Board(parties(3))
    each = fitted(split, board=board)
    counted = board.totals["sums/binning/counts"].view(np.int64)
    rows = np.sum(np.split(counted, 2), axis=0)
    assert rows.min() >= each[0].params.min_rows
    assert sum(label.startswith("sums/binning/cuts.") for label in board.totals) <= 10
    assert {label.rsplit("/", 1)[1] for label in board.totals if "cuts" not in label} == {
        "columns",
        "total",
        "rows",
        "counts",
    }


def test_a_member_without_bad_rows_or_without_rows_takes_part() -> None:
    split = made(without_bad=1)
    assert split.train(1)[1].sum() == 0
    found = fitted(split)
    assert found[0].total_.bads == split.train()[1].sum()
    nobody = Split(split.columns, split.y, np.where(split.owner == 1, 0, split.owner), split.held)
    assert nobody.train(1)[1].size == 0
    assert fitted(nobody)[1].columns_[0].iv == found[0].columns_[0].iv


def test_it_goes_on_from_the_stages_that_are_kept() -> None:
    split = made()
    whole = [Kept() for _ in range(3)]
    first = fitted(split, kept=whole)
    assert whole[0].made == [f"binning/{phase}" for phase in ("total", "cuts", "rows", "counts")]
    assert len({of.states["binning/counts"] for of in whole}) == 1
    cut = [Kept({stage: state for stage, state in of.states.items() if stage != "binning/counts"}) for of in whole]
    again = fitted(split, kept=cut)
    assert cut[0].made == ["binning/counts"]
    assert [c.iv for c in again[2].columns_] == [c.iv for c in first[2].columns_]
    assert not fitted(split, kept=[Kept(of.states) for of in whole])[0].seconds_


def test_columns_that_differ_and_labels_of_one_class_are_refused() -> None:
    split = made(n=900)

    async def other(sums: PlainSums, k: int) -> HorizontalBinning:
        columns, y = split.train(k)
        if k == 1:
            columns = columns | {"own": replace(columns["own"], special=(0.0,))}
        return await HorizontalBinning().fit(sums.federation, columns, y, sums=sums)

    found = outcomes(3, other)
    assert [error.code for error in found] == ["COLUMNS_DIFFER"] * 3

    async def good(sums: PlainSums, k: int) -> HorizontalBinning:
        columns, y = split.train(k)
        return await HorizontalBinning().fit(sums.federation, columns, np.zeros_like(y), sums=sums)

    found = outcomes(3, good)
    assert [error.code for error in found] == ["LABEL_ONE_CLASS"] * 3

    async def infinite(sums: PlainSums, k: int) -> HorizontalBinning:
        columns, y = split.train(k)
        if k == 2:
            columns["pressure"].values[0] = np.inf
        return await HorizontalBinning().fit(sums.federation, columns, y, sums=sums)

    found = outcomes(3, infinite)
    assert [type(error) for error in found] == [PeerLost, PeerLost, DataError]
    assert found[2].problems[0].where == "pressure"


def test_a_column_may_be_refused_at_all_and_width_is() -> None:
    split = made(n=900)
    split.columns["own"] = replace(split.columns["own"], splits=(-9.0, 0.0))
    each = fitted(split, small="refuse")
    assert {of.columns_[-1].refused for of in each} == {"BIN_TOO_SMALL"}
    assert {"own", "pressure"} <= {c.column.name for c in each[0].columns_ if c.bins is None}
    with pytest.raises(ConfigError, match="CONFIG_CONFLICT: method"):
        HorizontalBinning(method="width")


def test_rows_of_a_split_are_its_members_rows() -> None:
    split = made(n=500)
    parts: list[dict[str, Column]] = [split.train(k)[0] for k in range(3)]
    assert np.concatenate([p["own"].values for p in parts]).tolist() == split.train()[0]["own"].values.tolist()
    assert rows_of(split.columns, np.array([3]))["own"].values == split.columns["own"].values[3]
