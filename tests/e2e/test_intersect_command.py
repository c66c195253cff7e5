"""`fedcredit intersect` between running nodes: one line, one file of identifiers, and errors that say what to do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from e2e.conftest import run_cli, write_job, write_tables

from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.protocols.intersect.choice import MODES
from fedcredit.runtime.config import load_job, load_party

BANK, TAX = PartyId("bank"), PartyId("tax")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("intersect")
    write_tables(folder, {"bank": (0, 400), "tax": (100, 500)})
    nodes = Consortium(load_job(write_job(folder, ["bank", "tax"])), folder / "out")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(nodes):
        with (nodes.folder(BANK) / "party.toml").open("a") as file:
            file.write(f'\n[peers]\nplatform = "{nodes.children[PLATFORM].address}"\n')
        yield nodes


def intersect(nodes: Consortium, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_cli("intersect", "--node", nodes.folder(BANK), *arguments)


def ids_of(nodes: Consortium, party: PartyId) -> set[str]:
    config = load_party(nodes.folder(party))
    table = config.tables["main"]
    assert table.table is not None
    header, *lines = config.path(table.table).read_text().splitlines()
    at = header.split(",").index(table.id[0])
    return {line.split(",")[at] for line in lines}


@pytest.mark.parametrize("mode", MODES)
def test_the_common_identifiers_go_into_a_file(consortium: Consortium, mode: str, tmp_path: Path) -> None:
    out = tmp_path / "aligned.csv"
    table = load_party(consortium.folder(BANK)).tables["main"]
    file = str(load_party(consortium.folder(BANK)).path(table.table or ""))
    done = intersect(consortium, "--table", file, "--id", table.id[0], "--peer", "tax", "--mode", mode, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"300 subjects are at all parties ({mode}: the job names it)." in done.stdout
    assert "What each party will learn" in done.stderr
    assert "tax: align" in done.stderr
    header, *ids = out.read_text().splitlines()
    assert header == table.id[0]
    assert len(ids) == 300
    assert set(ids) == ids_of(consortium, BANK) & ids_of(consortium, TAX)


def test_auto_says_what_it_chose_and_why(consortium: Consortium) -> None:
    done = intersect(consortium, "--peer", "tax:main", "--receiver-only", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["mode"]) == (300, "ecdh")
    assert "100,000" in found["why"]
    assert len(Path(found["aligned"]).read_text().splitlines()) == 301
    result = consortium.folder(TAX) / "jobs" / found["job"] / "result"
    assert not (result / "aligned.csv").exists(), "only the bank learns it"


def test_what_cannot_be_is_said_before_anything_starts(consortium: Consortium, tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("x")
    cases: list[tuple[list[str | Path], int, str]] = [
        (["--peer", "tax", "--out", there], 2, "OUT_NOT_EMPTY"),
        (["--peer", "tax", "--table", "other.csv"], 78, "TABLE_UNKNOWN"),
        (["--peer", "tax", "--id", "name"], 78, "CONFIG_CONFLICT"),
        (["--peer", "tax", "--mode", "quick"], 78, "CONFIG_VALUE"),
        (["--peer", "tax", "--min-size", "3"], 78, "CONFIG_FLOOR"),
        (["--peer", "Tax!"], 78, "CONFIG_NAME"),
        (["--peer", "platform"], 78, "CONFIG_NAME"),
    ]
    before = sorted((consortium.folder(BANK) / "jobs").iterdir())
    for arguments, status, code in cases:
        done = intersect(consortium, *arguments)
        assert (done.returncode, code in done.stderr) == (status, True), done.stderr
    assert there.read_text() == "x"
    assert sorted((consortium.folder(BANK) / "jobs").iterdir()) == before


def test_too_few_in_common_is_refused_and_no_file_is_left(consortium: Consortium, tmp_path: Path) -> None:
    out = tmp_path / "aligned.csv"
    done = intersect(consortium, "--peer", "tax", "--mode", "fast", "--min-size", "301", "--out", out)
    assert done.returncode == 77
    assert "INTERSECTION_TOO_SMALL" in done.stderr
    assert not out.exists()
