"""Columns of identifiers: their normal form and the rules they break, repeats, order, and a column as lines of CSV.

What the rules are, and how a table reports them, is `fedcredit.tables.identifiers`. Shapes: n identifiers; ids (n,) of
dtype S, a shorter one padded with NULs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = ["csv_lines", "in_order", "join", "normalise", "repeats"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
Ids: TypeAlias = npt.NDArray[np.bytes_]


def normalise(
    cells: U8, n: int, kind: Literal["uscc", "digits", "text"], max_bytes: int
) -> tuple[Ids, U8, tuple[int, int, int]]:
    """The identifiers in `cells`, which rules they break, and how many were changed. On all cores; releases the GIL.

    Shapes: cells (bytes,), `n` cells in UTF-8 joined by NULs; ids (n,) of dtype S18 for `uscc`, else as wide as the
    longest, empty where a rule is broken; rules (n,), numbers as in `fedcredit.tables.identifiers`, 0 for none; how
    many lost blanks around them, had full-width characters, and (`uscc`) had lower-case letters.
    Units: max_bytes bytes of an identifier that is `digits` or `text`. Raises: ValueError.
    """
    if cells.dtype != np.uint8 or cells.ndim != 1:
        raise ValueError(f"cells: got {cells.shape} {cells.dtype}, not (bytes,) uint8")
    ids, rules, (blanks, full_width, lower_case) = _native.identifiers_normalise(
        np.ascontiguousarray(cells), n, kind, max_bytes
    )
    return ids.view(f"S{ids.shape[1]}").reshape(-1), rules, (blanks, full_width, lower_case)


def join(columns: Sequence[Ids]) -> Ids:
    """One key of several columns: each part behind a byte with its length, so that no two rows of parts make one key.

    A row with an empty part has an empty key. On all cores; releases the GIL.
    Shapes: columns of (n,) each, a part up to 255 bytes long; returns (n,). Raises: ValueError.
    """
    keys = _native.identifiers_join([_rows(column) for column in columns])
    return keys.view(f"S{keys.shape[1]}").reshape(-1)


def repeats(ids: Ids) -> U32:
    """The rows whose identifier stands in an earlier row too, ascending; empty identifiers do not count.

    In time linear in n and 8 bytes of memory a row. Shapes: ids (n,), n below 2^32; returns (m,). Raises: ValueError.
    """
    return _native.identifiers_repeats(_rows(ids))


def in_order(ids: Ids, rows: I64) -> I64:
    """`rows` in the order of their identifiers, byte by byte. On all cores, 16 bytes of memory a row.

    Shapes: ids (n,), n below 2^32; rows (m,) from 0 to n - 1. Raises: ValueError.
    """
    return _native.identifiers_in_order(_rows(ids), _numbers(rows))


def csv_lines(ids: Ids, rows: I64, parts: int = 1, beside: Sequence[U8] = (), at: I64 | None = None) -> bytes:
    """Lines of a CSV file (RFC 4180): the identifiers `rows` of `ids`, and behind each the cells `beside` it.

    Identifiers that `join` made of several `parts` get a cell for each. Line i has cell `at[i]` of every column in
    `beside`. A cell that a spreadsheet would run gets a quote before it, unless it is a plain number.
    Shapes: ids (n,); rows, at (m,), rows from 0 to n - 1; of beside each (bytes,), cells joined by NULs.
    Raises: ValueError.
    """
    places = np.empty(0, np.int64) if at is None else _numbers(at)
    return _native.identifiers_csv_lines(_rows(ids), parts, _numbers(rows), list(beside), places)


def _rows(ids: Ids) -> U8:
    if ids.dtype.kind != "S" or ids.ndim != 1 or not ids.dtype.itemsize:
        raise ValueError(f"ids: got {ids.shape} {ids.dtype}, not (n,) S")
    return np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), ids.dtype.itemsize)


def _numbers(rows: I64) -> I64:
    if rows.dtype != np.int64 or rows.ndim != 1:
        raise ValueError(f"rows: got {rows.shape} {rows.dtype}, not (m,) int64")
    return np.ascontiguousarray(rows)
