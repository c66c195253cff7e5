"""A door in front of each node's port, below TLS, that knows who knocks and does to each pair what a test says.

A door is a TCP relay. The caller of a connection is the process that owns the socket, so a test can part two nodes and
leave their links to others alone. Nothing here can read or change what is said: that is for TLS to prevent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

OUTSIDE = "outside"
"""The caller of connections that no node of the town made, such as those of the test itself."""


@dataclass(slots=True)
class Way:
    """What happens to bytes that go one way between two parties."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    delay_s: float = 0.0
    """Each piece takes so long, and the next one waits for it."""
    latency_s: float = 0.0
    """Each piece takes so long, as on a long line: others are on their way meanwhile."""
    bytes_per_s: float = 0.0
    flip: int = 0
    """Spoil a bit in each of that many pieces to come."""
    spoilt: int = 0
    """So many were."""
    passed: int = 0

    def __post_init__(self) -> None:
        self.open.set()


@dataclass(slots=True, eq=False)
class _Connection:
    caller: str
    callee: str
    writers: list[asyncio.StreamWriter]
    pumps: list[asyncio.Task[None]] = field(default_factory=list)

    def abort(self) -> None:
        for pump in self.pumps:
            pump.cancel()
        for writer in self.writers:
            writer.transport.abort()


class Doors:
    """The doors of all nodes. `pids` names the process of each party that runs."""

    def __init__(self, pids: Callable[[], dict[int, str]]) -> None:
        self._pids = pids
        self._ways: dict[tuple[str, str], Way] = defaultdict(Way)
        self._connections: set[_Connection] = set()
        self._servers: dict[str, asyncio.Server] = {}
        self._ports: dict[str, int] = {}

    async def add(self, party: str, port: int) -> str:
        """A door to `party`, which listens on `port`; its address."""
        self._ports[party] = port
        if (before := self._servers.pop(party, None)) is not None:
            before.close()
        server = await asyncio.start_server(lambda r, w: self._enter(party, r, w), "127.0.0.1", 0)
        self._servers[party] = server
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def lead_to(self, party: str, port: int) -> None:
        """The node behind this door listens on another port from now on."""
        self._ports[party] = port

    def way(self, sender: str, receiver: str) -> Way:
        """What is done to bytes from `sender` to `receiver`, whichever of them made the connection."""
        return self._ways[sender, receiver]

    def hold(self, sender: str, receiver: str, *, both: bool = False) -> None:
        """Let no byte pass from `sender` to `receiver`, as a network that drops packets: connections stay open."""
        self.way(sender, receiver).open.clear()
        if both:
            self.way(receiver, sender).open.clear()

    def release(self, sender: str, receiver: str) -> None:
        """Undo `hold`, both ways; what was held goes on, as packets that are sent again do."""
        for way in (self.way(sender, receiver), self.way(receiver, sender)):
            way.open.set()

    def cut(self, one: str, other: str) -> int:
        """Break all connections between two parties; what is in flight, or held, is lost. How many there were."""
        found = [c for c in self._connections if {c.caller, c.callee} == {one, other}]
        for connection in found:
            connection.abort()
        return len(found)

    def heal(self) -> None:
        """Undo everything."""
        for way in self._ways.values():
            way.delay_s = way.bytes_per_s = way.latency_s = way.flip = 0
            way.open.set()

    def passed(self, one: str, other: str) -> int:
        """Bytes that went between two parties so far."""
        return self.way(one, other).passed + self.way(other, one).passed

    async def close(self) -> None:
        """Shut all doors."""
        for server in self._servers.values():
            server.close()
        for connection in list(self._connections):
            connection.abort()
        self.heal()
        for server in self._servers.values():
            await server.wait_closed()

    async def _enter(self, callee: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = tuple(writer.get_extra_info(name)[1] for name in ("peername", "sockname"))
        caller = self._pids().get(owner_of(ends, self._pids()), OUTSIDE)
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._ports[callee])
        except OSError:
            writer.transport.abort()  # as if nobody listened
            return
        connection = _Connection(caller, callee, [writer, behind_writer])
        self._connections.add(connection)
        pumps = connection.pumps = [
            asyncio.create_task(self._pump(self._ways[caller, callee], reader, behind_writer)),
            asyncio.create_task(self._pump(self._ways[callee, caller], behind_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            connection.abort()
            self._connections.discard(connection)

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)
        arriving = asyncio.create_task(self._arrive(line, writer))
        try:
            await self._take_in(way, reader, line)
            await asyncio.wait({arriving}, timeout=way.latency_s + 1)
        finally:
            arriving.cancel()
        raise ConnectionAbortedError

    async def _take_in(self, way: Way, reader: asyncio.StreamReader, line: asyncio.Queue[tuple[float, bytes]]) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                # A connection that breaks while it is held ends this pump by cancelling it: `abort` closes the writer.
                await way.open.wait()
                if way.delay_s:
                    await asyncio.sleep(way.delay_s)
                if way.bytes_per_s:
                    await asyncio.sleep(len(data) / way.bytes_per_s)
                if way.flip:
                    way.flip -= 1
                    way.spoilt += 1
                    data = data[:-1] + bytes([data[-1] ^ 1])
                way.passed += len(data)
                await line.put((asyncio.get_running_loop().time() + way.latency_s, data))
        await line.put((asyncio.get_running_loop().time() + way.latency_s, b""))

    async def _arrive(self, line: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = await line.get()
                if (early_s := due - asyncio.get_running_loop().time()) > 0:
                    await asyncio.sleep(early_s)
                if not data:
                    return
                writer.write(data)
                await writer.drain()


def owner_of(ends: tuple[int, int], pids: dict[int, str]) -> int:
    """The process among `pids` that has the loopback socket with these ports, its own first; 0 if none has.

    One's own port does not tell: Linux gives the same one to connections that lead to different ports.
    """
    inode = next((inode for found, inode in _sockets() if found == ends), "")
    for pid in pids if inode else ():
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(handle.readlink()) == f"socket:[{inode}]":
                        return pid
    return 0


def _sockets() -> Iterator[tuple[tuple[int, int], str]]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] != "0":
                    own, other = (int(end.rpartition(":")[2], 16) for end in fields[1:3])
                    yield (own, other), fields[9]
