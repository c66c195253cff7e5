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
from dataclasses import dataclass, field
from typing import Any, NewType

import numpy as np
import numpy.typing as npt

from fedcredit import uscc
from fedcredit.tables.engine import Engine, literal
from fedcredit.tables.problems import Problems, refuse
from fedcredit.tables.spec import BLANKS, IdType, Limits
from fedcredit.tables.values import trimmed

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

_OK, _EMPTY, _SCIENCE, _LENGTH, _CHARACTER, _CHECK = range(6)
_RULES = {
    _EMPTY: ("empty", "every row needs an identifier"),
    _LENGTH: ("wrong length", "keep all characters, leading zeros too"),
    _CHARACTER: ("a character that the identifier type does not have", "correct it at the source"),
    _CHECK: ("wrong check character", "correct it at the source: a character is mistyped"),
}
_SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The identifiers of a table in file order, unique, and how many each step of normalising changed.

    Shapes: ids (n,) of dtype S<width>: S18 for `uscc`, else as wide as the longest; a shorter one is zero-padded, so
    the width may differ between parties and is no part of an identifier.
    """

    ids: Ids = field(repr=False)
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
    engine: Engine, column: int, id_type: IdType, n_rows: int, limits: Limits, problems: Problems, name: str
) -> Identifiers:
    """The identifiers in column `column` of the table; what is wrong with them goes to `problems`.

    Rows with an invalid identifier hold an empty one, which is never among the duplicates.
    """
    steps = _normal_form(f"c{column}", id_type, limits)
    pieces: list[Ids] = []
    rules = np.empty(n_rows, np.uint8)
    changes = np.zeros(8, np.int64)
    for low, piece in engine.pieces(n_rows, [column], *steps):
        ids = _encoded(piece["id"])
        found = piece["rule"].astype(np.uint8)
        if id_type == "uscc":
            ids = ids.astype(f"S{uscc.LENGTH}")
            fault = uscc.faults(ids)
            found[(found == _OK) & (fault == uscc.BAD_CHARACTER)] = _CHARACTER
            found[(found == _OK) & (fault == uscc.BAD_CHECK)] = _CHECK
            ids[found != _OK] = b""
        changes += np.bincount(piece["changed"], minlength=8)
        rules[low : low + len(ids)] = found
        pieces.append(ids)
    out = np.concatenate(pieces)
    _report(rules, problems, name)
    count, rows = duplicates(out)
    if count:
        problems.add_rows(
            "ID_DUPLICATE",
            rows,
            count,
            "an earlier row has the same identifier",
            "keep one row per subject",
            column=name,
        )
    blanks, full_width, lower_case = (int(changes[[i for i in range(8) if i & bit]].sum()) for bit in (1, 2, 4))
    names = {rule: what for rule, (what, _) in _RULES.items()} | {_SCIENCE: "scientific notation"}
    broken = {what: int(np.count_nonzero(rules == rule)) for rule, what in names.items()}
    invalid = {what: rows_with_it for what, rows_with_it in broken.items() if rows_with_it}
    return Identifiers(out, blanks, full_width, lower_case, invalid, count)


def duplicates(ids: Ids) -> tuple[int, list[int]]:
    """How many rows repeat the identifier of an earlier row, and the first of those rows. Empty ones do not count.

    Shapes: ids (n,) of any dtype S.
    """
    width = -(-ids.itemsize // 8)
    words = ids.astype(f"S{8 * width}").view(np.uint64).reshape(-1, width)
    hashed = np.zeros(len(ids), np.uint64)
    for i in range(width):
        # Any mixing will do: equal hashes are compared in full below.
        hashed = (hashed ^ words[:, i]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    ordered = np.sort(hashed)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(again) == 0:
        return 0, []
    candidates = np.flatnonzero(np.isin(hashed, again) & (ids != b""))
    if len(candidates) == 0:
        return 0, []
    _, first = np.unique(ids[candidates], return_index=True)
    repeated = np.delete(candidates, first)
    return len(repeated), [int(row) for row in repeated[:_SHOWN_ROWS]]


def _normal_form(c: str, id_type: IdType, limits: Limits) -> list[str]:
    """SQL, step by step, of the normal form `id`, the steps that changed it (bits), and the `rule` that it breaks."""
    to_narrow = f"translate(cell, {literal(_WIDE)}, {literal(_NARROW)})"
    narrow = f"CASE WHEN strlen(cell) = length(cell) THEN cell ELSE {to_narrow} END"
    form = "bare"
    limit = limits.max_id_bytes
    match id_type:
        case "uscc":
            form = "CASE WHEN strlen(bare) = length(bare) THEN upper(bare) ELSE bare END"
            length, character = f"length(form) <> {uscc.LENGTH}", "strlen(form) <> length(form)"
        case "digits":
            length, character = f"strlen(form) > {limit}", "NOT regexp_full_match(form, '[0-9]+')"
        case "text":
            control = "".join(f"\\p{{{category}}}" for category in _CONTROL)
            length, character = f"strlen(form) > {limit}", f"regexp_matches(form, '[{control}]')"
    science = f"contains(form, '+') AND regexp_full_match(form, {literal(_SCIENTIFIC)})"
    rule = (
        f"CASE WHEN form = '' THEN {_EMPTY} WHEN {science} THEN {_SCIENCE} "
        f"WHEN {length} THEN {_LENGTH} WHEN {character} THEN {_CHARACTER} ELSE {_OK} END"
    )
    return [
        f"coalesce({c}, '') AS cell",
        f"{narrow} AS narrow",
        f"{trimmed('narrow')} AS bare",
        f"{form} AS form",
        f"{rule} AS rule",
        f"CASE WHEN rule = {_OK} THEN form ELSE '' END AS id, rule, "
        "(bare <> narrow)::INT + 2 * (narrow <> cell)::INT + 4 * (form <> bare)::INT AS changed",
    ]


def _encoded(strings: npt.NDArray[Any]) -> Ids:
    try:
        return strings.astype("S")  # ASCII, in one step
    except UnicodeEncodeError:
        return np.strings.encode(strings.astype("U"), "utf-8")


def _rule(form: str, id_type: IdType, max_bytes: int) -> int:
    """The rule that an identifier breaks; the twin of the SQL above for one of them."""
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


def _report(rules: npt.NDArray[np.uint8], problems: Problems, name: str) -> None:
    for rule in (*_RULES, _SCIENCE):
        rows = np.flatnonzero(rules == rule)
        if len(rows) == 0:
            continue
        first = [int(row) for row in rows[:_SHOWN_ROWS]]
        if rule == _SCIENCE:
            what, fix = "is in scientific notation, its digits are lost", "export the column as text from the source"
            problems.add_rows("ID_SCIENTIFIC", first, len(rows), what, fix, column=name)
        else:
            problems.add_rows("ID_INVALID", first, len(rows), *_RULES[rule], column=name)
