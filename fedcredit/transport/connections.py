"""Calls to one peer, over a channel that is replaced when keys are renewed, without a call noticing.

Each call goes over the newest channel. One that runs stays on the channel that it began on, which is closed when its
last call has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from fedcredit.ids import PartyId
from fedcredit.transport.identity import party_host
from fedcredit.transport.keyring import Keyring
from fedcredit.transport.limits import Limits
from fedcredit.transport.options import channel_options
from fedcredit.transport.trust import TrustRefused

__all__ = ["Connection"]

CLOSE_S = 5.0


class _Held:
    """A channel and the calls that are on it."""

    def __init__(self, channel: grpc.aio.Channel, made_with: tuple[Any, ...]) -> None:
        self.channel, self.made_with = channel, made_with
        self.calls: set[Any] = set()


class Connection:
    """The way to `peer` for calls of any service. Whoever answers has proved to TLS that it is `peer`."""

    def __init__(self, peer: PartyId, address: str, keyring: Keyring, limits: Limits) -> None:
        self.peer, self.address = peer, address
        self._keyring, self._limits = keyring, limits
        self._newest: _Held | None = None
        self._retired: set[_Held] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, method: str, encode: Any = None, decode: Any = None) -> Callable[..., Any]:
        """As grpc.aio's. What is called raises TrustRefused when the peer is not believed any more."""
        return self._starter("unary_unary", method, encode, decode)

    def unary_stream(self, method: str, encode: Any = None, decode: Any = None) -> Callable[..., Any]:
        """As grpc.aio's. What is called raises TrustRefused when the peer is not believed any more."""
        return self._starter("unary_stream", method, encode, decode)

    def stream_stream(self, method: str, encode: Any = None, decode: Any = None) -> Callable[..., Any]:
        """As grpc.aio's. What is called raises TrustRefused when the peer is not believed any more."""
        return self._starter("stream_stream", method, encode, decode)

    def trust_refusal(self) -> TrustRefused | None:
        """Why `peer` is not believed any more; None while it is."""
        return self._keyring.trust.refusal(self.peer)

    def move(self, address: str) -> None:
        """Dial `address` from the next call on."""
        self.address = address

    def hang_up(self) -> None:
        """End every call now. A later one dials again."""
        self._retire()
        for held in list(self._retired):
            for call in list(held.calls):
                call.cancel()

    async def close(self) -> None:
        """End every call and hang up for good, within `CLOSE_S`."""
        self.hang_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._retired or self._closing:
                    await asyncio.sleep(0)  # a cancelled call ends within a turn or two of the loop
                    await asyncio.gather(*self._closing, return_exceptions=True)

    def _starter(self, kind: str, method: str, encode: Any, decode: Any) -> Callable[..., Any]:
        def start(*arguments: Any, **options: Any) -> Any:
            held = self._current()
            call = getattr(held.channel, kind)(method, encode, decode)(*arguments, **options)
            held.calls.add(call)
            call.add_done_callback(lambda _: self._ended(held, call))
            return call

        return start

    def _current(self) -> _Held:
        made_with = (self.address, self._keyring.credentials, self._keyring.trust.roots_of(self.peer))
        if self._newest is None or self._newest.made_with != made_with:
            secure = self._keyring.channel_credentials(self.peer)
            options = channel_options(self._limits, party_host(self.peer))
            self._retire()
            self._newest = _Held(grpc.aio.secure_channel(self.address, secure, options=options), made_with)
        return self._newest

    def _retire(self) -> None:
        if self._newest is not None:
            self._retired.add(self._newest)
            self._release(self._newest)
            self._newest = None

    def _ended(self, held: _Held, call: Any) -> None:
        held.calls.discard(call)
        self._release(held)

    def _release(self, held: _Held) -> None:
        if held in self._retired and not held.calls:
            self._retired.discard(held)
            self._close(held)

    def _close(self, held: _Held) -> None:
        task = asyncio.get_running_loop().create_task(held.channel.close(None), name=f"hang up on {self.peer}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
