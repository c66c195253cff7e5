"""The file behind a table and the engine that reads it: paths, compression, changes, what SQL may reach, Parquet."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import threading
import zipfile
from pathlib import Path

import duckdb
import pytest
from table_files import PLAIN, codes_of, contents, problems_of, spec_of

from fedcredit.errors import DataError, FedcreditError
from fedcredit.tables import Limits, Resources, TableSpec, open_table
from fedcredit.tables import loading as loading_module
from fedcredit.tables.engine import Engine
from fedcredit.tables.source import SourceFile


def test_paths_that_are_no_plain_file(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, PLAIN)
    (tmp_path / "link.csv").symlink_to(spec.path)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder").mkdir()
    for path, code in (
        (tmp_path / "none.csv", "PATH_MISSING"),
        (tmp_path / "folder", "PATH_NOT_FILE"),
        (tmp_path / "pipe.csv", "PATH_NOT_FILE"),
        (Path("/dev/zero"), "PATH_NOT_FILE"),
        (tmp_path / "link.csv", "PATH_SYMLINK"),
        (tmp_path / "folder" / ".." / "t.csv", "PATH_OUTSIDE"),
        (Path("..") / "t.csv", "PATH_OUTSIDE"),
    ):
        assert codes_of(TableSpec(path=path, id="id")) == [code], path


def test_paths_below_a_root(tmp_path: Path) -> None:
    root = tmp_path / "party"
    (root / "data").mkdir(parents=True)
    spec_of(tmp_path, PLAIN, "outside.csv")
    inside = spec_of(root / "data", PLAIN)
    (root / "link.csv").symlink_to(tmp_path / "outside.csv")
    (root / "way").symlink_to(tmp_path)

    def opened(path: Path) -> TableSpec:
        return TableSpec(path=path, id="id", id_type="text", useless="keep", root=root)

    assert contents(opened(Path("data/t.csv"))) == contents(opened(inside.path)) == contents(inside)
    for path, code in (
        (Path("../outside.csv"), "PATH_OUTSIDE"),
        (tmp_path / "outside.csv", "PATH_OUTSIDE"),
        (Path("link.csv"), "PATH_SYMLINK"),
        (Path("way/outside.csv"), "PATH_SYMLINK"),
        (Path("data/none.csv"), "PATH_MISSING"),
    ):
        assert codes_of(opened(path)) == [code], path


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything, so the kernel's refusal is played.
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "no")

    spec = spec_of(tmp_path, PLAIN)
    monkeypatch.setattr(os, "open", refuse)
    assert codes_of(spec) == ["PATH_DENIED"]


def test_errors_name_the_file_and_not_its_folder(tmp_path: Path) -> None:
    for problem in problems_of(TableSpec(path=tmp_path / "none.csv", id="id")):
        assert str(tmp_path) not in str(problem)


@pytest.mark.parametrize("name", ["a b.csv", "q'uote.csv", "*.csv", "t[1].csv", "t.csv.gz", "数据.csv", "s3:"])
def test_odd_file_names_are_names(tmp_path: Path, name: str) -> None:
    spec_of(tmp_path, b"id,x\nother,9\n", "1.csv")
    assert contents(spec_of(tmp_path, PLAIN, name))["ids"] == ["a", "b", "c"]


def test_compressed_files_and_workbooks(tmp_path: Path) -> None:
    packed = {"gz": gzip.compress(b"id,x\n" + b"a,1\n" * 1000), "xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)}
    with zipfile.ZipFile(tmp_path / "book", "w") as book:
        book.writestr("sheet.xml", "<x/>")
    packed["xlsx"] = (tmp_path / "book").read_bytes()
    packed |= {"bz2": b"BZh91AY&SY", "xz": b"\xfd7zXZ\x00\x00\x04", "zst": b"\x28\xb5\x2f\xfd\x00\x00\x00\x00"}
    for kind, content in packed.items():
        assert codes_of(spec_of(tmp_path, content, f"t.{kind}")) == ["LIMIT_COMPRESSED"]


def test_file_size_limit(tmp_path: Path) -> None:
    assert codes_of(spec_of(tmp_path, PLAIN), Limits(max_file_bytes=10)) == ["LIMIT_FILE_BYTES"]


@pytest.mark.slow
def test_memory_limit(tmp_path: Path) -> None:
    rows = b"".join(b"%d,%s\n" % (i, os.urandom(500).hex().encode()) for i in range(60_000))
    spec = spec_of(tmp_path, b"id,x\n" + rows)
    (problem,) = problems_of(spec, resources=Resources(memory_limit_bytes=48 << 20))
    assert problem.code == "LIMIT_MEMORY"
    with open_table(spec, resources=Resources(memory_limit_bytes=64 << 20, spill_dir=tmp_path)) as table:
        assert table.n_rows == 60_000
        (spill,) = (p for p in tmp_path.iterdir() if p.is_dir())
        assert stat.S_IMODE(spill.stat().st_mode) == 0o700
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_changed_file_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, PLAIN)
    with open_table(spec) as table:
        table.verify_unchanged()
        before = table.fingerprint
        spec.path.write_bytes(PLAIN.replace(b"1.5", b"1.6"))
        with pytest.raises(DataError, match="DATASET_CHANGED"):
            table.verify_unchanged()
        # What was read stays what was checked.
        assert table.read().columns["x"].values[0] == 1.5
    (problem,) = problems_of(spec, expected=before)
    assert problem.code == "DATASET_CHANGED"
    spec.path.write_bytes(PLAIN)
    with open_table(spec, expected_fingerprint=before) as table:
        assert len(table.fingerprint) == 32


def test_removed_and_replaced_files(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, PLAIN)
    with open_table(spec) as table:
        spec.path.unlink()
        with pytest.raises(DataError, match="PATH_MISSING"):
            table.verify_unchanged()
        spec.path.symlink_to("/etc/passwd")
        with pytest.raises(DataError, match="PATH_SYMLINK"):
            table.verify_unchanged()


@pytest.mark.parametrize("parquet", [False, True])
def test_file_changing_while_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parquet: bool) -> None:
    spec = parquet_of(tmp_path, "SELECT 'a' AS id, 1 AS x") if parquet else spec_of(tmp_path, PLAIN)

    class Meddled(Engine):
        """Appends a row to the file after the scan and before the engine reads it."""

        def __init__(self, name: str, readable: str, resources: Resources) -> None:
            with spec.path.open("ab") as file:
                file.write(b"d,4,1\n")
            super().__init__(name, readable, resources)

    monkeypatch.setattr(loading_module, "Engine", Meddled)
    assert codes_of(spec) == ["DATASET_CHANGED"]


def test_file_changing_while_hashed(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, PLAIN)
    with SourceFile(spec, Limits()) as source, pytest.raises(DataError, match="DATASET_CHANGED"):
        source.fingerprint(lambda _: spec.path.write_bytes(PLAIN + b"d,4,1\n"))


def test_engine_reaches_nothing_but_the_file(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, PLAIN)
    other = spec_of(tmp_path, PLAIN, "other.csv").path
    with SourceFile(spec, Limits()) as source:
        engine = Engine("t.csv", source.engine_path, Resources(spill_dir=tmp_path))
        assert engine.one(f"SELECT count(*) FROM read_csv('{source.engine_path}')") == (3,)
        secret = [1, 2, 3]
        for sql in (
            f"SELECT * FROM read_csv('{other}')",
            f"SELECT * FROM '{other}'",
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM glob('/etc/*')",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            f"COPY (SELECT 1) TO '{source.engine_path}'",
            f"ATTACH '{tmp_path}/out.db'",
            f"EXPORT DATABASE '{tmp_path}/out'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SELECT * FROM 'https://example.org/x.csv'",
            "SELECT * FROM secret",
            "SET enable_external_access = true",
            f"SET allowed_paths = ['{other}']",
            "SET memory_limit = '100GB'",
            "SET temp_directory = '/tmp'",
            "SET lock_configuration = false",
            "RESET memory_limit",
        ):
            with pytest.raises(FedcreditError):
                engine.all(sql)
        assert secret == [1, 2, 3]
        engine.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.csv", "t.csv"]


def test_engine_errors_hold_no_values(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, PLAIN)
    with SourceFile(spec, Limits()) as source:
        engine = Engine("t.csv", source.engine_path, Resources())
        with pytest.raises(FedcreditError) as caught:
            engine.all("SELECT CAST('91350100M000100Y43' AS INT)")
        engine.close()
    assert "9135" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_tables_may_be_read_from_several_threads(tmp_path: Path) -> None:
    rows = "".join(f"i{k},{k}\n" for k in range(5000))
    with open_table(spec_of(tmp_path, f"id,x\n{rows}".encode())) as table:
        sums: list[float] = []
        threads = [
            threading.Thread(target=lambda: sums.append(float(table.read().columns["x"].values.sum())))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sums == [sum(range(5000))] * 4


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    spec, bad = spec_of(tmp_path, PLAIN), spec_of(tmp_path, b"id,x\na,1,2\n", "bad.csv")
    gbk = spec_of(tmp_path, PLAIN, "g.csv", encoding="gbk")
    contents(spec)
    before = open_descriptors()
    for _ in range(3):
        contents(spec)
        contents(gbk)
        assert codes_of(bad) == ["CSV_MALFORMED"]
        assert codes_of(TableSpec(path=tmp_path / "none.csv", id="id")) == ["PATH_MISSING"]
    assert open_descriptors() <= before


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def parquet_of(folder: Path, query: str, **kw: object) -> TableSpec:
    path = folder / "t.parquet"
    path.unlink(missing_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return TableSpec(**{"path": path, "id": "id", "id_type": "text", "useless": "keep", **kw})  # type: ignore[arg-type]


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    query = """
        SELECT * FROM (VALUES
          ('a', 1.5::DOUBLE, true, DATE '2023-01-01', 'u', 0.1::FLOAT, 12.50::DECIMAL(10,2), [1]),
          ('b', NULL, false, DATE '1970-01-02', '', 0.5::FLOAT, NULL, [2])
        ) AS t(id, x, y, d, c, f, m, l)"""
    spec = parquet_of(tmp_path, query, label="y", drop=("l",))
    assert contents(spec) == {
        "ids": ["a", "b"],
        "label": [1, 0],
        "x": [1.5, None],
        "d": [19358.0, 1.0],
        "c": ["u", None],
        "f": [0.10000000149011612, 0.5],
        "m": [12.5, None],
    }
    assert contents(parquet_of(tmp_path, query, label="y", drop=("l",), format="parquet"))["label"] == [1, 0]
    assert codes_of(parquet_of(tmp_path, query)) == ["COLUMN_TYPE"]


def test_parquet_that_is_wrong(tmp_path: Path) -> None:
    assert codes_of(parquet_of(tmp_path, "SELECT 'a' AS id, 'nan'::DOUBLE AS x")) == ["VALUE_INVALID"]
    assert codes_of(parquet_of(tmp_path, "SELECT 'a' AS id, 'inf'::DOUBLE AS x")) == ["VALUE_INVALID"]
    assert codes_of(parquet_of(tmp_path, "SELECT 1.23e17::DOUBLE AS id")) == ["ID_SCIENTIFIC"]
    assert codes_of(parquet_of(tmp_path, "SELECT 'a' AS id, 'x' || chr(0) AS x")) == ["VALUE_INVALID"]
    assert codes_of(parquet_of(tmp_path, "SELECT 'a' AS id, repeat('x', 70000) AS x")) == ["LIMIT_CELL_BYTES"]
    assert codes_of(parquet_of(tmp_path, "SELECT 'a' AS id, 1 AS x WHERE false")) == ["PARQUET_EMPTY"]
    assert codes_of(parquet_of(tmp_path, "SELECT 'a' AS key")) == ["COLUMN_MISSING"]
    many = parquet_of(tmp_path, "SELECT i::VARCHAR AS id, i AS x FROM range(100) t(i)")
    assert codes_of(many, Limits(max_rows=99)) == ["LIMIT_ROWS"]
    assert codes_of(many, Limits(max_columns=1)) == ["LIMIT_COLUMNS"]


def test_parquet_bomb(tmp_path: Path) -> None:
    spec = parquet_of(tmp_path, "SELECT i::VARCHAR AS id, (i // 100000) AS x FROM range(3000000) t(i)")
    size = spec.path.stat().st_size
    assert codes_of(spec, Limits(max_file_bytes=size + 1000)) == ["LIMIT_FILE_BYTES"]


def test_damaged_parquet(tmp_path: Path) -> None:
    spec = parquet_of(tmp_path, "SELECT i::VARCHAR AS id, i AS x FROM range(100) t(i)")
    good = spec.path.read_bytes()
    for damaged in (good[:-20], good[: len(good) // 2], b"PAR1" + bytes(200) + b"PAR1", b"PAR1"):
        spec.path.write_bytes(damaged)
        assert codes_of(spec) == ["PARQUET_MALFORMED"]
    assert codes_of(spec_of(tmp_path, PLAIN, format="parquet")) == ["PARQUET_MALFORMED"]
    for place in range(4, len(good), 41):
        spec.path.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        try:
            contents(spec)
        except DataError:
            continue
