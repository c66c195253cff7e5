"""Files of scores, as `fedcredit score --file` writes them, read again."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedcredit.errors import DataError, Problem

__all__ = ["FileScore", "read_scores"]

_COLUMNS: Final = ("uscc", "outcome", "score", "band")
_MOST_BYTES: Final = 1 << 30
_MOST_PROBLEMS: Final = 20
_MOST_POINTS: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class FileScore:
    """A subject's score, in whole points, and its band, from 1. Where the band alone was asked for, no points."""

    points: int | None
    band: int


def read_scores(path: Path, *, only_bands: bool = False) -> dict[str, FileScore]:
    """The scored subjects of a file, by code; who was not scored is left out. Scores that lack a part are refused, and
    bands without scores, but for `only_bands`.

    Raises: DataError (CSV_*, COLUMN_MISSING; SCORE_FILE with every line that is wrong, never with its values).
    """
    found, problems = dict[str, FileScore](), list[Problem]()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(Problem("CSV_FILE", str(path), "is larger than 1 GiB", "split it"))
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if lacking := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                fix = "give a file that fedcredit score --file wrote"
                raise DataError(Problem("COLUMN_MISSING", f"{path}: {', '.join(lacking)}", "is not a column", fix))
            for row in reader:
                if row["outcome"] != "scored":
                    continue
                try:
                    score, subject = _score(row), row["uscc"].strip()
                    if not subject or subject in found or (score.points is None and not only_bands):
                        raise ValueError("subject")
                    found[subject] = score
                except (ValueError, TypeError, AttributeError):
                    what = "is no whole score of a subject that stands there once"
                    problems.append(Problem("SCORE_FILE", f"{path}, line {reader.line_num}", what))
                if len(problems) >= _MOST_PROBLEMS:
                    break
    except OSError as error:
        raise DataError(Problem("CSV_FILE", str(path), f"cannot be read ({error.strerror})")) from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(Problem("CSV_STRUCTURE", str(path), "is not CSV in UTF-8")) from None
    if problems:
        raise DataError(problems)
    return found


def _score(row: Mapping[str, str | None]) -> FileScore:
    if row.get("without"):
        raise ValueError("lacks a part")
    band = int(str(row["band"]))
    points = None if row["score"] == "" else int(str(row["score"]))
    if abs(points or 0) > _MOST_POINTS or not 1 <= band <= 256:
        raise ValueError("range")
    return FileScore(points, band)
