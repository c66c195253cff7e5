"""Writing CSV that a spreadsheet shows and does not run.

A cell that begins with = + - @, a tab or a carriage return is a formula to a spreadsheet, and identifiers and levels
come from others. Such a cell is written with a quote before it, unless it is a plain number.
"""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["safe_cell", "write_csv"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def safe_cell(value: object) -> str:
    """`value` as the text of a cell, with a quote before it if a spreadsheet would run it."""
    text = "" if value is None else str(value)
    if text.lstrip(" ").startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file (UTF-8, CRLF, RFC 4180) that appears whole or not at all. Readable by its owner alone."""
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([safe_cell(name) for name in header])
            writer.writerows([safe_cell(value) for value in row] for row in rows)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
