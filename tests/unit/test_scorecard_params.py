"""Parameters of a scorecard: bounds, conflicts, and all problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import ConfigError


def problems(values: dict[str, Any]) -> set[tuple[str, str]]:
    with pytest.raises(ConfigError) as raised:
        ScorecardParams.from_mapping(values)
    return {(problem.code, problem.where) for problem in raised.value.problems}


def test_parameters_go_to_bins_or_to_the_card() -> None:
    params = ScorecardParams.from_mapping({"max_bin": 6, "method": "chimerge", "iv_min": 0, "pdo": 40, "weight": "w"})
    assert (params.bins.max_bin, params.bins.method, params.bins.iv_disclosure) == (6, "chimerge", "coarse")
    assert ScorecardParams.from_mapping({"iv_disclosure": "exact"}).bins.iv_disclosure == "exact"
    assert (params.iv_min, params.scale.pdo, params.apart) == (0.0, 40.0, ("w",))
    assert ScorecardParams.from_mapping(params.to_mapping()) == params
    assert ScorecardParams.from_mapping(ScorecardParams().to_mapping()) == ScorecardParams()


def test_all_problems_are_told_at_once() -> None:
    found = problems({"max_bins": 6, "max_bin": 1, "iv_min": 0.5, "iv_max": 0.1, "max_features": 41, "odds": -1.0})
    assert found == {
        ("CONFIG_UNKNOWN_KEY", "max_bins"),
        ("CONFIG_VALUE", "max_bin"),
        ("CONFIG_VALUE", "iv_min"),
        ("CONFIG_VALUE", "max_features"),
        ("CONFIG_VALUE", "odds"),
    }


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"iv_min": "0.02"}, "CONFIG_TYPE"),
        ({"iv_min": float("nan")}, "CONFIG_TYPE"),
        ({"stepwise": 1}, "CONFIG_TYPE"),
        ({"max_features": True}, "CONFIG_TYPE"),
        ({"weight": 3}, "CONFIG_TYPE"),
        ({"reference": "worst"}, "CONFIG_VALUE"),
        ({"enter": 0.2}, "CONFIG_VALUE"),
        ({"leave": 1.5}, "CONFIG_VALUE"),
        ({"max_missing": 1.1}, "CONFIG_VALUE"),
        ({"max_stability": 0}, "CONFIG_VALUE"),
        ({"max_correlation": 0}, "CONFIG_VALUE"),
        ({"max_inflation": 0.5}, "CONFIG_VALUE"),
        ({"l2": -1}, "CONFIG_VALUE"),
        ({"n_reasons": 0}, "CONFIG_VALUE"),
        ({"n_bands": 1}, "CONFIG_VALUE"),
        ({"pdo": 0}, "CONFIG_VALUE"),
        ({"signs": "free"}, "CONFIG_VALUE"),
        ({"time": 3}, "CONFIG_TYPE"),
        ({"periods": 1}, "CONFIG_VALUE"),
        ({"periods": 25}, "CONFIG_VALUE"),
        ({"period_scores": True}, "CONFIG_CONFLICT"),
        ({"weight": "w", "time": "w"}, "CONFIG_CONFLICT"),
        ({"signs": "fixed", "expected_sign": False}, "CONFIG_CONFLICT"),
        ({"weight": "w", "offset": "w"}, "CONFIG_CONFLICT"),
        ({"iv_disclosure": "rounded"}, "CONFIG_CONFLICT"),
        ({"iv_disclosure": "none"}, "CONFIG_CONFLICT"),
        ({"min_rows": 10}, "CONFIG_FLOOR"),
    ],
)
def test_what_is_out_of_bounds_is_named(values: dict[str, Any], code: str) -> None:
    assert {(code, where) for where in values} & problems(values)
