"""What members and the relay of a platform say to each other; the bytes in between are other people's TLS.

A relayed connection is a stream of pieces. The first names whom the caller wants (`Dial`) or which call is taken
(`Accept`); after that a piece is data, carried as it is, or the end of one direction. The relay passes encoded pieces
on without taking them apart, so data is written last and untouched, as the body of a frame is.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.errors import ConfigError
from fedcredit.ids import PartyId, party_id
from fedcredit.wire._gen import relay_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, blob, read_proto, text

__all__ = [
    "CALL_BYTES",
    "END",
    "MAX_DATA_BYTES",
    "MAX_PIECE_BYTES",
    "RelayCall",
    "RelayJoin",
    "call_of",
    "data_of",
    "piece_for_call",
    "piece_of",
    "piece_to",
    "target_of",
]

CALL_BYTES = 16
MAX_DATA_BYTES = 256 << 10
MAX_PIECE_BYTES = MAX_DATA_BYTES + 4  # the key and a length of three bytes
_MAX_OPENING_BYTES = 64
_DATA_KEY = 0x1A  # protobuf's key of field 3, length-delimited

END = pb.RelayPiece(end=True).SerializeToString()
"""The piece after which nothing comes in its direction."""


@dataclass(frozen=True, slots=True, repr=False)
class RelayJoin(Message, tag=0x160, proto=pb.RelayJoin):
    """A member is there. Reveals: that, and when. Assumes: mutual TLS, from a member."""


@dataclass(frozen=True, slots=True, repr=False)
class RelayCall(Message, tag=0x161, proto=pb.RelayCall):
    """Somebody calls. Reveals: who, as the relay has it. Assumes: mutual TLS; the callee asks the caller itself."""

    call: bytes = blob(CALL_BYTES)
    caller: str = text(32)


def piece_to(peer: PartyId) -> bytes:
    """The first piece of a call to `peer`. Reveals: to the relay, who calls whom. Assumes: mutual TLS."""
    return pb.RelayPiece(to=peer).SerializeToString()


def target_of(piece: bytes) -> PartyId:
    """Whom a call is for. Raises MessageInvalid."""
    try:
        return party_id(_opening(piece, "to").to)
    except ConfigError:
        raise MessageInvalid("piece.to", "not a party's name") from None


def piece_for_call(call: bytes) -> bytes:
    """The first piece of the end that takes `call`. Reveals: nothing new. Assumes: mutual TLS, from the one called."""
    return pb.RelayPiece(call=call).SerializeToString()


def call_of(piece: bytes) -> bytes:
    """Which call is taken. Raises MessageInvalid."""
    call = _opening(piece, "call").call
    if len(call) != CALL_BYTES:
        raise MessageInvalid("piece.call", f"not {CALL_BYTES} bytes")
    return call


def piece_of(data: bytes) -> bytes:
    """`data`, 1 to MAX_DATA_BYTES, as a piece. Reveals: to the relay, its size and time; the rest is TLS's to hide.

    Assumes: that `data` is encrypted from end to end; the relay could read it otherwise.
    """
    n = len(data)
    assert 0 < n <= MAX_DATA_BYTES, "whoever reads a socket reads no more at a time"
    if n < 1 << 7:
        return bytes((_DATA_KEY, n)) + data
    if n < 1 << 14:
        return bytes((_DATA_KEY, n & 0x7F | 0x80, n >> 7)) + data
    return bytes((_DATA_KEY, n & 0x7F | 0x80, n >> 7 & 0x7F | 0x80, n >> 14)) + data


def data_of(piece: bytes) -> memoryview:
    """What a piece carries, a view of it. Raises MessageInvalid, also for END and for a first piece."""
    if len(piece) > MAX_PIECE_BYTES:
        raise MessageInvalid("piece", f"more than {MAX_PIECE_BYTES} bytes", "TOO_LARGE")
    if len(piece) < 3 or piece[0] != _DATA_KEY:
        raise MessageInvalid("piece", "not data")
    length, start = 0, 1
    for shift in (0, 7, 14):
        byte = piece[start] if start < len(piece) else 0x80
        length |= (byte & 0x7F) << shift
        start += 1
        if byte < 0x80:
            if length != len(piece) - start or not length:
                raise MessageInvalid("piece.data", "claims another length than it has")
            return memoryview(piece)[start:]
    raise MessageInvalid("piece.data", "no length")


def _opening(piece: bytes, field: str) -> pb.RelayPiece:
    opening = pb.RelayPiece()
    if len(piece) > _MAX_OPENING_BYTES:
        raise MessageInvalid("piece", "too long for the first of a connection", "TOO_LARGE")
    read_proto(opening, piece, "piece")
    if opening.WhichOneof("what") != field:
        raise MessageInvalid("piece", f"the first one does not say {field!r}")
    return opening
