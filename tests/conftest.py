"""Fixtures of all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from postgresql_server import Server, missing
from raw_store import connected
from xdist.scheduler import LoadScopeScheduling

from fedcredit import failpoints
from fedcredit.node.store import Store, tables

FAULTS = "tests/faults/"
TOWN = "the one town"

TOWNLESS = ("frames", "reached", "simulation", "store", "syscalls", "takeover", "verify_log")
"""Modules about faults that have processes of their own, or none: they need not wait for those over the one town."""

# No test depends on how long an example takes, to check or to make. The parent is Hypothesis' own profile for CI, where
# that is set.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow]
)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def _note_failpoints() -> None:
    """Where `make` asks for it, note which failpoints are reached, here and in every process that tests start."""
    if failpoints.REACHED in os.environ:
        os.environ[failpoints.ALLOW] = "1"
        failpoints.load()


def pytest_configure() -> None:
    """Let processes that tests start keep what Python compiles for the next one, whatever the environment says."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage once, when all is collected: modules and tests live to the end, and are millions of objects.

    What is left of a collection is looked through no more, so that a search while tests run is a search of their own.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What reports on the whole run comes last; what takes longest, the tests over the one town, first."""

    def turn(item: pytest.Item) -> tuple[bool, bool, bool]:
        last = item.name == "test_every_failpoint_was_reached"
        return last, scope_of(item.nodeid) != TOWN, not item.nodeid.startswith(FAULTS)

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Where tests run on several cores, those of a module stay in one process, and all over the one town."""

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return Scheduling(config, log)


def scope_of(nodeid: str) -> str:
    """A name for the tests that share what is costly to make."""
    module = nodeid.partition("::")[0]
    townless = module in {f"{FAULTS}test_{name}.py" for name in TOWNLESS}
    return TOWN if module.startswith(FAULTS) and not townless else module


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio alone: the transport is built on grpc's asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """All async tests share one event loop, as all calls of a node do.

    grpc has one queue of events in a process. With a loop for each test, what is still in the queue for a loop that is
    closed by now is raised in whatever test runs then.
    """
    yield  # noqa: PT022 - a generator keeps the loop until the end of the session


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server that runs as long as the tests."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    with Server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of nothing yet, in each of the databases that a node can use."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    server: Server = request.getfixturevalue("postgresql")
    return server.url()


@pytest.fixture(scope="session")
def emptied_url(postgresql: Server) -> str:
    """One store on the server, which tests empty for each other: migrating it anew takes most of a second."""
    url = postgresql.url()
    Store.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store without content, in each of the databases that a node can use."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    url: str = request.getfixturevalue("emptied_url")
    with connected(url) as connection:
        for table in reversed(tables.metadata.sorted_tables):
            if table.name not in ("schema_version", "leases"):
                connection.execute(table.delete())
        connection.execute(tables.leases.update().values(instance="", fence=0, expires=0.0))
    return url
