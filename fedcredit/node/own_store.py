"""A node's hold on its own store: taken at its start, kept while it runs; when it is lost, the node ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO

from fedcredit.errors import ConfigError, Problem
from fedcredit.node.store import LeaseLost, Locked, Store
from fedcredit.node.store.lease import LEASE_S
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile

__all__ = ["hold_store", "lock_folder", "store_url"]

_LOOK_S = 0.5

_log = logs.get("store")


def store_url(config: PartyFile) -> str:
    """Where the node of `config` keeps its jobs. It may hold a password."""
    return config.store_url or f"sqlite:///{config.folder / 'store.sqlite'}"


def lock_folder(folder: Path) -> IO[str]:
    """Hold the folder for this process until the file is closed. Raises ConfigError (LOCKED) naming who has it."""
    path = folder / "node.lock"
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read(200).strip() or "another process"
        file.close()
        raise ConfigError(Problem("LOCKED", str(folder), f"{holder} runs this node", "stop it first")) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


async def hold_store(config: PartyFile, clock: Clock, shut_down: asyncio.Event, stack: AsyncExitStack) -> Store:
    """Open the node's store for this process; `stack` closes it. Losing it to another process shuts the node down.

    Raises: ConfigError: Locked (LOCKED) when another process runs this node, or the store's own problems.
    """
    store = await _open(store_url(config), clock)
    stack.callback(store.close)
    loop = asyncio.get_running_loop()

    def lost(error: LeaseLost) -> None:
        _log.error("store.lease_lost", code=error.code)
        loop.call_soon_threadsafe(shut_down.set)

    store.lease.keep(lost)
    return store


async def _open(url: str, clock: Clock) -> Store:
    # A holder on another machine cannot be looked at. It may have crashed a moment ago, e.g. when a container is
    # replaced: then it says nothing more, and its time runs out. One that lives renews its lease before that.
    deadline, expires = clock.monotonic() + LEASE_S + 2, None
    while True:
        try:
            return await asyncio.to_thread(Store.open, url, clock)
        except Locked as locked:
            lives = expires is not None and locked.expires > expires
            if lives or not locked.elsewhere or clock.monotonic() > deadline:
                raise
            expires = locked.expires
        await asyncio.sleep(_LOOK_S)
