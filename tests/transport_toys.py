"""Toy messages and roles for the tests of transports and the driver."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.wrappers_pb2 import BytesValue, UInt64Value

from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.message import Message, blob, count

A, B, C = PartyId("bank"), PartyId("tax"), PartyId("social")
SSID = bytes(32)


@dataclass(frozen=True, slots=True, repr=False)
class Number(Message, tag=0x7F01, proto=UInt64Value):
    """Reveals: a number. Assumes: nothing."""

    value: int = count(2**63)


@dataclass(frozen=True, slots=True, repr=False)
class Text(Message, tag=0x7F02, proto=BytesValue):
    """Reveals: bytes. Assumes: nothing."""

    value: bytes = blob(0, 1 << 20)


def ring(me: PartyId, parties: list[PartyId], rounds: int, mine: int) -> Steps[list[int]]:
    """Send a number to everybody, hear everybody's, go on with the sum: order of arrival must not matter."""
    seen = []
    for _ in range(rounds):
        for other in parties:
            if other != me:
                yield from send(other, Number(mine))
        heard = []
        for other in parties:
            if other != me:
                heard.append((yield from recv(other, Number)).value)
        mine = (31 * mine + sum(heard)) % 10007
        seen.append(mine)
    return seen


def hear(sender: PartyId, n: int = 1) -> Steps[list[int]]:
    heard = []
    for _ in range(n):
        heard.append((yield from recv(sender, Number)).value)
    return heard


def say(to: PartyId, *messages: Message) -> Steps[None]:
    for message in messages:
        yield from send(to, message)


def flood(to: PartyId, n: int, size: int) -> Steps[int]:
    """Send `n` bodies before reading anything: fits while the peer's window holds them."""
    for _ in range(n):
        yield from send(to, Text(bytes(size)))
    heard = 0
    for _ in range(n):
        heard += len((yield from recv(to, Text)).value)
    return heard
