"""Which way a peer is dialled: straight, or through the relay by way of a local socket.

An address `relay://tax` says that `tax` is reached through the platform. gRPC is given a unix socket in a folder that
only this user may enter; what connects there, which is gRPC with its TLS, is carried to the peer. Who could open the
socket would gain nothing: without the certificates of this party the peer refuses it.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId
from fedcredit.transport.address import RELAYED
from fedcredit.transport.relay.pipe import SocketEnd

__all__ = ["Carry", "LocalSockets", "Routes"]

Carry = Callable[[PartyId, SocketEnd], Awaitable[object]]
"""Carries a connection to a peer until it has ended. Does not raise for what happens to the connection."""

_MAX_PATH_BYTES = 107  # sun_path of unix(7), less its closing zero
_BACKLOG = 16
_REST_S = 0.5


class LocalSockets:
    """A private folder with one listening socket a peer; `close` removes it. Raises ConfigError (SOCKET_PATH)."""

    def __init__(self, carry: Carry) -> None:
        self._carry = carry
        self._folder = Path(tempfile.mkdtemp(prefix="fedcredit-"))
        self._listening: dict[PartyId, tuple[Path, socket.socket]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def path(self, name: str) -> Path:
        """A path for a socket in the folder. Raises ConfigError where that would be too long for the system."""
        path = self._folder / f"{name}.sock"
        if len(str(path).encode()) > _MAX_PATH_BYTES:
            what = f"a socket's path has at most {_MAX_PATH_BYTES} bytes"
            raise ConfigError(Problem("SOCKET_PATH", str(self._folder), what, "set TMPDIR to a shorter one"))
        return path

    def to(self, peer: PartyId) -> Path:
        """The socket that leads to `peer`. Needs a running event loop."""
        if peer not in self._listening:
            path = self.path(f"to-{peer}")
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listener.setblocking(False)
                listener.bind(str(path))
                listener.listen(_BACKLOG)
            except BaseException:
                listener.close()
                raise
            self._listening[peer] = (path, listener)
            self._listen(peer, listener)
        return self._listening[peer][0]

    async def close(self) -> None:
        """Hang up and remove the folder."""
        for _, listener in self._listening.values():
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self, peer: PartyId, listener: socket.socket) -> None:
        # Called when somebody knocks, so that a connection is never taken by a task that is just being cancelled.
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener, self._accept, peer, listener)

    def _accept(self, peer: PartyId, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone again
        except OSError:
            # No descriptor is free, say. Whoever knocks goes on knocking, and is let in a moment later.
            loop.remove_reader(listener)
            loop.call_later(_REST_S, self._listen, peer, listener)
            return
        end = SocketEnd(accepted)
        task = loop.create_task(self._serve(peer, end), name=f"relayed to {peer}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Also where the task is cancelled before it has begun.
        task.add_done_callback(lambda _: end.close())

    async def _serve(self, peer: PartyId, end: SocketEnd) -> None:
        await self._carry(peer, end)


class Routes:
    """Gives `GrpcTransport` the target to dial for a peer. `relay` is dialled straight, whatever is said of it."""

    def __init__(self, sockets: LocalSockets, *, relay: PartyId, all_through: bool) -> None:
        self._sockets, self._relay, self._all_through = sockets, relay, all_through

    def __call__(self, peer: PartyId, address: str) -> str:
        """The gRPC target for `peer` at `address`. Raises ConfigError (ADDRESS_INVALID)."""
        relayed = address.startswith(RELAYED)
        if relayed and (address != RELAYED + peer or peer == self._relay):
            fix = f"say {RELAYED}{peer}" if peer != self._relay else "give its host:port"
            raise ConfigError(Problem("ADDRESS_INVALID", f"address of {peer}", "names another party", fix))
        if relayed or (self._all_through and peer != self._relay):
            return f"unix:{self._sockets.to(peer)}"
        return address
