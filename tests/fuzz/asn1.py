"""Changes to DER, the form of certificates and requests, that leave the lengths right."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from fuzz import mutate
from fuzz.mutate import Mutate, blind

__all__ = ["as_pem", "der", "pem", "within_json", "within_message"]

_TAGS = (0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0xA0, 0xA3, 0x82, 0x86)
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"


def der(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One element dropped, doubled, moved, of another tag or with another content; a few bytes now and then."""
    return blind(rng, data, pool) if rng.randrange(8) == 0 else _changed(rng, data, 0)


def pem(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """A certificate in PEM changed as DER, or as text."""
    try:
        body = base64.b64decode(data.split(b"-----")[2])
    except (IndexError, ValueError):
        return blind(rng, data, pool)
    if rng.randrange(8) == 0:
        return mutate.text(rng, data, pool)
    return as_pem(der(rng, body, [body]))


def as_pem(body: bytes) -> bytes:
    """A certificate in PEM."""
    return _BEGIN + base64.encodebytes(body) + _END


def within_json(dump: Mutate) -> Mutate:
    """As `dump` changes JSON; half of the time a certificate in it instead, as canonical as before."""

    def change(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
        if rng.randrange(2):
            return dump(rng, data, pool)
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return dump(rng, data, pool)
        places = list(_certificates(value))
        if not places:
            return dump(rng, data, pool)
        holder, key = rng.choice(places)
        holder[key] = pem(rng, holder[key].encode(errors="replace"), pool).decode(errors="replace")
        try:
            return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        except ValueError:
            return dump(rng, data, pool)

    return change


def within_message(numbers: Sequence[int]) -> Mutate:
    """As `protobuf`; half of the time the DER in one of the fields with these numbers instead."""

    def change(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
        return mutate.protobuf(rng, data, pool) if rng.randrange(2) else mutate.field(rng, data, pool, numbers, der)

    return change


def _certificates(value: Any) -> list[tuple[Any, Any]]:
    """Where in a JSON document certificates stand: what holds each, and its key there."""
    found, waiting = [], [value]
    while waiting:
        at = waiting.pop()
        items = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
        for key, inner in items:
            if isinstance(inner, str) and inner.startswith("-----BEGIN"):
                found.append((at, key))
            waiting.append(inner)
    return found


def _changed(rng: Random, data: bytes, depth: int) -> bytes:
    elements = _elements(data)
    if not elements:
        return blind(rng, data, [data])
    at = rng.randrange(len(elements))
    tag, content = elements[at]
    nested = bool(tag & 0x20) or (tag in (0x04, 0x03) and bool(_elements(content)))
    if nested and depth < 12 and rng.randrange(6):
        elements[at] = (tag, _changed(rng, content, depth + 1))
    else:
        _swap(rng, elements, at)
    return b"".join(_encoded(*element) for element in elements)


def _swap(rng: Random, elements: list[tuple[int, bytes]], at: int) -> None:
    tag, content = elements[at]
    match rng.randrange(7):
        case 0:
            del elements[at]
        case 1:
            elements.insert(at, elements[at])
        case 2:
            other = rng.randrange(len(elements))
            elements[at], elements[other] = elements[other], elements[at]
        case 3:
            elements[at] = (rng.choice(_TAGS), content)
        case 4:
            elements[at] = (tag, rng.choice((b"", b"\0", b"\xff" * 20, b"\x7f" * 300)))
        case 5:
            elements[at] = (tag, _encoded(tag, content) * rng.choice((1, 2, 50)))
        case _:
            elements[at] = (tag, blind(rng, content, [content]))


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The elements side by side in `data`; none if it is not DER of short tags to its end."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            return []
        tag, size, at = data[at], data[at + 1], at + 2
        if size >= 0x80:
            width = size & 0x7F
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
        if at + size > len(data):
            return []
        found.append((tag, data[at : at + size]))
        at += size
    return found


def _encoded(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    width = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | width)) + len(content).to_bytes(width, "big") + content
