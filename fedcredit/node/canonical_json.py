"""JSON that has one form, so that parties that sign it sign the same bytes."""

from __future__ import annotations

import json
from typing import Any

from fedcredit.errors import Problem, RefusedError

__all__ = ["canonical", "parse_canonical"]


def canonical(value: Any) -> bytes:
    """`value` as JSON in its one form: sorted keys, no spaces, UTF-8, shortest floats, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse_canonical(data: bytes) -> Any:
    """The value whose canonical form is `data`. Raises RefusedError (SPEC_INVALID), e.g. on a duplicate key."""
    try:
        value = json.loads(data)
        same = canonical(value) == data
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise RefusedError(Problem("SPEC_INVALID", "document", "is not canonical JSON"))
    return value
