"""Identifiers of subjects: one normal form at every party, valid and unique, or the table is refused.

The normal form: full-width characters become ASCII, surrounding blanks go, and letters of a `uscc` become upper case.
How often that changed something is counted, because parties that normalise differently would not meet. Types:

    uscc     18 characters of GB 32100-2015 with a right check character
    digits   ASCII digits, leading zeros kept
    text     anything printable, compared byte by byte (UTF-8, case kept)

An identifier that a spreadsheet turned into `1.23E+17` has lost its digits and is refused as ID_SCIENTIFIC.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NewType

import numpy as np
import numpy.typing as npt

from fedcredit import uscc
from fedcredit.kernels import identifiers
from fedcredit.tables.engine import Engine
from fedcredit.tables.problems import Problems, refuse
from fedcredit.tables.spec import BLANKS, IdType, Limits, TableSpec
from fedcredit.tables.spilled import SpilledIds

__all__ = ["Identifiers", "SubjectId", "duplicates", "read_identifiers", "subject_id"]

SubjectId = NewType("SubjectId", bytes)
"""One identifier in normal form."""

Ids = npt.NDArray[np.bytes_]

# Full-width forms of ! to ~ lie 0xFEE0 above them; the ideographic and the no-break space are blanks.
_WIDE = "".join(chr(c + 0xFEE0) for c in range(0x21, 0x7F)) + "\u3000\u00a0"
_NARROW = "".join(map(chr, range(0x21, 0x7F))) + "  "
_TO_NARROW = str.maketrans(_WIDE, _NARROW)
_LOWER, _UPPER = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TO_UPPER = str.maketrans(_LOWER, _UPPER)
_SCIENTIFIC = r"[0-9](\.[0-9]+)?[eE]\+[0-9]{1,3}"
_CONTROL = ("Cc", "Cf", "Co", "Cs")  # control, format, private use, surrogate: nothing one could print

_OK, _EMPTY, _SCIENCE, _LENGTH, _CHARACTER, _CHECK = range(6)  # as the kernel numbers them
_RULES = {
    _EMPTY: ("empty", "every row needs an identifier"),
    _LENGTH: ("wrong length", "keep all characters, leading zeros too"),
    _CHARACTER: ("a character that the identifier type does not have", "correct it at the source"),
    _CHECK: ("wrong check character", "correct it at the source: a character is mistyped"),
}
_NAMES = {rule: what for rule, (what, _) in _RULES.items()} | {_SCIENCE: "scientific notation"}
_SHOWN_ROWS = 3
_MAX_PART_BYTES = 255  # of one column of several, as `kernels.identifiers.join` takes them


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The identifiers of a table in file order, unique, and how many each step of normalising changed.

    `duplicate` rows repeat an earlier one; where these are left out, they are not among `ids`.
    Shapes: ids (n,) of dtype S<width>: S18 for `uscc`, else as wide as the longest cell; a shorter one is zero-padded,
    so the width may differ between parties and is no part of an identifier.
    """

    ids: SpilledIds = field(repr=False)
    blanks: int
    full_width: int
    lower_case: int
    invalid: dict[str, int]  # by rule
    duplicate: int


def subject_id(text: str, id_type: IdType = "uscc", limits: Limits | None = None) -> SubjectId:
    """One identifier in normal form. Raises DataError with ID_INVALID or ID_SCIENTIFIC; `text` is not in it."""
    form = text.translate(_TO_NARROW).strip(BLANKS)
    if id_type == "uscc":
        form = form.translate(_TO_UPPER)
    rule = _rule(form, id_type, (limits or Limits()).max_id_bytes)
    if rule == _SCIENCE:
        raise refuse("ID_SCIENTIFIC", "identifier", "is in scientific notation", "write all its digits")
    if rule != _OK:
        raise refuse("ID_INVALID", "identifier", *_RULES[rule])
    return SubjectId(form.encode())


def read_identifiers(
    engine: Engine, columns: Sequence[int], spec: TableSpec, n_rows: int, limits: Limits, problems: Problems
) -> Identifiers:
    """The identifiers in `columns` of the table, as `spec` declares them; what is wrong with them goes to `problems`.

    Those of several columns are joined, each in its own normal form (`kernels.identifiers.join`). Where the owner wants
    the first of repeated rows, the others are taken out of the table, and are no problem. Rows with an invalid
    identifier hold an empty one, which is never among the duplicates.
    """
    parts: list[SpilledIds] = []
    changes = np.zeros(3, np.int64)
    invalid: Counter[str] = Counter()
    for column, name, id_type in zip(columns, spec.key, spec.key_types, strict=True):
        longest = limits.max_id_bytes if len(columns) == 1 else min(limits.max_id_bytes, _MAX_PART_BYTES)
        ids, rules, changed = _normalised(engine, column, id_type, n_rows, longest)
        _report(rules, problems, name)
        counts = np.bincount(rules[rules != _OK], minlength=len(_NAMES) + 1)
        invalid.update({what: int(counts[rule]) for rule, what in _NAMES.items() if counts[rule]})
        changes += changed
        parts.append(ids)
    out = parts[0] if len(parts) == 1 else _joined(parts, engine)
    repeats = identifiers.repeats(out.array())
    if len(repeats) and spec.duplicates == "first":
        left = np.ones(n_rows, np.bool_)
        left[repeats] = False
        out = _chosen(out, left, engine)
        engine.leave_out(repeats)
        problems.kept = np.flatnonzero(left)
    elif len(repeats):
        problems.add_rows(
            "ID_DUPLICATE",
            _first(repeats),
            len(repeats),
            "an earlier row has the same identifier",
            "keep one row per subject, or set duplicates = 'first'",
            column=spec.key_title,
        )
    blanks, full_width, lower_case = (int(count) for count in changes)
    return Identifiers(out, blanks, full_width, lower_case, dict(invalid), len(repeats))


def _normalised(
    engine: Engine, column: int, id_type: IdType, n_rows: int, max_bytes: int
) -> tuple[SpilledIds, npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """A column in normal form, the rules that its cells break, and how many cells each step changed."""
    # No step of normalising makes a cell longer.
    width = uscc.LENGTH if id_type == "uscc" else min(max_bytes, *engine.longest(column))
    out = SpilledIds(n_rows, width, engine.spill)
    rules = np.empty(n_rows, np.uint8)
    changes = np.zeros(3, np.int64)
    for rows, (cells,) in engine.joined_pieces(n_rows, column):
        ids, broken, changed = identifiers.normalise(cells, len(rows), id_type, max_bytes)
        changes += changed
        rules[rows] = broken
        first = int(rows.min())
        if (rows[1:] < rows[:-1]).any():
            found, ids = ids, np.empty_like(ids)
            ids[rows - first] = found
        out.put(first, ids)
    return out, rules, changes


def _joined(parts: Sequence[SpilledIds], engine: Engine) -> SpilledIds:
    """One key of several columns."""
    out = SpilledIds(len(parts[0]), sum(1 + part.width for part in parts), engine.spill)
    for pieces in zip(*(part.pieces() for part in parts), strict=True):
        out.put(pieces[0][0], identifiers.join([ids for _, ids in pieces]))
    return out


def _chosen(ids: SpilledIds, left: npt.NDArray[np.bool_], engine: Engine) -> SpilledIds:
    """Those of `ids` whose row is `left`."""
    out, done = SpilledIds(int(left.sum()), ids.width, engine.spill), 0
    for first, piece in ids.pieces():
        chosen = piece[left[first : first + len(piece)]]
        out.put(done, chosen)
        done += len(chosen)
    return out


def duplicates(ids: Ids) -> tuple[int, list[int]]:
    """How many rows repeat the identifier of an earlier row, and the first of those rows. Empty ones do not count.

    Shapes: ids (n,) of any dtype S.
    """
    repeated = identifiers.repeats(ids)
    return len(repeated), _first(repeated)


def _rule(form: str, id_type: IdType, max_bytes: int) -> int:
    """The rule that an identifier breaks; the slow twin of `kernels.identifiers` for one of them."""
    if not form:
        return _EMPTY
    if re.fullmatch(_SCIENTIFIC, form, re.ASCII):
        return _SCIENCE
    if (len(form) != uscc.LENGTH) if id_type == "uscc" else (len(form.encode()) > max_bytes):
        return _LENGTH
    match id_type:
        case "uscc":
            if not form.isascii():
                return _CHARACTER
            fault = int(uscc.faults(np.array([form.encode()], f"S{uscc.LENGTH}"))[0])
            return {uscc.BAD_CHARACTER: _CHARACTER, uscc.BAD_CHECK: _CHECK}.get(fault, _OK)
        case "digits":
            return _OK if re.fullmatch(r"[0-9]+", form) else _CHARACTER
        case "text":
            return _CHARACTER if any(unicodedata.category(c) in _CONTROL for c in form) else _OK


def _first(rows: npt.NDArray[np.uint32]) -> list[int]:
    return [int(row) for row in rows[:_SHOWN_ROWS]]


def _report(rules: npt.NDArray[np.uint8], problems: Problems, name: str) -> None:
    counts = np.bincount(rules[rules != _OK])
    for rule in (rule for rule in (*_RULES, _SCIENCE) if rule < len(counts) and counts[rule]):
        rows = np.flatnonzero(rules == rule)
        first = [int(row) for row in rows[:_SHOWN_ROWS]]
        if rule == _SCIENCE:
            what, fix = "is in scientific notation, its digits are lost", "export the column as text from the source"
            problems.add_rows("ID_SCIENTIFIC", first, len(rows), what, fix, column=name)
        else:
            problems.add_rows("ID_INVALID", first, len(rows), *_RULES[rule], column=name)
