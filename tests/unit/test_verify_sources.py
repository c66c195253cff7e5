"""The same records as CSV, as Parquet and in PostgreSQL: the same index, the same answers."""

from __future__ import annotations

import datetime
from pathlib import Path

import duckdb
import pytest
from postgresql_server import Server
from table_database import Database
from unit.test_verify_serving import CODES, DAY, section, written

from fedcredit.errors import DataError
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.kernels.index import About, Answers, Index, Program
from fedcredit.node.verification.building import Built, build, columns_of, resources_of
from fedcredit.node.verification.serving import offer_of
from fedcredit.runtime.verify_file import VerifySection

SUBJECTS = [*CODES, "91320100MA1MK00057", "91320100MA1MTQ0X10"]
ROWS = (
    f"{CODES[0]},true,5,10,2026-04-30\n",
    f"{CODES[0]},false,3,0,2026-05-01\n",
    f"{CODES[1]},false,9,10,2026-01-01\n",
    "91320100MA1MK00057,,0,,\n",
    ",true,1,1,2026-05-02\n",
)
ASOF = (DAY - datetime.date(1970, 1, 1)).days


def declared(folder: Path, **source: object) -> VerifySection:
    return section(folder, recorded="updated_on", fresh_days=40, **source)


def made(folder: Path, declared: VerifySection) -> tuple[Built, About, dict[str, Answers]]:
    """What becomes of the table, and what is answered from it."""
    resources = resources_of(folder, 256, 1)
    offer = offer_of(declared, VerifyPolicy(), columns_of(folder, declared, resources))
    register = offer.registers["water_fee"]
    matched = offer.matches("water_fee")
    built = build(register, declared, folder, folder / "indexes", resources, DAY, matched=matched)
    index = Index(built.path)
    answers = {
        question.id: Program(question.compiled.program.to_dict(), {"water_fee": index}).answer(
            SUBJECTS, parameters={}, asof=ASOF
        )
        for question in offer.questions
    }
    return built, index.about(), answers


def same(one: tuple[Built, About, dict[str, Answers]], other: tuple[Built, About, dict[str, Answers]]) -> None:
    assert one[0].left_out == other[0].left_out == 1
    assert one[0].latest == other[0].latest == datetime.date(2026, 5, 1)
    assert one[1] == other[1]
    assert set(one[2]) == set(other[2]) == {"water_in_arrears", "water_in_use", "water_not_dropped"}
    for name, answers in one[2].items():
        for part in ("outcomes", "reasons", "recorded_on"):
            assert getattr(answers, part).tolist() == getattr(other[2][name], part).tolist(), (name, part)


@pytest.mark.parametrize("typed", [False, True])
def test_parquet_is_read_as_csv_is(tmp_path: Path, typed: bool) -> None:
    written(tmp_path, *ROWS)
    with duckdb.connect(":memory:") as connection:
        read = f"read_csv('{tmp_path / 'water.csv'}', header = true, all_varchar = {not typed})"
        connection.execute(f"COPY (FROM {read}) TO '{tmp_path / 'water.parquet'}' (FORMAT parquet)")
    same(made(tmp_path, declared(tmp_path, table="water.parquet")), made(tmp_path, declared(tmp_path)))


def test_a_server_is_read_as_csv_is(postgresql: Server, tmp_path: Path) -> None:
    written(tmp_path, *ROWS)
    database = Database(postgresql, tmp_path)
    columns = "uscc text, currently_in_arrears boolean, 近3个月月均用水量 numeric(8,2), usage6 float8, updated_on date"
    cells = [[cell or None for cell in row.strip().split(",")] for row in ROWS]
    database.create(columns, [[*row[:1], _flag(row[1]), *row[2:]] for row in cells], "water")
    remote: dict[str, object] = {
        "relation": f"{database.schema}.water",
        "url_file": database.url_file().name,
        "tls": "disable",
    }
    elsewhere = declared(tmp_path, table=None, postgresql=remote)
    same(made(tmp_path, elsewhere), made(tmp_path, declared(tmp_path)))
    assert list((tmp_path / "spill").iterdir()) == [], "the copy of the rows is gone"
    # Rows that the condition leaves out are nobody's records.
    some = declared(tmp_path, table=None, postgresql=remote | {"where": [_condition("usage6", ">=", 5)]})
    assert made(tmp_path, some)[1].records == 2


def test_a_column_that_the_server_lost_is_missed(postgresql: Server, tmp_path: Path) -> None:
    written(tmp_path)
    database = Database(postgresql, tmp_path)
    database.create("uscc text, currently_in_arrears boolean", [(CODES[0], True)], "water")
    remote = {"relation": f"{database.schema}.water", "url_file": database.url_file().name, "tls": "disable"}
    with pytest.raises(DataError) as refused:
        made(tmp_path, declared(tmp_path, table=None, postgresql=remote))
    assert refused.value.code == "COLUMN_MISSING"


def _flag(cell: str | None) -> bool | None:
    return None if cell is None else cell == "true"


def _condition(column: str, op: str, value: float) -> dict[str, object]:
    return {"column": column, "op": op, "value": value}
