"""The one form of JSON that a token may have, so that two readers cannot read two things.

Keys sorted, no blanks, printable ASCII without backslashes, no key twice, integers of at most 15 digits and no other
numbers. RFC 8785 has the same form for what a token holds; here everything else is refused, not brought to it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

__all__ = ["NotCanonical", "read", "write"]

_PLAIN = re.compile(rb"[\x20-\x5b\x5d-\x7e]*")
_TEXT = re.compile(rb'"[^"]*"')
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_MAX_DEPTH = 8
_MAX_DIGITS = 15


class NotCanonical(ValueError):
    """The bytes are not JSON in that form. Holds nothing of them."""


def write(value: Any) -> bytes:
    """`value` in that form. Raises: NotCanonical if it has none: a float, text with other characters."""
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    read(data)
    return data


def read(data: bytes) -> Any:
    """What `data` says. Raises: NotCanonical if it is not exactly what `write` would make of that."""
    # Brackets inside of texts count too; no text of a token has any. Where they close first, they hide none either.
    if not _PLAIN.fullmatch(data) or max(_depth(data), _depth(_TEXT.sub(b"", data))) > _MAX_DEPTH:
        raise NotCanonical
    try:
        value = json.loads(
            data, object_pairs_hook=_once, parse_float=_refused, parse_constant=_refused, parse_int=_short
        )
    except (ValueError, RecursionError):
        raise NotCanonical from None
    if json.dumps(value, sort_keys=True, separators=(",", ":")).encode() != data:
        raise NotCanonical
    return value


def _depth(data: bytes) -> int:
    deep = most = 0
    for byte in data.translate(None, _OTHERS):
        deep += 1 if byte in b"[{" else -1
        most = max(most, deep)
    return most


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical
    return found


def _short(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise NotCanonical
    return int(text)


def _refused(_: str) -> NoReturn:
    raise NotCanonical
