"""Figures that are looked up rather than counted, and the port where Prometheus reads all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import start_http_server

from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.node.store import JobState, Store
from fedcredit.observe import logs, metrics
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.observe_file import MetricsSection
from fedcredit.transport.grpc import Keyring

__all__ = ["served"]

LOOK_S = 5.0

_log = logs.get("node")


@asynccontextmanager
async def served(
    section: MetricsSection, store: Store, keyring: Keyring, clock: Clock, audit_entries: Callable[[], int]
) -> AsyncIterator[int]:
    """Serve the figures while this is open, at the port given; 0, and nothing is served, where none is configured.

    Raises: ConfigError (PORT_IN_USE).
    """
    if section.listen is None:
        yield 0
        return
    try:
        server, _ = start_http_server(section.port, section.host, metrics.REGISTRY)
    except OSError:
        what = f"cannot listen on {section.listen}"
        raise ConfigError(Problem("PORT_IN_USE", "metrics.listen", what, "choose another port")) from None
    task = asyncio.create_task(_keep_looking(store, keyring, clock, audit_entries), name="figures")
    try:
        yield server.server_port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.shutdown)
        server.server_close()


async def _keep_looking(store: Store, keyring: Keyring, clock: Clock, audit_entries: Callable[[], int]) -> None:
    while True:
        try:
            await asyncio.to_thread(_look, store)
        except FedcreditError as error:
            _log.info("node.figures_missed", code=error.code)
        metrics.CERTIFICATE_SECONDS.set((keyring.expires - clock.now()).total_seconds())
        metrics.AUDIT_ENTRIES.set(audit_entries())
        await asyncio.sleep(LOOK_S)


def _look(store: Store) -> None:
    found = Counter(store.jobs.counts()) + Counter(store.platform.counts())
    for state in JobState:
        metrics.JOBS.labels(state.value).set(found[state])
