"""What we have sent and the peer has not taken yet, and the one stream that carries it.

A `Link` leads from us to one peer. It keeps every frame until a receipt says that the peer's role has taken it, so a
broken stream loses nothing: the next one starts with all frames that have no receipt, and the peer drops those that
it has already. The window that bounds those frames is the back-pressure.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import grpc
import grpc.aio

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.observe import metrics
from fedcredit.transport.backoff import Backoff
from fedcredit.transport.limits import Limits
from fedcredit.transport.options import ACCEPTED
from fedcredit.transport.outflow import OutFlow
from fedcredit.transport.trust import OUT_OF_DATE, TrustRefused
from fedcredit.wire.frame import ABORT_STAGE, ABORT_TAG, PEER_LEFT, Abort, Frame, Receipt, is_code
from fedcredit.wire.message import MessageInvalid

__all__ = ["Link", "OutFlow"]

if TYPE_CHECKING:
    Call: TypeAlias = grpc.aio.StreamStreamCall[bytes, bytes]

Dial = Callable[[], "Call"]
Failed = Callable[["OutFlow", FedcreditError], None]
Lost = Callable[[PartyId, Callable[[str], FedcreditError]], None]

# A stream that ends right after it began is tried again after a pause, longer each time, so that a peer in trouble is
# not hammered. Attempts to connect at all have gRPC's own back-off (`grpc_options`).
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 30.0

_MENDABLE = ("DATA_CORRUPT", "INTERNAL")
_AGAIN = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


def _none() -> FedcreditError | None:
    return None


class Link:
    """The way from `me` to `peer`. `failed` hears of a flow that the peer refuses, `lost` of a peer that is gone."""

    def __init__(
        self,
        me: PartyId,
        peer: PartyId,
        dial: Dial,
        limits: Limits,
        failed: Failed,
        lost: Lost,
        own_fault: Callable[[], FedcreditError | None] = _none,
    ) -> None:
        """`own_fault` says why it is we, not the peer, for whom no stream can be had; None if it is not."""
        self.peer = peer
        self._own_fault = own_fault
        self._me, self._dial, self._limits, self._failed, self._lost = me, dial, limits, failed, lost
        self._flows: dict[tuple[bytes, int, str], OutFlow] = {}
        self._outbox: deque[tuple[OutFlow, int, bytes]] = deque()
        self._size = 0
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._users = 0
        self._heard = 0
        self._gone = False
        self._moving = asyncio.Event()
        self._dialling: Call | None = None
        self._down_since: float | None = None
        self._dates = ""
        self._task: asyncio.Task[None] | None = None

    def open(self, ssid: bytes, epoch: int, stage: str) -> OutFlow:
        """Begin a stage's frames. The link connects, and stays connected while any flow is open."""
        flow = self._flows.setdefault((ssid, epoch, stage), OutFlow(ssid, epoch, stage))
        self._users += 1
        self._gone = False
        self._start()
        return flow

    def close_flow(self, flow: OutFlow) -> None:
        """No more frames of this stage; those under way still arrive."""
        if not flow.closed:
            flow.closed = True
            self._users -= 1
            self._tidy(flow)

    async def send(self, flow: OutFlow, tag: int, body: bytes, check: Callable[[], None]) -> int:
        """Queue a frame; waits while the window is full. Returns its size. Raises the flow's failure, or `check`'s."""
        while True:
            check()
            if flow.failure is not None:
                raise flow.failure
            if self._has_room(flow, len(body)):
                break
            self._room.clear()
            await self._room.wait()
        frame = Frame(flow.ssid, flow.stage, self._me, flow.next_seq, tag, body, flow.epoch).encode()
        self._queue(flow, frame)
        return len(frame)

    def abort(self, ssid: bytes, epoch: int, abort: Abort) -> None:
        """Tell the peer that the job ends here, ahead of all else; what of that job is under way is dropped."""
        for flow in [flow for flow in self._flows.values() if (flow.ssid, flow.epoch) == (ssid, epoch)]:
            self._drop(flow)
            self._tidy(flow)
        if (ssid, epoch, ABORT_STAGE) not in self._flows and not self._gone:
            flow = self._flows[ssid, epoch, ABORT_STAGE] = OutFlow(ssid, epoch, ABORT_STAGE, closed=True)
            frame = Frame(ssid, ABORT_STAGE, self._me, 0, ABORT_TAG, abort.encode(), epoch).encode()
            self._queue(flow, frame, first=True)
            self._start()

    def wake(self) -> None:
        """Let waiting senders `check` again."""
        self._room.set()

    def redial(self) -> None:
        """Go on over a new stream, made with the newest keys. What has no receipt is sent again; nothing is lost."""
        self._moving.set()
        if self._dialling is not None:
            self._dialling.cancel()

    def refuse(self, error_at: Callable[[str], FedcreditError]) -> None:
        """The peer is not believed any more: end every flow, and hang up."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._end(error_at)

    @property
    def down_s(self) -> float:
        """For how long the peer has been out of reach while there was use for it, also if it was given up; else 0."""
        return 0.0 if self._down_since is None else asyncio.get_running_loop().time() - self._down_since

    @property
    def owes_messages(self) -> bool:
        """Whether anything but aborts is under way."""
        return any(flow.unacked and flow.stage != ABORT_STAGE for flow in self._flows.values())

    async def drained(self) -> None:
        """Wait until the peer has taken everything, or is lost."""
        while self._size and self._task is not None and not self._task.done():
            self._room.clear()
            await self._room.wait()

    async def close(self) -> None:
        """Hang up. Frames without a receipt are dropped."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _has_room(self, flow: OutFlow, size: int) -> bool:
        limits = self._limits
        size += 256  # the envelope, generously, so that the receiver never counts more than we do
        return (
            (not flow.unacked or flow.size + size <= limits.stage_bytes)
            and len(flow.unacked) < limits.stage_frames
            and (not self._size or self._size + size <= limits.peer_bytes)
            and (bool(flow.unacked) or self._busy_stages() < limits.peer_stages)
        )

    def _busy_stages(self) -> int:
        return sum(bool(flow.unacked) for flow in self._flows.values())

    def _queue(self, flow: OutFlow, frame: bytes, *, first: bool = False) -> None:
        entry = (flow, flow.next_seq, frame)
        flow.unacked.append(entry[1:])
        flow.next_seq += 1
        flow.size += len(frame)
        self._size += len(frame)
        metrics.QUEUED_BYTES.labels(self.peer).set(self._size)
        if first:
            self._outbox.appendleft(entry)
        else:
            self._outbox.append(entry)
        self._work.set()

    def _drop(self, flow: OutFlow) -> None:
        self._size -= flow.size
        flow.size = 0
        metrics.QUEUED_BYTES.labels(self.peer).set(self._size)
        flow.unacked.clear()
        self._room.set()

    def _tidy(self, flow: OutFlow) -> None:
        if flow.closed and not flow.unacked:
            self._flows.pop((flow.ssid, flow.epoch, flow.stage), None)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"link {self._me}->{self.peer}")

    def _needed(self) -> bool:
        return bool(self._users or self._size)

    async def _run(self) -> None:
        """Keep a stream to the peer while there is any use for it."""
        try:
            await self._keep_stream()
        finally:
            if not self._gone:
                self._down_since = None

    async def _keep_stream(self) -> None:
        loop = asyncio.get_running_loop()
        down_since, pauses = loop.time(), Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while self._needed():
            heard = self._heard
            self._down_since = down_since
            try:
                async with asyncio.timeout_at(down_since + self._limits.lost_after_s):
                    call = await self._connect()
                self._down_since = None
                failpoints.hit("link.stream.accepted", self.peer)
                metrics.CONNECTED.labels(self.peer).set(1)
                await self._carry(call)
                down_since = loop.time()
            except _Moved:
                # Keys were renewed, or the peer has moved: where it was within reach, this is no outage.
                down_since = loop.time() if self._down_since is None else down_since
                pauses.reset()
                continue
            except _StreamEnded:
                down_since = loop.time() if self._down_since is None else down_since
            except TrustRefused as refused_here:
                self._end(refused_here.as_peer_error)
                return
            except TimeoutError:
                self._end(self._unreachable)
                return
            except _PeerLeft:
                self._end(self._left)
                return
            except _LinkRefused as refused:
                self._end(partial(self._hung_up, refused.code))
                return
            metrics.link_broke(self.peer)
            if self._heard > heard:
                pauses.reset()
            await asyncio.sleep(next(pauses))

    async def _connect(self) -> Call:
        """A stream that the peer has accepted. Raises TimeoutError by the caller's clock."""
        self._moving.clear()
        call = self._dialling = self._dial()
        try:
            # The peer sends its metadata as soon as it has let us in.
            metadata = await call.initial_metadata()
            if ACCEPTED not in tuple(metadata):
                await self._check_end(call)
                raise _StreamEnded
        except BaseException as error:
            call.cancel()
            if isinstance(error, asyncio.CancelledError) and not _being_cancelled():
                raise _StreamEnded from None  # the call was cut off, not we
            raise
        return call

    async def _carry(self, call: Call) -> None:
        """Send and hear on `call` until it ends. Raises _LinkRefused if there is no use in coming back."""
        self._outbox = deque((flow, *entry) for flow in self._flows.values() for entry in flow.unacked)
        self._outbox = deque(sorted(self._outbox, key=lambda entry: entry[0].stage != ABORT_STAGE))
        self._work.set()
        tasks = [asyncio.create_task(work) for work in (self._write(call), self._read(call), self._move())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
        except MessageInvalid as invalid:
            raise _LinkRefused(invalid.code) from invalid
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            call.cancel()
        await self._check_end(call)

    async def _check_end(self, call: Call) -> None:
        status, details = await call.code(), await call.details() or ""
        # A certificate that is refused for its dates is renewed, or a clock is set right: no worse than a peer away.
        self._dates = OUT_OF_DATE.get(details, "")
        if status not in _AGAIN and not self._dates:
            raise _LinkRefused(details if is_code(details) else status.name)

    async def _move(self) -> None:
        await self._moving.wait()
        raise _Moved

    async def _write(self, call: Call) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                while self._outbox:
                    flow, seq, frame = self._outbox.popleft()
                    if flow.unacked and flow.unacked[0][0] <= seq:
                        await call.write(frame)
                self._work.clear()
                await self._work.wait()

    async def _read(self, call: Call) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            # What is no bytes is the end of the stream.
            while isinstance(data := await call.read(), bytes):
                self._receipt(Receipt.decode(data))

    def _receipt(self, receipt: Receipt) -> None:
        if receipt.hang_up in _MENDABLE:
            raise _StreamEnded
        if receipt.hang_up == PEER_LEFT:
            raise _PeerLeft
        if receipt.hang_up:
            raise _LinkRefused(receipt.hang_up)
        self._heard += 1
        flow = self._flows.get((receipt.ssid, receipt.epoch, receipt.stage))
        if flow is None:
            return
        if receipt.next_seq > flow.next_seq:
            raise MessageInvalid("receipt", "for a frame that was not sent", "SEQUENCE")
        while flow.unacked and flow.unacked[0][0] < receipt.next_seq:
            size = len(flow.unacked.popleft()[1])
            flow.size -= size
            self._size -= size
            metrics.QUEUED_BYTES.labels(self.peer).set(self._size)
            flow.receipts += 1
        if receipt.refused and flow.failure is None:
            flow.failure = PeerError(self.peer, flow.stage, "takes no more of this stage", receipt.refused)
            self._drop(flow)
            self._failed(flow, flow.failure)
        self._tidy(flow)
        self._room.set()

    def _end(self, error_at: Callable[[str], FedcreditError]) -> None:
        self._gone = True
        for flow in list(self._flows.values()):
            flow.failure = flow.failure or error_at(flow.stage)
            self._drop(flow)
            self._tidy(flow)
        self._lost(self.peer, error_at)

    def _unreachable(self, stage: str) -> FedcreditError:
        reason = f"not reachable for {self._limits.lost_after_s:g} s"
        if self._dates:
            reason += f": our certificate {self._dates} by its clock"
        return self._own_fault() or PeerLost(self.peer, stage, reason)

    def _left(self, stage: str) -> FedcreditError:
        return PeerLost(self.peer, stage, "has left")

    def _hung_up(self, code: str, stage: str) -> FedcreditError:
        return PeerError(self.peer, stage, "hung up on this party", code)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _StreamEnded(Exception):
    """The peer ended the stream, and wants us to come back."""


class _Moved(Exception):
    """We ended the stream, to go on over a new one."""


class _PeerLeft(Exception):
    """The peer ended the stream because it goes."""


class _LinkRefused(Exception):
    """The peer ended the stream in a way that coming back cannot mend."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
