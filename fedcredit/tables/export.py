"""Writing CSV that a spreadsheet shows and does not run.

A cell that begins with = + - @, a tab or a carriage return is a formula to a spreadsheet, and identifiers and levels
come from others. Such a cell is written with a quote before it, unless it is a plain number.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from fedcredit.kernels import identifiers

__all__ = ["header_line", "identifier_lines", "safe_cell", "write_csv", "write_lines"]

Ids = npt.NDArray[np.bytes_]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

_ROWS_AT_ONCE = 1 << 20

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def safe_cell(value: object) -> str:
    """`value` as the text of a cell, with a quote before it if a spreadsheet would run it."""
    text = "" if value is None else str(value)
    if text.lstrip(" ").startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file (UTF-8, CRLF, RFC 4180) that appears whole or not at all. Readable by its owner alone."""
    with _appearing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow([safe_cell(name) for name in header])
        writer.writerows([safe_cell(value) for value in row] for row in rows)
        text.flush()
        text.detach()


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write pieces of a file that appears whole or not at all. Readable by its owner alone."""
    with _appearing(path) as file:
        file.writelines(lines)


def identifier_lines(
    names: Sequence[str], ids: Ids, rows: I64, beside: tuple[I64, Mapping[str, U8]] | None = None
) -> Iterator[bytes]:
    """The identifiers `rows` of `ids` as a CSV file, under the names of the columns that each one was joined of.

    `beside` are further columns of the table: `Table.texts`.
    Shapes: ids (n,) of dtype S; rows (m,) from 0 to n - 1. Raises: ValueError.
    """
    places, columns = beside or (np.arange(len(ids)), {})
    yield header_line([*names, *columns])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        at = places[part] if columns else None
        yield identifiers.csv_lines(ids, part, len(names), list(columns.values()), at)


def header_line(names: Sequence[str]) -> bytes:
    """The first line of a CSV file with these columns."""
    head = io.StringIO()
    csv.writer(head).writerow([safe_cell(name) for name in names])
    return head.getvalue().encode()


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole and on disk."""
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
