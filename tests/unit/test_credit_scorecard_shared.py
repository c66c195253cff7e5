"""Bins of real columns beside optbinning's: the same splits give the same table, the same pre-bins the same bins."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedcredit.credit.joining import Floor, chi_merge, settle
from fedcredit.credit.optimal import BinLimits, optimal_binning
from fedcredit.credit.prebinning import manual_bins, quantile_bins
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.woe import BinCounts, woe_table

pytestmark = pytest.mark.shared

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "optbinning.json").read_text())["real"]
KEYS = {"default_credit": ("id", "y"), "sba": ("uscc", "default")}
FILES = {
    "default_credit": ("default_credit_hetero_guest.csv", "default_credit_hetero_host.csv"),
    "sba": ("bank.csv", "employment.csv"),
}


@functools.cache
def table(folder: str) -> tuple[dict[str, dict[str, dict[str, str]]], list[str]]:
    """The rows of the two files by their key, and the keys that both have."""
    files = {}
    for name in FILES[folder]:
        path = DATA / folder / name
        if not path.exists():
            pytest.skip(f"{name} is not beside this checkout")
        with path.open(newline="") as file:
            files[name] = {row[KEYS[folder][0]]: row for row in csv.DictReader(file)}
    return files, sorted(set.intersection(*(set(rows) for rows in files.values())))


def column(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    folder, _, file = case["file"].partition("/")
    files, ids = table(folder)
    first = files[FILES[folder][0]]
    y = np.array([int(first[i][KEYS[folder][1]]) for i in ids], np.uint8)
    return np.array([float(files[file][i][case["name"]] or "nan") for i in ids]), y


def in_their_order(bins: ScorecardBins) -> np.ndarray:
    """Our codes as optbinning lists bins: values, special ones, missing ones; -1 for a bin that nothing is in."""
    special = [code for code in bins.special_codes if code >= bins.values.n_bins] or [-1]
    missing = [bins.values.missing_code] if bins.values.missing else [-1]
    return np.array([*range(bins.n_values), *special, *missing])


def assert_same_table(bins: ScorecardBins, counts: BinCounts, theirs: dict[str, Any]) -> None:
    found, order = woe_table(counts), in_their_order(bins)
    there = order >= 0
    for name, ours in (("good", counts.non_events), ("bad", counts.events), ("woe", found.woe), ("iv", found.iv)):
        values = np.where(there, ours[order], 0)
        assert values == pytest.approx(np.array(theirs[name]), abs=1e-12), name
    assert found.total_iv == pytest.approx(theirs["total_iv"], abs=1e-12)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['file']}-{case['name']}")
def test_the_same_splits_give_the_table_of_optbinning(case: dict[str, Any]) -> None:
    values, y = column(case)
    bins = manual_bins(values, case["own"]["splits"], min_rows=1, special=case["special"])
    counts = BinCounts.of(bins.codes(values), y, bins.n_bins)
    assert_same_table(bins, counts, case["own"])


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['file']}-{case['name']}")
def test_the_same_pre_bins_give_the_bins_of_optbinning(case: dict[str, Any]) -> None:
    values, y = column(case)
    bins = manual_bins(values, case["prebins"], min_rows=1, special=case["special"])
    counts = BinCounts.of(bins.codes(values), y, bins.n_bins)
    fine = counts.taken(np.arange(bins.n_values))
    for trend, theirs in case["trends"].items():
        limits = BinLimits(trend=trend, max_bins=8, min_rows=1)
        if theirs["status"] != "OPTIMAL":
            continue
        found = optimal_binning(fine, limits, n_rows=values.size)
        kept, to = bins.cut(found.ends)
        if kept.splits == tuple(theirs["splits"]):
            assert_same_table(kept, counts.grouped(to), theirs)
        else:
            # Bins as good to the six decimal places of its solver, or better.
            other = manual_bins(values, theirs["splits"], min_rows=1, special=case["special"])
            plain = BinCounts.of(other.codes(values), y, other.n_bins).taken(np.arange(other.n_values))
            assert woe_table(plain).total_iv - 1e-12 <= found.iv


def test_most_of_the_columns_have_the_very_bins() -> None:
    same = all_of_them = 0
    for case in VECTORS:
        values, y = column(case)
        bins = manual_bins(values, case["prebins"], min_rows=1, special=case["special"])
        fine = BinCounts.of(bins.codes(values), y, bins.n_bins).taken(np.arange(bins.n_values))
        for trend, theirs in case["trends"].items():
            if theirs["status"] == "OPTIMAL":
                found = optimal_binning(fine, BinLimits(trend=trend, max_bins=8, min_rows=1), n_rows=values.size)
                same += bins.cut(found.ends)[0].splits == tuple(theirs["splits"])
                all_of_them += 1
    assert all_of_them > 60
    assert same > 0.9 * all_of_them


@pytest.mark.parametrize("case", VECTORS[::4], ids=lambda case: f"{case['file']}-{case['name']}")
def test_a_column_becomes_bins_from_end_to_end(case: dict[str, Any]) -> None:
    values, y = column(case)
    fine = quantile_bins(values, max_bin=20, min_rows=50, special=case["special"])
    counts = BinCounts.of(fine.codes(values), y, fine.n_bins)
    bins, kept = settle(fine, counts, Floor())
    chosen = optimal_binning(kept.taken(np.arange(bins.n_values)), BinLimits(), n_rows=values.size)
    best, to = bins.cut(chosen.ends)
    final = kept.grouped(to)
    assert not Floor().below(final).any()
    assert BinCounts.of(best.codes(values), y, best.n_bins).events.tolist() == final.events.tolist()
    merged = chi_merge(kept.taken(np.arange(bins.n_values)), max_bins=8)
    assert 1 <= merged.size <= 8
    assert 0 <= woe_table(final).total_iv <= woe_table(kept).total_iv + 1e-9
