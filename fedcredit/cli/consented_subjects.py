"""Whom a bank asks about: enterprises by their codes, each with the token of its consent."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedcredit.errors import ConfigError, DataError, Problem

__all__ = ["ConsentedSubject", "read_subjects", "read_token"]

_MAX_TOKEN_FILE = 8192
_MAX_SUBJECTS_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class ConsentedSubject:
    """An enterprise, and its consent; empty where there is none."""

    subject: str
    consent: str = field(repr=False)


def read_token(path: Path | None) -> str:
    """The token in a file; none without one. Raises: ConfigError (CONSENT_FILE)."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_TOKEN_FILE).decode("ascii").strip()
    except OSError as error:
        raise ConfigError(Problem("CONSENT_FILE", str(path), f"cannot be read ({error.strerror})")) from None
    except UnicodeDecodeError:
        raise ConfigError(Problem("CONSENT_FILE", str(path), "holds no token")) from None


def read_subjects(path: Path) -> Iterator[ConsentedSubject]:
    """The rows of a CSV file with columns uscc and consent. Raises: DataError (CSV_*, COLUMN_MISSING)."""
    try:
        if path.stat().st_size > _MAX_SUBJECTS_BYTES:
            raise DataError(Problem("CSV_FILE", str(path), "is larger than 1 GiB", "split it"))
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if "uscc" not in (reader.fieldnames or ()):
                raise DataError(Problem("COLUMN_MISSING", f"{path}: uscc", "is not a column"))
            for row in reader:
                yield ConsentedSubject(row["uscc"].strip(), (row.get("consent") or "").strip())
    except OSError as error:
        raise DataError(Problem("CSV_FILE", str(path), f"cannot be read ({error.strerror})")) from None
    except (UnicodeDecodeError, csv.Error, AttributeError):
        raise DataError(Problem("CSV_STRUCTURE", str(path), "is not CSV in UTF-8")) from None
