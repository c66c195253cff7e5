"""The vocabulary of a protocol: a role can only `Send` and `Recv`.

A role is a frozen dataclass whose methods are generators of effects. It owns no clock, socket, file, thread or
logger; randomness comes in as an argument. Steps compose with `yield from`, so a protocol reads as in its paper.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from fedcredit.ids import PartyId
from fedcredit.wire.message import Message

__all__ = ["Recv", "Send", "Steps", "recv", "send"]

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Send:
    """Hand `message` to the link; the role goes on at once and computes while it travels."""

    to: PartyId
    message: Message


@dataclass(frozen=True, slots=True)
class Recv:
    """Wait for the next message of `sender`, which must be a `kind`."""

    sender: PartyId
    kind: type[Message]


Steps = Generator[Send | Recv, Any, T]


def send(to: PartyId, message: Message) -> Steps[None]:
    """Send `message` to `to`."""
    yield Send(to, message)


def recv(sender: PartyId, kind: type[M]) -> Steps[M]:
    """Wait for the next message from `sender`; the session rejects any other type."""
    message: M = yield Recv(sender, kind)
    return message
