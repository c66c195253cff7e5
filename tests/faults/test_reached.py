"""The report on failpoints: each was reached by some test, so that none is named where no code goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedcredit import failpoints


def test_there_are_failpoints_wherever_a_crash_matters() -> None:
    assert len(failpoints.NAMES) >= 41
    areas = {name.split(".")[0] for name in failpoints.NAMES}
    assert {"job", "store", "platform", "relay"} <= areas


@pytest.mark.slow
def test_every_failpoint_was_reached() -> None:
    """Over the quick and the slow tests of one `make test`; it runs last."""
    file = os.environ.get(failpoints.REACHED)
    if file is None:
        pytest.skip("only the whole suite can tell: make test")
    reached = set(Path(file).read_text().split())
    print(f"{len(reached & set(failpoints.NAMES))} of {len(failpoints.NAMES)} failpoints reached")
    never = sorted(set(failpoints.NAMES) - reached)
    assert not never
