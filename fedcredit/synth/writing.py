"""How a made-up table becomes a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from fedcredit.synth.fields import Field

__all__ = ["write_table"]


def write_table(
    path: Path, ids: NDArray[np.bytes_], columns: Mapping[str, NDArray[np.float64]], fields: Sequence[Field]
) -> None:
    """Write a CSV with a header: `uscc`, then the columns that `fields` name; empty = missing.

    Shapes: ids (n,) S18; every column (n,), NaN = missing, a category = the position of its level.
    """
    source: dict[str, Any] = {"uscc": ids.astype(f"U{ids.itemsize}").astype(object), **columns}
    chosen = ", ".join(["uscc", *(_written(field) for field in fields)])
    with duckdb.connect(":memory:") as connection:
        connection.register("source", source)
        target = str(path).replace("'", "''")
        connection.execute(f"COPY (SELECT {chosen} FROM source) TO '{target}' (HEADER, DELIMITER ',')")  # noqa: S608


def _written(field: Field) -> str:
    """How DuckDB writes one column. Names and levels are ours, from the dictionary."""
    if field.kind == "category":
        levels = ", ".join(f"'{level}'" for level in field.levels)
        value = f"[{levels}][CAST({field.name} AS INTEGER) + 1]"
    elif field.kind == "ratio":
        value = f"round({field.name}, 4)"
    else:
        value = f"CAST({field.name} AS BIGINT)"
    return f"CASE WHEN isnan({field.name}) THEN NULL ELSE {value} END AS {field.name}"
