"""A running role: messages in, messages out, no I/O.

`Session` advances one role's generator. `deliver` hands it a message of an authenticated sender; `outbox` holds what
it wants sent. Both the in-memory network of the tests and `runtime.driver` are loops around these two.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

from fedcredit.errors import PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Lost, Recv, Send, Steps
from fedcredit.wire.message import Message

__all__ = ["INBOX_LIMIT", "Session"]

T = TypeVar("T")

INBOX_LIMIT = 64
"""Messages a peer may be ahead. Protocols send at most one window of chunks unasked; the transport holds back more."""


class Session(Generic[T]):
    """One role at work. `step` names it in errors, e.g. `gbdt/tree.3`.

    Raises PeerError (UNEXPECTED_MESSAGE, QUEUE_OVERFLOW, MESSAGE_AFTER_END) from `deliver` or `advance`; from `advance`
    also PeerLost, when the role cannot do without a peer that is lost.
    """

    def __init__(self, steps: Steps[T], step: str, inbox_limit: int = INBOX_LIMIT) -> None:
        self.step = step
        self.outbox: deque[Send] = deque()
        self.result: T | None = None
        self.done = False
        self._steps = steps
        self._waiting: Recv | None = None
        self._inbox: dict[PartyId, deque[Message]] = {}
        self._inbox_limit = inbox_limit
        self._lost: dict[PartyId, Lost] = {}
        self._started = False

    @property
    def waiting_for(self) -> Recv | None:
        """The message the role cannot go on without; None when it can go on or is done."""
        return None if self.done or self._deliverable() else self._waiting

    def deliver(self, sender: PartyId, message: Message) -> None:
        """Queue `message` of an authenticated `sender`. It is type-checked when the role comes to it."""
        if sender in self._lost:
            return
        inbox = self._inbox.setdefault(sender, deque())
        if self.done:
            raise PeerError(sender, self.step, f"sent {type(message).__name__} after the end", "MESSAGE_AFTER_END")
        if len(inbox) >= self._inbox_limit:
            raise PeerError(sender, self.step, f"more than {self._inbox_limit} messages ahead", "QUEUE_OVERFLOW")
        inbox.append(message)

    def lose(self, peer: PartyId, reason: str) -> None:
        """Take `peer` for lost from now on: whatever it sent that the role has not come to is thrown away."""
        self._lost.setdefault(peer, Lost(peer, reason))
        self._inbox.pop(peer, None)

    def has_lost(self, peer: PartyId) -> bool:
        """Whether `peer` is lost."""
        return peer in self._lost

    def advance(self) -> bool:
        """Run the role to its next effect. True while it can go on without another message."""
        if self.done or (self._started and not self._deliverable()):
            return False
        try:
            effect = self._steps.send(self._next_value())
        except StopIteration as stop:
            self.done, self.result, self._waiting = True, stop.value, None
            self._refuse_leftovers()
            return False
        if isinstance(effect, Send):
            self.outbox.append(effect)
            self._waiting = None
            return True
        self._waiting = effect
        return self._deliverable()

    def close(self) -> None:
        """Stop the role where it stands."""
        self._steps.close()

    def _deliverable(self) -> bool:
        if self._waiting is None:
            return True
        return self._waiting.sender in self._lost or bool(self._inbox.get(self._waiting.sender))

    def _next_value(self) -> Any:
        self._started = True
        if self._waiting is None:
            return None
        wanted = self._waiting
        if (lost := self._lost.get(wanted.sender)) is not None:
            if wanted.or_lost:
                return lost
            raise PeerLost(lost.peer, self.step, lost.reason)
        message = self._inbox[wanted.sender].popleft()
        if not isinstance(message, wanted.kind):
            raise PeerError(
                wanted.sender,
                self.step,
                f"sent {type(message).__name__} where {wanted.kind.__name__} was due",
                "UNEXPECTED_MESSAGE",
            )
        return message

    def _refuse_leftovers(self) -> None:
        for sender, inbox in self._inbox.items():
            if inbox:
                kind = type(inbox[0]).__name__
                raise PeerError(sender, self.step, f"sent {kind} that nobody asked for", "UNEXPECTED_MESSAGE")
