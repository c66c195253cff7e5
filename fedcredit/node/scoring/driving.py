"""Drives roles of encrypted scores over calls: a provider's once a call, a bank's over one call to each provider.

The roles are those of any transport. Here all that a bank has to say to a provider before it waits for it goes in one
call, and all that the provider says comes back in its reply.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Recv, Send, Steps
from fedcredit.protocols.score.binding import STEP
from fedcredit.wire.message import Message

__all__ = ["Ask", "answer_in_one", "ask_all"]

T = TypeVar("T")

Ask = Callable[[PartyId, list[Message]], Awaitable[list[Message]]]
"""One call: messages to a provider, its messages back."""


def answer_in_one(steps: Steps[T], requester: PartyId, came: Sequence[Message]) -> tuple[list[Message], T]:
    """What a provider's role sends, given all that it is told, and its result. Raises: PeerError; what it raises."""
    waiting, sent = deque(came), []
    effect = _next(steps, None)
    while isinstance(effect, Recv | Send):
        if isinstance(effect, Send):
            sent.append(effect.message)
            effect = _next(steps, None)
            continue
        if not waiting or not isinstance(waiting[0], effect.kind):
            steps.close()
            raise PeerError(requester, STEP, "did not send what was due", "STEP_UNEXPECTED")
        effect = _next(steps, waiting.popleft())
    if waiting:
        raise PeerError(requester, STEP, "sent more than was due", "STEP_UNEXPECTED")
    return sent, effect.value


async def ask_all(steps: Steps[T], ask: Ask, last: PartyId | None = None, *, few: bool = False) -> T:
    """The result of a bank's role. Calls that do not wait for each other are made at once; `last` is called when the
    role waits for it, with all that it was sent until then.

    Its computing is done in a thread, so that other requests go on meanwhile; of `few` rows, which takes less than to
    hand it over, here. Raises: what `ask` and the role raise; when one call fails, the others are given up.
    """
    calls: dict[PartyId, asyncio.Task[list[Message]]] = {}
    came: dict[PartyId, deque[Message]] = {}
    value: Message | None = None
    unsent: defaultdict[PartyId, list[Message]] = defaultdict(list)
    try:
        while True:
            if few:
                effect = _until_it_waits(steps, value, unsent)
            else:
                effect = await asyncio.to_thread(_until_it_waits, steps, value, unsent)
            if not isinstance(effect, Recv):
                result: T = effect.value
                return result
            for provider in [provider for provider in unsent if provider != last or effect.sender == last]:
                calls[provider] = asyncio.create_task(_asked(ask, provider, unsent.pop(provider)))
            value = await _due(effect, calls, came)
    finally:
        for call in calls.values():
            call.cancel()
        await asyncio.gather(*calls.values(), return_exceptions=True)


async def _asked(ask: Ask, provider: PartyId, messages: list[Message]) -> list[Message]:
    return await ask(provider, messages)


async def _due(
    effect: Recv, calls: dict[PartyId, asyncio.Task[list[Message]]], came: dict[PartyId, deque[Message]]
) -> Message:
    """The next message of the provider that the role waits for; whichever call fails first ends it."""
    provider = effect.sender
    while provider not in came or not came[provider]:
        if provider not in calls:
            raise PeerError(provider, STEP, "sent less than was due", "STEP_UNEXPECTED")
        done, _ = await asyncio.wait(calls.values(), return_when=asyncio.FIRST_COMPLETED)
        for name in [name for name, call in calls.items() if call in done]:
            came[name] = deque(await calls.pop(name))
    message = came[provider].popleft()
    if not isinstance(message, effect.kind):
        raise PeerError(provider, STEP, "is not what was due", "STEP_UNEXPECTED")
    return message


def _until_it_waits(steps: Steps[Any], value: Message | None, unsent: defaultdict[PartyId, list[Message]]) -> Any:
    """What the role waits for, or its end; all that it sends to each provider before goes to `unsent`."""
    effect = _next(steps, value)
    while isinstance(effect, Send):
        unsent[effect.to].append(effect.message)
        effect = _next(steps, None)
    return effect


class _Ended:
    """A role's result."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _next(steps: Steps[Any], value: Message | None) -> Any:
    """What the role wants next, or that it has ended."""
    try:
        return steps.send(value)
    except StopIteration as end:
        return _Ended(end.value)
