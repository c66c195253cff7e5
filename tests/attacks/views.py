"""What one party sees of a run, recorded: every message that it gets, beside its own input and randomness.

That is all it has, and what it can work out from it includes what its role works out on the way. So a view can be
played again: the role anew, from the same input and randomness, fed with the messages of the record and nothing else.
`noting` keeps what functions inside the role gave meanwhile: shares, decrypted numbers, opened sums.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Recv, Send, Steps
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire.message import Message, message_type

__all__ = ["Call", "View", "noting", "recorded"]

M = TypeVar("M", bound=Message)
Role = Callable[[], Steps[Any]]


@dataclass(frozen=True)
class View:
    """One party's view. `role` starts its role from its own input and randomness."""

    me: PartyId
    role: Role
    received: list[tuple[PartyId, Message]] = field(default_factory=list)
    sent: list[tuple[PartyId, Message]] = field(default_factory=list)

    def of(self, kind: type[M], sender: PartyId | None = None) -> list[M]:
        """Received messages of one type, in their order."""
        return [m for who, m in self.received if isinstance(m, kind) and sender in (None, who)]

    @property
    def bodies(self) -> list[bytes]:
        """What was received, as bytes."""
        return [message.encode() for _, message in self.received]

    def replay(self) -> Any:
        """Play the role again from the record alone; what it returns."""
        waiting: dict[PartyId, deque[Message]] = {}
        for sender, message in self.received:
            waiting.setdefault(sender, deque()).append(message)
        steps, answer = self.role(), None
        while True:
            try:
                effect = steps.send(answer)
            except StopIteration as end:
                return end.value
            match effect:
                case Send():
                    answer = None
                case Recv(sender, kind):
                    answer = waiting[sender].popleft()
                    assert isinstance(answer, kind)


def recorded(roles: Mapping[PartyId, Role], **network: Any) -> tuple[dict[PartyId, View], Outcome]:
    """Run `roles` against each other; everybody's view, and what came of it."""
    views = {party: View(party, role) for party, role in roles.items()}

    def listen(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        views[link.receiver].received.append((link.sender, message))
        views[link.sender].sent.append((link.receiver, message))
        return tag, body

    outcome = run_network(
        {party: role() for party, role in roles.items()}, insecure_in_process=True, tamper=listen, **network
    )
    return views, outcome


class Call(NamedTuple):
    """One call of a function that is noted."""

    name: str
    args: tuple[Any, ...]
    result: Any


@contextmanager
def noting(*places: tuple[Any, str]) -> Iterator[list[Call]]:
    """Keep the calls of functions, methods and generators, given as (module or class, name), while this is open."""
    calls: list[Call] = []
    old = [(owner, name, getattr(owner, name)) for owner, name in places]

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def plain(*args: Any, **named: Any) -> Any:
            calls.append(Call(name, args, result := call(*args, **named)))
            return result

        @wraps(call)
        def steps(*args: Any, **named: Any) -> Steps[Any]:
            calls.append(Call(name, args, result := (yield from call(*args, **named))))
            return result

        return steps if inspect.isgeneratorfunction(call) else plain

    try:
        for owner, name, call in old:
            setattr(owner, name, noted(name, call))
        yield calls
    finally:
        for owner, name, call in old:
            setattr(owner, name, call)
