"""A client that says what no gRPC library would: HTTP/2 frames written by hand, over the same mutual TLS."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path

from fedcredit.ids import PartyId
from fedcredit.transport.grpc import Credentials
from fedcredit.transport.identity import party_host

__all__ = [
    "END_HEADERS",
    "END_STREAM",
    "PLAIN",
    "PREFACE",
    "Kind",
    "block",
    "frame",
    "raw_call",
    "read_frame",
    "tls_of",
]

END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PLAIN = b"\0\1\0\0\0\0"
"""Settings that have the other side write out every header, each time."""


class Kind(IntEnum):
    """Kinds of frames."""

    DATA = 0
    HEADERS = 1
    RESET = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    CONTINUATION = 9


async def raw_call(
    port: int, own: Credentials, whom: PartyId, path: str, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """Make one call; the raw frames of the answer, with `grpc-status` and `grpc-message` readable in them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls_of(own), server_hostname=party_host(whom))
    message = b"\0" + len(body).to_bytes(4, "big") + body
    try:
        writer.write(PREFACE + frame(Kind.SETTINGS, 0, 0, b""))
        writer.write(frame(Kind.HEADERS, END_HEADERS, 1, block(whom, path, headers, b"60S")))
        writer.write(frame(Kind.DATA, END_STREAM, 1, message))
        async with asyncio.timeout(60):
            return await _answer(reader, writer)
    finally:
        writer.transport.abort()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """The next frame: its kind, its flags, what is in it."""
    head = await reader.readexactly(9)
    return head[3], head[4], await reader.readexactly(int.from_bytes(head[:3], "big"))


def frame(kind: Kind, flags: int, stream: int, body: bytes) -> bytes:
    """One frame."""
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def block(whom: PartyId, path: str, headers: Iterable[tuple[bytes, bytes]] = (), within: bytes = b"5S") -> bytes:
    """The headers of a call, written out."""
    usual = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path.encode()),
        (b":authority", party_host(whom).encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"grpc-timeout", within),
    ]
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in (*usual, *headers))


def tls_of(own: Credentials) -> ssl.SSLContext:
    """TLS with the keys of a party."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, pem in (("key", own.private_key), ("own", own.certificate), ("believed", own.authorities)):
            (folder / file).write_bytes(pem)
        context.load_cert_chain(folder / "own", folder / "key")
        context.load_verify_locations(folder / "believed")
    context.set_alpn_protocols(["h2"])
    return context


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    answer = b""
    while True:
        kind, flags, body = await read_frame(reader)
        if kind == Kind.SETTINGS and not flags:
            writer.write(frame(Kind.SETTINGS, 1, 0, b""))
        if kind in (Kind.DATA, Kind.HEADERS, Kind.RESET, Kind.GOAWAY):
            answer += body
        if kind in (Kind.RESET, Kind.GOAWAY) or (kind in (Kind.DATA, Kind.HEADERS) and flags & END_STREAM):
            return answer


def _text(text: bytes) -> bytes:
    """A length of seven bits or more, and the text as it is."""
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, length = len(text) - 127, b"\x7f"
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    return length + bytes([rest]) + text
