"""The loop that binds a role to a channel. Nothing else awaits the network.

The role's steps, and the encoding and decoding around them, run in a worker thread: kernels release the GIL there, so
the event loop keeps moving bytes while they compute. What the role sends is handed to the channel's bounded queue and
the role goes on at once, so the next chunk is computed while the last one travels.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, cast

from fedcredit.errors import FedcreditError, PeerLost, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Send, Steps
from fedcredit.protocols.session import Session
from fedcredit.runtime.meter import Meter
from fedcredit.transport.channel import Channel, Packet, decode_packet
from fedcredit.wire.message import Message, MessageInvalid

__all__ = ["drive"]

T = TypeVar("T")
R = TypeVar("R")

Outgoing = tuple[Send, bytes]
"""What a role sends, and its encoded body."""


async def drive(steps: Steps[T], channel: Channel, *, deadline_s: float, meter: Meter) -> T:
    """Run a role to its result over `channel`, and leave the channel closed.

        channel = transport.open(ssid, "align", peers=[bank])
        rows = await drive(IntersectReceiver(...).steps(), channel, deadline_s=600, meter=meter)

    Units: `deadline_s` bounds each wait for a peer, not the whole stage; a peer that sends or takes anything
    meanwhile is slow, not lost, and the wait starts anew. A role that wants to be told of who is lost is, and goes on;
    what it sends to one that is lost is tried once, without waiting.
    Raises: PeerLost when a peer is silent for `deadline_s` or unreachable. PeerError when one breaks the protocol or
    ends the job (with the code it sent), RefusedError when it ended the job by policy. Whatever the role raises.
    In each case, and when cancelled, the peers of the channel are told the code and end too.
    """
    session = Session(steps, channel.stage)
    # One thread per role, so that its steps never wait behind another role's.
    worker = ThreadPoolExecutor(1, thread_name_prefix=f"{channel.me}:{channel.stage}")
    try:
        result = await _pump(session, channel, worker, deadline_s, meter)
        await channel.close()
        return result
    except BaseException as error:
        await _give_up(channel, error)
        raise
    finally:
        # The generator may still be in a kernel when we are cancelled; the thread closes it when it comes out.
        worker.submit(session.close)
        worker.shutdown(wait=False)


async def _pump(
    session: Session[T], channel: Channel, worker: ThreadPoolExecutor, deadline_s: float, meter: Meter
) -> T:
    stage = channel.stage
    packet: Packet | None = None
    encoder = _Encoder()
    while True:
        outgoing = await asyncio.get_running_loop().run_in_executor(worker, _turn, session, packet, meter, encoder)
        packet = None
        for effect, body in outgoing:
            await _send(session, channel, effect, body, deadline_s, meter)
        if session.done:
            return cast(T, session.result)
        if waiting := session.waiting_for:
            sender, patience_s = waiting.sender, deadline_s * waiting.patience
            try:
                with meter.waiting(stage, sender):
                    packet = await _in_time(channel, sender, patience_s, "was silent", partial(channel.receive, sender))
            except PeerLost as lost:
                _lose(session, channel, lost, sender, waiting.or_lost)
                continue
            meter.received(stage, sender, packet.wire_bytes)


async def _send(
    session: Session[T], channel: Channel, effect: Send, body: bytes, deadline_s: float, meter: Meter
) -> None:
    to, stage = effect.to, channel.stage
    hand_over = partial(channel.send, to, effect.message.tag, body)
    if session.has_lost(to):
        # It may be there after all, and is then to know that it is left out.
        with contextlib.suppress(TimeoutError, FedcreditError):
            async with asyncio.timeout(0):
                await hand_over()
        return
    try:
        with meter.sending(stage, to):
            wire_bytes = await _in_time(channel, to, deadline_s, "took nothing", hand_over)
    except PeerLost as lost:
        _lose(session, channel, lost, to, effect.or_lost)
    else:
        meter.sent(stage, to, wire_bytes)


def _lose(session: Session[T], channel: Channel, lost: PeerLost, peer: PartyId, or_lost: bool) -> None:
    """Have the role go on without `peer`. Raises `lost` where it cannot, or where that is about somebody else."""
    if not or_lost or lost.culprit != peer:
        raise lost
    session.lose(peer, lost.reason)
    channel.lose(peer)


class _Encoder:
    """Bodies of messages; one that goes to several peers in a row is encoded once."""

    def __init__(self) -> None:
        self._last: Message | None = None
        self._body = b""

    def body(self, message: Message) -> bytes:
        """Its encoded body. Raises: MessageInvalid."""
        if message is not self._last:
            self._last, self._body = message, message.encode()
        return self._body


def _turn(session: Session[T], packet: Packet | None, meter: Meter, encoder: _Encoder) -> list[Outgoing]:
    """In the worker: hand the role `packet`, run it to its next send or wait, and encode what it sends."""
    with meter.computing(session.step):
        if packet is not None:
            session.deliver(packet.sender, decode_packet(packet, session.step))
        try:
            # A message leaves as soon as it is made: the role may compute for long before its next one.
            while not session.outbox and session.advance():
                pass
            outgoing = [(effect, encoder.body(effect.message)) for effect in session.outbox]
        except MessageInvalid as invalid:
            # Raised by a role it means that we built a message that breaks its own bounds, not that a peer did.
            raise FedcreditError(f"{session.step}: {invalid}") from invalid
        session.outbox.clear()
        return outgoing


async def _in_time(
    channel: Channel, peer: PartyId, deadline_s: float, failing: str, wait: Callable[[], Awaitable[R]]
) -> R:
    while True:
        before = channel.progress(peer)
        try:
            async with asyncio.timeout(deadline_s):
                return await wait()
        except TimeoutError:
            if channel.progress(peer) == before:
                raise PeerLost(peer, channel.stage, f"{failing} for {deadline_s:g} s") from None


async def _give_up(channel: Channel, error: BaseException) -> None:
    if not isinstance(error, FedcreditError):
        cancelled = isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit)
        error = FedcreditError(Problem("CANCELLED" if cancelled else "INTERNAL", channel.stage, type(error).__name__))
    await channel.abort(error)
