"""The relay's three calls over gRPC, at the platform. Who calls is read from the certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
import grpc.aio

from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.observe import logs
from fedcredit.transport.gate import caller_of, send_headers
from fedcredit.transport.options import RELAY_ACCEPT, RELAY_DIAL, RELAY_JOIN, RELAY_JOINED
from fedcredit.transport.relay.hub import RelayHub
from fedcredit.transport.relay.pipe import StreamEnd
from fedcredit.transport.typed_grpc import Context, Handler, Handlers
from fedcredit.wire.relay import RelayJoin, call_of, target_of

__all__ = ["RelayService"]

_log = logs.get("relay")

_OPENING_S = 5.0
"""How long a caller may take to say what it wants."""

_STATUS = {
    "NOT_A_MEMBER": grpc.StatusCode.PERMISSION_DENIED,
    "RELAY_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "QUOTA": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "NOT_JOINED": grpc.StatusCode.UNAVAILABLE,
    "NOT_ACCEPTED": grpc.StatusCode.UNAVAILABLE,
    "CALL_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "REPLACED": grpc.StatusCode.ABORTED,
    "DEADLINE_REQUIRED": grpc.StatusCode.DEADLINE_EXCEEDED,
}


class RelayService(Handlers):
    """Hand it to the platform's `GrpcTransport` among its `services`."""

    def __init__(self, hub: RelayHub) -> None:
        self._hub = hub
        answers = {RELAY_JOIN: self._join, RELAY_DIAL: self._dial, RELAY_ACCEPT: self._accept}
        self._handlers = {
            method: grpc.stream_stream_rpc_method_handler(_answer(handle)) for method, handle in answers.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """gRPC's question for the handler of a call."""
        return cast("Handler | None", self._handlers.get(handler_call_details.method))

    async def _join(self, caller: PartyId, context: Context) -> None:
        with self._hub.present(caller) as presence:
            RelayJoin.decode(await _first(context))
            await send_headers(context, (RELAY_JOINED,))
            _log.info("relay.member_joined", peer=caller)
            left = asyncio.ensure_future(context.read())
            try:
                while True:
                    called = asyncio.ensure_future(presence.calls.get())
                    await asyncio.wait((left, called), return_when=asyncio.FIRST_COMPLETED)
                    if not called.done():
                        called.cancel()
                        return
                    if (call := called.result()) is None:
                        raise RefusedError(Problem("REPLACED", f"relay, for {caller}", "has joined again elsewhere"))
                    await context.write(call.encode())
            finally:
                left.cancel()
                _log.info("relay.member_left", peer=caller)

    async def _dial(self, caller: PartyId, context: Context) -> None:
        await self._hub.dial(caller, target_of(await _first(context)), StreamEnd(context))

    async def _accept(self, caller: PartyId, context: Context) -> None:
        await self._hub.accept(caller, call_of(await _first(context)), StreamEnd(context))


def _answer(handle: Callable[[PartyId, Context], Awaitable[None]]) -> Callable[[Any, Context], Awaitable[None]]:
    async def answer(_: Any, context: Context) -> None:
        caller = caller_of(context)
        try:
            await handle(caller, context)
        except FedcreditError as error:
            _log.info("relay.refused", caller=caller, code=error.code)
            # Peers are told the code alone.
            await context.abort(_STATUS.get(error.code, grpc.StatusCode.INVALID_ARGUMENT), error.code)

    return answer


async def _first(context: Context) -> bytes:
    try:
        async with asyncio.timeout(_OPENING_S):
            first = await context.read()
    except TimeoutError:
        raise RefusedError(Problem("DEADLINE_REQUIRED", "relay", "the caller did not say what it wants")) from None
    if not isinstance(first, bytes):
        raise RefusedError(Problem("MESSAGE_INVALID", "relay", "the caller left without a word"))
    return first
