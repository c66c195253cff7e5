"""The town itself: what other tests of this folder rely on."""

from __future__ import annotations

import pytest
from faults.town import BANK, PARTIES, PLATFORM, REGISTRY, TAX, Town

pytestmark = pytest.mark.anyio


async def test_the_same_job_gives_the_same_bytes_and_doors_know_who_knocks(
    town: Town, oracle: dict[str, bytes]
) -> None:
    assert {name.split("/")[0] for name in oracle} == {*PARTIES, "figures"}
    job = await town.submit()
    end = await town.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert town.result(job) == oracle
    for pair in ((BANK, TAX), (BANK, REGISTRY), (PLATFORM, BANK)):
        assert town.doors.passed(*pair) > 10_000, pair
