"""A client that says what no gRPC library would: HTTP/2 frames written by hand, over the same mutual TLS."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fedcredit.ids import PartyId
from fedcredit.transport.grpc import Credentials
from fedcredit.transport.identity import party_host

__all__ = ["raw_call"]

_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS = 1, 4


async def raw_call(
    port: int, own: Credentials, whom: PartyId, path: str, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """Make one call; the raw frames of the answer, with `grpc-status` and `grpc-message` readable in them."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=_context(own), server_hostname=party_host(whom)
    )
    usual = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path.encode()),
        (b":authority", party_host(whom).encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"grpc-timeout", b"5S"),
    ]
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in (*usual, *headers))
    message = b"\0" + len(body).to_bytes(4, "big") + body
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
        writer.write(_frame(_HEADERS, _END_HEADERS, 1, block) + _frame(_DATA, _END_STREAM, 1, message))
        async with asyncio.timeout(20):
            return await _answer(reader, writer)
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    answer = b""
    while True:
        head = await reader.readexactly(9)
        kind, flags = head[3], head[4]
        body = await reader.readexactly(int.from_bytes(head[:3], "big"))
        if kind == _SETTINGS and not flags:
            writer.write(_frame(_SETTINGS, 1, 0, b""))
        if kind in (_DATA, _HEADERS, _RESET, _GOAWAY):
            answer += body
        if kind in (_RESET, _GOAWAY) or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            return answer


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def _text(text: bytes) -> bytes:
    assert len(text) < 127, "a longer one needs a longer length"
    return bytes([len(text)]) + text


def _context(own: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, pem in (("key", own.private_key), ("own", own.certificate), ("believed", own.authorities)):
            (folder / file).write_bytes(pem)
        context.load_cert_chain(folder / "own", folder / "key")
        context.load_verify_locations(folder / "believed")
    context.set_alpn_protocols(["h2"])
    return context
