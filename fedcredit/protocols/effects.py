"""The vocabulary of a protocol: a role can only `Send` and `Recv`.

A role is a frozen dataclass whose methods are generators of effects. It owns no clock, socket, file, thread or
logger; randomness comes in as an argument. Steps compose with `yield from`, so a protocol reads as in its paper.

A role ends when a peer is lost, unless it asked to be told instead: `recv_or_lost`, `send_or_lost`. Who misbehaves ends
it in any case.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from fedcredit.ids import PartyId
from fedcredit.wire.message import Message

__all__ = ["Lost", "Recv", "Send", "Steps", "recv", "recv_or_lost", "send", "send_or_lost"]

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Send:
    """Hand `message` to the link; the role goes on at once and computes while it travels."""

    to: PartyId
    message: Message
    or_lost: bool = False
    """Whether the role goes on where `to` is lost."""


@dataclass(frozen=True, slots=True)
class Recv:
    """Wait for the next message of `sender`, which must be a `kind`."""

    sender: PartyId
    kind: type[Message]
    or_lost: bool = False
    """Whether the role goes on where `sender` is lost, and gets `Lost` in place of its message."""
    patience: int = 1
    """How many deadlines it waits: more than one for who may itself have to wait for others that are lost."""


@dataclass(frozen=True, slots=True)
class Lost:
    """In place of a message: `peer` is silent or unreachable, and stays lost to this role. `reason` is for people."""

    peer: PartyId
    reason: str


Steps = Generator[Send | Recv, Any, T]


def send(to: PartyId, message: Message) -> Steps[None]:
    """Send `message` to `to`."""
    yield Send(to, message)


def send_or_lost(to: PartyId, message: Message) -> Steps[None]:
    """Send `message` to `to`, or to nobody if `to` is lost: then it neither waits nor raises."""
    yield Send(to, message, or_lost=True)


def recv(sender: PartyId, kind: type[M], *, patience: int = 1) -> Steps[M]:
    """Wait for the next message from `sender`; the session rejects any other type."""
    message: M = yield Recv(sender, kind, patience=patience)
    return message


def recv_or_lost(sender: PartyId, kind: type[M], *, patience: int = 1) -> Steps[M | Lost]:
    """Wait for the next message from `sender`, or for the news that it is lost; from then on that is all that comes."""
    message: M | Lost = yield Recv(sender, kind, or_lost=True, patience=patience)
    return message
