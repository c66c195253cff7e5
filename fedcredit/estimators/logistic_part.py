"""A party's part of a joint logistic regression, `logistic.json`: its own columns and coefficients."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.points import PointScale
from fedcredit.errors import DataError, FedcreditError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.tables import Column

__all__ = ["LogisticColumn", "LogisticPart", "numeric_table"]

F64: TypeAlias = npt.NDArray[np.float64]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LogisticColumn:
    """A column: its mean over training rows, which is what a missing value counts as; its coefficient, and that one's
    error (None if it was not computed)."""

    name: str
    mean: float
    coefficient: float
    standard_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticPart:
    """One party's part: log-odds of a bad row are the intercept and all parties' columns, less their means, times
    coefficients.

    `intercept`, that of a row with all columns at their means, at the label party, None elsewhere. `scale`: what scores
    were tallied on.
    """

    party: PartyId
    label_party: PartyId
    scale: PointScale
    intercept: float | None
    columns: tuple[LogisticColumn, ...] = field(repr=False)

    def log_odds(self, columns: Mapping[str, Column], n_rows: int) -> F64:
        """This party's part of each row's log-odds. Shapes: returns (n,).

        Raises: DataError (COLUMN_MISSING, COLUMN_KIND, VALUE_INFINITE).
        """
        fills = {column.name: column.mean for column in self.columns}
        if absent := [name for name in fills if name not in columns]:
            what = "the model has a column that the table lacks"
            raise DataError([Problem("COLUMN_MISSING", name, what) for name in absent])
        table = numeric_table({name: columns[name] for name in fills}, n_rows, fills)
        table -= np.array(list(fills.values()))
        z: F64 = (self.intercept or 0.0) + table @ np.array([column.coefficient for column in self.columns])
        return z

    def to_bytes(self) -> bytes:
        """JSON, the same bytes for the same part."""
        document = {
            "format": _FORMAT,
            "kind": "logistic",
            "party": self.party,
            "label_party": self.label_party,
            "scale": asdict(self.scale),
            "intercept": self.intercept,
            "columns": [asdict(column) for column in self.columns],
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The part that `to_bytes` wrote. Raises: DataError (MODEL_INVALID)."""
        try:
            raw = json.loads(data)
            if raw["format"] != _FORMAT or raw["kind"] != "logistic":
                raise ValueError("another format")
            columns = tuple(_column(column) for column in raw["columns"])
            return cls(
                party=party_id(raw["party"]),
                label_party=party_id(raw["label_party"]),
                scale=PointScale(**raw["scale"]),
                intercept=None if raw["intercept"] is None else _number(raw["intercept"]),
                columns=columns,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, FedcreditError):
            what = "is not the part of a model of this version"
            raise DataError(Problem("MODEL_INVALID", "model part", what, "train the model again")) from None


def numeric_table(
    columns: Mapping[str, Column], n_rows: int, fills: Mapping[str, float], missing: Literal["mean", "refuse"] = "mean"
) -> F64:
    """The columns side by side, missing values filled. Shapes: returns (n, columns).

    Raises: DataError COLUMN_KIND, VALUE_INFINITE, and with `missing` "refuse" VALUE_MISSING, listing every column.
    """
    table, problems = np.empty((n_rows, len(columns))), []
    for j, (name, column) in enumerate(columns.items()):
        if column.kind == "categorical":
            fix = 'drop it, or make a scorecard (kind = "scorecard"), which bins it'
            problems.append(Problem("COLUMN_KIND", name, "is categorical", fix))
            continue
        gone = np.isnan(column.values)
        if np.isinf(column.values).any():
            problems.append(Problem("VALUE_INFINITE", name, "has infinite values"))
        elif missing == "refuse" and gone.any():
            what = f"lacks {int(gone.sum())} of {n_rows} values"
            problems.append(Problem("VALUE_MISSING", name, what, 'fill them, or set missing = "mean"'))
        else:
            table[:, j] = np.where(gone, fills[name], column.values)
    if problems:
        raise DataError(problems)
    return table


def _column(raw: Any) -> LogisticColumn:
    if not isinstance(raw["name"], str) or set(raw) != {"name", "mean", "coefficient", "standard_error"}:
        raise ValueError("no column")
    error = None if raw["standard_error"] is None else _number(raw["standard_error"])
    return LogisticColumn(raw["name"], _number(raw["mean"]), _number(raw["coefficient"]), error)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("no finite number")
    return float(value)
