"""The real data sets beside the checkout as tables of weights of evidence, with optbinning's own splits."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from fedcredit.credit.prebinning import manual_bins
from fedcredit.credit.woe import BinCounts, woe_table

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
VECTORS = Path(__file__).resolve().parent / "vectors" / "optbinning.json"
KEYS = {"default_credit": ("id", "y"), "sba": ("uscc", "default")}
LEFT_OUT = {"approval_year"}


@functools.cache
def woe_columns(folder: str) -> tuple[dict[tuple[str, str], np.ndarray], np.ndarray]:
    """Columns by file and name, and labels, of the rows that all files have. Skips where the files are not there."""
    key, label = KEYS[folder]
    cases = [
        case
        for case in json.loads(VECTORS.read_text())["real"]
        if case["file"].startswith(folder) and case["name"] not in LEFT_OUT
    ]
    files = {}
    for name in {case["file"] for case in cases}:
        if not (DATA / name).exists():
            pytest.skip(f"{name} is not beside this checkout")
        with (DATA / name).open(newline="") as file:
            files[name] = {row[key]: row for row in csv.DictReader(file)}
    ids = sorted(set.intersection(*(set(rows) for rows in files.values())))
    y = np.array([int(files[cases[0]["file"]][i][label]) for i in ids], np.uint8)
    columns = {}
    for case in cases:
        values = np.array([float(files[case["file"]][i][case["name"]] or "nan") for i in ids])
        bins = manual_bins(values, case["own"]["splits"], min_rows=1, special=case["special"])
        codes = bins.codes(values)
        columns[case["file"], case["name"]] = woe_table(BinCounts.of(codes, y, bins.n_bins)).woe[codes]
    return columns, y
