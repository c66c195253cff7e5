"""Small tables for tests: a file with given bytes, and what opening it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedcredit.errors import DataError, Problem
from fedcredit.tables import Limits, Resources, TableSpec, open_table

PLAIN = b"id,x,y\na,1.5,0\nb,2,1\nc,,1\n"
"""A table with nothing wrong: three rows, a number with one missing, a label."""


def spec_of(folder: Path, content: bytes, name: str = "t.csv", **kw: Any) -> TableSpec:
    """A declaration of a file with `content`; identifiers are text, and tiny tables may be constant."""
    path = folder / name
    path.write_bytes(content)
    return TableSpec(**{"path": path, "id": "id", "id_type": "text", "useless": "keep", **kw})


def contents(spec: TableSpec, **kw: Any) -> dict[str, Any]:
    """Everything a table holds, for comparison; None stands for missing."""
    with open_table(spec, **kw) as table:
        rows = table.read()
        columns = {
            name: [None if v != v else (c.levels[int(v)] if c.kind == "categorical" else v) for v in c.values.tolist()]
            for name, c in rows.columns.items()
        }
        label = None if rows.label is None else rows.label.tolist()
        return {"ids": [i.decode() for i in table.ids().tolist()], "label": label, **columns}


def problems_of(
    spec: TableSpec, *, limits: Limits | None = None, resources: Resources | None = None, expected: bytes | None = None
) -> tuple[Problem, ...]:
    """What opening the table is refused for. Fails if it opens."""
    with pytest.raises(DataError) as caught:
        open_table(spec, limits=limits, resources=resources, expected_fingerprint=expected)
    return caught.value.problems


def codes_of(spec: TableSpec, limits: Limits | None = None) -> list[str]:
    """The codes of `problems_of`."""
    return [p.code for p in problems_of(spec, limits=limits)]
