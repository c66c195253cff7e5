"""Fixtures of all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# No test depends on how long an example takes. The parent is Hypothesis' own profile for CI, where that is set.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone: the transport is built on grpc's asyncio."""
    return "asyncio"
