"""Changes to valid inputs, by the seed given: blind ones of bytes, and ones that know the form of what they change.

Each takes a random source and an input and returns another input. The forms go deep only where blind changes cannot:
a protobuf field that is dropped leaves its neighbours whole, a JSON value that is swapped leaves canonical JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

__all__ = ["Mutate", "blind", "canonical_json", "field", "frame", "json_text", "protobuf", "state", "text"]

Mutate = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""Random source, the input to change, and all inputs of the pool, to splice with."""

MOST_BYTES = 1 << 20
_BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x2C)
_WORDS = (b"\xff" * 9 + b"\x01", b"\xff" * 4 + b"\x0f", b"\x80" * 10, b"\x00" * 8, b"\xff\xff\xff\x7f")
_NUMBERS = (-1, 0, 1, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30)
_NESTING = ("[", "]"), ('{"a":', "}")


def blind(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One to four changes that know nothing of the form."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        op = rng.randrange(9)
        if op == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif op == 1 and at < len(out):
            out[at] = rng.choice(_BYTES)
        elif op == 2 and at < len(out):
            out[at] = rng.randrange(256)
        elif op == 3:
            del out[at : at + _length(rng)]
        elif op == 4:
            out[at:at] = rng.randbytes(_length(rng))
        elif op == 5:
            out[at:at] = out[at : at + _length(rng)] * rng.choice((1, 2, 3))
        elif op == 6:
            out[at:at] = rng.choice(_WORDS)
        elif op == 7:
            del out[at:]
        else:
            other = rng.choice(pool)
            start = rng.randrange(len(other) + 1)
            out[at:] = other[start:]
    if rng.randrange(2000) == 0:
        out = (out or bytearray(b"\0")) * (rng.choice((MOST_BYTES >> 4, MOST_BYTES)) // max(1, len(out)))
    return bytes(out[:MOST_BYTES])


def protobuf(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One change that leaves a protobuf message behind, most of the time."""
    fields = _fields(data)
    if not fields or rng.randrange(4) == 0:
        return blind(rng, data, pool)
    at = rng.randrange(len(fields))
    number, wire, body = fields[at]
    op = rng.randrange(9)
    if op == 0:
        del fields[at]
    elif op == 1:
        fields.insert(at, fields[at])
    elif op == 2:
        fields[at] = (rng.choice((0, 1, 2, 3, 15, 16, 2**28, 2**29 - 1)), wire, body)
    elif op == 3:
        fields[at] = (number, rng.randrange(8), body)
    elif op == 4:
        rng.shuffle(fields)
    elif op == 5:
        fields.append((rng.choice((1, number, 99)), 3, b"") if rng.randrange(2) else (number, 4, b""))
    elif op == 6:
        many = rng.choice((100, 200, 5000))
        fields.insert(at, (number, -1, _key(number, 3) * many + _key(number, 4) * rng.choice((0, many))))
    elif wire == 0:
        fields[at] = (number, 0, _varint(rng.choice(_NUMBERS) & (2**64 - 1)))
    elif wire == 2:
        inner = protobuf if rng.randrange(3) else blind
        fields[at] = (number, 2, inner(rng, body, pool))
    return b"".join(_encode(*field) for field in fields)[:MOST_BYTES]


def frame(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """As `protobuf`; half of the frames keep header before body, as decoding wants them."""
    fields = _fields(data)
    if len(fields) < 2 or rng.randrange(2):
        return protobuf(rng, data, pool)
    header, body = fields[0], fields[-1]
    changed = protobuf(rng, header[2], pool)
    return _encode(1, 2, changed) + _encode(2, 2, body[2] if rng.randrange(2) else blind(rng, body[2], pool))


def field(rng: Random, data: bytes, pool: Sequence[bytes], numbers: Sequence[int], inner: Mutate) -> bytes:
    """The content of one of the fields with these numbers changed by `inner`, the lengths right."""
    fields = _fields(data)
    places = [at for at, (number, wire, _) in enumerate(fields) if number in numbers and wire == 2]
    if not places:
        return protobuf(rng, data, pool)
    at = rng.choice(places)
    number, wire, body = fields[at]
    fields[at] = (number, wire, inner(rng, body, pool))
    return b"".join(_encode(*field) for field in fields)[:MOST_BYTES]


def json_text(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One value, key or element of a JSON document changed, or a few bytes of its text."""
    return _json(rng, data, pool, lambda value: json.dumps(value).encode())


def canonical_json(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """As `json_text`, leaving canonical JSON."""
    return _json(rng, data, pool, _canonical)


def text(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Lines of a text moved, doubled, dropped, or one value of a line swapped: for TOML and CSV."""
    op = rng.randrange(8)
    lines = data.split(b"\n")
    if op >= 6 or len(lines) < 2:
        return blind(rng, data, pool)
    at = rng.randrange(len(lines))
    if op == 0:
        del lines[at]
    elif op == 1:
        lines.insert(at, rng.choice(lines))
    elif op == 2:
        rng.shuffle(lines)
    elif op == 3:
        other = rng.choice(pool).split(b"\n")
        lines[at:at] = other[: rng.randrange(len(other) + 1)]
    else:
        lines[at] = _swap_token(rng, lines[at])
    return b"\n".join(lines)[:MOST_BYTES]


def state(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """A frozen state with its JSON header changed and its length right, or changed blindly."""
    end = 12 + int.from_bytes(data[8:12], "big")
    if end > len(data) or rng.randrange(3) == 0:
        return blind(rng, data, pool)
    header = json_text(rng, data[12:end], pool)
    return data[:8] + len(header).to_bytes(4, "big") + header + data[end:]


def _json(rng: Random, data: bytes, pool: Sequence[bytes], dump: Callable[[Any], bytes]) -> bytes:
    if rng.randrange(5) == 0:
        return blind(rng, data, pool)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return blind(rng, data, pool)
    deep = rng.randrange(40) == 0
    value = _swap(rng, value, "\x00deep" if deep else _strange(rng, value))
    try:
        out = dump(value)
    except (ValueError, RecursionError):
        return blind(rng, data, pool)
    if deep:
        opened, closed = rng.choice(_NESTING)
        n = rng.choice((50, 150, 300, 1500, 20_000))
        out = out.replace(b'"\\u0000deep"', (opened * n + "1" + closed * n).encode())
    return out[:MOST_BYTES]


def _strange(rng: Random, value: Any) -> Any:
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(_NUMBERS)
    if kind == 1:
        return rng.choice((0.5, 1e300, -0.0, 1e-320, float("nan"), float("inf")))
    if kind == 2:
        return rng.choice(("", "a" * 300, "\x00", "\ud800", "é", "../x", "00", "-1", "nan", "2026-02-30", "|S9", "<u8"))
    if kind == 3:
        return rng.choice((None, True, False))
    if kind == 4:
        return rng.choice(([], {}, [[]], {"": 0}, [1, 2, 3], [None]))
    if kind == 5:
        return [rng.choice(_NUMBERS) for _ in range(rng.randrange(9))]
    if kind == 6:
        return [[1, 2], [3]]
    if kind == 7:
        return value
    return _pick(rng, value)


def _pick(rng: Random, value: Any) -> Any:
    while isinstance(value, dict | list) and value and rng.randrange(5):
        value = rng.choice(list(value.values())) if isinstance(value, dict) else rng.choice(value)
    return value


def _swap(rng: Random, value: Any, other: Any) -> Any:
    """`value` with one part of it replaced, dropped, doubled or renamed."""
    if not isinstance(value, dict | list) or not value or rng.randrange(8) == 0:
        return other
    if isinstance(value, list):
        out, at = list(value), rng.randrange(len(value))
        op = rng.randrange(8)
        if op == 0:
            del out[at]
        elif op == 1:
            out.insert(at, other)
        elif op == 2:
            out.insert(at, out[at])
        else:
            out[at] = _swap(rng, out[at], other)
        return out
    named, key = dict(value), rng.choice(list(value))
    op = rng.randrange(10)
    if op == 0:
        del named[key]
    elif op == 1:
        named[rng.choice(("x", "", "\x00", key.upper(), key + "_"))] = other
    elif op == 2:
        named[rng.choice(list(value))] = named[key]
    else:
        named[key] = _swap(rng, named[key], other)
    return named


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


_TOKEN = re.compile(rb'"[^"]*"|[^\s,=;|"\[\]]+')
_TOKENS = (
    b'""', b'"x"', b"''", b"0", b"-1", b"1e400", b"nan", b"inf", b"1" * 5000, b"9223372036854775808", b"true", b"[]",
    b"[[[[]]]]", b"{}", b"{a=1}", b"2026-02-30", b"2026-01-01T00:00:00Z", b'"\\u0000"', b'"\\ud800"', b'"""', b"'''",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"\r", b'"', b",", b"=", b"[" * 3000, b"[a.b.c]", b"[[model]]",
    b"a" * 70_000,    b"-----BEGIN PRIVATE KEY-----", b"0x1F", b"1_000", b"=cmd()", "１２".encode(),
)  # fmt: skip


def _swap_token(rng: Random, line: bytes) -> bytes:
    found = list(_TOKEN.finditer(line))
    token = rng.choice(_TOKENS)
    if not found:
        return line + token
    at = rng.choice(found)
    return line[: at.start()] + token + line[at.end() :]


def _length(rng: Random) -> int:
    return rng.choice((1, 1, 2, 3, 8, 32, 200))


Field = tuple[int, int, bytes]


def _fields(data: bytes) -> list[Field]:
    """The fields of a message as (number, wire type, body); empty if it is none."""
    at, fields = 0, []
    while at < len(data):
        key, at = _read(data, at)
        wire = key & 7
        if wire == 0:
            start = at
            _, at = _read(data, at)
        elif wire == 2:
            size, start = _read(data, at)
            at = start + size
        elif wire in (1, 5):
            start, at = at, at + (8 if wire == 1 else 4)
        else:
            return []
        if at > len(data) or key > 2**32:
            return []
        fields.append((key >> 3, wire, data[start:at]))
    return fields


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(10):
        if at >= len(data):
            return 0, len(data) + 1
        value |= (data[at] & 0x7F) << 7 * shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    return 0, len(data) + 1


def _encode(number: int, wire: int, body: bytes) -> bytes:
    if wire < 0:
        return body
    lead = _key(number, wire)
    return lead + _varint(len(body)) + body if wire == 2 else lead + body


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
