"""Encrypted scores of a model over real records: those of the same model where all columns are in one place."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from trees_town import BANK, Town, numbered

from fedcredit.credit.binary import probability
from fedcredit.credit.binning import fit_bins
from fedcredit.credit.centralised import train_centralised
from fedcredit.credit.params import TreeParams
from fedcredit.credit.trees import Tree, goes_left
from fedcredit.protocols.score.trees import MAX_ERROR

pytestmark = [pytest.mark.slow, pytest.mark.shared]

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "sba"
PARAMS = TreeParams(num_trees=50, max_depth=5, max_bin=32, learning_rate=0.1)
LEFT_OUT = {"default", "approval_year"}
SCORED = 120


def pooled() -> tuple[list[npt.NDArray[np.float64]], list[int | None], list[int], npt.NDArray[np.uint8]]:
    """The columns of the rows that all files have, their levels, their owners, and labels."""
    files = []
    for name in ("bank", "registry", "employment"):
        if not (path := DATA / f"{name}.csv").exists():
            pytest.skip(f"{path.name} is not beside this checkout")
        with path.open(newline="") as file:
            files.append({row.pop("uscc"): row for row in csv.DictReader(file)})
    ids = sorted(set.intersection(*(set(file) for file in files)))
    columns: list[npt.NDArray[np.float64]] = []
    levels: list[int | None] = []
    owners: list[int] = []
    for owner, file in enumerate(files):
        for place, name in enumerate(name for name in file[ids[0]] if name not in LEFT_OUT):
            texts = [file[i][name] for i in ids]
            try:
                columns.append(np.array([float(text) if text else np.nan for text in texts]))
                levels.append(None)
            except ValueError:
                known = {text: code for code, text in enumerate(sorted({text for text in texts if text}))}
                columns.append(np.array([known[text] if text else np.nan for text in texts], np.float64))
                levels.append(len(known))
            # The registry's columns are of two providers, so that there are three.
            owners.append(3 if owner == 1 and place % 2 else owner)
    return columns, levels, owners, np.array([int(files[0][i]["default"]) for i in ids], np.uint8)


def sides_of(
    trees: Sequence[Tree],
    owner: int,
    codes: npt.NDArray[np.uint8],
    n_bins: npt.NDArray[np.int64],
    missing: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    found = [
        goes_left(codes[:, f], int(tree.bin[s]), bool(tree.missing_left[s]), int(n_bins[f]) - 1 if missing[f] else None)
        for tree in trees
        for s, f in enumerate(tree.feature)
        if tree.owner[s] == owner
    ]
    return np.array(found)


def test_scores_are_those_of_the_centralised_model() -> None:
    columns, levels, owners, y = pooled()
    bins = [
        fit_bins(values, max_bin=32, min_rows=3, levels=count) for values, count in zip(columns, levels, strict=True)
    ]
    codes = np.stack([b.codes(values) for b, values in zip(bins, columns, strict=True)], axis=1)
    n_bins, missing = np.array([b.n_bins for b in bins]), np.array([b.missing for b in bins])
    ensemble = train_centralised(codes, n_bins, missing, y, PARAMS)
    owner_of = np.array(owners, np.int32)
    trees = tuple(dataclasses.replace(tree, owner=owner_of[tree.feature]) for tree in ensemble.trees)
    assert len(trees) == PARAMS.num_trees
    rows = np.random.default_rng(1).choice(len(y), SCORED, replace=False)
    sides = [sides_of(trees, owner, codes[rows], n_bins, missing) for owner in range(4)]
    assert all(len(of) for of in sides), "all four parties have splits"
    town = Town(trees, numbered(trees, 3), sides, [np.ones(SCORED, bool)] * 3, ensemble.initial)
    scores = town.run().results[BANK]
    assert scores.scored.all()
    assert np.abs(probability(scores.raw) - ensemble.predict(codes[rows])).max() < MAX_ERROR
    assert town.model.error < MAX_ERROR
