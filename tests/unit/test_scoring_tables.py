"""What scores are looked up in: a party's table as its part needs it, read again when it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fedcredit.credit.params import TreeParams
from fedcredit.errors import DataError
from fedcredit.estimators.columns import ColumnBins
from fedcredit.node.scoring.sides import read_sides
from fedcredit.node.scoring.subject_rows import KeptTable, SubjectRows, read_subjects
from fedcredit.tables import Resources, TableSpec

CODES = ("91320100MA1MK00057", "91370800MA3C00008B", "91320100MA1MK0009K")
RESOURCES = Resources(memory_limit_bytes=64 << 20, threads=1)


def written(path: Path, *rows: tuple[str, float, float]) -> TableSpec:
    lines = ["uscc,x,y", *(f"{code},{x},{y}" for code, x, y in rows)]
    path.write_text("\n".join(lines) + "\n")
    return TableSpec(path=path, id="uscc")


def asked(*codes: str) -> np.ndarray:
    return np.array([code.encode() for code in codes], "S18").view(np.uint8).reshape(len(codes), 18)


@dataclass(frozen=True, slots=True)
class Xs(SubjectRows):
    """The values of one column."""

    x: np.ndarray


def read_x(spec: TableSpec) -> Xs:
    order, codes, columns = read_subjects(spec, RESOURCES, ["x"])
    assert list(columns) == ["x"]  # and no other column is read
    return Xs(codes, columns["x"].values[order])


def test_subjects_are_found_whatever_the_order_and_nobody_else(tmp_path: Path) -> None:
    spec = written(tmp_path / "t.csv", (CODES[1], 2, 0), (CODES[0], 1, 0), (CODES[2], 3, 0))
    table = read_x(spec)
    rows, known = table.rows_of(asked(CODES[2], "91320100MA1MK00022", CODES[0], CODES[1], "99999999ZZZZZZZZZZ"))
    assert known.tolist() == [True, False, True, True, False]
    assert table.x[rows[known]].tolist() == [3, 1, 2]


def test_a_table_is_read_again_when_its_file_has_changed_and_kept_when_it_cannot_be_read(tmp_path: Path) -> None:
    spec = written(tmp_path / "t.csv", (CODES[0], 1, 0), (CODES[1], 2, 0))
    reads = []

    def read(spec: TableSpec) -> Xs:
        reads.append(spec)
        return read_x(spec)

    ticks = iter(range(100))
    kept = KeptTable(read, lambda: spec, 0.0, lambda: float(next(ticks)))
    first = kept.current()
    assert kept.current() is first  # a file does not grow old
    written(tmp_path / "t.csv", (CODES[0], 5, 0), (CODES[2], 7, 0))
    assert kept.current().x.tolist() == [5, 7]
    (tmp_path / "t.csv").write_text("uscc,x\nnobody,1\n")
    assert kept.current().x.tolist() == [5, 7]
    (tmp_path / "t.csv").unlink()
    assert kept.current().x.tolist() == [5, 7]
    assert len(reads) == 3


def test_a_table_that_was_never_read_is_an_error(tmp_path: Path) -> None:
    spec = written(tmp_path / "t.csv", (CODES[0], 1, 0), (CODES[1], 2, 0))
    (tmp_path / "t.csv").unlink()
    with pytest.raises(DataError, match="PATH_MISSING"):
        KeptTable(read_x, lambda: spec, max_age_s=0.0).current()


def test_sides_are_those_of_the_columns_bins_missing_values_among_them(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    n = 60
    digits = [f"{k:02}" for k in range(n)]
    codes = [f"91320100MA1MK{d}" for d in digits]
    path = tmp_path / "t.csv"
    x = random.normal(size=n).round(3)
    lines = ["id,x,y", *(f"{code},{'' if k % 7 == 0 else x[k]},{k % 5}" for k, code in enumerate(codes))]
    path.write_text("\n".join(lines) + "\n")
    spec = TableSpec(path=path, id="id", id_type="text")
    _, _, columns = read_subjects(spec, RESOURCES, ["x", "y"])
    bins = ColumnBins.fit(columns, TreeParams(max_bin=8, min_data_in_bin=1))
    cuts = [(0, 2, True), (0, 2, False), (1, 1, True)]
    table = read_sides(bins, cuts, spec, RESOURCES)
    ids = np.array([code.encode() for code in codes], "S32")
    rows, known = table.rows_of(ids.view(np.uint8).reshape(n, 32))
    assert known.all()
    binned = bins.code(columns, n)
    assert np.array_equal(table.sides(rows), np.stack([binned.sides(*cut) for cut in cuts]))
    assert (table.sides(rows)[0] != table.sides(rows)[1]).sum() == len(range(0, n, 7))
