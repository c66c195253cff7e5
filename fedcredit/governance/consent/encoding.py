"""Base64url as RFC 7515 has it: no padding, and one text for the same bytes."""

from __future__ import annotations

import base64
import re

__all__ = ["decode_text", "encode_text"]

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")


def encode_text(data: bytes) -> str:
    """`data` as text."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_text(text: str, size: int | None = None) -> bytes:
    """The bytes behind `text`, of which there must be `size` if that is given.

    Raises: ValueError on padding, other characters, bits that mean nothing, another size.
    """
    if not _ALPHABET.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_text(data) != text or (size is not None and len(data) != size):
        raise ValueError("not base64url")
    return data
