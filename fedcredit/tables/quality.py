"""What a party should know about its own table. It stays with the party: counts of cells, no cell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fedcredit.tables.spec import ColumnKind

__all__ = ["ColumnQuality", "Quality"]


@dataclass(frozen=True, slots=True)
class ColumnQuality:
    """A feature as it was found. `useless` says why a feature was dropped or kept although it says nothing."""

    name: str
    kind: ColumnKind
    missing: int  # cells
    levels: int  # 0 unless categorical
    other: int  # cells with a value too rare or unknown, which became "(other)"
    useless: str | None


@dataclass(frozen=True, slots=True)
class Quality:
    """A table as it was found; `ids_*` count identifiers that normalising changed."""

    rows: int
    ids_blanks: int
    ids_full_width: int
    ids_lower_case: int
    positives: int | None  # rows with label 1
    columns: tuple[ColumnQuality, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)
