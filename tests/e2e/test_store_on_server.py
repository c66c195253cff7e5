"""A whole job whose parties keep their stores on a PostgreSQL server, each under an address of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import write_job, write_tables
from postgresql_server import Server

from fedcredit.ids import PartyId
from fedcredit.node.local import Consortium
from fedcredit.node.outcome import prepare_folder
from fedcredit.node.pki import Authority
from fedcredit.node.store import JobState, Store
from fedcredit.runtime.config import load_job

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class OnServer(Consortium):
    """A consortium whose nodes read their store's address from a file."""

    urls: dict[PartyId, str]

    def _write_node(self, party: PartyId, authority: Authority, tables: dict[str, Any]) -> None:
        super()._write_node(party, authority, tables | {"store": {"url_file": "keys/store.url"}})
        file = self.folder(party) / "keys" / "store.url"
        file.touch(mode=0o600)
        file.write_text(self.urls[party] + "\n")


async def test_a_job_with_its_stores_on_a_server(postgresql: Server, tmp_path: Path) -> None:
    write_tables(tmp_path, {"bank": (0, 700), "tax": (200, 800)})
    job, out = load_job(write_job(tmp_path, ["bank", "tax"])), tmp_path / "out"
    prepare_folder(out)
    consortium = OnServer(job, out)
    consortium.urls = {PartyId(party): postgresql.url() for party in ("bank", "tax", "platform")}
    async with consortium:
        name = await consortium.run()
        await consortium.stop()
    for party in ("bank", "tax"):
        store = Store.look(consortium.urls[PartyId(party)])
        row = store.jobs.job(name)
        assert row is not None
        assert row.state is JobState.SUCCEEDED
        assert len(store.stages.all(name)) >= 2
        assert store.problems() == []
        store.close()
    kept = [path for path in out.rglob("*") if path.is_file() and path.name != "store.url"]
    assert not [path for path in kept if path.name.startswith("store.sqlite")]
    assert not [path for path in kept if postgresql.password.encode() in path.read_bytes()]
