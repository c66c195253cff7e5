"""Parties with a database and an interface, one with its store on a server, die in a job: it ends as if nothing was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import write_job, write_tables
from e2e.test_own_tables import TOKEN, Offices, rows_of
from e2e.town import Town
from postgresql_server import Server
from table_database import Database
from table_interface import Answer, Asked, Interface, serving

from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.runtime.config import JobFile, load_job

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BANK, TAX, REGISTRY = map(PartyId, ("bank", "tax", "registry"))
MODEL = '[[model]]\nkind = "gbdt"\nnum_trees = 4\nmax_depth = 2\nmax_bin = 8\n'


class Departments(Offices, Town):
    """Tax has a database, and its store on the same server; the registry has an interface."""

    def __init__(self, job: JobFile, out: Path, database: Database, interface: Interface, store: str) -> None:
        super().__init__(job, out, database, interface)
        self._store = store

    def _write_node(self, party: PartyId, authority: Authority, tables: dict[str, Any]) -> None:
        if party == TAX:
            tables = tables | {"store": {"url_file": "keys/store.url"}}
        super()._write_node(party, authority, tables)
        file = self.folder(party) / "keys" / "store.url"
        file.touch(mode=0o600)
        file.write_text(self._store + "\n")

    async def submit(self) -> str:
        """Hand in the job over the tables of these departments."""
        assert self.operator is not None
        definition = self.job.shared()
        names = {TAX: "enterprise_tax", REGISTRY: "permits"}
        for entry in definition["parties"]:
            entry["table"] = names.get(entry["id"], "main")
        return await self.operator.submit(definition)


async def test_a_job_over_tables_that_changed_meanwhile_ends_with_the_same_model(
    postgresql: Server, tmp_path: Path
) -> None:
    write_tables(tmp_path, {"bank": (0, 400), "tax": (100, 450), "registry": (150, 500)})
    job = load_job(write_job(tmp_path, [BANK, TAX, REGISTRY], MODEL))
    database = Database(postgresql, tmp_path)
    rows = [(row["id"], row["x"], int(row["y"])) for row in rows_of(tmp_path, "tax")]
    database.create("id text, x numeric, y int", rows, "tax")
    permits: list[dict[str, Any]] = [
        {"id": row["id"], "x": float(row["x"]), "y": int(row["y"])} for row in rows_of(tmp_path, "registry")
    ]

    def answer(_: int, asked: Asked) -> Answer:
        assert asked.headers.get("authorization") == f"Bearer {TOKEN}"
        start = (int(asked.query["page"]) - 1) * 100
        return Answer({"data": {"list": permits[start : start + 100], "total": len(permits)}})

    with serving(answer) as interface:
        place = Departments(job, tmp_path / "out", database, interface, postgresql.url())
        async with place:
            first = await place.submit()
            assert (await place.outcome(first))[-1].stage == "succeeded"
            wanted = place.models(first)
            await place.crash(TAX, "job.stage.kept[gbdt.0/tree.2]=kill")
            second = await place.submit()
            await place.died(TAX)
            await place.end(REGISTRY)
            database.run(f"UPDATE {database.schema}.tax SET x = -x, y = y + 1")
            permits[:] = [row | {"x": -row["x"]} for row in permits[:200]]
            await place.start(TAX)
            await place.start(REGISTRY)
            events = await place.outcome(second)
            assert events[-1].stage == "succeeded", events[-1]
            assert place.models(second) == wanted
            assert {name.split("/")[0] for name in wanted} == {BANK, TAX, REGISTRY}
    assert not list((tmp_path / "out").glob("parties/*/snapshots/*"))
