"""What a table says, as a hash: the same for the same contents in whatever file, database or order they came.

Rows are taken in the order of their identifiers and columns in that of their names, in the form in which they are
computed with: numbers as doubles, a category as its place in the list of levels, which is hashed with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ContentDigest"]

_DOMAIN = b"fedcredit/v1/table-contents\0"


class ContentDigest:
    """Takes identifiers, then column by column, all in the order of the identifiers.

    Shapes: ids (n,) of dtype S, whatever its width; columns (n,).
    """

    def __init__(self, ids: npt.NDArray[np.bytes_]) -> None:
        self._digest = hashlib.sha256(_DOMAIN)
        # Each by its length and its bytes, so that neither the array's width nor a border between two matters.
        lengths = np.strings.str_len(ids).astype("<u4")
        self._part(["ids", len(ids)], lengths.tobytes())
        self._digest.update(ids.tobytes().replace(b"\0", b""))

    def column(self, name: str, kind: str, levels: Sequence[str], values: npt.NDArray[np.float64]) -> None:
        """Take the next column."""
        # Adding zero makes one of the two zeros; missing values have one form.
        plain = np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8")
        self._part([name, kind, list(levels)], plain.tobytes())

    def digest(self) -> bytes:
        """32 bytes."""
        return self._digest.digest()

    def _part(self, head: list[Any], data: bytes) -> None:
        text = json.dumps(head, ensure_ascii=True).encode()
        self._digest.update(len(text).to_bytes(8, "little") + text + len(data).to_bytes(8, "little"))
        self._digest.update(data)
