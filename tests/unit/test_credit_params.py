"""Tree parameters: all problems at once, and the nearest known name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fedcredit.credit.params import TreeParams
from fedcredit.credit.splits import TreeParams as FromSplits
from fedcredit.errors import ConfigError


def test_defaults_are_valid_and_leaves_follow_depth() -> None:
    params = TreeParams()
    assert (params.num_trees, params.max_depth, params.max_bin, params.max_leaves) == (100, 5, 32, 32)
    assert dataclasses.replace(params, max_depth=3).max_leaves == 8
    assert TreeParams(num_leaves=20, max_depth=3).max_leaves == 8
    assert TreeParams(num_leaves=20).max_leaves == 20
    assert FromSplits is TreeParams


def test_whole_numbers_stand_for_real_ones() -> None:
    params = TreeParams.from_mapping({"learning_rate": 1, "lambda_l2": 3})
    assert isinstance(params.learning_rate, float)
    assert params == TreeParams(learning_rate=1.0, lambda_l2=3.0)


def test_all_problems_are_listed_with_the_nearest_key() -> None:
    with pytest.raises(ConfigError) as error:
        TreeParams.from_mapping(
            {"learning-rate": 0.1, "max_depht": 3, "zebra": 1, "max_bin": 1000, "num_trees": "9", "seed": True}
        )
    found = {problem.where: (problem.code, problem.fix) for problem in error.value.problems}
    assert found["learning-rate"] == ("CONFIG_UNKNOWN_KEY", "did you mean 'learning_rate'?")
    assert found["max_depht"] == ("CONFIG_UNKNOWN_KEY", "did you mean 'max_depth'?")
    assert found["zebra"][1].startswith("known keys: bagging_fraction")
    assert found["max_bin"][0] == "CONFIG_VALUE"
    assert found["num_trees"][0] == "CONFIG_TYPE"
    assert found["seed"][0] == "CONFIG_TYPE"
    assert len(found) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_trees": 0},
        {"learning_rate": 0.0},
        {"learning_rate": 1.5},
        {"learning_rate": float("nan")},
        {"lambda_l2": float("inf")},
        {"max_depth": 11},
        {"max_depth": 5.0},
        {"num_leaves": 1},
        {"max_bin": 1},
        {"min_data_in_leaf": 0},
        {"min_data_in_bin": 0},
        {"min_sum_hessian_in_leaf": -1.0},
        {"feature_fraction": 0.0},
        {"bagging_fraction": 1.01, "bagging_freq": 1},
        {"scale_pos_weight": 0},
        {"seed": -1},
        {"num_trees": 10**400},  # found by fuzzing: no float holds it
        {"lambda_l1": 10**400},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    for make in (TreeParams.from_mapping, lambda values: TreeParams(**values)):
        with pytest.raises(ConfigError) as error:
            make(wrong)
        assert [problem.where for problem in error.value.problems] == [next(iter(wrong))]


def test_a_fraction_without_effect_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        TreeParams(bagging_fraction=0.5)
    assert error.value.code == "CONFIG_CONFLICT"
