"""The receiving side of the links: who is let in, and what becomes of the frames of one stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import grpc
import grpc.aio

from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.transport.gate import caller_of, send_headers
from fedcredit.transport.inbox import Inbox
from fedcredit.transport.limits import Limits
from fedcredit.transport.options import ACCEPTED, CARRY
from fedcredit.transport.typed_grpc import Context, Handler, Handlers
from fedcredit.wire.frame import PEER_LEFT, Frame, Receipt
from fedcredit.wire.message import MessageInvalid

__all__ = ["FrameService"]

# Receipts that are not urgent wait this long, so that one covers many small frames.
_RECEIPT_DELAY_S = 0.002
# How long a sender in the wrong may take to notice.
_HANG_UP_S = 1.0

_STATUS = {
    "DATA_CORRUPT": grpc.StatusCode.DATA_LOSS,
    "TOO_LARGE": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "QUEUE_OVERFLOW": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "PERMISSION_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}

# What writing to a caller raises that is gone.
_GONE = (grpc.aio.InternalError, asyncio.InvalidStateError)


class _Stream:
    """One peer's stream, as we serve it: its reading task and the receipts that it is owed."""

    def __init__(self) -> None:
        self.last_word = ""
        self.reader: asyncio.Task[None] | None = None
        self._owed: dict[tuple[bytes, int, str], Receipt] = {}
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    def owe(self, receipt: Receipt, urgent: bool) -> None:
        """Send `receipt` soon, in place of an older one for the same stage."""
        self._owed[receipt.ssid, receipt.epoch, receipt.stage] = receipt
        if urgent:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_RECEIPT_DELAY_S, self._due.set)

    async def pay(self, context: Context) -> None:
        """Send receipts until `close`. Not to be cancelled in a write: gRPC takes one at a time and would keep it."""
        with contextlib.suppress(*_GONE):
            while not self._closing or self._owed:
                await self._due.wait()
                self._due.clear()
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
                owed, self._owed = self._owed, {}
                for receipt in owed.values():
                    await context.write(receipt.encode())

    def close(self) -> None:
        """Owe nothing more: `pay` ends with what is owed now."""
        self._closing = True
        self._due.set()


class FrameService(Handlers):
    """Takes the frames of `peers` into an inbox and sends receipts back. One stream a peer: a new one ends the old."""

    def __init__(self, limits: Limits, may_send: Callable[[PartyId], bool], on_end: Callable[[], None]) -> None:
        self.inbox = Inbox(limits, self._acknowledge, on_end)
        self._may_send = may_send
        self._streams: dict[PartyId, _Stream] = {}
        self._handler = grpc.stream_stream_rpc_method_handler(self._carry)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """gRPC's question for the handler of a call."""
        return cast("Handler", self._handler) if handler_call_details.method == CARRY else None

    def hang_up(self) -> None:
        """End all streams, once they have sent the receipts they owe, and tell the peers that we leave."""
        for stream in self._streams.values():
            stream.last_word = PEER_LEFT
            if stream.reader is not None:
                stream.reader.cancel()

    def _acknowledge(self, peer: PartyId, receipt: Receipt, urgent: bool) -> None:
        # Without a stream there is nobody to tell; a peer that comes back is told by `receipts`.
        if stream := self._streams.get(peer):
            stream.owe(receipt, urgent)

    async def _carry(self, _: Any, context: Context) -> None:
        peer = caller_of(context)
        if not self._may_send(peer):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "NOT_A_PEER")
        stream = _Stream()
        if (old := self._streams.get(peer)) and old.reader is not None:
            old.reader.cancel()
        self._streams[peer] = stream
        await send_headers(context, (ACCEPTED,))
        for receipt in self.inbox.receipts(peer):
            stream.owe(receipt, urgent=True)
        stream.reader = asyncio.create_task(self._read(peer, context))
        payer = asyncio.create_task(stream.pay(context))
        try:
            await asyncio.wait((stream.reader, payer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._streams.get(peer) is stream:
                del self._streams[peer]
            stream.reader.cancel()
            stream.close()
            await asyncio.wait((payer, stream.reader), timeout=_HANG_UP_S)
            payer.cancel()
        if stream.last_word:
            await self._say_last(context, stream.last_word)
        elif (
            stream.reader.done() and not stream.reader.cancelled() and (fault := stream.reader.exception()) is not None
        ):
            await self._refuse(context, fault)

    async def _refuse(self, context: Context, fault: BaseException) -> None:
        """End a stream for a fault of its sender, who is told the code before it finds the stream closed."""
        code = fault.code if isinstance(fault, FedcreditError) else "INTERNAL"
        await self._say_last(context, code)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANG_UP_S):
                while isinstance(await context.read(), bytes):
                    pass
        await context.abort(_STATUS.get(code, grpc.StatusCode.INVALID_ARGUMENT), code)

    async def _say_last(self, context: Context, code: str) -> None:
        with contextlib.suppress(TimeoutError, *_GONE):
            async with asyncio.timeout(_HANG_UP_S):
                await context.write(Receipt.hanging_up(code).encode())

    async def _read(self, peer: PartyId, context: Context) -> None:
        # What is no bytes is the end of the stream.
        while isinstance(data := await context.read(), bytes):
            frame = Frame.decode(data)
            if frame.sender != peer:
                raise MessageInvalid("frame.sender", "is not the party of the certificate", "PERMISSION_DENIED")
            self.inbox.accept(peer, frame)
