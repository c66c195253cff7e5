"""What a cell means: the SQL that turns text into a number, strictly, and the words for a cell that is none.

Strict because lenience differs from party to party: `NaN`, `1,234`, `12%` or `NULL` are refused unless the owner
declared them missing, and never guessed at. A number is digits with at most one point, a sign before and an exponent
behind it, that a double can hold. A date is Y-M-D, Y/M/D or YYYYMMDD and becomes days since 1970-01-01.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fedcredit.tables.engine import literal, texts
from fedcredit.tables.spec import BLANKS, OTHER, ColumnKind

__all__ = [
    "cells",
    "class_of",
    "describe",
    "is_broken_number",
    "is_date_like",
    "is_missing_word",
    "label_reading",
    "reading",
]

# Words that mean "no value" whatever the column holds; a real category of that name has to be declared as a level.
MISSING_WORDS = (
    *("null", "nan", "na", "n/a", "nil", "-", "--", "---", "\u2014", "\\n"),
    *("#n/a", "#value!", "#ref!", "#div/0!", "#name?", "#num!", "#null!"),
)
# Words that mean "no value" in a column of numbers, and may be a category in another.
NUMBER_WORDS = ("none", "missing", "unknown", "?", ".", "无", "空", "缺失", "未知", "不详")

_TRUE, _FALSE = ("1", "true", "t", "yes", "y", "是"), ("0", "false", "f", "no", "n", "否")
_DATE_LIKE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}"
_DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
# An amount as people write it: a currency sign, thousands separators, a percent sign, full-width digits; a formula.
_WRITTEN_NUMBER = r"[+-]?[$¥￥€£]? ?[0-9][0-9,，]*(\.[0-9]*)? ?[%％]?|[０-９．，]+|=.*"


def cells(columns: Iterable[tuple[int, Iterable[str]]]) -> tuple[str, str]:
    """SQL, two steps: `v<i>`, the cell of each column i without the blanks around it; NULL where it is missing.

    `columns` are given with their missing markers; the empty cell always is one.
    """
    columns = [(i, texts(["", *markers])) for i, markers in columns]
    return (
        ", ".join(f"{trimmed(f'c{i}')} AS t{i}" for i, _ in columns),
        ", ".join(f"CASE WHEN t{i} IN ({markers}) THEN NULL ELSE t{i} END AS v{i}" for i, markers in columns),
    )


def trimmed(text: str) -> str:
    """SQL: `text` without blanks around it. Trimming a set of characters is slow, and few cells have any of them."""
    has_blank = " OR ".join(f"contains({text}, {literal(blank)})" for blank in BLANKS)
    return f"(CASE WHEN {has_blank} THEN trim({text}, {literal(BLANKS)}) ELSE {text} END)"


def reading(v: str, kind: ColumnKind, levels: tuple[str, ...] | None = None) -> str:
    """SQL: the cell `v`, an expression or a name, as a double; NULL where `v` is NULL or no value of that kind."""
    match kind:
        case "numeric":
            number = f"TRY_CAST({v} AS DOUBLE)"
            # The cast also takes nan, inf, 1_000 and +-1.
            lenient = f"contains({v}, '_') OR starts_with({v}, '+-')"
            return f"CASE WHEN isfinite({number}) AND NOT ({lenient}) THEN {number} END"
        case "boolean":
            return (
                f"CASE WHEN lower({v}) IN ({texts(_TRUE)}) THEN 1.0 WHEN lower({v}) IN ({texts(_FALSE)}) THEN 0.0 END"
            )
        case "date":
            formats = texts(_DATE_FORMATS)
            return f"CAST(CAST(try_strptime({v}, [{formats}]) AS DATE) - DATE '1970-01-01' AS DOUBLE)"
        case "categorical":
            known = levels or ()
            code = f"list_position([{texts(known)}]::VARCHAR[], {v})"
            if known and known[-1] == OTHER:
                code = f"CASE WHEN {v} IS NOT NULL THEN coalesce({code}, {len(known)}) END"
            return f"CAST({code} - 1 AS DOUBLE)"


def quick_reading(c: str, markers: Iterable[str]) -> str | None:
    """SQL: the number in the unprepared cell `c` of a column that has been checked, if a bare cast can tell.

    The cast takes blanks around a number, and makes NULL of the empty cell and of words; so it can unless one of the
    markers looks like a number.
    """
    if any(re.search(r"[0-9]|nan|inf", marker.lower()) for marker in markers):
        return None
    return f"TRY_CAST({c} AS DOUBLE)"


def label_reading(v: str) -> str:
    """SQL: the label in cell `v`, 0 or 1; NULL where it is neither. A label that was a float says 0.0 and 1.0."""
    return f"CASE WHEN {v} IN ('0', '0.0') THEN 0.0 WHEN {v} IN ('1', '1.0') THEN 1.0 END"


def is_missing_word(v: str) -> str:
    """SQL: whether `v` is a word for a missing value."""
    return f"coalesce(lower({v}) IN ({texts(MISSING_WORDS)}), false)"


def is_broken_number(v: str) -> str:
    """SQL: whether `v`, which is no number, is a number gone wrong: NaN, 1e400, 1,234, ￥12, NULL, a formula."""
    words = texts((*MISSING_WORDS, *NUMBER_WORDS))
    written = f"regexp_full_match({v}, {literal(_WRITTEN_NUMBER)})"
    return f"coalesce(lower({v}) IN ({words}) OR TRY_CAST({v} AS DOUBLE) IS NOT NULL OR {written}, false)"


def is_date_like(v: str) -> str:
    """SQL: whether `v` has the form of a date, a possible one or not."""
    return f"coalesce(regexp_full_match({v}, {literal(_DATE_LIKE)}), false)"


def describe(kind: ColumnKind, text: str) -> str:
    """What is wrong with `text` as a value of that kind, in words that do not hold it."""
    match kind:
        case "numeric":
            return f"not a number: {class_of(text)}"
        case "date":
            return "no date of the form Y-M-D, Y/M/D or YYYYMMDD, or no such day"
        case "boolean":
            return "none of 1, 0, true, false, yes, no"
        case "categorical":
            return "none of the declared levels"


def class_of(text: str) -> str:
    """The class of a cell that is no number."""
    word = text.lower()
    if word in MISSING_WORDS or word in NUMBER_WORDS:
        return "a word for a missing value"
    if re.fullmatch(r"[+-]?(nan|inf|infinity)", word):
        return "not finite"
    if re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)e[+-]?[0-9]+", word):
        return "too large for a double"
    for pattern, name in (
        (r"^=", "a formula"),
        (r"[$¥￥€£]", "a currency sign"),
        (r"[%％]", "a percent sign"),
        (r"[0-9][,，_][0-9]", "a thousands separator"),
        (r"[０-９]", "full-width digits"),
    ):
        if re.search(pattern, text):
            return name
    return "text"
