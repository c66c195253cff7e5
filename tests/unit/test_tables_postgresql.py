"""Tables and views of a real PostgreSQL server: the same as a file, only what is used is read, nothing is let slip."""

from __future__ import annotations

import datetime
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from postgresql_server import Server, missing
from table_database import Database
from table_files import contents, problems_of, spec_of
from table_interface import certificate

from fedcredit.errors import ConfigError, DataError, FedcreditError
from fedcredit.tables import Limits, Resources, TableSpec, check_table, open_table
from fedcredit.tables.remote.secret import Secret
from fedcredit.tables.remote.sources import Condition
from fedcredit.tables.spec import ColumnSpec

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

COLUMNS = "id text, amount numeric(12,2), rate double precision, paid boolean, since date, city text, note jsonb"
ROWS: list[tuple[object, ...]] = [
    ("c3", "1.50", 0.1, True, "2020-02-29", "杭州", "{}"),
    ("a1", None, 1e300, False, "2021-01-31", "宁波", "{}"),
    ("b2", "-7", None, None, None, None, "{}"),
    ("d4", "123456789.01", -0.25, False, "1999-12-31", '杭州, "x"', "{}"),
]
CSV = (
    "id,amount,rate,paid,since,city,note\n"
    "c3,1.50,0.1,1,2020-02-29,杭州,{}\n"
    "a1,,1e300,0,2021-01-31,宁波,{}\n"
    "b2,-7,,,,,{}\n"
    'd4,123456789.01,-0.25,0,1999-12-31,"杭州, ""x""",{}\n'
)


@pytest.fixture
def database(postgresql: Server, tmp_path: Path) -> Database:
    return Database(postgresql, tmp_path)


@pytest.fixture
def filled(database: Database) -> Database:
    database.create(COLUMNS, ROWS)
    return database


def by_id(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Rows by identifier: a snapshot is in another order than a file."""
    names = [name for name in found if name not in ("ids", "label") and found[name] is not None]
    return {key: {name: found[name][k] for name in names} for k, key in enumerate(found["ids"])}


def fingerprint(spec: TableSpec) -> bytes:
    with open_table(spec) as table:
        return table.content_fingerprint()


def test_a_table_a_view_and_a_file_say_the_same(filled: Database, tmp_path: Path) -> None:
    filled.view("SELECT * FROM {schema}.companies WHERE true", "companies_view")
    file = spec_of(tmp_path, CSV.encode(), drop=("note",))
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"COPY (FROM read_csv('{file.path}')) TO '{tmp_path / 't.parquet'}'")
    parquet = replace(file, path=tmp_path / "t.parquet")
    assert by_id(contents(parquet)) == by_id(contents(file))
    assert fingerprint(parquet) == fingerprint(file)
    for spec in (filled.spec(drop=("note",)), filled.spec("companies_view", drop=("note",))):
        assert by_id(contents(spec)) == by_id(contents(file))
        assert fingerprint(spec) == fingerprint(file)
        with open_table(spec) as table:
            assert table.fingerprint == fingerprint(file)
    other = spec_of(tmp_path, CSV.replace("0.25", "0.26").encode(), "other.csv", drop=("note",))
    assert fingerprint(other) != fingerprint(file)


def test_every_kind_of_text_and_number_is_read(database: Database) -> None:
    database.run(f"CREATE TYPE {database.schema}.level AS ENUM ('low', 'high')")
    database.run(f"CREATE DOMAIN {database.schema}.yuan AS numeric CHECK (VALUE >= 0)")
    database.create(
        f"id char(4), a smallint, b bigint, c real, d varchar(9), e {database.schema}.level, f {database.schema}.yuan, "
        "g timestamp, h timestamptz, u uuid",
        [("x", 1, 2**62, 0.1, " 是 ", "low", 3, "2020-01-02 23:59", "2020-01-02 12:00Z", "0" * 32)],
    )
    found = by_id(contents(database.spec(columns=(ColumnSpec("d", "categorical"), ColumnSpec("u", "categorical")))))
    day = (datetime.date(2020, 1, 2) - datetime.date(1970, 1, 1)).days
    assert found == {
        "x": {
            **{"a": 1, "b": 2.0**62, "c": 0.1, "d": "是", "e": "low", "f": 3.0, "g": day, "h": day},
            "u": "00000000-0000-0000-0000-000000000000",
        }
    }


def test_only_used_columns_and_asked_rows_leave_the_server(filled: Database) -> None:
    filled.create(
        "id text, secret_column text, year int, amount numeric", [(f"s{k}", "x", k, k) for k in range(50)], "big"
    )
    filled.run(f"CREATE INDEX ON {filled.schema}.big (year)")
    before = filled.log_size()
    where = (Condition("year", ">=", "integer", ("10",)), Condition("year", "<", "integer", ("13",)))
    with open_table(filled.spec("big", filled.source("big", where=where), drop=("secret_column", "year"))) as table:
        assert table.ids().tolist() == [b"s10", b"s11", b"s12"]
        assert table.features == ("amount",)
    log = filled.log(before)
    (copy,) = [line for line in log.splitlines() if "execute" in line and "COPY" in line]
    assert "secret_column" not in copy
    plan = log[log.rindex("Query Text: COPY") :]
    # The server's own plan: it compared the years, and handed out three rows.
    assert "year >= " in plan
    assert "Rows Removed by Filter: 47" in plan or "Index Cond" in plan
    assert "rows=3 loops=1" in plan.splitlines()[1]
    assert "REPEATABLE READ READ ONLY" in log


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (Condition("amount", "<", "number", ("0.5",)), ["b2"]),
        (Condition("paid", "=", "boolean", ("false",)), ["a1", "d4"]),
        (Condition("since", ">=", "date", ("2020-02-29",)), ["a1", "c3"]),
        (Condition("since", ">=", "text", ("2020-02-29",)), None),
        (Condition("city", "in", "text", ("宁波", '杭州, "x"', "' OR true --")), ["a1", "d4"]),
        (Condition("amount", "in", "integer", ("-7", "8")), ["b2"]),
        (Condition("city", "is null"), ["b2"]),
        (Condition("city", "is not null"), ["a1", "c3", "d4"]),
        (Condition("id", "!=", "text", ("c3",)), ["a1", "b2", "d4"]),
        (Condition("id", "=", "text", ("c3' OR '1'='1",)), []),
        (Condition("id\" = 'c3' OR \"id", "=", "text", ("c3",)), None),
        (Condition("since", "=", "integer", ("1",)), None),
    ],
)
def test_conditions_mean_what_they_say_and_nothing_else(
    filled: Database, condition: Condition, ids: list[str] | None
) -> None:
    spec = filled.spec(source=filled.source(where=(condition,)), drop=("note",))
    if ids:
        assert sorted(contents(spec)["ids"]) == ids
    else:
        expected = {"TABLE_CONDITION", "COLUMN_MISSING"} if ids is None else {"PARQUET_EMPTY"}
        assert {problem.code for problem in problems_of(spec)} <= expected


HOSTILE = ['x"; DROP TABLE companies; --', "y' OR '1'='1", "z\\", "{}", "$1", "%s", "/* */", "列"]


def test_hostile_names_are_names(database: Database) -> None:
    quoted = ", ".join('"' + name.replace('"', '""') + '" int' for name in HOSTILE)
    relation = 'companies"; DROP SCHEMA public; --'
    database.create(f"id text, {quoted}", [("a", *range(8)), ("b", *range(1, 9))], relation)
    found = by_id(contents(database.spec(relation)))
    assert found["a"] == {name: k for k, name in enumerate(HOSTILE)}
    assert contents(database.spec(relation, drop=tuple(HOSTILE[1:])))[HOSTILE[0]] == [0, 1]
    assert [p.code for p in problems_of(database.spec('"companies'))] == ["TABLE_MISSING"]


def test_all_checks_of_a_file_hold(database: Database) -> None:
    database.create(
        "id text, n text, y int, d text",
        [("x", "1", 1, "a"), ("x", "2", 2, "b"), ("", "1,000", 1, "c"), ("1.2E+17", "NULL", None, "d")],
    )
    found = problems_of(database.spec(label="y", columns=(ColumnSpec("n", "numeric"),)))
    codes = {problem.code for problem in found}
    assert codes == {"ID_DUPLICATE", "ID_INVALID", "ID_SCIENTIFIC", "LABEL_MISSING", "LABEL_INVALID"} | {
        "LABEL_ONE_CLASS",
        "VALUE_INVALID",
    }
    assert all(problem.where.startswith("companies") for problem in found)
    with pytest.raises(DataError) as refused:
        open_table(database.spec(), limits=Limits(max_rows=3))
    assert refused.value.code == "LIMIT_ROWS"
    with pytest.raises(DataError) as refused:
        open_table(database.spec(), limits=Limits(max_cell_bytes=4))
    assert refused.value.code == "LIMIT_CELL_BYTES"


def test_columns_that_are_no_values_are_refused_together(database: Database) -> None:
    database.create("id text, a jsonb, b int[], c bytea, d interval, e int", [("x", "{}", [1], b"", "1 day", 1)])
    assert [p.code for p in problems_of(database.spec())] == ["COLUMN_TYPE"] * 4
    assert list(contents(database.spec(drop=("a", "b", "c", "d")))) == ["ids", "label", "e"]


def test_a_table_that_is_not_there_or_not_allowed(filled: Database) -> None:
    assert [p.code for p in problems_of(filled.spec("nothing"))] == ["TABLE_MISSING"]
    filled.run(f"REVOKE SELECT ON {filled.schema}.companies FROM {filled.role}")
    assert [p.code for p in problems_of(filled.spec(drop=("note",)))] == ["TABLE_DENIED"]
    assert [p.code for p in problems_of(filled.spec(id="uscc"))] == ["COLUMN_MISSING"]


def test_a_query_that_takes_too_long_is_ended_by_the_server(database: Database) -> None:
    database.create("id text")
    database.view("SELECT 'a'::text AS id, pg_sleep(600)::text AS x FROM generate_series(1, 3) i", "slow")
    assert [p.code for p in problems_of(database.spec("slow", database.source("slow", statement_timeout_s=1)))] == [
        "TABLE_TIMEOUT"
    ]


def test_a_failure_in_the_middle_of_the_rows_is_a_failure(database: Database) -> None:
    database.create("id text")
    number = "CASE WHEN i < 100000 THEN 1 ELSE 1 / (100000 - i) END"
    database.view(f"SELECT i::text AS id, {number} AS x FROM generate_series(1, 200000) i", "broken")
    assert [p.code for p in problems_of(database.spec("broken"))] == ["TABLE_LOST"]


def _unreachable(database: Database) -> Iterator[tuple[str, str]]:
    yield database.url(password="falsch"), "TABLE_AUTH"
    yield database.url().replace("/postgres", "/nothing"), "TABLE_MISSING"
    yield f"postgresql://{database.role}:{database.password}@127.0.0.1:1/postgres", "TABLE_UNREACHABLE"
    yield f"postgresql://{database.role}:{database.password}@127.0.0.1:zwei/postgres", "TABLE_UNREACHABLE"
    yield f"nonsense {database.password}", "SECRET_INVALID"


def test_no_credential_is_in_any_error_log_or_representation(
    filled: Database, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for url, code in _unreachable(filled):
        spec = filled.spec(source=filled.source(url=Secret(file=filled.url_file(url))), drop=("note",))
        with pytest.raises(FedcreditError) as refused:
            open_table(spec)
        assert refused.value.code == code
        cause: BaseException | None = refused.value
        while cause is not None:
            said.append(repr(cause) + str(cause))
            cause = cause.__cause__ if cause.__suppress_context__ else cause.__context__
        said.append(repr(spec))
    with open_table(filled.spec(drop=("note",))) as table:
        said += [repr(table), repr(table.quality), repr(table.spec)]
    said += [caplog.text, *capfd.readouterr()]
    for text in said:
        assert filled.password not in text
        assert "falsch" not in text


def test_a_credential_from_the_environment(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAX_DB_URL", filled.url())
    spec = filled.spec(source=filled.source(url=Secret(env="TAX_DB_URL")), drop=("note",))
    assert len(contents(spec)["ids"]) == 4
    monkeypatch.delenv("TAX_DB_URL")
    with pytest.raises(ConfigError) as refused:
        open_table(spec)
    assert refused.value.code == "SECRET_MISSING"


def test_a_credential_file_that_others_may_read_is_refused(filled: Database) -> None:
    path = filled.url_file()
    path.chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        open_table(filled.spec(source=filled.source(url=Secret(file=path))))
    assert refused.value.code == "SECRET_READABLE"
    (path.parent / "link.url").symlink_to(filled.url_file())
    with pytest.raises(ConfigError) as refused:
        open_table(filled.spec(source=filled.source(url=Secret(file=path.parent / "link.url"))))
    assert refused.value.code == "SECRET_MISSING"


def test_a_server_beyond_this_machine_has_to_prove_who_it_is(filled: Database) -> None:
    for tls in ("disable", "require"):
        url = Secret(file=filled.url_file(filled.url(host="db.example.gov.cn")))
        with pytest.raises(ConfigError) as refused:
            open_table(filled.spec(source=filled.source(url=url, tls=tls)))
        assert refused.value.code == "CONFIG_INSECURE"
    # Where the connection goes counts, not what it is called.
    elsewhere = Secret(file=filled.url_file(f"{filled.url(host='localhost')}?hostaddr=192.0.2.1"))
    with pytest.raises(ConfigError, match="CONFIG_INSECURE"):
        open_table(filled.spec(source=filled.source(url=elsewhere, tls="disable")))
    # What the URL says of TLS does not count: this server has none, so it is refused.
    weak = Secret(file=filled.url_file(f"{filled.url()}?sslmode=disable"))
    spec = filled.spec(source=filled.source(url=weak, tls="verify-full"))
    assert [p.code for p in problems_of(spec)] == ["TABLE_TLS"]


def test_tls_proves_who_the_server_is(tmp_path: Path) -> None:
    if (reason := missing()) is not None:
        pytest.skip(reason)
    good, other, elsewhere = (
        certificate(tmp_path / f"{name}.pem", address)
        for name, address in (("good", "127.0.0.1"), ("other", "127.0.0.1"), ("elsewhere", "127.0.0.9"))
    )
    with Server() as server:
        database = Database(server, tmp_path)
        database.create("id text, x int", [("a", 1), ("b", 2)])
        for served, ca, code in ((good, good, None), (good, other, "TABLE_TLS"), (elsewhere, elsewhere, "TABLE_TLS")):
            server.serve_tls(served.read_bytes())
            spec = database.spec(source=database.source(tls="verify-full", ca=ca))
            if code is None:
                assert contents(spec)["x"] == [1, 2]
            else:
                assert [problem.code for problem in problems_of(spec)] == [code]


def test_a_role_that_could_change_the_table_is_warned_about(filled: Database) -> None:
    with open_table(filled.spec(drop=("note",))) as table:
        assert table.quality.warnings == ()
    filled.grant("companies", "UPDATE")
    with open_table(filled.spec(drop=("note",))) as table:
        assert [w.code for w in table.quality.warnings] == ["TABLE_ROLE_WRITES"]


def test_a_snapshot_outlives_changes_of_its_source(filled: Database, tmp_path: Path) -> None:
    snapshot = tmp_path / "job.parquet"
    spec = filled.spec(drop=("note",))
    with open_table(spec, snapshot=snapshot) as table:
        first = table.fingerprint
        filled.run(f"UPDATE {filled.schema}.companies SET amount = 9")
        table.verify_unchanged()
    assert snapshot.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob("job*")] == ["job.parquet"]
    before = filled.log_size()
    with open_table(spec, snapshot=snapshot) as table:
        assert table.fingerprint == first
        table.verify_unchanged()
    assert filled.role not in filled.log(before)
    with open_table(spec) as table:
        assert table.fingerprint != first
    data = bytearray(snapshot.read_bytes())
    with open_table(spec, snapshot=snapshot) as table:
        data[20] ^= 1
        snapshot.write_bytes(data)
        with pytest.raises(DataError) as refused:
            table.verify_unchanged()
    assert refused.value.code == "DATASET_CHANGED"


def test_nothing_is_left_of_a_snapshot_of_no_job(filled: Database, tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    with open_table(filled.spec(drop=("note",)), resources=Resources(spill_dir=spill)) as table:
        assert table.n_rows == 4
        assert list(spill.iterdir())
    assert not list(spill.iterdir())
    with pytest.raises(DataError):
        open_table(filled.spec(id="city", drop=("note",)), resources=Resources(spill_dir=spill))
    assert not list(spill.iterdir())


@pytest.mark.parametrize("stale", ["warn", "refuse"])
def test_freshness(filled: Database, stale: Any) -> None:
    spec = filled.spec(drop=("note",), updated="since", max_age_days=30, stale=stale)
    for today, fresh in ((datetime.date(2021, 3, 2), True), (datetime.date(2021, 3, 3), False)):
        report = check_table("companies", spec, today=today)
        assert report.quality is not None
        assert report.quality.newest == "2021-01-31"
        assert report.quality.age_days == (30 if fresh else 31)
        found = {"warn": report.warnings, "refuse": report.problems}[stale]
        assert [p.code for p in found if p.code == "TABLE_STALE"] == ([] if fresh else ["TABLE_STALE"])
    with open_table(spec) as table:
        assert "since" not in table.features


@pytest.mark.slow
def test_a_million_rows_go_through_in_bounded_memory(database: Database, tmp_path: Path) -> None:
    columns = ", ".join(f"(i * {k + 3} % 1000003)::numeric(12, 2) / 100 AS x{k}" for k in range(18))
    figures = {}
    for rows in (100_000, 1_000_000):
        database.run(
            f"CREATE TABLE {database.schema}.n{rows} AS SELECT lpad(i::text, 18, '0') AS uscc, "
            f"date '2020-01-01' + i % 900 AS since, {columns} FROM generate_series(1, {rows}) i"
        )
        database.grant(f"n{rows}")
        folder = tmp_path / str(rows)
        folder.mkdir()
        script = ROOT / "tests" / "table_reading.py"
        command = [sys.executable, str(script), str(database.url_file()), database.schema, f"n{rows}", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=800, cwd=ROOT, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        figures[rows] = json.loads(done.stdout)
    # Ten times the rows, of which there are some 180 MiB as text, and not much more memory.
    assert figures[1_000_000]["peak_mib"] < figures[100_000]["peak_mib"] + 150
