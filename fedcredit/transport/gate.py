"""Who is let in: every call of every service passes here before its handler sees it, and while it runs.

TLS has checked the chain. The gate checks that the caller's certificate is of the authority pinned for the party that
it names, still valid and not revoked: when the call begins, when trust changes, and once a second while it goes on, so
that a stream does not outlive the certificate that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from fedcredit.errors import Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.observe import logs, metrics
from fedcredit.transport.identity import IdentityInvalid, party_of_certificate
from fedcredit.transport.keyring import Keyring
from fedcredit.transport.limits import Limits
from fedcredit.transport.pace import Pace
from fedcredit.transport.trust import TrustRefused
from fedcredit.transport.typed_grpc import Context, Handler

__all__ = ["Gate", "caller_of", "send_headers"]

if TYPE_CHECKING:
    _Interceptor = grpc.aio.ServerInterceptor[bytes, bytes]
else:
    _Interceptor = grpc.aio.ServerInterceptor

_log_line = logs.get("transport")

LOOK_AGAIN_S = 1.0
# Headers wait for no reader, only for this process; on a connection that is gone they fail at once.
HEADERS_S = 5.0


def caller_of(context: Any) -> PartyId:
    """The party behind a call, from the certificate that it proved to own. Raises RefusedError.

    Assumes: a server with mutual TLS behind a `Gate`, which has checked that the certificate is believed.
    """
    try:
        return party_of_certificate(_leaf_of(context))
    except IdentityInvalid as invalid:
        raise RefusedError(Problem("UNAUTHENTICATED", "call", invalid.problems[0].what)) from invalid


def _leaf_of(context: Any) -> bytes:
    auth: dict[str, list[bytes]] = context.auth_context()
    if auth.get("transport_security_type") != [b"ssl"] or not auth.get("x509_pem_cert"):
        raise RefusedError(Problem("UNAUTHENTICATED", "call", "the caller has shown no certificate"))
    return auth["x509_pem_cert"][0]


async def send_headers(context: Context, metadata: Sequence[tuple[str, str]] = ()) -> None:
    """Send the headers of a reply that comes in pieces, whole even if the call is ended from here meanwhile.

    Cut off with its headers on the way, gRPC would send them again with the status, which it then refuses to do: the
    caller would hear nothing and wait for its deadline.
    """
    sending = asyncio.ensure_future(context.send_initial_metadata(tuple(metadata)))
    # Read even if nobody waits any more: a connection that is gone is no fault of ours.
    sending.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
    try:
        await asyncio.shield(sending)
    except asyncio.CancelledError:
        await asyncio.wait((sending,), timeout=HEADERS_S)
        raise


class _Open:
    """A call that runs, and why it was ended from here."""

    def __init__(self, party: PartyId, leaf: bytes) -> None:
        self.party, self.leaf = party, leaf
        self.task = asyncio.current_task()
        self.refused: TrustRefused | None = None


class Gate(_Interceptor):
    """Lets only believed parties call anything, each only `calls_per_peer` times at once."""

    def __init__(self, limits: Limits, keyring: Keyring) -> None:
        self._limits, self._keyring = limits, keyring
        self._calls: Counter[PartyId] = Counter()
        self._waiting: Counter[PartyId] = Counter()
        self._paces: dict[PartyId, Pace] = {}
        self._open: set[_Open] = set()
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look after calls while they run."""
        self._keyring.subscribe(self.look_again)
        self._watch = asyncio.get_running_loop().create_task(self._keep_looking(), name="gate")

    async def stop(self) -> None:
        """Look no more."""
        self._keyring.unsubscribe(self.look_again)
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    def look_again(self) -> None:
        """End every call whose caller is not believed any more."""
        for call in list(self._open):
            try:
                self._keyring.trust.check_link(call.leaf, self._keyring.now())
            except TrustRefused as refused:
                if call.refused is None:
                    _log(refused)
                    call.refused = refused
                    if call.task is not None:
                        call.task.cancel()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """gRPC's question for the handler of a call."""
        handler = cast(Any, await continuation(handler_call_details))
        if handler is None:
            return cast("Handler", None)
        kind = ("stream" if handler.request_streaming else "unary") + (
            "_stream" if handler.response_streaming else "_unary"
        )
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        guarded = self._guard(getattr(handler, kind))
        return cast("Handler", make(guarded, handler.request_deserializer, handler.response_serializer))

    def _guard(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(behaviour):

            @functools.wraps(behaviour)
            async def streaming(request: Any, context: Context) -> None:
                # Replies are written here and not yielded to gRPC: that gives no generator word of a cancellation that
                # comes in the middle of a message, nor the caller a status, who then waits for its deadline.
                call = await self._enter(context)
                try:
                    await send_headers(context)
                    async with contextlib.aclosing(behaviour(request, context)) as replies:
                        async for reply in replies:
                            await context.write(reply)
                except asyncio.CancelledError:
                    await self._explain(call, context)
                    raise
                finally:
                    self._leave(call)

            return streaming

        @functools.wraps(behaviour)
        async def single(request: Any, context: Context) -> Any:
            call = await self._enter(context)
            try:
                return await behaviour(request, context)
            except asyncio.CancelledError:
                await self._explain(call, context)
                raise
            finally:
                self._leave(call)

        return single

    async def _enter(self, context: Context) -> _Open:
        try:
            leaf = _leaf_of(context)
            caller = self._keyring.trust.check_link(leaf, self._keyring.now())
        except RefusedError as refused:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, refused.code)
        except TrustRefused as refused:
            _log(refused)
            await context.abort(_status(refused), refused.code)
        if not _plain_metadata(context):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "METADATA_INVALID")
        if not await self._its_turn(caller) or self._calls[caller] >= self._limits.calls_per_peer:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA")
        self._calls[caller] += 1
        call = _Open(caller, leaf)
        self._open.add(call)
        return call

    async def _its_turn(self, caller: PartyId) -> bool:
        """Hold a caller to its pace. False when too many of its calls wait already.

        Refusals wait too: answering them at once would let a peer that is refused take all our time.
        """
        limits, now = self._limits, asyncio.get_running_loop().time()
        pace = self._paces.setdefault(caller, Pace(limits.calls_per_s, limits.call_burst, now))
        if (wait_s := pace.take(now)) > 0:
            if self._waiting[caller] >= limits.waiting_per_peer:
                return False
            self._waiting[caller] += 1
            try:
                await asyncio.sleep(wait_s)
            finally:
                self._waiting[caller] -= 1
        return True

    def _leave(self, call: _Open) -> None:
        self._calls[call.party] -= 1
        self._open.discard(call)

    async def _explain(self, call: _Open, context: Context) -> None:
        """Tell the caller why we end its call, if it is we who do."""
        if call.refused is not None and call.task is not None:
            call.task.uncancel()
            await context.abort(_status(call.refused), call.refused.code)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            self.look_again()


def _plain_metadata(context: Context) -> bool:
    """Whether all texts beside a call are printable ASCII, as HTTP wants them. gRPC's server lets any bytes through."""
    metadata: Any = context.invocation_metadata() or ()
    return all(isinstance(value, bytes) or (value.isascii() and value.isprintable()) for _, value in metadata)


def _status(refused: TrustRefused) -> grpc.StatusCode:
    # Dates mend: a certificate is renewed, a clock is set right. Nothing else gets better by trying again.
    return grpc.StatusCode.UNAVAILABLE if refused.of_dates else grpc.StatusCode.UNAUTHENTICATED


def _log(refused: TrustRefused) -> None:
    metrics.HANDSHAKES_REFUSED.labels(refused.code).inc()
    facts = {"peer": refused.party} if refused.party else {}
    if refused.until is not None:
        facts["until"] = f"{refused.until:%FT%TZ}"
    _log_line.warning("handshake.refused", code=refused.code, **facts)
