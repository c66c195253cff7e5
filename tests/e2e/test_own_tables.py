"""Parties whose rows are in a database or behind an interface: the same job, the same result, nothing left behind."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import run_cli, write_job, write_tables
from postgresql_server import Server
from table_database import Database
from table_interface import Answer, Asked, Interface, serving

from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.node.local import Consortium
from fedcredit.node.operator import error_of_end
from fedcredit.node.outcome import publish
from fedcredit.runtime.config import JobFile, load_job

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BANK, TAX, REGISTRY = map(PartyId, ("bank", "tax", "registry"))
TOKEN = "geheim-0815"
MODEL = '[[model]]\nkind = "gbdt"\nnum_trees = 3\nmax_depth = 3\n'


class Offices(Consortium):
    """A consortium in which tax has a database and the registry an interface, both declared beside other tables."""

    def __init__(self, job: JobFile, out: Path, database: Database, interface: Interface) -> None:
        super().__init__(job, out)
        self._database, self._interface = database, interface

    def _party_file(self, party: PartyId) -> dict[str, Any]:
        made = super()._party_file(party)
        keys = self.folder(party) / "keys"
        columns = {"id": "id", "id_type": "digits"}
        if party == TAX:
            source = {"relation": f"{self._database.schema}.tax", "url_file": "keys/tax.url", "tls": "disable"}
            made["tables"] = {"enterprise_tax": columns | {"postgresql": source}}
            _write_secret(keys / "tax.url", self._database.url())
        elif party == REGISTRY:
            source = {
                **{"url": self._interface.url, "records": "data.list", "paging": "page", "total": "data.total"},
                **{"auth": "bearer", "secret_file": "keys/share.token"},
            }
            made["tables"] = {"permits": columns | {"http": source}}
            _write_secret(keys / "share.token", TOKEN)
        return made

    async def named(self, tables: dict[PartyId, str]) -> str:
        """Run the job with the tables of these names to its end; its name. Raises: FedcreditError."""
        assert self.operator is not None
        definition = self.job.shared()
        for entry in definition["parties"]:
            entry["table"] = tables.get(entry["id"], "main")
        name = await self.operator.submit(definition)
        async for event in self.operator.watch(name):
            end = event
        if (error := error_of_end(end)) is not None:
            raise error
        return name


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def rows_of(folder: Path, party: str) -> list[dict[str, str]]:
    """The rows of a party's CSV file."""
    with (folder / f"{party}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@contextmanager
def _permits(folder: Path) -> Iterator[Interface]:
    rows = [{"id": row["id"], "x": float(row["x"]), "y": int(row["y"])} for row in rows_of(folder, "registry")]

    def answer(_: int, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer({}, 401)
        start = (int(asked.query["page"]) - 1) * 100
        return Answer({"data": {"list": rows[start : start + 100], "total": len(rows)}})

    with serving(answer) as made:
        yield made


@pytest.fixture
def database(postgresql: Server, tmp_path: Path) -> Database:
    return Database(postgresql, tmp_path)


def _fill(database: Database, folder: Path) -> None:
    rows = [(row["id"], row["x"], int(row["y"])) for row in rows_of(folder, "tax")]
    database.create("id text, x numeric, y int", rows, "tax")


async def test_a_job_over_a_database_and_an_interface_is_that_over_files(database: Database, tmp_path: Path) -> None:
    write_tables(tmp_path, {"bank": (0, 500), "tax": (100, 550), "registry": (150, 600)})
    job = load_job(write_job(tmp_path, [BANK, TAX, REGISTRY], MODEL))
    _fill(database, tmp_path)
    results = []
    with _permits(tmp_path) as interface:
        async with Offices(job, tmp_path / "out", database, interface) as offices:
            for tables in ({TAX: "enterprise_tax", REGISTRY: "permits"}, {}):
                name = await offices.named(tables)
                results.append(_trees(tmp_path / "out", name))
                quality = tmp_path / "out" / "parties" / "tax" / "jobs" / name / "quality.json"
                assert '"smallest"' in quality.read_text()
            with pytest.raises(FedcreditError) as refused:
                await offices.named({TAX: "payroll"})
            assert refused.value.code == "TABLE_UNKNOWN"
            await offices.stop()
            publish(job, name, tmp_path / "out")
    assert {path.split("/")[1] for path in results[0]} == {"bank", "tax", "registry"}
    assert results[0] == results[1]
    out = tmp_path / "out"
    assert not list(out.glob("parties/*/snapshots/*"))
    assert not list(out.glob("parties/*/spill/*"))
    files = [path for path in out.rglob("*") if path.is_file() and "keys" not in path.parts]
    for path in files:
        data = path.read_bytes()
        assert TOKEN.encode() not in data, path
        assert database.password.encode() not in data, path


async def test_a_table_that_changed_is_seen_by_the_next_job(database: Database, tmp_path: Path) -> None:
    write_tables(tmp_path, {"bank": (0, 400), "tax": (100, 500), "registry": (100, 500)})
    job = load_job(write_job(tmp_path, [BANK, TAX]))
    _fill(database, tmp_path)
    with _permits(tmp_path) as interface:
        async with Offices(job, tmp_path / "out", database, interface) as offices:
            aligned = []
            for _ in range(2):
                name = await offices.named({TAX: "enterprise_tax"})
                ids = tmp_path / "out" / "parties" / "bank" / "jobs" / name / "result" / "aligned.csv"
                aligned.append(len(ids.read_text().splitlines()) - 1)
                database.run(f"DELETE FROM {database.schema}.tax WHERE id < '{200:012}'")
    assert aligned == [300, 200]


def test_check_says_all_of_all_tables(database: Database, tmp_path: Path) -> None:
    folder = _office(database, tmp_path)
    database.create("id text, x int", [("000000000001", 1), ("000000000002", 5)], "tax")
    good = run_cli("table", "check", folder, "--table", "enterprise_tax")
    assert good.returncode == 0, good.stderr
    assert "enterprise_tax (postgresql, 2 rows, 1 features): ok" in good.stdout
    database.run(f"INSERT INTO {database.schema}.tax VALUES ('1', 1), ('000000000001', 2)")
    database.grant("tax", "DELETE")
    bad = run_cli("table", "check", folder / "party.toml")
    assert bad.returncode == 65
    for word in ("ID_DUPLICATE", "TABLE_ROLE_WRITES", "CSV_EMPTY", "VALUE_INVALID"):
        assert word in bad.stdout, bad.stdout
    unknown = run_cli("table", "check", folder, "--table", "enterprise_tex")
    assert unknown.returncode == 78
    assert "did you mean 'enterprise_tax'" in unknown.stderr
    as_json = run_cli("table", "check", folder, "--json")
    assert len(as_json.stdout.splitlines()) == 3
    for text in (good.stdout, bad.stdout, as_json.stdout, bad.stderr, as_json.stderr):
        assert database.password not in text


def _office(database: Database, tmp_path: Path) -> Path:
    folder = tmp_path / "office"
    for name in ("tls.crt", "tls.key", "authorities.pem", "signing.key", "signing.crt"):
        _write_secret(folder / "keys" / name, "-")
    _write_secret(folder / "keys" / "tax.url", database.url())
    (folder / "empty.csv").write_text("id,x\n")
    (folder / "bad.csv").write_text("id,x\n1,1\n2,NULL\n")
    (folder / "party.toml").write_text(
        '[party]\nid = "tax"\nkind = "provider"\n[identity]\nauthorities = "keys/authorities.pem"\n'
        '[tables.enterprise_tax]\nid = "id"\nid_type = "digits"\n[tables.enterprise_tax.postgresql]\n'
        f'relation = "{database.schema}.tax"\nurl_file = "keys/tax.url"\ntls = "disable"\n'
        '[tables.empty]\ntable = "empty.csv"\nid = "id"\n'
        '[tables.bad]\ntable = "bad.csv"\nid = "id"\nid_type = "digits"\n'
    )
    return folder


def _trees(out: Path, name: str) -> dict[str, bytes]:
    """Every party's part of the model, byte for byte."""
    return {
        str(path.relative_to(out)).replace(name, "JOB"): path.read_bytes()
        for folder in out.glob(f"parties/*/jobs/{name}/result")
        for path in sorted(folder.rglob("model/**/*"))
        if path.is_file()
    }
