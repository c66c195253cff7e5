"""Records of one item from a CSV file or written down, with the types of their fields: to try a predicate out.

Nothing here guesses: a cell that is no value of its field's type is refused, with row and column, never the value.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedcredit.errors import DataError, Problem
from fedcredit.governance.predicates.answers import Value
from fedcredit.governance.predicates.compiler import Type

__all__ = ["MAX_BYTES", "cell", "read_records", "typed"]

MAX_BYTES = 256 << 20
"""A file to try out with; a table of a node is read by other means."""

MAX_CELL, MAX_PROBLEMS = 4000, 20

_TRUE, _FALSE = frozenset({"true", "1", "yes", "是"}), frozenset({"false", "0", "no", "否"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SEVERAL = re.compile("[;；、|]")


def cell(kind: Type, text: str) -> Value:
    """The value that `text` writes down; None if it is blank. Raises: ValueError if it is no value of that type."""
    text = text.strip()
    if not text:
        return None
    if len(text) > MAX_CELL:
        raise ValueError("too long")
    if kind == "text":
        return text
    if kind == "texts":
        return tuple(part for part in map(str.strip, _SEVERAL.split(text)) if part)
    if kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "flag" and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if kind == "date" and _DAY.fullmatch(text):
        return datetime.date.fromisoformat(text)
    raise ValueError("of another type")


def read_records(path: Path, fields: Mapping[str, Type], names: Mapping[str, str]) -> list[dict[str, Value]]:
    """The records in a CSV file with a header, in the order of the file.

    `fields`: the fields wanted and their types; `names`: other names that a column may have, e.g. the document's.
    Columns beside these are left alone.

    Raises: DataError (CSV_FILE, CSV_ENCODING, CSV_STRUCTURE, COLUMN_MISSING, COLUMN_DUPLICATE, VALUE_TYPE).
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(Problem("CSV_FILE", str(path), f"cannot be read ({error.strerror})")) from None
    if len(data) > MAX_BYTES:
        raise DataError(Problem("CSV_FILE", str(path), f"is larger than {MAX_BYTES} bytes"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(Problem("CSV_ENCODING", str(path), "is not UTF-8", "save it as UTF-8")) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found, problems = list[dict[str, Value]](), list[Problem]()
    try:
        header = [names.get(name.strip(), name.strip()) for name in next(reader, [])]
        _check_header(path, header, fields)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    Problem(
                        "CSV_STRUCTURE", f"{path}, line {reader.line_num}", f"has {len(row)} cells, not {len(header)}"
                    )
                )
            found.append(_record(path, reader.line_num, header, row, fields, problems))
            if len(problems) >= MAX_PROBLEMS:
                break
    except csv.Error:
        raise DataError(Problem("CSV_STRUCTURE", f"{path}, line {reader.line_num}", "is not a line of CSV")) from None
    if problems:
        raise DataError(problems)
    return found


def typed(raw: Any, fields: Mapping[str, Type], where: str) -> dict[str, Value]:
    """A record as JSON writes it: numbers, texts, true and false, lists of texts, dates as "2025-06-30", null.

    Raises: DataError (VALUE_TYPE, COLUMN_MISSING for a field that the item does not have).
    """
    if not isinstance(raw, Mapping):
        raise DataError(Problem("VALUE_TYPE", where, "is not a record", 'write {"field": value}'))
    record, problems = dict[str, Value](), list[Problem]()
    for name, value in raw.items():
        if name not in fields:
            known = ", ".join(sorted(fields)) or "none"
            problems.append(Problem("COLUMN_MISSING", f"{where}: {name[:64]}", "is not looked at", f"fields: {known}"))
            continue
        try:
            record[name] = _of_json(fields[name], value)
        except ValueError:
            problems.append(Problem("VALUE_TYPE", f"{where}: {name}", f"is no {fields[name]}"))
    if problems:
        raise DataError(problems)
    return record


def _of_json(kind: Type, value: Any) -> Value:
    if value is None:
        return None
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        # A whole number of hundreds of digits is none that a double has.
        number = float(value) if abs(value) < 1e300 else math.inf
        if math.isfinite(number):
            return number
    elif kind == "flag" and isinstance(value, bool):
        return value
    elif kind == "texts" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    elif kind in ("text", "date") and isinstance(value, str):
        return cell(kind, value)
    raise ValueError("of another type")


def _check_header(path: Path, header: Sequence[str], fields: Mapping[str, Type]) -> None:
    problems = [
        Problem("COLUMN_DUPLICATE", f"{path}: {name}", "is there more than once")
        for name in fields
        if header.count(name) > 1
    ]
    if missing := [name for name in fields if name not in header]:
        fix = "add it, empty where nothing is known; a column may have the field's id or its name in the catalog"
        problems += [Problem("COLUMN_MISSING", f"{path}: {name}", "is not a column", fix) for name in missing]
    if problems:
        raise DataError(problems)


def _record(
    path: Path,
    line: int,
    header: Sequence[str],
    row: Sequence[str],
    fields: Mapping[str, Type],
    problems: list[Problem],
) -> dict[str, Value]:
    record: dict[str, Value] = {}
    for name, text in zip(header, row, strict=True):
        if name not in fields:
            continue
        try:
            record[name] = cell(fields[name], text)
        except ValueError:
            problems.append(
                Problem("VALUE_TYPE", f"{path}, line {line}: {name}", f"is no {fields[name]}", _HINTS[fields[name]])
            )
    return record


_HINTS: Mapping[Type, str] = {
    "number": "write digits and a point: 1250.5",
    "flag": "write true or false (是 or 否)",
    "date": "write 2025-06-30",
    "text": f"at most {MAX_CELL} characters",
    "texts": "separate several by a semicolon",
}
