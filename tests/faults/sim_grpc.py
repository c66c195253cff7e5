"""gRPC without a network: channels and servers of simulated processes, joined by wires that lose, hold and repeat.

Only what gRPC itself does is played: calls, streams, metadata, deadlines, cancellation, keepalive, who the caller's
certificate names. Handlers, interceptors and clients are those of the nodes. A wire keeps the order of what travels on
one connection, as TCP does; it loses things by breaking the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from faults.sim_loop import PROCESS, Process, SimLoop

LATENCY_S = 0.001
KEEPALIVE_S = 20.0
"""After which a connection on which nothing comes through is given up: a ping after 10 s, an answer within 10 s."""
CONNECT_S = 20.0

Status = grpc.StatusCode


@dataclass(frozen=True)
class SimCredentials:
    """What a process shows of itself."""

    certificate: bytes


@dataclass
class Wire:
    """One direction between two nodes."""

    held: bool = False
    latency_s: float = LATENCY_S
    spoil: deque[Callable[[bytes], list[bytes]]] = field(default_factory=deque)
    """What happens to the next messages of streams: each becomes those returned."""
    repeat: int = 0
    """So many requests to come arrive twice."""
    carried: int = 0


class Fabric:
    """All wires, and all servers by port."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.wires: dict[tuple[str, str], Wire] = defaultdict(Wire)
        self.servers: dict[int, SimServer] = {}
        self.connections: list[Connection] = []
        self.carried: Callable[[], None] = lambda: None
        self._next_port = 20_000

    def wire(self, sender: str, receiver: str) -> Wire:
        """The wire from one node to another."""
        return self.wires[sender, receiver]

    def hold(self, one: str, other: str, *, both: bool = True) -> None:
        """Let nothing through; connections that stay so are given up by keepalive."""
        self.wire(one, other).held = True
        if both:
            self.wire(other, one).held = True
        for connection in self._between(one, other):
            self.loop.in_world(KEEPALIVE_S, connection.give_up_if_held)

    def release(self, one: str, other: str) -> None:
        """Let everything through again."""
        self.wire(one, other).held = self.wire(other, one).held = False
        for connection in self._between(one, other):
            connection.flush()

    def cut(self, one: str, other: str) -> None:
        """Break the connections between two nodes; what is in flight is lost."""
        for connection in self._between(one, other):
            connection.reset()

    def gone(self, process: Process, *, silent: bool) -> None:
        """`process` has ended. Its peers hear a reset, or, if its machine is gone, nothing until keepalive tells."""
        self.servers = {port: server for port, server in self.servers.items() if server.owner is not process}
        for connection in list(self.connections):
            if process in (connection.client, connection.server.owner):
                self.loop.in_world(KEEPALIVE_S if silent else LATENCY_S, connection.reset)

    def listen(self, server: SimServer, port: int) -> int:
        """Take a port. Raises RuntimeError if it is taken."""
        if port == 0:
            self._next_port += 1
            port = self._next_port
        if port in self.servers:
            raise RuntimeError(f"port {port} is taken")
        self.servers[port] = server
        return port

    async def connect(self, client: Process, credentials: SimCredentials, target: str) -> Connection:
        """A connection. Raises ConnectionError when nobody listens or nothing comes through."""
        await asyncio.sleep(2 * LATENCY_S)
        server = self.servers.get(int(target.rpartition(":")[2]))
        if server is None:
            raise ConnectionRefusedError
        waited = 0.0
        while self._held(client.name, server.owner.name):
            await asyncio.sleep(0.5)
            waited += 0.5
            if waited >= CONNECT_S:
                raise ConnectionAbortedError
        if server.owner.dead or server.stopped:
            raise ConnectionRefusedError
        connection = Connection(self, client, credentials, server)
        self.connections.append(connection)
        return connection

    def _held(self, one: str, other: str) -> bool:
        return self.wire(one, other).held or self.wire(other, one).held

    def _between(self, one: str, other: str) -> list[Connection]:
        return [c for c in self.connections if {c.client.name, c.server.owner.name} == {one, other}]


class Connection:
    """One connection from a client's process to a server."""

    def __init__(self, fabric: Fabric, client: Process, credentials: SimCredentials, server: SimServer) -> None:
        self.fabric, self.client, self.credentials, self.server = fabric, client, credentials, server
        self.alive = True
        self.calls: list[ClientCall] = []
        self.served: list[ServerCall] = []
        self._queues: dict[bool, deque[tuple[Callable[..., None], tuple[Any, ...]]]] = {True: deque(), False: deque()}

    def send(self, to_server: bool, deliver: Callable[..., None], *args: Any) -> None:
        """Let `deliver(*args)` happen at the other end, in order."""
        if self.alive:
            self._queues[to_server].append((deliver, args))
            wire = self._wire(to_server)
            wire.carried += 1
            self.fabric.carried()
            self.fabric.loop.in_world(wire.latency_s, self._deliver, to_server)

    def flush(self) -> None:
        """Deliver what was held."""
        for to_server, queue in self._queues.items():
            for _ in queue:
                self.fabric.loop.in_world(LATENCY_S, self._deliver, to_server)

    def reset(self) -> None:
        """Break: every call on it ends, and nothing in flight arrives."""
        if not self.alive:
            return
        self.alive = False
        self.fabric.connections.remove(self)
        for queue in self._queues.values():
            queue.clear()
        for call in list(self.calls):
            call.finish(Status.UNAVAILABLE, "connection lost")
        for served in list(self.served):
            served.disconnect()

    def give_up_if_held(self) -> None:
        """Keepalive: nothing has come through for long."""
        if self._wire(True).held or self._wire(False).held:
            self.reset()

    def spoiled(self, to_server: bool, data: bytes) -> list[bytes]:
        """What becomes of a message of a stream on its way."""
        wire = self._wire(to_server)
        return wire.spoil.popleft()(data) if wire.spoil else [data]

    def repeats(self) -> bool:
        """Whether the next request arrives twice."""
        wire = self._wire(True)
        wire.repeat, twice = max(wire.repeat - 1, 0), wire.repeat > 0
        return twice

    def _wire(self, to_server: bool) -> Wire:
        client, server = self.client.name, self.server.owner.name
        return self.fabric.wire(client, server) if to_server else self.fabric.wire(server, client)

    def _deliver(self, to_server: bool) -> None:
        queue = self._queues[to_server]
        if self.alive and queue and not self._wire(to_server).held:
            deliver, args = queue.popleft()
            deliver(*args)


class ClientCall:
    """A call as its maker sees it: unary, streaming, or both ways."""

    def __init__(
        self, channel: SimChannel, method: str, request: bytes | None, timeout: float | None, wait_for_ready: bool
    ) -> None:
        self._channel, self._method = channel, method
        self._loop = channel.fabric.loop
        self._metadata: tuple[Any, ...] | None = None
        self._replies: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._status: tuple[Status, str, Any] | None = None
        self._connection: Connection | None = None
        self._outgoing: deque[bytes | None] = deque([] if request is None else [request, None])
        self.deadline = None if timeout is None else self._loop.time() + timeout
        self._served: ServerCall | None = None
        self._told: list[tuple[Callable[[Any], None], contextvars.Context]] = []
        if timeout is not None:
            self._loop.call_later(timeout, self._expire)
        self._starting = self._loop.create_task(self._start(wait_for_ready))

    async def _start(self, wait_for_ready: bool) -> None:
        try:
            connection = await self._channel.connection(wait_for_ready)
        except ConnectionError as error:
            self.finish(Status.UNAVAILABLE, type(error).__name__)
            return
        if self._status is not None:
            return
        self._connection = connection
        connection.calls.append(self)
        unary = self._outgoing and self._outgoing[-1] is None
        for again in range(1 + bool(unary and connection.repeats())):
            served = ServerCall(connection, self._method, self.deadline, None if again else self)
            self._served = self._served or served
            connection.send(True, served.begin)
            for data in self._outgoing:
                connection.send(True, served.hear, data)
        self._outgoing.clear()

    def _expire(self) -> None:
        if self._status is None:
            self._hang_up()
            self.finish(Status.DEADLINE_EXCEEDED, "too late")

    def _hang_up(self) -> None:
        if self._connection is not None and self._served is not None:
            self._connection.send(True, self._served.disconnect)

    # -- what the server's side does ------------------------------------------------------------------------------

    def accept(self, metadata: tuple[Any, ...]) -> None:
        if self._status is None:
            self._metadata = metadata
            self._changed.set()

    def reply(self, data: bytes) -> None:
        if self._status is None:
            self._replies.append(data)
            self._changed.set()

    def finish(self, status: Status, details: str = "", trailing: Any = ()) -> None:
        if self._status is None:
            self._status = (status, details, trailing)
            self._changed.set()
            if self._connection is not None:
                self._connection.calls.remove(self)
            for callback, context in self._told:
                self._loop.call_soon(callback, self, context=context)

    # -- what grpc.aio offers -------------------------------------------------------------------------------------

    async def initial_metadata(self) -> tuple[Any, ...]:
        await self._until(lambda: self._metadata is not None)
        return self._metadata or ()

    async def write(self, data: bytes) -> None:
        self._raise_if_over()
        if self._connection is None or self._served is None:
            self._outgoing.append(data)
            return
        for piece in self._connection.spoiled(True, data):
            self._connection.send(True, self._served.hear, piece)

    async def done_writing(self) -> None:
        if self._connection is not None and self._served is not None:
            self._connection.send(True, self._served.hear, None)

    async def read(self) -> Any:
        await self._until(lambda: bool(self._replies))
        if self._replies:
            return self._replies.popleft()
        self._raise_if_over(Status.OK)
        return grpc.aio.EOF

    async def code(self) -> Status:
        return (await self._end())[0]

    async def details(self) -> str:
        return (await self._end())[1]

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._status is not None:
            callback(self)
        self._told.append((callback, contextvars.copy_context()))

    def done(self) -> bool:
        return self._status is not None

    def cancel(self) -> bool:
        over = self._status is not None
        if not over:
            self._hang_up()
            self.finish(Status.CANCELLED, "cancelled here")
        return not over

    def __await__(self) -> Any:
        return self._unary().__await__()

    async def _unary(self) -> bytes:
        try:
            data = await self.read()
            if isinstance(data, bytes):
                return data
        except asyncio.CancelledError:
            self.cancel()
            raise
        raise AssertionError("a unary call has a reply or fails")

    async def __aiter__(self) -> Any:
        try:
            while isinstance(data := await self.read(), bytes):
                yield data
        finally:
            self.cancel()

    async def _end(self) -> tuple[Status, str, Any]:
        await self._until(lambda: False)
        assert self._status is not None
        return self._status

    async def _until(self, there: Callable[[], bool]) -> None:
        while not there() and self._status is None:
            self._changed.clear()
            await self._changed.wait()

    def _raise_if_over(self, *fine: Status) -> None:
        if self._status is not None and self._status[0] not in fine:
            code, details, trailing = self._status
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*(trailing or ())), details=details)


class ServerCall:
    """A call as it is served; also the `ServicerContext` of its handler."""

    def __init__(self, connection: Connection, method: str, deadline: float | None, client: ClientCall | None) -> None:
        self._connection, self._method, self._deadline, self._client = connection, method, deadline, client
        self._requests: deque[bytes | None] = deque()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._over = False

    def begin(self) -> None:
        server = self._connection.server
        if server.owner.dead or server.stopped:
            return
        self._connection.served.append(self)
        self._task = self._connection.fabric.loop.create_task(server.serve(self), context=server.context)

    def hear(self, data: bytes | None) -> None:
        self._requests.append(data)
        self._changed.set()

    def disconnect(self) -> None:
        """The client has gone: gRPC cancels the handler."""
        if not self._over:
            self.end(Status.CANCELLED, "")
            if self._task is not None:
                self._task.cancel()

    def end(self, status: Status, details: str, trailing: Any = ()) -> None:
        if not self._over:
            self._over = True
            if self in self._connection.served:
                self._connection.served.remove(self)
            self._to_client("finish", status, details, trailing)

    def _to_client(self, what: str, *args: Any) -> None:
        if self._client is not None:
            self._connection.send(False, getattr(self._client, what), *args)

    @property
    def method(self) -> str:
        """The full name of the method called."""
        return self._method

    # -- what a handler uses --------------------------------------------------------------------------------------

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"transport_security_type": [b"ssl"], "x509_pem_cert": [self._connection.credentials.certificate]}

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else self._deadline - self._connection.fabric.loop.time()

    def invocation_metadata(self) -> tuple[Any, ...]:
        return ()

    def peer(self) -> str:
        return f"sim:{self._connection.client.name}"

    async def send_initial_metadata(self, metadata: Any) -> None:
        self._to_client("accept", tuple(metadata))

    async def read(self) -> Any:
        while not self._requests:
            self._changed.clear()
            await self._changed.wait()
        if self._requests[0] is None:
            return grpc.aio.EOF
        return self._requests.popleft()

    async def write(self, data: bytes) -> None:
        if self._over:
            raise asyncio.InvalidStateError("the call is over")
        self._to_client("reply", data)

    async def abort(self, code: Status, details: str = "", trailing_metadata: Any = ()) -> None:
        self.end(code, details, trailing_metadata)
        raise grpc.aio.AbortError


class SimServer:
    """Stands for `grpc.aio.server`."""

    def __init__(self, fabric: Fabric, interceptors: Any = ()) -> None:
        owner = PROCESS.get()
        assert owner is not None, "servers belong to processes"
        self.fabric, self.owner = fabric, owner
        self.context = contextvars.copy_context()
        self.stopped = False
        self._handlers: list[Any] = []
        self._interceptors = list(interceptors or ())

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        self._handlers.append(grpc.method_handlers_generic_handler(service, handlers))

    def add_secure_port(self, address: str, credentials: Any) -> int:
        return self.fabric.listen(self, int(address.rpartition(":")[2]))

    async def start(self) -> None:
        """Serve."""

    async def stop(self, grace: float | None) -> None:
        self.stopped = True
        self.fabric.servers = {port: server for port, server in self.fabric.servers.items() if server is not self}
        for connection in [c for c in self.fabric.connections if c.server is self]:
            self.fabric.loop.in_world(grace or 0, connection.reset)
        await asyncio.sleep(grace or 0)

    async def serve(self, call: ServerCall) -> None:
        """Answer one call."""
        details = _Details(call.method)

        async def handler_of(of: Any) -> Any:
            return next((found for h in self._handlers if (found := h.service(of)) is not None), None)

        ask = handler_of
        for interceptor in reversed(self._interceptors):
            ask = _asking(interceptor, ask)
        with contextlib.suppress(grpc.aio.AbortError, asyncio.CancelledError):
            try:
                handler = await ask(details)
                if handler is None:
                    call.end(Status.UNIMPLEMENTED, "no such method")
                    return
                await _answer(handler, call)
                call.end(Status.OK, "")
            except (grpc.aio.AbortError, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001 - gRPC answers UNKNOWN
                call.end(Status.UNKNOWN, f"Unexpected {type(error).__name__}")
        call.end(Status.CANCELLED, "")


@dataclass(frozen=True)
class _Details:
    method: str
    invocation_metadata: tuple[Any, ...] = ()


def _asking(interceptor: Any, ask: Any) -> Any:
    async def asked(details: Any) -> Any:
        return await interceptor.intercept_service(ask, details)

    return asked


async def _answer(handler: Any, call: ServerCall) -> None:
    name = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    behaviour = getattr(handler, name)
    request = None if handler.request_streaming else await call.read()
    if handler.request_deserializer is not None and request is not None:
        request = handler.request_deserializer(request)
    encode = handler.response_serializer or (lambda value: value)
    if inspect.isasyncgenfunction(behaviour):
        async for reply in behaviour(request, call):
            await call.write(encode(reply))
    else:
        reply = await behaviour(request, call)
        if not handler.response_streaming:
            await call.write(encode(reply))


class SimChannel:
    """Stands for `grpc.aio.secure_channel`."""

    def __init__(self, fabric: Fabric, target: str, credentials: SimCredentials) -> None:
        owner = PROCESS.get()
        assert owner is not None, "channels belong to processes"
        self.fabric, self.owner = fabric, owner
        self._target, self._credentials = target, credentials
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._closed = False

    async def connection(self, wait_for_ready: bool) -> Connection:
        """The connection, made if need be. Raises ConnectionError."""
        pause_s = 0.1
        while True:
            try:
                async with self._connecting:
                    if self._closed:
                        raise ConnectionAbortedError
                    if self._connection is None or not self._connection.alive:
                        self._connection = await self.fabric.connect(self.owner, self._credentials, self._target)
                return self._connection
            except ConnectionError:
                if not wait_for_ready or self._closed:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 30.0)

    def unary_unary(self, method: str, *_: Any) -> Callable[..., ClientCall]:
        def call(request: bytes, timeout: float | None = None, **options: Any) -> ClientCall:
            return ClientCall(self, method, request, timeout, bool(options.get("wait_for_ready")))

        return call

    unary_stream = unary_unary

    def stream_stream(self, method: str, *_: Any) -> Callable[..., ClientCall]:
        def call(requests: None = None, timeout: float | None = None, **options: Any) -> ClientCall:
            return ClientCall(self, method, None, timeout, bool(options.get("wait_for_ready")))

        return call

    async def close(self, grace: float | None = None) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.reset()
