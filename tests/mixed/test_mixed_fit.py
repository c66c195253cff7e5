"""Labels at several banks, columns at departments: the coefficients of the centralised fit of all rows."""

from __future__ import annotations

import numpy as np
import pytest
import rlwe_stand_in
from mixed.mixed_cases import Case, joined, play

CASES = {
    "three banks, two departments": Case((2, 3)),
    "columns of the banks": Case((2, 1), own=2),
    "two banks, one department": Case((3,), own=1, n=(400, 150)),
    "three departments": Case((1, 2, 1), own=1),
    "a bank of few rows": Case((2, 2), own=1, n=(500, 60, 25)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_fit_is_the_centralised_one_of_all_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = CASES[name]
    outcome, fit = play(case), case.centralised()
    off = (joined(case, outcome, "values") - fit.estimates.values) / fit.estimates.standard_errors
    print(np.abs(off).max(), np.abs(joined(case, outcome, "values") - fit.estimates.values).max())
    assert off == pytest.approx(0, abs=1e-3)
    assert joined(case, outcome, "standard_errors") == pytest.approx(fit.estimates.standard_errors, rel=1e-4)
    leader = outcome.results[case.banks[0]]
    assert leader.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-4)
