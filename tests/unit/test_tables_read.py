"""Reading a table: rows by number, real data sets, splits, export."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_files import PLAIN, spec_of

from fedcredit import uscc
from fedcredit.kernels import digest
from fedcredit.tables import TableSpec, open_table, table
from fedcredit.tables.export import safe_cell, write_csv
from fedcredit.tables.split import holdout_mask, out_of_time_mask, time_value

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
KEY = bytes(range(32))


def test_rows_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small pieces, so that a read goes over many of them.
    monkeypatch.setattr(table, "ROWS_AT_ONCE", 7)
    rows = "".join(f"i{k},{k},{'' if k % 5 == 0 else 'abc'[k % 3]},{k % 2}\n" for k in range(100))
    with open_table(spec_of(tmp_path, f"id,n,c,y\n{rows}".encode(), label="y")) as opened:
        everything = opened.read()
        assert everything.columns["n"].values.tolist() == list(range(100))
        rng = np.random.default_rng(1)
        for wanted in (rng.permutation(100), rng.integers(0, 100, 300), np.array([99]), np.array([], np.int64)):
            found = opened.read(wanted)
            assert found.label is not None
            assert everything.label is not None
            assert np.array_equal(found.label, everything.label[wanted])
            for name, column in found.columns.items():
                assert column.values.dtype == np.float64
                assert np.array_equal(column.values, everything.columns[name].values[wanted], equal_nan=True)
        for wanted in (np.array([100]), np.array([-1]), np.array([[1]])):
            with pytest.raises(ValueError, match="100 rows"):
                opened.read(wanted)


def test_values_do_not_show_in_logs(tmp_path: Path) -> None:
    with open_table(spec_of(tmp_path, PLAIN.replace(b"1.5", b"48151623"), label="y")) as opened:
        assert "48151623" not in repr(opened.read()) + repr(opened) + repr(opened.quality)


SETS: list[tuple[str, int, int, dict[str, Any]]] = [
    ("sba/bank.csv", 20_734, 7, {"id": "uscc", "label": "default"}),
    ("sba/registry.csv", 21_140, 6, {"id": "uscc"}),
    ("sba/employment.csv", 20_015, 3, {"id": "uscc"}),
    ("default_credit/default_credit_hetero_guest.csv", 30_000, 13, {"id": "id", "id_type": "digits", "label": "y"}),
    ("default_credit/default_credit_hetero_host.csv", 30_000, 10, {"id": "id", "id_type": "text"}),
]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_rows", "n_features", "declared"), SETS, ids=[s[0] for s in SETS])
def test_real_data_sets(name: str, n_rows: int, n_features: int, declared: dict[str, Any]) -> None:
    path = DATA.resolve() / name
    if not path.exists():
        pytest.skip(f"the data set {name} is not beside the checkout")
    with open_table(TableSpec(path=path, root=DATA.resolve(), **declared)) as opened:
        assert (opened.n_rows, len(opened.features)) == (n_rows, n_features)
        found = opened.read()
        ids = opened.ids()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ids.tolist() == [row[declared["id"]].encode() for row in rows]
    assert found.columns.keys() == rows[0].keys() - {declared["id"], declared.get("label")}
    for column_name, column in found.columns.items():
        texts = [row[column_name] for row in rows]
        assert np.isnan(column.values).tolist() == [not text for text in texts]
        for value, text in zip(column.values.tolist(), texts, strict=True):
            if text and column.kind == "numeric":
                assert value == float(text)
            elif text:
                level = column.levels[int(value)]
                assert level == (text if text in column.levels else "(other)")
    if found.label is not None:
        assert found.label.tolist() == [int(row[declared["label"]]) for row in rows]


def test_holdout_stays_what_it_was() -> None:
    # Parties with different versions have to agree: keyed BLAKE3, first 8 bytes little-endian, below share * 2^64.
    ids = np.array([b"91350100M000100Y43", b"91110000600037341L", b"1", b"22", b"333"])
    hashed = [int.from_bytes(h[:8].tobytes(), "little") / 2**64 for h in digest.keyed(KEY, ids)]
    assert [round(h, 6) for h in hashed] == [0.93456, 0.161546, 0.492821, 0.371418, 0.365621]
    assert holdout_mask(ids, 0.5, KEY).tolist() == [h < 0.5 for h in hashed]


def test_holdout_is_the_same_whatever_the_order_and_width() -> None:
    codes = uscc.codes(np.random.default_rng(0).integers(0, 31, (20_000, 17), dtype=np.uint8))
    held = holdout_mask(codes, 0.2, KEY)
    assert abs(held.mean() - 0.2) < 0.01
    order = np.random.default_rng(1).permutation(len(codes))
    assert np.array_equal(holdout_mask(codes[order], 0.2, KEY), held[order])
    assert np.array_equal(holdout_mask(codes.astype("S40"), 0.2, KEY), held)
    # A larger share holds out the same subjects and more; another key holds out others.
    assert not (held & ~holdout_mask(codes, 0.3, KEY)).any()
    both = (held & holdout_mask(codes, 0.2, bytes(32))).mean()
    assert abs(both - 0.04) < 0.01


@given(st.lists(st.binary(max_size=30).map(lambda b: b.rstrip(b"\0")), min_size=1, max_size=20))
def test_holdout_depends_on_the_identifier_alone(ids: list[bytes]) -> None:
    together = holdout_mask(np.array(ids, "S30"), 0.5, KEY)
    assert [bool(holdout_mask(np.array([i], "S30"), 0.5, KEY)[0]) for i in ids] == together.tolist()


def test_split_refuses_nonsense() -> None:
    ids = np.array([b"a"])
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="between"):
            holdout_mask(ids, share, KEY)
    with pytest.raises(ValueError, match="32"):
        holdout_mask(ids, 0.5, b"short")
    with pytest.raises(ValueError, match="no time"):
        out_of_time_mask(np.array([1.0, np.nan]), 0.5)


def test_out_of_time(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, b"id,d\na,2023-01-01\nb,2023-06-01\nc,2022-01-01\n", time="d")
    with open_table(spec) as opened:
        time = opened.read().time
    assert time is not None
    assert out_of_time_mask(time, "2023-01-01").tolist() == [True, True, False]
    assert time_value("1970-01-02") == 1.0
    assert out_of_time_mask(np.array([2005.0, 2006.0]), 2006).tolist() == [False, True]


@pytest.mark.parametrize("cell", ["=cmd()", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "-x", "+"])
def test_formulas_get_a_quote(cell: str) -> None:
    assert safe_cell(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "plain", "1=1", -1.5, "-1.5", "+3", "-1e-7", 0, "a@b", None])
def test_other_cells_stay(cell: object) -> None:
    assert safe_cell(cell) == ("" if cell is None else str(cell))


def test_exported_file_is_whole_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, ["id", "=x"], [["a,b", 1.5], ['q"', -2], ["=cmd()", None]])
    text = path.read_bytes().decode()
    assert text == 'id,\'=x\r\n"a,b",1.5\r\n"q""",-2\r\n\'=cmd(),\r\n'

    def broken() -> Any:
        yield ["a", 1]
        raise RuntimeError("no more rows")

    with pytest.raises(RuntimeError):
        write_csv(path, ["id", "x"], broken())
    assert path.read_bytes().decode() == text
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.slow
def test_a_million_rows_stay_within_memory(tmp_path: Path) -> None:
    n = 1_000_000
    codes = uscc.codes(np.random.default_rng(0).integers(0, 31, (n, 17), dtype=np.uint8))
    path = tmp_path / "big.csv"
    with path.open("w", encoding="ascii") as file:
        file.write("uscc,x\n")
        file.writelines(f"{code.decode()},{i % 1000}\n" for i, code in enumerate(codes.tolist()))
    with open_table(TableSpec(path=path, id="uscc")) as opened:
        assert np.array_equal(opened.ids(), codes)
        assert opened.ids().nbytes == 18 * n
        assert opened.read().columns["x"].values.sum() == sum(range(1000)) * (n // 1000)
    script = (
        "import pathlib, sys; from fedcredit.tables import TableSpec, open_table\n"
        "with open_table(TableSpec(path=pathlib.Path(sys.argv[1]), id='uscc')) as table: table.ids()\n"
        "print(pathlib.Path('/proc/self/status').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    peak_kib = next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("VmHWM"))
    assert peak_kib < 400 << 10
