"""By what a question is known in the log, so that asking it again is the same question, however it is written.

The native service makes it (`snapshot.rs`, `kinds.rs`); this is its twin for who looks one up, and a test holds the two
together.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from fedcredit.governance.predicates.model import Compiled, ParameterEntry
from fedcredit.kernels.index import normal_text

__all__ = ["question_hash"]

HASH_BYTES = 16

Value = float | str | tuple[str, ...]


def question_hash(compiled: Compiled, values: Mapping[str, Value]) -> str:
    """The hash in hexadecimal; the values are those that `Compiled.enquiry` lets pass."""
    parts = [compiled.predicate.id.encode()]
    for name, value in sorted(values.items()):
        parts += [name.encode(), _bytes(compiled.predicate.parameters[name], value)]
    body = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return hashlib.sha256(body).digest()[:HASH_BYTES].hex()


def _bytes(entry: ParameterEntry, value: Value) -> bytes:
    matched = entry.match or not entry.ladder

    def form(text: str) -> bytes:
        return (normal_text(text) if matched else text).encode()

    match value:
        case tuple():
            forms = sorted({form(text) for text in value})
            return b"".join(len(one).to_bytes(8, "little") + one for one in forms)
        case str():
            return form(value)
        case _:
            # There are two zeros, and they are equal.
            return struct.pack("<d", float(value) + 0.0)
