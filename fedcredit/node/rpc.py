"""Control calls over gRPC: who may call what, which status an error becomes, and what a caller makes of it again.

A service is a list of `Method`s, each with a rule that names its callers; a method of the contract without one keeps
the node from starting. The caller's name comes from its certificate. Peers learn the code of an error, not its text.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Container, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import grpc
import grpc.aio

from fedcredit.errors import (
    ConfigError,
    DataError,
    FedcreditError,
    PeerError,
    PeerLost,
    Problem,
    RefusedError,
    UsageError,
)
from fedcredit.ids import PartyId
from fedcredit.observe import logs, metrics
from fedcredit.transport.backoff import Backoff
from fedcredit.transport.connections import Connection
from fedcredit.transport.trust import OUT_OF_DATE, TrustRefused
from fedcredit.transport.typed_grpc import EOF, Context, Handler, Handlers
from fedcredit.wire.control import service_methods
from fedcredit.wire.message import Message, MessageInvalid

__all__ = ["CallerOf", "ControlClient", "ControlService", "Method", "backoff", "remote_error"]

_log = logs.get("call")

CODE_KEY, EXIT_KEY = "fedcredit-code", "fedcredit-exit"

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 8.0
"""Between two questions to a party that is away: short enough for it to go on within 30 s of its return."""

CallerOf = Callable[[Any], PartyId]
"""The party behind a call, read from its certificate. Raises PeerError when there is none."""

Handle = Callable[[PartyId, Any], Coroutine[Any, Any, Message]]
HandleStream = Callable[[PartyId, Any], AsyncIterator[Message]]

M = TypeVar("M", bound=Message)

_STATUS: dict[int, grpc.StatusCode] = {
    UsageError.exit_status: grpc.StatusCode.INVALID_ARGUMENT,
    DataError.exit_status: grpc.StatusCode.FAILED_PRECONDITION,
    ConfigError.exit_status: grpc.StatusCode.FAILED_PRECONDITION,
    RefusedError.exit_status: grpc.StatusCode.PERMISSION_DENIED,
    PeerLost.exit_status: grpc.StatusCode.UNAVAILABLE,
    PeerError.exit_status: grpc.StatusCode.INVALID_ARGUMENT,
}


@dataclass(frozen=True, slots=True)
class Method:
    """One call: what it takes and gives, who may make it, who answers it (`handle` once, or `stream` many times)."""

    name: str
    request: type[Message]
    callers: Container[PartyId]
    handle: Handle | None = None
    stream: HandleStream | None = None


_WHILE_DRAINING = frozenset({"Cancel", "CancelAll", "CancelOwn", "Health", "List", "Show", "Shutdown", "Stop"})
RETRY_KEY, RETRY_S = "fedcredit-retry-after-s", 10


class Draining(FedcreditError):
    """This node is about to stop and takes no new work; it, or its successor, does so again soon."""

    exit_status, default_code = PeerLost.exit_status, "DRAINING"

    def __init__(self, method: str) -> None:
        super().__init__(Problem(self.default_code, method, "this node is about to stop", "try again in a few seconds"))


class ControlService(Handlers):
    """The methods of `fedcredit.v1.<service>`; hand it to the node's gRPC server, and `bind` it before that starts."""

    def __init__(self, service: str, caller_of: CallerOf) -> None:
        self._service, self._caller_of = service, caller_of
        self._handlers: dict[str, Handler] = {}
        self._begun: set[asyncio.Task[Message]] = set()
        self._draining = False

    def drain(self) -> None:
        """Take no new work from now on: whoever brings some is told to come back (DRAINING)."""
        self._draining = True

    async def settle(self, within_s: float) -> None:
        """Let what was begun for callers that have hung up come to its end; what takes longer is cut short."""
        if not self._begun:
            return
        _, late = await asyncio.wait(self._begun, timeout=within_s)
        for task in late:
            task.cancel()

    def bind(self, methods: Sequence[Method]) -> None:
        """Answer with `methods`. Raises FedcreditError (RULE_MISSING) when a method of the contract has no rule."""
        if missing := service_methods(self._service) - {method.name for method in methods}:
            what = f"no rule for {', '.join(sorted(missing))}"
            raise FedcreditError(Problem("RULE_MISSING", f"service {self._service}", what))
        self._handlers = {f"/fedcredit.v1.{self._service}/{method.name}": self._handler(method) for method in methods}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """gRPC's question for the handler of a call."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, method: Method) -> Handler:
        if method.stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._answer_stream(method, method.stream))
        assert method.handle is not None, "a method answers once or streams"
        return grpc.unary_unary_rpc_method_handler(self._answer(method, method.handle))

    def _answer(self, method: Method, handle: Handle) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def answer(data: bytes, context: Context) -> bytes:
            try:
                reply = await self._to_its_end(method, handle(*self._admit(method, data, context)))
                metrics.CALLS.labels(method.name, "OK").inc()
                return reply.encode()
            except FedcreditError as error:
                _note(method, error)
                await _abort(context, error)
            except Exception as bug:  # noqa: BLE001 - whatever it is, the caller gets a code
                await _abort(context, _typed(method, bug))
            raise AssertionError("abort raises")

        return answer

    async def _to_its_end(self, method: Method, answer: Coroutine[Any, Any, Message]) -> Message:
        """The reply, in a task of the node: gRPC stops a handler whose caller's connection breaks, wherever it is.

        A job that is kept as started and not run, say, would be nobody's: the same call, made again, finds it started.
        """
        task = asyncio.create_task(answer, name=f"call {method.name}")
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(_unheard, method))
            raise

    def _answer_stream(self, method: Method, stream: HandleStream) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        async def answer(data: bytes, context: Context) -> AsyncIterator[bytes]:
            try:
                async for reply in stream(*self._admit(method, data, context)):
                    yield reply.encode()
            except FedcreditError as error:
                _note(method, error)
                await _abort(context, error)
            except Exception as bug:  # noqa: BLE001 - whatever it is, the caller gets a code
                await _abort(context, _typed(method, bug))

        return answer

    def _admit(self, method: Method, data: bytes, context: Any) -> tuple[PartyId, Message]:
        caller = self._caller_of(context)
        if caller not in method.callers:
            raise RefusedError(Problem("PERMISSION_DENIED", f"{caller} at {method.name}", "may not make this call"))
        if context.time_remaining() is None:
            raise UsageError(Problem("DEADLINE_REQUIRED", method.name, "the call has no deadline"))
        if self._draining and method.stream is None and method.name not in _WHILE_DRAINING:
            raise Draining(method.name)
        return caller, method.request.decode(data)


class ControlClient:
    """Calls to one peer's service over a channel that has proved who the peer is."""

    def __init__(self, connection: Connection, service: str, peer: PartyId) -> None:
        self._connection, self._service, self.peer = connection, service, peer

    async def call(self, method: str, request: Message, reply: type[M], *, timeout_s: float, attempts: int = 3) -> M:
        """The reply to `request`. Tries again when the peer cannot be reached; calls are safe to repeat.

        Raises: PeerLost when it stays unreachable; PeerError (PEER_REVOKED) when it is not believed any more; else
        what the peer's code stands for.
        """
        call = self._connection.unary_unary(f"/fedcredit.v1.{self._service}/{method}", _as_is, _as_is)
        for attempt in range(attempts):
            try:
                return reply.decode(await call(request.encode(), timeout=timeout_s))
            except (TrustRefused, asyncio.CancelledError):
                self._check_believed(method)
                raise
            except grpc.aio.AioRpcError as error:
                self._check_believed(method)
                unreachable = error.code() == grpc.StatusCode.UNAVAILABLE and _code_of(error) is None
                if not unreachable or attempt + 1 == attempts:
                    raise error_of_status(self.peer, method, error) from None
                await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    async def stream(
        self, method: str, request: Message, reply: type[M], *, timeout_s: float
    ) -> AsyncGenerator[M, None]:
        """The replies to `request` as they come; close it to hang up before the last. Raises as `call`."""
        call = self._connection.unary_stream(f"/fedcredit.v1.{self._service}/{method}", _as_is, _as_is)
        try:
            replies = call(request.encode(), timeout=timeout_s)
            try:
                while (data := await replies.read()) is not EOF:
                    yield reply.decode(data)
            finally:
                replies.cancel()
        except (TrustRefused, asyncio.CancelledError):
            self._check_believed(method)
            raise
        except grpc.aio.AioRpcError as error:
            self._check_believed(method)
            raise error_of_status(self.peer, method, error) from None

    def _check_believed(self, method: str) -> None:
        # Calls to a peer that was just revoked are cut off, which looks like a cancellation from here.
        if (refused := self._connection.trust_refusal()) is not None:
            raise refused.as_peer_error(method) from None


def backoff() -> Backoff:
    """Pauses between two questions to a party."""
    return Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, growth=1.6, least=0.6)


def remote_error(peer: PartyId, step: str, code: str, exit_status: int, culprit: str = "") -> FedcreditError:
    """What `peer` reported, as an error here: the same code and exit status, its text left behind."""
    blamed = PartyId(culprit) if culprit else peer
    if exit_status == PeerLost.exit_status:
        return PeerLost(blamed, step, "silent or unreachable" if not culprit else f"no longer reachable from {peer}")
    if exit_status == PeerError.exit_status:
        return PeerError(blamed, step, "broke the protocol" if not culprit else f"broke the protocol with {peer}", code)
    kinds: dict[int, type[FedcreditError]] = {
        kind.exit_status: kind for kind in (UsageError, DataError, ConfigError, RefusedError)
    }
    kind = kinds.get(exit_status, FedcreditError)
    what = "refused" if kind is RefusedError else "could not do it"
    return kind(Problem(code, f"{peer} at {step}", what, f"its people find more in the log of {peer}"))


_AWAY = {
    grpc.StatusCode.UNAVAILABLE: "cannot be reached",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time",
    # A node that ends cuts off the calls that it has not answered; none of ours answers with this status otherwise.
    grpc.StatusCode.CANCELLED: "cut the call off",
}
"""What gRPC's own statuses, with no code of ours beside them, say of a peer: that it is away."""


def error_of_status(peer: PartyId, step: str, error: grpc.aio.AioRpcError) -> FedcreditError:
    """The typed error behind a failed call."""
    code = _code_of(error)
    if code is not None:
        return remote_error(peer, step, code[0], code[1])
    if (dates := OUT_OF_DATE.get(error.details() or "")) is not None:
        # Its clock or ours is wrong, or ours is not renewed. That passes; a peer that stays so is lost in the end.
        return PeerLost(peer, step, f"has a clock by which our certificate {dates}")
    if (reason := _AWAY.get(error.code())) is not None:
        return PeerLost(peer, step, reason)
    return PeerError(peer, step, f"answered {error.code().name}", "RPC_FAILED")


def _typed(method: Method, error: Exception) -> FedcreditError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RefusedError(Problem("DISK_FULL", method.name, "the disk of the node has no room left", "make room"))
    if isinstance(error, MemoryError):
        return RefusedError(Problem("OUT_OF_MEMORY", method.name, "the node has no memory left", "give it more"))
    return _internal(method, error)


def _internal(method: Method, bug: BaseException) -> FedcreditError:
    """A bug of ours, so that the caller gets a code: gRPC itself would tell it the exception's text, data and all."""
    metrics.CALLS.labels(method.name, "INTERNAL").inc()
    _log.error("call.bug", method=method.name, error=type(bug).__name__, places=logs.places(bug))
    return FedcreditError(Problem("INTERNAL", method.name, type(bug).__name__))


def _unheard(method: Method, task: asyncio.Task[Message]) -> None:
    """What came of a call whose caller has hung up."""
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, FedcreditError):
        _note(method, error)
    elif error is not None:
        _internal(method, error)


def _note(method: Method, error: FedcreditError) -> None:
    """Say here what the caller is not told: which field of its message was wrong."""
    field = {"field": error.problems[0].where} if isinstance(error, MessageInvalid) else {}
    metrics.CALLS.labels(method.name, error.code).inc()
    _log.info("call.refused", method=method.name, code=error.code, **field)


async def _abort(context: Context, error: FedcreditError) -> None:
    status = _STATUS.get(error.exit_status, grpc.StatusCode.INTERNAL)
    metadata: tuple[tuple[str, str], ...] = ((CODE_KEY, error.code), (EXIT_KEY, str(error.exit_status)))
    if isinstance(error, Draining):
        metadata = (*metadata, (RETRY_KEY, str(RETRY_S)))
    await context.abort(status, error.code, trailing_metadata=metadata)


def _code_of(error: grpc.aio.AioRpcError) -> tuple[str, int] | None:
    metadata: Any = error.trailing_metadata() or ()
    found = {key: value for key, value in metadata if key in (CODE_KEY, EXIT_KEY)}
    try:
        return str(found[CODE_KEY])[:64], int(found[EXIT_KEY])
    except (KeyError, ValueError):
        return None


def _as_is(data: bytes) -> bytes:
    return data
