"""What may be asked of an intersection between running nodes: keys of several columns, rows that repeat a subject."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from e2e.conftest import run_cli

from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.runtime.config import load_job

BANK, TAX = PartyId("bank"), PartyId("tax")
COMMON = 300

JOB = """
[job]
name = "people"
purpose = "research"
[parties.bank]
table = "bank.csv"
id = ["name", "phone"]
id_type = ["text", "digits"]
drop = ["city", "note"]
duplicates = "first"
[parties.tax]
table = "tax.csv"
id = ["person", "mobile"]
id_type = ["text", "digits"]
"""

pytestmark = pytest.mark.slow


def key(number: int) -> tuple[str, str]:
    """Two columns that only together tell people apart."""
    return f"人{number % 20}", f"{number // 20:04d}"


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("options")
    rows = [f'{",".join(key(i))},city {i % 7},"=note, {i}",{i % 5}' for i in range(400)]
    again = [f"{','.join(key(i))} ,another city,again,9" for i in range(50, 150)]
    (folder / "bank.csv").write_text("\n".join(["name,phone,city,note,x", *rows, *again]) + "\n")
    rows = [f"{','.join(key(i))},{i % 3}" for i in range(100, 500)]
    (folder / "tax.csv").write_text("\n".join(["person,mobile,y", *rows]) + "\n")
    (folder / "job.toml").write_text(JOB)
    nodes = Consortium(load_job(folder / "job.toml"), folder / "out")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(nodes):
        with (nodes.folder(BANK) / "party.toml").open("a") as file:
            file.write(f'\n[peers]\nplatform = "{nodes.children[PLATFORM].address}"\n')
        yield nodes


def intersect(nodes: Consortium, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_cli("intersect", "--node", nodes.folder(BANK), "--peer", "tax", *arguments)


@pytest.mark.parametrize("mode", ["ecdh", "fast"])
def test_keys_of_two_columns_meet_and_come_out_as_two_columns(
    consortium: Consortium, mode: str, tmp_path: Path
) -> None:
    out = tmp_path / "aligned.csv"
    done = intersect(consortium, "--id", "name,phone", "--mode", mode, "--out", out)
    assert done.returncode == 0, done.stderr
    header, *lines = out.read_text().splitlines()
    assert header == "name,phone"
    assert len(lines) == COMMON
    assert {tuple(line.split(",")) for line in lines} == {key(i) for i in range(100, 400)}


def test_the_rows_left_out_are_counted_for_their_owner_alone(consortium: Consortium) -> None:
    done = intersect(consortium, "--json")
    assert done.returncode == 0, done.stderr
    result = Path(json.loads(done.stdout)["aligned"]).parent
    quality = json.loads((result / "quality.json").read_text())
    assert (quality["rows"], quality["ids_duplicate"]) == (400, 100)
    assert [warning["code"] for warning in quality["warnings"]] == ["ID_COLLAPSED"]
    agreed = json.loads((result / "specification.json").read_bytes())
    assert {party["id"]: party["rows"] for party in agreed["parties"]} == {"bank": 400, "tax": 400}
    assert agreed["intersect"]["id_type"] == ["text", "digits"]
    assert b"phone" not in (result / "specification.json").read_bytes()


@pytest.mark.parametrize("alone", [False, True])
def test_the_size_alone_and_nothing_to_say_which(consortium: Consortium, alone: bool) -> None:
    done = intersect(consortium, "--size-only", "--json", *(["--receiver-only"] if alone else []))
    assert done.returncode == 0, done.stderr
    assert "align.rows" not in done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["mode"], found["aligned"]) == (COMMON, "ecdh", None)
    assert "size alone" in found["why"]
    results = {party: consortium.folder(party) / "jobs" / found["job"] / "result" for party in (BANK, TAX)}
    assert {party: (result / "size.json").exists() for party, result in results.items()} == {BANK: True, TAX: not alone}
    assert json.loads((results[BANK] / "size.json").read_text()) == {"common": COMMON}
    assert not [path for result in results.values() for path in result.rglob("aligned.csv")]
    shown = {row["id"] for row in json.loads((results[TAX] / "leakage.json").read_text())}
    assert ("align.size" in shown, "align.rows" in shown) == (True, False)


def test_a_size_says_itself_in_words_and_has_its_minimum(consortium: Consortium) -> None:
    done = intersect(consortium, "--size-only")
    assert "300 subjects are at all parties (ecdh: the size alone is asked for" in done.stdout, done.stderr
    assert "Aligned subjects" not in done.stdout
    refused = intersect(consortium, "--size-only", "--min-size", "301")
    assert (refused.returncode, "INTERSECTION_TOO_SMALL" in refused.stderr) == (77, True)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        (["--mode", "fast"], 78, "CONFIG_CONFLICT"),
        (["--peer", "registry"], 78, "CONFIG_CONFLICT"),
        (["--out", "x.csv"], 2, "OPTIONS_CONFLICT"),
    ],
)
def test_a_size_that_cannot_be_had_is_refused_before_anything_starts(
    consortium: Consortium, more: list[str], status: int, code: str
) -> None:
    done = intersect(consortium, "--size-only", *more)
    assert (done.returncode, code in done.stderr) == (status, True), done.stderr


def test_other_columns_than_those_declared_are_refused(consortium: Consortium) -> None:
    done = intersect(consortium, "--id", "phone,name")
    assert (done.returncode, "CONFIG_CONFLICT" in done.stderr) == (78, True), done.stderr
