"""One town for all tests that leave it whole, and the result of an uninterrupted run, which is the oracle."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from faults.town import Town


@pytest.fixture(scope="session")
async def _town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    made = Town(tmp_path_factory.mktemp("town"))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.fixture(scope="session")
async def oracle(_town: Town) -> dict[str, bytes]:
    """What the town's job gives when nothing happens to it."""
    job = await _town.submit()
    end = await _town.end(job)
    assert end.stage == "succeeded", (end, _town.failure("bank", job))
    return _town.result(job)


@pytest.fixture
async def town(_town: Town, oracle: dict[str, bytes]) -> AsyncIterator[Town]:
    """The town, whole; it is made whole again afterwards."""
    await _town.restore()
    yield _town
    await _town.restore()
