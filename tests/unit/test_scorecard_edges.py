"""Hard columns, labels and weights, through a whole scorecard of two parties: the table "Edge cases" of its page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scorecard_cases import BANK, TAX, Case, levels, numbers, play

from fedcredit.errors import FedcreditError

N = 1200


def case(**columns: Any) -> Case:
    """A bank with one column that tells a little, and a department with another and whatever is asked for."""
    rng = np.random.default_rng(1)
    own, theirs = rng.normal(size=(2, N))
    y = (rng.random(N) < 1 / (1 + np.exp(1.0 + 0.8 * own + 0.8 * theirs))).astype(np.uint8)
    of_tax = {"theirs": numbers("theirs", theirs)}
    for name, make in columns.items():
        of_tax[name] = make(rng, y, theirs)
    return Case({BANK: {"own": numbers("own", own)}, TAX: of_tax}, y)


def refusal(of: Case, **params: Any) -> str:
    with pytest.raises(FedcreditError) as error:
        play(of, **params)
    return error.value.code


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only(label: int) -> None:
    of = case()
    of.y = np.full(N, label, np.uint8)
    assert refusal(of) == "LABEL_ONE_CLASS"


@pytest.mark.parametrize("bad", [-1.0, np.inf, np.nan, 1e13])
def test_weights_that_no_fit_can_have(bad: float) -> None:
    of = case()
    weights = np.ones(N)
    weights[7] = bad
    of.columns[BANK]["weight"] = numbers("weight", weights)
    assert refusal(of, weight="weight") in ("WEIGHT_INVALID", "VALUE_INVALID")


def test_columns_that_say_nothing_or_the_same_go_and_the_card_is_made() -> None:
    """Constant, missing throughout, as many levels as rows, bins of one class alone, and a copy of another column."""
    names = tuple(f"level {k}" for k in range(N))
    of = case(
        constant=lambda rng, y, x: numbers("constant", np.full(N, 3.0)),
        missing=lambda rng, y, x: numbers("missing", np.full(N, np.nan)),
        each_its_own=lambda rng, y, x: levels("each_its_own", np.arange(N), names),
        copied=lambda rng, y, x: numbers("copied", 2 * x + 1),
        rare_good=lambda rng, y, x: numbers("rare_good", np.where((y == 0) & (rng.random(N) < 0.02), 9.0, 0.0)),
    )
    cards = play(of)
    rows = {row["column"]: row for row in cards[BANK].outcome_.table.rows()}
    kept = [column.name for column in cards[TAX].part_.columns]
    assert kept in (["theirs"], ["copied"])
    assert not any(rows[f"tax.f{k}"]["kept"] for k in (1, 2, 3, 5))
    assert all(row["why"] for row in rows.values())
    for column in cards[TAX].part_.columns:
        assert np.isfinite(column.coefficient)
        assert np.isfinite(column.standard_error)


def test_a_column_that_tells_labels_apart_goes() -> None:
    apart: Any = {"apart": lambda rng, y, x: numbers("apart", y + 0.1 * rng.random(N))}
    cards = play(case(**apart))
    row = next(row for row in cards[BANK].outcome_.table.rows() if row["column"] == "tax.f1")
    assert not row["kept"]
    assert row["why"]


def test_nothing_is_left() -> None:
    assert refusal(case(), iv_min=5.0) == "NO_COLUMNS_LEFT"
