"""Roles over calls: whoever answers has one message and gives the next; whoever asks makes a call of what it sends.

Shapes of calls are the protocol's: one message and its answer, or a stream of answers to a message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fedcredit.errors import PeerError
from fedcredit.node.rpc import ControlClient
from fedcredit.protocols.effects import Send, Steps
from fedcredit.wire.intersect import FilterHeld
from fedcredit.wire.membership import (
    EvaluatedMembers,
    EvaluateMembers,
    FilterPart,
    FilterTerms,
    FilterWanted,
    PermitGiven,
    PermitWanted,
    TermsWanted,
)
from fedcredit.wire.message import Message, MessageInvalid

__all__ = ["Caller", "answered", "next_sent", "to_its_end"]

R = TypeVar("R")
T = TypeVar("T")

CALL_TIMEOUT_S = 60.0
FILTER_TIMEOUT_S = 3600.0
"""A filter of 10^8 subjects is made and sent within the half of it."""

_ANSWERS: dict[type[Message], tuple[str, type[Message]]] = {
    TermsWanted: ("Terms", FilterTerms),
    PermitWanted: ("Permit", PermitGiven),
    EvaluateMembers: ("Evaluate", EvaluatedMembers),
}


def answered(steps: Steps[Any], request: Message) -> Message:
    """What a role that is asked once sends in answer to `request`."""
    next(steps)
    effect = steps.send(request)
    assert isinstance(effect, Send), "a role that was asked answers"
    with contextlib.suppress(StopIteration):
        next(steps)
        raise AssertionError("a role that has answered is done")
    return effect.message


def next_sent(steps: Steps[Any]) -> Message | None:
    """What a role that only sends sends next; None at its end."""
    try:
        effect = next(steps)
    except StopIteration:
        return None
    assert isinstance(effect, Send), "a role that only sends"
    return effect.message


async def to_its_end(work: Callable[..., R], *arguments: Any) -> R:
    """What `work` gives in a thread. Who is cancelled meanwhile waits for it: a role cannot be closed while it runs."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


@dataclass(slots=True)
class Caller:
    """Drives a bank's role. `predicate` and `purpose` are those of its question, which each call names."""

    provider: ControlClient
    platform: ControlClient
    predicate: str
    purpose: str
    progress: Callable[[Message], None] = field(default=lambda message: None, repr=False)
    """Hears of each part of a filter as it comes."""

    async def drive(self, steps: Steps[T]) -> T:
        """The role's result. Its computing is done in threads. Raises: as `ControlClient.call`, and the role."""
        parts: AsyncGenerator[FilterPart, None] | None = None
        came: Message | None = None
        value: Message | None = None
        try:
            while True:
                ended, effect = await to_its_end(_step, steps, value)
                value = None
                if ended:
                    result: T = effect
                    return result
                if isinstance(effect, Send) and isinstance(effect.message, FilterHeld):
                    parts = self._open(effect.message)
                elif isinstance(effect, Send):
                    came = await self._call(effect)
                elif came is not None:
                    value, came = came, None
                else:
                    assert parts is not None, "nothing else comes in parts"
                    value = await self._part(parts, effect.kind)
        finally:
            if parts is not None:
                await parts.aclose()

    async def _call(self, effect: Send) -> Message:
        method, kind = _ANSWERS[type(effect.message)]
        client = self.provider if effect.to == self.provider.peer else self.platform
        # A permit is used up by its first try: a call that was cut off is not made again.
        attempts = 1 if method == "Evaluate" else 3
        return await client.call(method, effect.message, kind, timeout_s=CALL_TIMEOUT_S, attempts=attempts)

    def _open(self, held: FilterHeld) -> AsyncGenerator[FilterPart, None]:
        wanted = FilterWanted(self.predicate, self.purpose, held.key, held.version, held.digest)
        return self.provider.stream("Filter", wanted, FilterPart, timeout_s=FILTER_TIMEOUT_S)

    async def _part(self, parts: AsyncGenerator[FilterPart, None], kind: type[Message]) -> Message:
        try:
            part = await anext(parts, None)
            message = None if part is None else part.message()
        except MessageInvalid as invalid:
            raise PeerError(self.provider.peer, "membership/filter", "sends no message", invalid.code) from None
        if not isinstance(message, kind):
            raise PeerError(self.provider.peer, "membership/filter", "is not what was due", "STEP_UNEXPECTED")
        self.progress(message)
        return message


def _step(steps: Steps[Any], value: Message | None) -> tuple[bool, Any]:
    """Whether the role has ended, and its result; else what it wants next."""
    try:
        return False, steps.send(value)
    except StopIteration as end:
        return True, end.value
